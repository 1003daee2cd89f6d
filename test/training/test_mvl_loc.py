"""MVL-Loc learns two rooms in one model, says which is which, resumes, and refuses what it cannot train on."""

from __future__ import annotations

import itertools
import json
import shutil

import box_room
import numpy as np
import onnx
import pytest
import torch
import yaml
from tiny_clip import write_clip
from tiny_training import ALONE, COMMON

from reloc_ros.cameras.camera import cell_centres
from reloc_ros.errors import ConfigError, TrainingError
from reloc_ros.export.bundle_run import export_run
from reloc_ros.geometry import rotation
from reloc_ros.inference.backend import create_backend
from reloc_ros.inference.text_tower import TextTower
from reloc_ros.localization.localizer import Localizer
from reloc_ros.training import checkpoint
from reloc_ros.training.augment import random_view
from reloc_ros.training.config import MildAugmentConfig, config_from_dict
from reloc_ros.training.losses import PoseTargets, log_quat_distance, pose_loss
from reloc_ros.training.mvl_loc import view_rotation
from reloc_ros.training.train import train
from reloc_ros.types import Estimate, Frame

TINY = {
    **COMMON,
    "batch_size": 16,
    "learning_rate": 2e-3,
    "encoder": {"kind": "patch_transformer_tiny"},
    "decoder": {"width": 48, "heads": 2, "feedforward": 96, "layers": 2, "members": 3, "hidden": 48},
    "text": {"channels": 16, "heads": 2, "buckets": 64},
    "descriptions": {"level": "detailed"},
}


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    folder, camera = tmp_path_factory.mktemp("data"), box_room.pinhole()
    return [
        "north=" + box_room.write_sequence(folder / "north", camera, box_room.trajectory(48)),
        "south=" + box_room.write_sequence(folder / "south", camera, box_room.trajectory(32), paint=11),
    ]


