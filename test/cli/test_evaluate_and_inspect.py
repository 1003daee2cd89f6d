"""`reloc evaluate` and `reloc inspect` on a bundle that knows the truth and images that do not."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fake_bundles import AS_SOLVED, SCENES, write_numbered_drive, write_scenes_bundle, write_truth_bundle

from reloc_ros.cli.main import main
from reloc_ros.geometry import rotation, se3

if TYPE_CHECKING:
    from pathlib import Path

    from reloc_ros.bundle.load import Bundle

FRAMES = 40
# Frame k's label is off by k mm and k/50 degrees, and every tenth answer is outside the map.
STEP_M, STEP_DEG = 0.001, 0.02


def answered_pose(number: int) -> np.ndarray:
    x = 50.0 if number % 10 == 9 else 0.05 * number
    return se3.from_rotation_translation(rotation.exp(np.array([0.1, 0.02 * number, -0.3])), np.array([x, 1.0, -0.5]))


def labelled_pose(number: int) -> np.ndarray:
    T_map_camera = answered_pose(number)
    R_off = rotation.exp(np.array([np.radians(STEP_DEG * number), 0.0, 0.0]))
    off = np.array([0.05 * number, 1.0, -0.5 + STEP_M * number])
    return se3.from_rotation_translation(T_map_camera[:3, :3] @ R_off, off)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_truth_bundle(
        tmp_path_factory.mktemp("cli") / "bundle", [answered_pose(number) for number in range(FRAMES)]
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_numbered_drive(tmp_path_factory.mktemp("data"), [labelled_pose(number) for number in range(FRAMES)])


def evaluate(bundle: Bundle, data: str, out: Path, *more: str) -> dict[str, Any]:
    assert main(["evaluate", str(bundle.path), "--data", data, "--report", str(out), "--threads", "1", *more]) == 0
    report: dict[str, Any] = json.loads((out / "report.json").read_text())
    return report


def test_the_report_says_what_was_planted(
    bundle: Bundle, data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = evaluate(bundle, data, tmp_path / "out")
    assert report["frames"] == FRAMES
    assert report["rejection_rate"] == 0.1
    assert report["rejected_by_reason"] == {"outside_map": 4}
    # Frames 9, 19, 29 and 39 are infinite, so the middle of 40 lies between the accepted 21 and 22.
    assert report["median_translation_error_m"] == pytest.approx(21.5 * STEP_M, abs=1e-5)
    assert report["median_rotation_error_deg"] == pytest.approx(21.5 * STEP_DEG, abs=1e-3)
    assert report["recall"]["0.05m_5deg"] == 0.9
    assert report["latency_ms"]["p50"] <= report["latency_ms"]["p99"]
    assert report["backend"] == "onnxruntime"
    assert report["split_settings"] == {}
    assert "within 0.05m 5deg" in capsys.readouterr().out
    estimate = np.loadtxt(tmp_path / "out" / "estimate.tum")
    assert estimate[:, 0].tolist() == pytest.approx([0.1 * number for number in range(FRAMES) if number % 10 != 9])


def test_two_runs_are_equal_but_for_latency(bundle: Bundle, data: str, tmp_path: Path) -> None:
    first, second = (evaluate(bundle, data, tmp_path / name, "--split", "val") for name in ("a", "b"))
    for report in (first, second):
        del report["latency_ms"], report["latency_ms_by_stage"]
    assert first == second
    for file in ("estimate.tum", "frames.csv", "trajectory.png", "errors.png", "reliability.png", "frames.png"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_val_is_the_part_that_training_held_out(bundle: Bundle, data: str, tmp_path: Path) -> None:
    report = evaluate(bundle, data, tmp_path / "out", "--split", "val")
    recorded = bundle.manifest.training["split"]
    assert report["split_settings"] == recorded
    assert report["frames"] == round(recorded["val_fraction"] * FRAMES)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"BUNDLE": "/nowhere"}, "/nowhere is not a folder"),
        ({"--data": "holograms:/tmp"}, "holograms"),
        ({"--backend": "abacus"}, "abacus"),
        ({"--threads": "-3"}, "threads is -3"),
    ],
)
def test_a_bad_setup_is_a_message_and_code_2(
    bundle: Bundle, data: str, tmp_path: Path, changes: dict[str, str], message: str, capsys: Any
) -> None:
    options = {"--data": data, "--report": str(tmp_path / "out"), **changes}
    folder = options.pop("BUNDLE", str(bundle.path))
    assert main(["evaluate", folder, *(text for option in options.items() for text in option)]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert not (tmp_path / "out").exists()


def test_a_recorded_split_of_another_kind_is_refused(data: str, tmp_path: Path, capsys: Any) -> None:
    strange = write_truth_bundle(tmp_path / "bundle", [np.eye(4)], training={"split": {"every_nth": 8}})
    assert main(["evaluate", str(strange.path), "--data", data, "--report", str(tmp_path / "out")]) == 2
    assert "every_nth" in capsys.readouterr().err


@pytest.fixture(scope="module")
def scenes_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    # Every fourth frame is surely taken for the office.
    logits = [[0.0, 5.0] if number % 4 == 0 else [5.0, 0.0] for number in range(FRAMES)]
    poses = [answered_pose(number) for number in range(FRAMES)]
    return write_scenes_bundle(tmp_path_factory.mktemp("cli") / "scenes", poses, logits)


def test_several_scenes_are_judged_with_the_scene_found_and_given(
    scenes_bundle: Bundle, data: str, tmp_path: Path
) -> None:
    report = evaluate(scenes_bundle, data, tmp_path / "out", "--scene", "kitchen")
    assert report["scene"] == "kitchen"
    # 36 frames have a pose; the ten that are multiples of four have it in the office.
    assert report["poses_in_true_scene"] == pytest.approx(26 / 36)
    assert report["recall"]["0.05m_5deg"] == 26 / 40
    assert report["oracle"]["recall"]["0.05m_5deg"] == 36 / 40


def test_the_scene_of_data_that_was_trained_on_is_known(data: str, tmp_path: Path) -> None:
    poses = [answered_pose(number) for number in range(FRAMES)]
    training = {
        "data": ["kitchen=seven_scenes:elsewhere", f"office={data}"],
        "split": {"val_fraction": 0.2, "block": 5, "guard": 1},
    }
    bundle = write_scenes_bundle(tmp_path / "bundle", poses, [[0.0, 5.0]] * FRAMES, training=training)
    report = evaluate(bundle, data, tmp_path / "out", "--split", "val")
    assert (report["scene"], report["poses_in_true_scene"]) == ("office", 1.0)


@pytest.mark.parametrize(
    ("more", "message"),
    [((), "knows the scenes kitchen, office and was not trained on"), (("--scene", "attic"), "--scene is 'attic'")],
)
def test_an_unknown_scene_is_asked_for(
    scenes_bundle: Bundle, data: str, tmp_path: Path, more: tuple[str, ...], message: str, capsys: Any
) -> None:
    options = ["--data", data, "--report", str(tmp_path / "out"), *more]
    assert main(["evaluate", str(scenes_bundle.path), *options]) == 2
    assert message in capsys.readouterr().err


def test_inspect_shows_everything_that_matters(bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(bundle.path)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for text in (
        "implicit_geometry",
        "64x48 rgb uint8 NHWC",
        "pinhole, 40.0 to 80.0 deg wide",
        "x -5.00 to 5.00, y -4.00 to 4.00, z -3.00 to 3.00 m",
        "position std <= 0.5 m",
        "split.val_fraction",
        "fake:none",
        "median_translation_error_m",
        "model.onnx",
        "ok checksums: 1 of 1",
        "ok network",
    ):
        assert text in shown, shown


def test_inspect_shows_many_scenes_in_one_row_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    fits = [replace(AS_SOLVED, position_scale=2.5 + k, rotation_floor_rad=0.125) for k in range(2)]
    scenes = tuple(replace(scene, covariance=fit) for scene, fit in zip(SCENES, fits, strict=True))
    bundle = write_scenes_bundle(tmp_path / "bundle", [np.eye(4)], [[1.0, 0.0]], scenes=scenes)
    assert main(["inspect", str(bundle.path)]) == 0
    lines = [" ".join(line.replace("\u2502", " ").split()) for line in capsys.readouterr().out.splitlines()]
    assert "2 scenes (m, rad; std is scaled, then has the floor added)" in lines
    box = "-5.00 to 5.00 -4.00 to 4.00 -3.00 to 3.00 1.00 0.5 / 0.2"
    assert f"kitchen kitchen_map {box} 2.5 / 1 0 / 0.12" in lines, lines
    assert f"office office_map {box} 3.5 / 1 0 / 0.12" in lines
    assert "office an office with grey desks and computer screens" in lines


def test_inspect_refuses_a_tampered_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = write_truth_bundle(tmp_path / "bundle", [np.eye(4)])
    with bundle.model_path.open("ab") as file:
        file.write(b"more")
    assert main(["inspect", str(bundle.path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "truncated or was changed" in captured.err
