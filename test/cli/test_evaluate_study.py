"""`reloc evaluate` beyond one bundle on one data set: bags, side by side, faults, recordings, the verdict."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_bundles import write_numbered_drive, write_truth_bundle
from fake_sequences import write_sequence_bundle

from reloc_ros.bundle.load import Bundle
from reloc_ros.cli.main import main
from reloc_ros.datasets.as_bag import write_as_bag
from reloc_ros.datasets.posed_images import read_dataset
from reloc_ros.evaluation.held_out import common_split
from reloc_ros.evaluation.recorded import write_recorded
from reloc_ros.geometry import rotation, se3

FRAMES = 40
LATENCY = ("latency_ms", "latency_ms_by_stage")
DETERMINISTIC = ("verdict.json", "estimate.tum", "frames.csv", "conditions.png", "faults.png", "frames.png")


def true_pose(number: int) -> np.ndarray:
    return se3.from_rotation_translation(
        rotation.exp(np.array([0.1, 0.02 * number, -0.3])), np.array([0.05 * number, 1.0, -0.5])
    )


def shifted(number: int, metres: float) -> np.ndarray:
    T = true_pose(number).copy()
    T[2, 3] += metres
    return T


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    # The grey of a frame is its number; those that a fault turns grey otherwise are other places or none.
    return write_truth_bundle(tmp_path_factory.mktemp("a") / "good", [shifted(k, 0.01) for k in range(FRAMES)])


@pytest.fixture(scope="module")
def poor(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_truth_bundle(tmp_path_factory.mktemp("b") / "poor", [shifted(k, 0.3) for k in range(FRAMES)])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_numbered_drive(tmp_path_factory.mktemp("data"), [true_pose(number) for number in range(FRAMES)])


def run(out: Path, *arguments: str) -> dict[str, Any]:
    assert main(["evaluate", *arguments, "--report", str(out), "--threads", "1"]) == 0
    report: dict[str, Any] = json.loads((out / "report.json").read_text())
    return report


def test_two_bundles_stand_side_by_side(
    good: Bundle, poor: Bundle, data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = run(tmp_path, str(good.path), str(poor.path), "--data", data)
    assert [(row["name"], row["median_translation_error_m"]) for row in report["comparison"]] == [
        ("good", pytest.approx(0.01, abs=1e-5)),
        ("poor", pytest.approx(0.3, abs=1e-5)),
    ]
    assert json.loads((tmp_path / "poor" / "report.json").read_text())["bundle"] == str(poor.path)
    assert (tmp_path / "comparison.png").is_file()
    page = (tmp_path / "report.html").read_text()
    assert page.index("Usable for") < page.index("Side by side")
    assert "side by side" in capsys.readouterr().out


def test_two_runs_with_faults_are_equal(good: Bundle, data: str, tmp_path: Path) -> None:
    arguments = (str(good.path), "--data", data, "--fault", "blackout,kidnap,noise", "--seed", "3")
    first, second = (run(tmp_path / name, *arguments) for name in ("a", "b"))
    for report in (first, second):
        for key in LATENCY:
            del report[key]
    assert first == second
    for file in DETERMINISTIC:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file
    assert set(first["faults"]) == {"blackout", "kidnap", "noise"}
    assert first["fault_seed"] == 3
    assert first["faults"]["kidnap"]["events"] == 50
    assert first["faults"]["blackout"]["frames"] < FRAMES
    page = (tmp_path / "a" / "report.html").read_text()
    assert page.count("src=") == page.count('src="data:image/png;base64,')
    assert "http" not in page
    assert page.index("Usable for") < page.index("When something goes wrong")


def test_a_bag_is_evaluated_as_the_data_it_was_made_of(good: Bundle, data: str, tmp_path: Path) -> None:
    bag = tmp_path / "drive"
    list(write_as_bag(bag, read_dataset(data).images))
    report = run(tmp_path / "bag_report", str(good.path), "--bag", str(bag))
    assert report["frames"] == FRAMES
    assert report["median_translation_error_m"] == pytest.approx(0.01, abs=1e-5)
    assert report["data"] == f"rosbag:{bag}"
    verdict = json.loads((tmp_path / "bag_report" / "verdict.json").read_text())
    assert verdict["judged_on"] == "frames of drive"
    # Nobody said where the model was trained.
    assert "distance_from_mapping_m" not in report["by_condition"]


def test_held_out_frames_are_off_the_path_of_the_others(good: Bundle, data: str, tmp_path: Path) -> None:
    report = run(tmp_path / "a", str(good.path), "--data", data, "--split", "val")
    distance = report["by_condition"]["distance_from_mapping_m"]
    assert distance[0]["from"] > 0
    assert distance[-1]["to"] < 1


def test_recorded_poses_are_judged_instead_of_running_the_network(good: Bundle, data: str, tmp_path: Path) -> None:
    images = read_dataset(data).images[::2]
    poses = np.stack([image.T_map_camera for image in images])
    stamps = np.array([image.stamp_ns for image in images])
    file = tmp_path / "poses.npz"
    write_recorded(file, stamps, poses, np.tile(np.eye(6) * 1e-4, (len(images), 1, 1)), ("map",) * len(images))
    report = run(tmp_path / "out", str(good.path), "--data", data, "--recorded", str(file))
    assert report["availability"] == 0.5
    assert report["rejected_by_reason"] == {"not_published": FRAMES // 2}
    assert report["ate"]["none"]["max"] == pytest.approx(0.0, abs=1e-9)
    assert report["latency_ms"] == {"p50": None, "p90": None, "p99": None}
    assert "not measured" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--fault", "earthquake"), "fault 'earthquake' is unknown"),
        (("--image", "/camera"), "--bag is not given"),
        (("--recorded", "poses.npz", "--fault", "blur"), "leave out --fault"),
        (("--recorded", "/nowhere/poses.npz"), "/nowhere/poses.npz is no recording"),
        (("--mapping", "seven_scenes:/nowhere"), "/nowhere"),
    ],
)
def test_what_does_not_fit_is_a_message(
    good: Bundle, data: str, tmp_path: Path, arguments: tuple[str, ...], message: str, capsys: Any
) -> None:
    assert main(["evaluate", str(good.path), "--data", data, "--report", str(tmp_path / "out"), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_bundles_of_different_splits_have_no_common_held_out_part(
    good: Bundle, data: str, tmp_path: Path, capsys: Any
) -> None:
    training = {"split": {"val_fraction": 0.3, "block": 4, "guard": 0}}
    other = write_truth_bundle(tmp_path / "other", [true_pose(0)], training=training)
    arguments = [str(good.path), str(other.path), "--data", data, "--split", "val", "--report", str(tmp_path / "out")]
    assert main(["evaluate", *arguments]) == 2
    assert "different splits" in capsys.readouterr().err


def test_held_out_frames_of_other_frames_may_have_been_learned_from(
    data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # As a bag beside the frames that `reloc map` kept of it.
    poses = [true_pose(number) for number in range(FRAMES)]
    split = {"val_fraction": 0.2, "block": 5, "guard": 1}
    training = {"split": split, "images": {"train": 20, "val": 6}, "data": ["room=panorama_sequences:/kept"]}
    bundle = write_truth_bundle(tmp_path / "mapped", poses, training=training)
    arguments = ["evaluate", str(bundle.path), "--data", data, "--report", str(tmp_path / "out")]
    assert main([*arguments, "--split", "val"]) == 2
    told = capsys.readouterr().err
    assert "trained on 20 images of panorama_sequences:/kept and held out 6, the same cut leaves 28 and 8 here" in told
    # The same frames by another name are fine.
    same = {**training, "images": {"train": 28, "val": 8}}
    assert common_split([write_truth_bundle(tmp_path / "same", poses, training=same)], data, read_dataset(data), "val")


def test_the_baseline_says_what_it_lacks(
    good: Bundle, data: str, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["evaluate", str(good.path), "--data", data, "--baseline", "sift", "--report", str(tmp_path / "out")]
    assert main(arguments) == 2
    assert "give --mapping FORMAT:PATH" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    assert main([*arguments, "--mapping", data]) == 2
    assert "pip install 'reloc_ros[baseline]'" in capsys.readouterr().err


def test_a_bundle_that_follows_sequences_stands_beside_the_others(
    good: Bundle, data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    follower = write_sequence_bundle(tmp_path / "follower", [true_pose(number) for number in range(FRAMES)])
    arguments = (str(follower.path), str(good.path), "--data", data)
    report = run(tmp_path / "out", *arguments, "--fault", "blackout", "--split", "val")
    # It is compared with those that find themselves, wherever it stands on the command line.
    own, other = report["comparison"]
    assert (own["name"], own["told"], set(own["faults"])) == ("good", "", {"blackout"})
    assert (other["name"], other["told"], other["faults"]) == ("follower", "the first pose of each sequence", {})
    assert own["frames"] == other["frames"] < FRAMES
    page = (tmp_path / "out" / "report.html").read_text()
    assert "spr_mamba, told the first pose of each sequence" in page
    assert "not judged" in page
    assert main(["evaluate", *arguments, "--report", str(tmp_path), "--recorded", str(tmp_path / "poses.npz")]) == 2
    assert "leave out --fault and other bundles" in capsys.readouterr().err
