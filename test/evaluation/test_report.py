"""The report's files: keys that others rely on, valid JSON, TUM literals, pictures that show what they say."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from frame_results import estimated, make_result, rejected, result_with_errors

from reloc_ros.evaluation.markdown import as_markdown
from reloc_ros.evaluation.plots import error_figure, reliability_figure, trajectory_figure
from reloc_ros.evaluation.report import Findings, Subject, make_report, write_report
from reloc_ros.evaluation.tum import tum_line
from reloc_ros.geometry import se3
from reloc_ros.types import Estimate

if TYPE_CHECKING:
    from pathlib import Path

    from reloc_ros.evaluation.replay import FrameResult

SUBJECT = Subject(
    bundle="models/kitchen",
    method="implicit_geometry",
    model_sha256="ab" * 32,
    data="seven_scenes:redkitchen",
    split="val",
    split_settings={"val_fraction": 0.1, "block": 25, "guard": 5},
    ground_truth="kinectfusion",
    metric=True,
    skipped=2,
    backend="onnxruntime",
    device="cpu",
    precision="fp32",
    threads=0,
)
REQUIRED_KEYS = {
    "frames",
    "rejection_rate",
    "median_translation_error_m",
    "median_rotation_error_deg",
    "p90_translation_error_m",
    "p90_rotation_error_deg",
    "recall",
    "latency_ms",
}


def refuse_constant(name: str) -> None:
    raise AssertionError(f"report.json holds {name}, which is no JSON")


def read_json(path: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(path.read_text(), parse_constant=refuse_constant)
    return report


@pytest.fixture
def mixed() -> list[FrameResult]:
    return [result_with_errors(i, *((math.inf, math.inf) if i % 4 == 3 else (0.01 * i, 0.5 * i))) for i in range(12)]


def test_report_json_has_the_fixed_keys_and_is_json(tmp_path: Path, mixed: list[FrameResult]) -> None:
    write_report(tmp_path / "out", SUBJECT, mixed)
    report = read_json(tmp_path / "out" / "report.json")
    assert set(report) >= REQUIRED_KEYS
    assert set(report["recall"]) == {"0.05m_5deg", "0.1m_5deg", "0.25m_2deg", "0.25m_5deg", "0.5m_5deg"}
    assert set(report["latency_ms"]) == {"p50", "p90", "p99"}
    assert report["frames"] == 12
    assert report["rejection_rate"] == 0.25
    assert report["p90_translation_error_m"] is None
    assert report["median_translation_error_m"] == pytest.approx(0.07)
    assert report["ground_truth"] == "kinectfusion"


def test_all_rejected_still_gives_every_file(tmp_path: Path) -> None:
    write_report(tmp_path, SUBJECT, [make_result(i, np.eye(4), rejected()) for i in range(3)])
    report = read_json(tmp_path / "report.json")
    assert report["median_translation_error_m"] is None
    assert report["calibration"]["nees_median"] is None
    assert (tmp_path / "estimate.tum").read_text().count("\n") == 1
    for picture in ("trajectory.png", "errors.png", "reliability.png"):
        assert cv2.imread(str(tmp_path / picture)) is not None


def test_the_picture_of_frames_is_written_as_given_and_linked(tmp_path: Path, mixed: list[FrameResult]) -> None:
    picture = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)
    report = write_report(tmp_path, SUBJECT, mixed, picture)
    assert np.array_equal(cv2.imread(str(tmp_path / "frames.png"))[:, :, ::-1], picture)
    assert "(frames.png)" in (tmp_path / "report.md").read_text()
    assert "frames.png" not in as_markdown(report, mixed)


def test_two_reports_differ_in_latency_only(tmp_path: Path, mixed: list[FrameResult]) -> None:
    for name in ("a", "b"):
        write_report(tmp_path / name, SUBJECT, mixed)
    for file in (
        "report.json",
        "report.md",
        "estimate.tum",
        "frames.csv",
        "trajectory.png",
        "errors.png",
        "reliability.png",
    ):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


def test_slower_frames_change_only_latency_keys(mixed: list[FrameResult]) -> None:
    slower = [make_result(i, r.T_map_camera, r.localization, seconds=0.5) for i, r in enumerate(mixed)]
    first, second = make_report(SUBJECT, mixed), make_report(SUBJECT, slower)
    assert {key for key in first if first[key] != second[key]} == {"latency_ms", "latency_ms_by_stage"}


def test_the_markdown_names_ground_truth_and_rejections(tmp_path: Path, mixed: list[FrameResult]) -> None:
    write_report(tmp_path, SUBJECT, mixed)
    text = (tmp_path / "report.md").read_text()
    assert "kinectfusion" in text
    assert "25.0 % of the frames were rejected" in text
    assert "| too_uncertain | 3 |" in text
    assert "| 90 % of frames | infinite | infinite |" in text


def test_lengths_without_a_metric_scale_are_not_called_metres(tmp_path: Path, mixed: list[FrameResult]) -> None:
    write_report(tmp_path, Subject(**{**vars(SUBJECT), "metric": False}), mixed)
    text = (tmp_path / "report.md").read_text()
    assert "translation [scene units]" in text
    assert "translation [m]" not in text
    assert error_figure(mixed, "scene units").axes[0].get_ylabel() == "translation error [scene units]"


def test_a_tum_line_keeps_nanoseconds_and_quaternion_order() -> None:
    T_map_camera = se3.from_quat_xyzw_translation(np.array([1.0, 2.0, 4.0, 10.0]) / 11, np.array([1.5, -2.5, 0.25]))
    line = tum_line(1_700_000_000_123_456_789, T_map_camera)
    assert line == (
        "1700000000.123456789 1.500000000 -2.500000000 0.250000000 0.090909091 0.181818182 0.363636364 0.909090909"
    )


def test_the_estimate_holds_accepted_frames_only(tmp_path: Path, mixed: list[FrameResult]) -> None:
    write_report(tmp_path, SUBJECT, mixed)
    rows = np.loadtxt(tmp_path / "estimate.tum")
    assert rows[:, 0].tolist() == pytest.approx([0.1 * i for i in range(12) if i % 4 != 3])
    assert np.loadtxt(tmp_path / "ground_truth.tum").shape == (12, 8)
    with (tmp_path / "frames.csv").open() as file:
        frames = list(csv.DictReader(file))
    assert [frame["rejected"] for frame in frames] == ["too_uncertain" if i % 4 == 3 else "" for i in range(12)]
    assert frames[3]["translation_error_m"] == "inf"
    assert float(frames[5]["rotation_error_deg"]) == pytest.approx(2.5)


# The camera's rotation, and the map axes that are then right and up in the picture.
UP_IS_Z = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
UP_IS_MINUS_Y = np.eye(3)


@pytest.mark.parametrize(
    ("R_map_camera", "labels"), [(UP_IS_Z, ("map x", "map y")), (UP_IS_MINUS_Y, ("map x", "map z"))]
)
def test_above_is_where_the_cameras_have_it(R_map_camera: np.ndarray, labels: tuple[str, str]) -> None:
    poses = [se3.from_rotation_translation(R_map_camera, np.array([x, 0.5 * x, -x])) for x in (0.0, 1.0, 2.0)]
    axes = trajectory_figure([make_result(i, T, estimated(T)) for i, T in enumerate(poses)], "m").axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == tuple(f"{label} [m]" for label in labels)


def test_the_picture_breaks_the_way_at_gaps_and_counts_what_it_cannot_show() -> None:
    poses = [se3.from_rotation_translation(UP_IS_Z, np.array([float(x), 0.0, 1.0])) for x in range(8)]
    far = se3.from_rotation_translation(UP_IS_Z, np.array([500.0, 0.0, 1.0]))
    indices = [0, 1, 2, 3, 60, 61, 62, 63]
    results = [make_result(i, T, estimated(T)) for i, T in zip(indices, poses, strict=True)]
    results[5] = make_result(61, poses[5], estimated(far))
    results[6] = make_result(62, poses[6], rejected())
    axes = trajectory_figure(results, "m").axes[0]
    lines = {line.get_label(): line for line in axes.get_lines() if not line.get_label().startswith("_")}
    assert axes.get_title() == "Seen from above: 8 frames; 1 estimates lie outside the picture"
    assert lines["true"].get_xdata().tolist() == [0.0, 1.0, 2.0, 3.0]
    assert lines["rejected (1), at the true place"].get_xdata().tolist() == [6.0]
    assert axes.get_xlim()[1] < 10.0


def test_one_frame_is_enough_for_a_picture() -> None:
    result = result_with_errors(0, 0.1, 1.0)
    low, high = trajectory_figure([result], "m").axes[0].get_xlim()
    assert low < 2.0 < high


def test_a_pose_in_another_scene_is_an_infinite_error_and_no_rejection(tmp_path: Path) -> None:
    errors_m = [0.01, 0.02, 0.03, 0.04, math.inf]
    told = [result_with_errors(i, error_m, 1.0) for i, error_m in enumerate(errors_m)]
    found = []
    for i, result in enumerate(told):
        localization = result.localization
        if isinstance(localization, Estimate):
            localization = replace(localization, scene="kitchen" if i < 3 else "office")
        found.append(replace(result, localization=localization, scene="kitchen"))
    report = write_report(tmp_path, replace(SUBJECT, scene="kitchen"), found, findings=Findings(oracle=told))
    assert report["median_translation_error_m"] == pytest.approx(0.03)
    assert report["p90_translation_error_m"] == math.inf
    assert report["rejection_rate"] == 0.2
    assert report["recall"]["0.05m_5deg"] == 0.6
    assert report["poses_in_true_scene"] == 0.75
    assert report["oracle"]["recall"]["0.05m_5deg"] == 0.8
    assert read_json(tmp_path / "report.json")["oracle"]["rejection_rate"] == 0.2
    labels = [text.get_text() for text in error_figure(found, "m").axes[0].get_legend().get_texts()]
    assert "rejected (1) or in another scene (1)" in labels
    text = (tmp_path / "report.md").read_text()
    assert "## Scene kitchen\n\n75.0 % of the poses are in this scene." in text
    assert "| within 0.05m / 5deg | 60.0 % | 80.0 % |" in text
    assert np.loadtxt(tmp_path / "estimate.tum").shape == (3, 8)
    with (tmp_path / "frames.csv").open() as file:
        frames = list(csv.DictReader(file))
    assert [frame["scene"] for frame in frames] == ["kitchen", "kitchen", "kitchen", "office", ""]
    assert frames[3]["translation_error_m"] == "inf"


def test_with_one_scene_nothing_is_said_about_scenes(mixed: list[FrameResult]) -> None:
    report = make_report(SUBJECT, mixed)
    assert (report["scene"], report["oracle"], report["poses_in_true_scene"]) == ("", None, 1.0)
    assert "## Scene" not in as_markdown(report, mixed)


def test_the_reliability_plot_shows_how_many_truths_each_ellipsoid_holds() -> None:
    # Off by two deviations along one of six axes: inside the 40 % ellipsoid of the pose, not inside that of 30 %.
    results = [result_with_errors(index, 0.02 if index else math.inf, 0.0) for index in range(8)]
    axes = reliability_figure(results).axes[0]
    curves = {line.get_label(): line for line in axes.get_lines()}
    shares = {name: dict(zip(*curves[name].get_data(), strict=True)) for name in ("pose", "position", "rotation")}
    assert (shares["pose"][30.0], shares["pose"][40.0]) == (0.0, 100.0)
    assert (shares["position"][70.0], shares["position"][80.0]) == (0.0, 100.0)
    assert shares["rotation"][1.0] == 100.0
    assert axes.get_title().endswith("7 accepted frames")
