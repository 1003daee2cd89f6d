"""Ablations: variants differ in what they say, the figures come from the runs, and an interrupted study goes on."""

from __future__ import annotations

import json
from math import inf

import box_room
import pytest
from tiny_training import ALONE, COMMON, DIMM

from reloc_ros.cli import bench_ablation
from reloc_ros.errors import ConfigError
from reloc_ros.training import ablation, checkpoint
from reloc_ros.training.ablation import STUDIES, Result, markdown, run_study
from reloc_ros.training.config import CONFIGS, config_from_dict, config_to_dict


def test_the_command_offers_every_study_and_the_methods_it_trains():
    assert {
        name: tuple(dict.fromkeys(variant.method for variant in variants.values()))
        for name, variants in STUDIES.items()
    } == bench_ablation.STUDIES


@pytest.mark.parametrize(
    ("study", "variant"), [(study, variant) for study, variants in STUDIES.items() for variant in variants]
)
def test_every_variant_is_a_configuration(study, variant):
    chosen = STUDIES[study][variant]
    base = config_to_dict(config_from_dict(chosen.method, {}))
    assert isinstance(config_from_dict(chosen.method, ablation._merged(base, chosen.changes)), CONFIGS[chosen.method])


def test_a_study_trains_each_variant_once(tmp_path, monkeypatch):
    data = box_room.write_sequence(tmp_path / "data", box_room.pinhole(), box_room.trajectory(24))
    base = {"dimm": config_from_dict("dimm", {**DIMM, "max_steps": 3})}
    results = run_study("semantic_attention", [data], tmp_path / "study", base, ALONE, seeds=2)
    assert [(result.variant, result.seed, result.steps) for result in results] == [
        ("attention", 0, 3), ("attention", 1, 3), ("mean", 0, 3), ("mean", 1, 3),
    ]  # fmt: skip
    _, content = checkpoint.load_trained(tmp_path / "study" / "mean.1")
    assert content["train_config"]["head"]["attention"] is False
    assert content["train_config"]["seed"] == 1
    written = json.loads((tmp_path / "study" / "ablation.json").read_text(encoding="utf-8"))
    assert [entry["variant"] for entry in written["results"]] == ["attention", "attention", "mean", "mean"]
    assert (tmp_path / "study" / "ablation.png").stat().st_size > 5000
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "study").glob("*/last.pt")}
    run_study("semantic_attention", [data], tmp_path / "study", base, ALONE, seeds=2)
    assert stamps == {path: path.stat().st_mtime_ns for path in (tmp_path / "study").glob("*/last.pt")}


@pytest.mark.parametrize("scenes", [1, 2])
def test_figures_of_every_scene_are_read(scenes, tmp_path, monkeypatch):
    names = ["north", "south"][:scenes]
    data = [
        f"{name}=" + box_room.write_sequence(tmp_path / name, box_room.pinhole(), box_room.trajectory(24), paint=paint)
        for paint, name in enumerate(names)
    ]
    tiny = {"decoder": {"width": 16, "heads": 2, "feedforward": 16, "layers": 1, "members": 2, "hidden": 8}}
    text = {"text": {"channels": 8, "heads": 2, "buckets": 16}, "encoder": {"kind": "patch_transformer_tiny"}}
    monkeypatch.setitem(STUDIES, "layers", {"one": ablation.Variant(method="mvl_loc")})
    base = {"mvl_loc": config_from_dict("mvl_loc", {**COMMON, **tiny, **text, "max_steps": 1})}
    (result,) = run_study("layers", data, tmp_path / "study", base, ALONE)
    assert list(result.scenes) == names
    assert all(0 <= figures["scene_accuracy"] <= 1 for figures in result.scenes.values())
    assert " - |" not in markdown([result])


def test_the_table_shows_the_middle_scene_and_the_range_over_seeds():
    def result(variant, seed, errors_m):
        scenes = {
            str(index): {
                "median_translation_error_m": error_m,
                "median_rotation_error_deg": 2.0,
                "recall_0.25m_5deg": 0.5,
            }
            for index, error_m in enumerate(errors_m)
        }
        return Result(variant=variant, seed=seed, scenes=scenes, trained_parameters=1_500_000, steps=10, minutes=1.0)

    table = markdown([result("a", 0, (0.1, 0.2, inf)), result("a", 1, (0.2, 0.4)), result("b", 0, (0.05, 0.05))])
    assert "| a | 25.0 (20.0 to 30.0) | 2.00 (2.00 to 2.00) | 50 (50 to 50) % | - | 1.50 M | 10 (10 to 10) |" in table
    assert "| b | 5.0 | 2.00 | 50 % | - | 1.50 M | 10 |" in table


def test_what_cannot_be_studied_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="study 'colour' is unknown; choose one of mappers"):
        run_study("colour", [], tmp_path, {}, ALONE)
    with pytest.raises(ConfigError, match="trains dimm and no configuration is given"):
        run_study("mappers", [], tmp_path, {}, ALONE)
