"""Each limit of the gate, just inside and just outside."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from reloc_ros.bundle.manifest import GateSpec, MapBounds
from reloc_ros.geometry import rotation, se3
from reloc_ros.localization.gate import gate
from reloc_ros.localization.solve import Failure, Solution
from reloc_ros.types import Reason

SPEC = GateSpec(max_position_std_m=0.3, max_rotation_std_rad=0.1, bounds_margin_m=0.5)
BOUNDS = MapBounds(min_m=(-1.0, -2.0, 0.0), max_m=(4.0, 5.0, 6.0))
GOOD = Solution(
    T_map_camera=se3.from_rotation_translation(rotation.exp(np.array([0.4, -1.0, 2.0])), np.array([1.0, 2.0, 3.0])),
    covariance=np.diag([0.01, 0.02, 0.03, 0.001, 0.002, 0.003]),
    evidence={"inlier_ratio": 0.75},
)


def moved(position: tuple[float, float, float]) -> Solution:
    T_map_camera = GOOD.T_map_camera.copy()
    T_map_camera[:3, 3] = position
    return replace(GOOD, T_map_camera=T_map_camera)


def covered(covariance: np.ndarray) -> Solution:
    return replace(GOOD, covariance=covariance)


@pytest.mark.parametrize(
    "solution",
    [
        GOOD,
        moved((-1.49, -2.49, -0.49)),
        moved((4.49, 5.49, 6.49)),
        covered(np.diag([0.0899, 1e-12, 1e-12, 0.00999, 1e-12, 1e-12])),
    ],
)
def test_a_pose_inside_every_limit_passes_unchanged(solution: Solution) -> None:
    assert gate(solution, SPEC, BOUNDS) is solution


@pytest.mark.parametrize(
    ("solution", "reason", "detail"),
    [
        (moved((np.nan, 0.0, 0.0)), Reason.SOLVE_FAILED, "not finite"),
        (moved((np.inf, 0.0, 0.0)), Reason.SOLVE_FAILED, "not finite"),
        (covered(np.full((6, 6), np.nan)), Reason.SOLVE_FAILED, "not finite"),
        (replace(GOOD, T_map_camera=np.diag([1.0, 1.0, -1.0, 1.0])), Reason.SOLVE_FAILED, "not a rigid"),
        (replace(GOOD, T_map_camera=np.diag([1.01, 1.01, 1.01, 1.0])), Reason.SOLVE_FAILED, "not a rigid"),
        (covered(np.zeros((6, 6))), Reason.SOLVE_FAILED, "positive definite"),
        (covered(np.diag([1e-2, -1e-2, 1e-2, 1e-3, 1e-3, 1e-3])), Reason.SOLVE_FAILED, "positive definite"),
        (covered(GOOD.covariance + np.triu(np.full((6, 6), 1e-4), 1)), Reason.SOLVE_FAILED, "positive definite"),
        (moved((-1.51, 0.0, 1.0)), Reason.OUTSIDE_MAP, "0.51 m outside the mapped box, limit 0.50 m"),
        (moved((0.0, 5.51, 1.0)), Reason.OUTSIDE_MAP, "0.51 m outside"),
        (moved((0.0, 0.0, 8.0)), Reason.OUTSIDE_MAP, "(0.00, 0.00, 8.00) m is 2.00 m outside"),
        (covered(np.diag([1e-4, 1e-4, 0.0901, 1e-4, 1e-4, 1e-4])), Reason.TOO_UNCERTAIN, "position std is 0.3 m"),
        (covered(np.diag([1e-4, 1e-4, 1e-4, 1e-4, 0.0121, 1e-4])), Reason.TOO_UNCERTAIN, "rotation std is 0.11 rad"),
    ],
)
def test_a_broken_limit_is_named(solution: Solution, reason: Reason, detail: str) -> None:
    result = gate(solution, SPEC, BOUNDS)
    assert isinstance(result, Failure)
    assert result.reason is reason
    assert detail in result.detail


def test_uncertainty_along_a_slanted_axis_counts_in_full() -> None:
    # 0.36 m along the diagonal of x and y, though each axis alone stays at 0.25 m.
    direction = np.array([1.0, 1.0, 0.0]) / np.sqrt(2)
    covariance = GOOD.covariance * 1e-3
    covariance[:3, :3] += 0.36**2 * np.outer(direction, direction)
    assert np.sqrt(covariance[0, 0]) < SPEC.max_position_std_m
    result = gate(covered(covariance), SPEC, BOUNDS)
    assert isinstance(result, Failure)
    assert result.reason is Reason.TOO_UNCERTAIN


def test_a_scene_asks_for_the_contrast_that_it_was_trained_with() -> None:
    spec = replace(SPEC, min_contrast=24.0)
    assert gate(GOOD, spec, BOUNDS, contrast=24.0) is GOOD
    result = gate(GOOD, spec, BOUNDS, contrast=23.9)
    assert isinstance(result, Failure)
    assert result.reason is Reason.NO_CONTRAST
    assert result.detail == "contrast is 23.9 grey levels, this scene was trained from 24.0 on"
