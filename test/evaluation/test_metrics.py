"""Figures against hand-counted ones; rejected frames weigh as infinite errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from frame_results import estimated, make_result, rejected, result_with_errors
from hypothesis import given
from hypothesis import strategies as st

from reloc_ros.errors import DatasetError
from reloc_ros.evaluation.calibration import calibration
from reloc_ros.evaluation.latency import latency
from reloc_ros.evaluation.metrics import accuracy, quantile, recall
from reloc_ros.geometry import rotation, se3
from reloc_ros.types import Reason

INF = math.inf


@given(values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), fraction=st.floats(0.0, 1.0))
def test_finite_quantiles_are_numpys(values: list[float], fraction: float) -> None:
    assert quantile(values, fraction) == pytest.approx(float(np.quantile(values, fraction)), rel=1e-9, abs=1e-6)


@pytest.mark.parametrize(
    ("values", "fraction", "expected"),
    [
        ([3.0, 1.0, INF], 0.5, 3.0),
        ([1.0, 2.0, INF, INF], 0.5, INF),
        ([1.0, 2.0, 3.0, INF], 0.5, 2.5),
        ([1.0, INF, INF], 0.5, INF),
        ([INF], 0.0, INF),
        ([1.0, INF], 0.0, 1.0),
        ([INF, INF, INF], 0.9, INF),
    ],
)
def test_infinite_errors_move_the_quantile(values: list[float], fraction: float, expected: float) -> None:
    assert quantile(values, fraction) == expected


def test_recall_needs_both_limits_and_counts_all_frames() -> None:
    translation_m = [0.05, 0.04, 0.06, INF]
    rotation_deg = [5.0, 5.1, 1.0, INF]
    assert recall(translation_m, rotation_deg, 0.05, 5.0) == 0.25
    assert recall(translation_m, rotation_deg, 0.10, 6.0) == 0.75


def test_the_report_figures_of_a_small_set_counted_by_hand() -> None:
    errors = [(0.01, 1.0), (0.04, 4.0), (0.08, 1.9), (0.2, 1.5), (0.3, 9.0), (INF, INF), (0.24, 3.0), (0.45, 0.5)]
    results = [result_with_errors(i, *error) for i, error in enumerate(errors)]
    figures = accuracy(results)
    assert figures["frames"] == 8
    assert figures["rejection_rate"] == 0.125
    assert figures["rejected_by_reason"] == {"too_uncertain": 1}
    assert figures["median_translation_error_m"] == pytest.approx(0.22)
    assert figures["median_rotation_error_deg"] == pytest.approx(2.45)
    assert figures["p90_translation_error_m"] == INF
    assert figures["recall"] == {
        "0.05m_5deg": 0.25,
        "0.1m_5deg": 0.375,
        "0.25m_2deg": 0.375,
        "0.25m_5deg": 0.625,
        "0.5m_5deg": 0.75,
    }


def test_all_rejected_is_infinite_everywhere() -> None:
    results = [make_result(i, np.eye(4), rejected(reason)) for i, reason in enumerate([Reason.DEGENERATE] * 2)]
    figures = accuracy(results)
    assert figures["rejection_rate"] == 1.0
    assert figures["rejected_by_reason"] == {"degenerate": 2}
    assert figures["median_translation_error_m"] == INF
    assert set(figures["recall"].values()) == {0.0}
    assert calibration(results)["nees_median"] is None


def test_no_frames_is_an_error() -> None:
    with pytest.raises(DatasetError, match="no frames"):
        accuracy([])


def test_a_right_covariance_covers_as_often_as_it_says_and_a_wrong_one_does_not() -> None:
    rng = np.random.default_rng(5)
    root = rng.normal(size=(6, 6)) * 0.01
    covariance = root @ root.T + 1e-6 * np.eye(6)
    good, overconfident = [], []
    for index in range(2000):
        error = rng.multivariate_normal(np.zeros(6), covariance)
        truth = _moved(np.eye(4), error)
        good.append(make_result(index, truth, estimated(np.eye(4), covariance)))
        overconfident.append(make_result(index, truth, estimated(np.eye(4), covariance / 4)))
    found = calibration(good)
    assert found["coverage"]["50"] == pytest.approx(0.50, abs=0.04)
    assert found["coverage"]["90"] == pytest.approx(0.90, abs=0.025)
    assert found["coverage"]["95"] == pytest.approx(0.95, abs=0.02)
    assert found["nees_mean"] == pytest.approx(6.0, abs=0.4)
    for part in ("coverage_position", "coverage_rotation"):
        assert list(found[part].values()) == pytest.approx([0.50, 0.90, 0.95], abs=0.04)
    assert calibration(overconfident)["coverage"]["90"] < 0.3


def test_coverage_of_a_part_asks_that_part_only() -> None:
    """2.6 deviations of 0.01 m off along x: the 66 % ellipsoid of the pose, 92 % of the position, none of the rotation."""
    pose = _moved(np.eye(4), np.array([0.026, 0.0, 0.0, 0.0, 0.0, 0.0]))
    found = calibration([make_result(0, pose, estimated(np.eye(4)))])
    assert found["nees_mean"] == pytest.approx(6.76)
    assert found["coverage"] == {"50": 0.0, "90": 1.0, "95": 1.0}
    assert found["coverage_position"] == {"50": 0.0, "90": 0.0, "95": 1.0}
    assert found["coverage_rotation"] == {"50": 1.0, "90": 1.0, "95": 1.0}


def _moved(T_map_camera: np.ndarray, error: np.ndarray) -> np.ndarray:
    R = rotation.exp(error[3:]) @ T_map_camera[:3, :3]
    return se3.from_rotation_translation(R, T_map_camera[:3, 3] + error[:3])


def test_latency_counts_a_stage_over_the_frames_that_reached_it() -> None:
    results = [make_result(i, np.eye(4), rejected(), seconds=0.001 * (i + 1)) for i in range(3)]
    results[2].stage_seconds.pop("infer")
    figures = latency(results)
    assert figures["total"] == pytest.approx({"p50": 2.0, "p90": 2.8, "p99": 2.98})
    assert figures["infer"]["p50"] == pytest.approx(1.2)