@pytest.fixture(scope="module")
def trained(rooms, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "rooms"
    train(rooms, out, config_from_dict("mvl_loc", {**TINY, "epochs": 80}), ALONE)
    return out


def _lines(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def _scenes_file(path, **descriptions):
    scenes = [{"name": name, "description": text} for name, text in descriptions.items()]
    path.write_text(yaml.safe_dump({"scenes": scenes}), encoding="utf-8")
    return {"descriptions": {"file": str(path)}}


def test_finds_the_scene_and_the_pose_in_it(trained):
    figures = _lines(trained)[-1]["validation"]
    assert figures["scene_accuracy"] > 0.7
    # Knowing nothing, the best guess is the middle of the loop, 0.5 m and 20 degrees away.
    oracle = [figures["scenes"][scene]["oracle"] for scene in ("north", "south")]
    assert np.mean([errors["median_translation_error_m"] for errors in oracle]) < 0.42
    assert max(errors["median_rotation_error_deg"] for errors in oracle) < 14


def test_descriptions_are_written_for_people_and_served(trained):
    content = yaml.safe_load((trained / "scenes.yaml").read_text(encoding="utf-8"))
    said = {scene["name"]: scene["description"] for scene in content["scenes"]}
    assert list(said) == ["north", "south"]
    served = checkpoint.load(trained / checkpoint.BEST)["serving"]["scenes"]
    assert {scene["name"]: scene["description"] for scene in served} == said


def test_a_bundle_of_both_scenes_localizes_in_the_right_one(trained, tmp_path):
    bundle, parity = export_run(trained, tmp_path / "bundle", map_frames={"south": "map_south"})
    assert parity.translation_m < 1e-4
    assert parity.rotation_deg < 0.005
    # Of the text encoder nothing is left: no table of 64 words and three marks.
    constants = onnx.load(bundle.path / "model.onnx").graph.initializer
    assert not [constant.name for constant in constants if 67 in constant.dims]
    localizer = Localizer(bundle.manifest, create_backend("onnxruntime", bundle))
    assert [scene.map_frame for scene in bundle.manifest.scenes] == ["map", "map_south"]
    found = []
    for name, paint in (("north", 7), ("south", 11)):
        assert bundle.manifest.metrics[name]["scene_accuracy"] > 0.7
        for T_map_camera in box_room.trajectory(16)[1::3]:
            camera = box_room.pinhole()
            answer = localizer.localize(Frame(image=box_room.render(camera, T_map_camera, paint), camera=camera))
            if isinstance(answer, Estimate):
                found.append(answer.scene == name)
                assert answer.cell_weights.shape == (4, 4)
    assert len(found) >= 2
    assert all(found)


def test_resuming_gives_the_run_that_was_never_interrupted(rooms, tmp_path, monkeypatch):
    config = config_from_dict("mvl_loc", {**TINY, "epochs": 2, "validate_every_minutes": 1e-9})
    ticks = itertools.count()
    monkeypatch.setattr("reloc_ros.training.train.perf_counter", lambda: 1e-6 * next(ticks))
    train(rooms, tmp_path / "whole", config, ALONE)
    average_into, taken = checkpoint.average_into, []

    def killed(*args):
        average_into(*args)
        taken.append(1)
        if len(taken) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "average_into", killed)
    with pytest.raises(KeyboardInterrupt):
        train(rooms, tmp_path / "torn", config, ALONE)
    monkeypatch.setattr(checkpoint, "average_into", average_into)
    train(rooms, tmp_path / "torn", config, ALONE)
    whole, torn = (checkpoint.load(tmp_path / name / checkpoint.LAST) for name in ("whole", "torn"))
    assert whole["step"] == torn["step"] > 4
    for key, value in whole["average"].items():
        # A bias of attention's keys changes nothing and has no gradient but rounding, which AdamW makes steps of.
        if not key.endswith(("qkv.bias", "key.bias", "in_proj_bias")):
            torch.testing.assert_close(
                torn["average"][key], value, atol=1e-4, rtol=1e-3, msg=lambda text, key=key: f"{key}: {text}"
            )


def test_features_of_a_frozen_encoder_are_enough_and_descriptions_may_not_change(rooms, trained, tmp_path):
    content = checkpoint.load(trained / checkpoint.BEST)
    prefix = "encoder."
    weights = {k.removeprefix(prefix): v for k, v in content["network"].items() if k.startswith(prefix)}
    torch.save({"encoder": content["encoder"], "encoder_weights": weights}, tmp_path / "encoder.pt")
    encoder = {"kind": "patch_transformer_tiny", "weights": str(tmp_path / "encoder.pt"), "frozen": True}
    file = _scenes_file(tmp_path / "mine.yaml", north="a room of red waves", south="green spots everywhere")
    changes = {**TINY, **file, "encoder": encoder, "features": {"views": 2}, "epochs": 40}
    config = config_from_dict("mvl_loc", changes)
    out = tmp_path / "run"
    train(rooms, out, config, ALONE)
    assert _lines(out)[-1]["validation"]["scene_accuracy"] > 0.7
    best = checkpoint.load(out / checkpoint.BEST)
    assert best["serving"]["scenes"][1]["description"] == "green spots everywhere"
    for name, value in weights.items():
        assert torch.equal(best["network"][prefix + name], value), name
    assert not (out / "scenes.yaml").exists()
    _scenes_file(tmp_path / "mine.yaml", north="a room of red waves", south="yellow spots everywhere")
    with pytest.raises(TrainingError, match="changed after the run"):
        train(rooms, out, config, ALONE)
    with pytest.raises(ConfigError, match="was trained with the scenes"):
        train(rooms, tmp_path / "next", config_from_dict("mvl_loc", {**changes, "initial": str(out)}), ALONE)


def test_clip_writes_reads_and_sees_descriptions_and_is_not_needed_afterwards(rooms, tmp_path):
    folder = tmp_path / "clip"
    folder.mkdir()
    write_clip(folder)
    encoder = {"kind": "clip", "weights": str(folder), "frozen": True}
    changes = {"descriptions": {"clip": str(folder)}, "encoder": encoder, "features": {"views": 1}, "epochs": 1}
    config = config_from_dict("mvl_loc", {**TINY, **changes})
    train(rooms, tmp_path / "run", config, ALONE)
    with_tower, _ = export_run(tmp_path / "run", tmp_path / "with_tower", text_tower=True)
    shutil.rmtree(folder)
    network, content = checkpoint.load_trained(tmp_path / "run")
    sentences = network.decoder.sentences
    lengths = sentences.mask.sum(1).tolist()
    for scene, length in zip(content["serving"]["scenes"], lengths, strict=True):
        # Letters are tokens here, besides a start and an end.
        assert length == 2 + len(scene["description"].replace(" ", ""))
    assert sentences().shape == (2, max(lengths), 12)
    assert sentences()[0].abs().sum() > 0
    backend = create_backend("onnxruntime", with_tower)
    localizer = Localizer(with_tower.manifest, backend, text=TextTower(with_tower))
    backend.close()
    assert "by the text tower" in localizer.hint_scene(content["serving"]["scenes"][1]["description"])


def test_the_scenes_file_names_map_frames_unless_others_are_asked_for(rooms, tmp_path):
    file = tmp_path / "mine.yaml"
    changes = _scenes_file(file, north="a hall", south="a shed")
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    content["scenes"][1]["map_frame"] = "map_south"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    train(rooms, tmp_path / "run", config_from_dict("mvl_loc", {**TINY, **changes, "epochs": 1}), ALONE)
    said, _ = export_run(tmp_path / "run", tmp_path / "said")
    assert [scene.map_frame for scene in said.manifest.scenes] == ["map", "map_south"]
    asked, _ = export_run(tmp_path / "run", tmp_path / "asked", map_frames={"": "site", "south": "yard"})
    assert [scene.map_frame for scene in asked.manifest.scenes] == ["site", "yard"]
    with pytest.raises(TrainingError, match=r"without CLIP's text tower .*leave out --text-tower"):
        export_run(tmp_path / "run", tmp_path / "none", text_tower=True)


@pytest.mark.parametrize(
    ("descriptions", "message"),
    [
        ({"north": "a hall", "south": "  "}, "'south' is empty"),
        ({"north": "a hall", "south": "door " * 80}, "'south' is 82 tokens long, the limit is 77"),
        ({"north": "a hall"}, "scene 'south' has no description"),
    ],
)
def test_descriptions_that_cannot_be_read_are_refused_before_training(rooms, tmp_path, descriptions, message):
    config = config_from_dict("mvl_loc", {**TINY, **_scenes_file(tmp_path / "mine.yaml", **descriptions)})
    with pytest.raises(ConfigError, match=message):
        train(rooms, tmp_path / "run", config, ALONE)
    assert not (tmp_path / "run").exists()


def test_data_that_cannot_be_trained_on_is_refused(rooms, tmp_path):
    config = config_from_dict("mvl_loc", TINY)
    with pytest.raises(ConfigError, match="two scenes have the name 'north'"):
        train([rooms[0], rooms[1].replace("south=", "north=")], tmp_path / "run", config, ALONE)
    panoramas = box_room.write_sequence(tmp_path / "round", box_room.panorama(), box_room.trajectory(8))
    with pytest.raises(TrainingError, match=r"\['equirectangular', 'pinhole'\]"):
        train([rooms[0], panoramas], tmp_path / "run", config, ALONE)
    config = config_from_dict("mvl_loc", {**TINY, "input": {"width": 72, "height": 64}})
    with pytest.raises(ConfigError, match=r"input\.width is 72; expected a multiple of 16"):
        train(rooms, tmp_path / "run", config, ALONE)
    with pytest.raises(ConfigError, match=r"descriptions\.level is 'long'"):
        config_from_dict("mvl_loc", {**TINY, "descriptions": {"level": "long"}})


def test_a_rotation_near_half_a_turn_is_near_whichever_sign_its_quaternion_has():
    axis = np.array([0.36, -0.48, 0.8])
    just_below, just_above = (torch.from_numpy(rotation.log_quat(rotation.to_quat_xyzw(rotation.exp(angle * axis))))
                              for angle in (np.pi - 0.02, np.pi + 0.02))  # fmt: skip
    assert (just_below - just_above).abs().sum() > 4
    assert log_quat_distance(just_below, just_above) == pytest.approx(0.02 * np.abs(axis).sum())
    longer = torch.from_numpy((np.pi + 0.02) / 2 * axis)
    assert log_quat_distance(longer, just_above) == pytest.approx(0.0, abs=1e-9)
    assert torch.isfinite(log_quat_distance(just_below, torch.zeros(3)))


def test_only_heads_that_an_image_counts_for_learn_from_it():
    positions = torch.zeros(2, 2, 3, requires_grad=True)
    found = (torch.tensor([[3.0, 1.0], [0.0, 2.0]]), positions, torch.zeros(2, 2, 3), torch.tensor([0.0, -3.0]))
    targets = PoseTargets(
        position=torch.ones(2, 3), log_quat=torch.full((2, 3), 0.1), counts=torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    )
    loss, parts = pose_loss(found, targets)
    assert parts["position"].item() == pytest.approx(3.0)
    assert parts["rotation"].item() == pytest.approx(0.3)
    assert parts["scene"].item() == pytest.approx((np.log1p(np.exp(-2)) + np.log1p(np.exp(2))) / 2, rel=1e-5)
    assert loss.item() == pytest.approx(3.0 + 0.3 * np.exp(3) - 3 + parts["scene"].item(), rel=1e-5)
    loss.backward()
    assert positions.grad[0, 1].abs().sum() == 0
    assert (positions.grad[[0, 1, 1], [0, 0, 1]] != 0).all()


def _rays(camera, pixels):
    return torch.from_numpy(camera.rays(pixels))[None].float()


@pytest.mark.parametrize("seed", range(4))
def test_a_turned_view_has_the_pose_of_a_turned_camera(seed):
    camera = box_room.pinhole()
    cells_px = cell_centres(camera.height, camera.width, 8, 8)
    config = MildAugmentConfig(rotation_deg=20.0, log_zoom=0.0, shift=0.0, erase=1.0)
    blank = np.zeros((camera.height, camera.width, 3), np.uint8)
    view = random_view(blank, camera, cells_px, config, np.random.default_rng(seed))
    inside = torch.from_numpy(view.inside)[None].float()
    turned = view_rotation(torch.from_numpy(view.rays)[None], _rays(camera, cells_px), inside)[0]
    # The first cell right of the middle, below it: how far its ray went round the optical axis.
    (before,), (after,) = _rays(camera, cells_px[36:37]).numpy(), view.rays[None, 36:37]
    angle_rad = np.arctan2(after[0, 1], after[0, 0]) - np.arctan2(before[0, 1], before[0, 0])
    assert abs(angle_rad) > 0.005
    np.testing.assert_allclose(turned, rotation.exp([0.0, 0.0, angle_rad]), atol=1e-3)


def test_a_rolled_panorama_has_the_pose_of_a_camera_that_turned_upright():
    camera = box_room.panorama()
    cells_px = cell_centres(camera.height, camera.width, 4, 8)
    rolled = _rays(camera, (cells_px + np.array([40.0, 0.0])) % [camera.width, camera.height])
    turned = view_rotation(rolled, _rays(camera, cells_px), torch.ones(1, 32))[0]
    np.testing.assert_allclose(turned, rotation.exp([0.0, 2 * np.pi * 40 / camera.width, 0.0]), atol=1e-5)


def test_zoom_is_no_turn_even_where_cells_are_hidden_and_a_move_is_about_one():
    camera = box_room.pinhole()
    cells_px = cell_centres(camera.height, camera.width, 8, 8)
    middle_px = cells_px.mean(0)
    inside = torch.ones(1, 64)
    inside[0, :19] = 0
    zoomed = _rays(camera, middle_px + 0.8 * (cells_px - middle_px))
    np.testing.assert_allclose(view_rotation(zoomed, _rays(camera, cells_px), inside)[0], np.eye(3), atol=1e-4)
    moved = _rays(camera, cells_px + np.array([3.0, 0.0]))
    # To the right is about +y; the middle goes by 4.5 degrees and the border, seen at a slant, by less.
    turn_deg = np.degrees(rotation.log(view_rotation(moved, _rays(camera, cells_px), torch.ones(1, 64))[0]))
    assert np.degrees(np.arctan(3 / camera.K[0, 0])) == pytest.approx(4.46, abs=0.01)
    assert 3.2 < turn_deg[1] < 4.4
    assert np.abs(turn_deg[[0, 2]]).max() < 0.05
