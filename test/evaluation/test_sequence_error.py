from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from reloc_ros.errors import DatasetError
from reloc_ros.evaluation.sequence_error import (
    CHAINED,
    STANDING_STILL,
    FollowedSequence,
    FrameErrors,
    by_distance,
    chained,
    first_frame_truth,
    frame_errors,
    travelled_m,
    with_standing_still,
)
from reloc_ros.evaluation.sequence_report import SequenceSubject, write_sequence_report
from reloc_ros.geometry import se3

SUBJECT = SequenceSubject(
    bundle="b",
    method="spr_mamba",
    model_sha256="0" * 64,
    data="panorama_sequences:d",
    ground_truth="poses.txt",
    metric=True,
    backend="onnxruntime",
    device="cpu",
    milliseconds=3.25,
)


def way(frames: int = 21, step_m: float = 1.0, turn_deg: float = 9.0) -> np.ndarray:
    """A way that starts somewhere in the world, steps ahead and turns at every frame."""
    step = se3.from_rotation_translation(
        Rotation.from_euler("y", turn_deg, degrees=True).as_matrix(), np.array([0.0, 0.0, step_m])
    )
    T = se3.from_rotation_translation(Rotation.from_rotvec([0.3, -1.2, 0.4]).as_matrix(), np.array([5.0, -2.0, 1.0]))
    poses = [T]
    for _ in range(frames - 1):
        poses.append(poses[-1] @ step)
    return np.stack(poses)


def followed(T_world_camera: np.ndarray, offset_m: float = 0.5, **settings: object) -> FollowedSequence:
    """A method that is off by so much at every frame, beside the chain of the true steps and one that stays."""
    truth = first_frame_truth(T_world_camera)
    off = truth.copy()
    off[1:, 0, 3] += offset_m
    steps = np.concatenate([truth[:1], se3.inverse(truth[:-1]) @ truth[1:]])
    sequence = FollowedSequence(
        name="way", T_world_camera=T_world_camera, T_first_camera={"model": off, CHAINED: chained(steps)}, **settings
    )
    return FollowedSequence(**{**vars(sequence), "T_first_camera": with_standing_still(sequence)})


def test_poses_count_from_the_first_frame() -> None:
    T_world_camera = way(3, step_m=2.0, turn_deg=90.0)
    truth = first_frame_truth(T_world_camera)
    assert_allclose(truth[0], np.eye(4), atol=1e-12)
    # Two metres ahead, a quarter turn to the right, two metres ahead: x is right, z ahead.
    assert_allclose(truth[2, :3, 3], (2.0, 0.0, 2.0), atol=1e-12)
    assert_allclose(travelled_m(T_world_camera), (0.0, 2.0, 4.0))


def test_chained_true_steps_are_the_truth_and_lost_ones_lose_the_rest() -> None:
    sequence = followed(way())
    assert_allclose(sequence.T_first_camera[CHAINED], first_frame_truth(way()), atol=1e-9)
    errors = frame_errors([sequence], CHAINED)
    assert errors.translation_m.max() < 1e-9
    assert errors.rotation_deg.max() < 1e-4
    steps = np.broadcast_to(np.eye(4), (5, 4, 4)).copy()
    steps[2] = np.nan
    assert np.isfinite(chained(steps)).all(axis=(1, 2)).tolist() == [True, True, False, False, False]


def test_standing_still_errs_by_the_whole_way() -> None:
    sequence = followed(way(turn_deg=0.0))
    errors = frame_errors([sequence], STANDING_STILL)
    assert_allclose(errors.translation_m, np.arange(1.0, 21.0))
    assert_allclose(errors.travelled_m, np.arange(1.0, 21.0))
    turned = frame_errors([followed(way(step_m=0.0, frames=3))], STANDING_STILL)
    assert_allclose(turned.rotation_deg, (9.0, 18.0), atol=1e-6)


def test_a_frame_at_an_edge_is_in_the_bin_above_and_empty_bins_are_left_out() -> None:
    way_m = np.array([0.0, 1.0, 2.0, 3.0, 4.999, 9.0, 9.5])
    bins = by_distance(FrameErrors(travelled_m=way_m, translation_m=np.full(7, 0.5), rotation_deg=np.zeros(7)))
    assert [(entry["from_m"], entry["to_m"], entry["frames"]) for entry in bins] == [
        (0.0, 2.0, 2),
        (2.0, 5.0, 3),
        (5.0, 10.0, 2),
    ]
    assert all(entry["median_translation_error_m"] == pytest.approx(0.5) for entry in bins)
    assert by_distance(frame_errors([followed(way())], "model"))[-1]["to_m"] is None


def test_a_rejected_frame_is_an_infinite_error() -> None:
    sequence = followed(way(frames=4))
    sequence.T_first_camera["model"][2] = np.nan
    errors = frame_errors([sequence], "model")
    assert errors.translation_m.tolist() == [pytest.approx(0.5), np.inf, pytest.approx(0.5)]
    assert np.isinf(errors.rotation_deg).tolist() == [False, True, False]


def test_the_report_says_what_happened(tmp_path: Path) -> None:
    covariance = np.broadcast_to(np.diag([0.5**2] * 6), (21, 6, 6)).copy()
    sequences = [
        followed(
            way(), offset_m=0.5 if fov_deg == 360.0 else 2.0, height_m=height_m, fov_deg=fov_deg, covariance=covariance
        )
        for fov_deg in (90.0, 360.0)
        for height_m in (0.1, 1.7)
    ]
    # One of 20 frames at one height has no pose.
    sequences[2].T_first_camera["model"][7] = np.nan
    sequences[2].covariance[7] = np.nan
    write_sequence_report(tmp_path / "report", SUBJECT, sequences)
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert (report["sequences"], report["frames"]) == (2, 40)
    assert report["rejection_rate"] == pytest.approx(1 / 40)
    assert report["median_translation_error_m"] == pytest.approx(0.5)
    assert [entry["fov_deg"] for entry in report["fields_of_view"]] == [360.0, 90.0]
    narrow = report["fields_of_view"][1]["all_heights"]["methods"]
    assert narrow["model"]["median_translation_error_m"] == pytest.approx(2.0)
    assert narrow[CHAINED]["median_translation_error_m"] == pytest.approx(0.0, abs=1e-9)
    assert [entry["height_m"] for entry in report["fields_of_view"][0]["heights"]] == [0.1, 1.7]
    # Off by one standard deviation of one axis of six: well inside the 50 % ellipsoid.
    assert report["covariance_coverage"] == {"50": 1.0, "90": 1.0, "95": 1.0}
    markdown = (tmp_path / "report" / "report.md").read_text()
    assert "| model | 0.50 / 0.0 deg |" in markdown
    assert "2.5 % rejected" in markdown
    rows = (tmp_path / "report" / "frames.csv").read_text().splitlines()
    assert len(rows) == 1 + 4 * 3 * 20
    assert "way,0.1,360,7,7,model,inf,inf" in rows
    for name in ("errors_360deg.png", "errors_90deg.png", "ways_360deg.png", "ways_90deg.png"):
        assert (tmp_path / "report" / name).stat().st_size > 10_000


def test_a_single_frame_is_no_sequence(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="second frame"):
        write_sequence_report(tmp_path, SUBJECT, [followed(way(frames=1))])
