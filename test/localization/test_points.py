"""The points solver: exact on exact clouds, robust on broken ones, and honest when there is nothing to solve."""

from __future__ import annotations

import box_room
import numpy as np
import pytest

from reloc_ros.cameras.camera import ray_grid
from reloc_ros.errors import BundleError
from reloc_ros.localization.solve import points
from reloc_ros.localization.solve.solution import Failure, Solution
from reloc_ros.types import Reason

SETTINGS = {
    "rows": 8,
    "columns": 10,
    "angle_std_rad": 0.01,
    "range_std_log": 0.05,
    "min_inlier_ratio": 0.5,
    "min_conditioning": 1e-3,
}
CAMERAS = {"pinhole": box_room.pinhole(80, 64), "panorama": box_room.panorama(160, 64)}
T_TRUE = box_room.pose(-0.4, 0.3, -0.2, 2.1)


def _outputs(camera, T_map_camera=T_TRUE):
    seen = box_room.wall_points(T_map_camera, ray_grid(camera, 8, 10))
    range_m = np.linalg.norm(seen - T_map_camera[:3, 3], axis=1)
    return {
        "points_map": seen[np.newaxis].astype(np.float32),
        "range_m": range_m[np.newaxis].astype(np.float32),
        "weights": np.full((1, 80), 0.5, np.float32),
    }


@pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS)
def test_exact_clouds_give_the_exact_pose(camera):
    solution = points.create(SETTINGS)(_outputs(camera), camera)
    assert isinstance(solution, Solution)
    np.testing.assert_allclose(solution.T_map_camera, T_TRUE, atol=1e-6)
    assert solution.evidence["inlier_ratio"] == pytest.approx(1.0)
    assert np.linalg.eigvalsh(solution.covariance).min() > 0


def test_a_third_of_wrong_points_does_not_move_the_pose():
    outputs = _outputs(CAMERAS["pinhole"])
    outputs["points_map"][0, :26] += np.float32([1.0, -0.7, 0.4])
    solution = points.create(SETTINGS)(outputs, CAMERAS["pinhole"])
    assert isinstance(solution, Solution)
    np.testing.assert_allclose(solution.T_map_camera, T_TRUE, atol=5e-3)
    assert solution.evidence["inlier_ratio"] == pytest.approx(54 / 80, abs=0.02)


def test_the_same_outputs_give_the_same_bits():
    first, second = (points.create(SETTINGS)(_outputs(CAMERAS["panorama"]), CAMERAS["panorama"]) for _ in range(2))
    assert first.T_map_camera.tobytes() == second.T_map_camera.tobytes()
    assert first.covariance.tobytes() == second.covariance.tobytes()


def test_clouds_on_one_line_are_degenerate():
    outputs = _outputs(CAMERAS["pinhole"])
    outputs["points_map"][0] = np.linspace(0, 1, 80)[:, None] * np.float32([1.0, 2.0, 3.0])
    result = points.create({**SETTINGS, "min_conditioning": 0.05})(outputs, CAMERAS["pinhole"])
    assert isinstance(result, Failure)
    assert result.reason is Reason.DEGENERATE


def test_scattered_points_have_too_few_inliers():
    outputs = _outputs(CAMERAS["pinhole"])
    outputs["points_map"][0] = np.random.default_rng(0).normal(0, 2, (80, 3))
    result = points.create(SETTINGS)(outputs, CAMERAS["pinhole"])
    assert isinstance(result, Failure)
    assert result.reason in (Reason.TOO_FEW_INLIERS, Reason.DEGENERATE)


def test_outputs_that_are_not_finite_are_degenerate():
    outputs = _outputs(CAMERAS["pinhole"])
    outputs["points_map"][0, 3, 1] = np.nan
    result = points.create(SETTINGS)(outputs, CAMERAS["pinhole"])
    assert isinstance(result, Failure)
    assert result.reason is Reason.DEGENERATE


@pytest.mark.parametrize("change", [{"rows": 0}, {"columns": 2.5}, {"angle_std_rad": -1.0}, {"sigma": 1.0}])
def test_nonsense_settings_are_refused(change):
    with pytest.raises(BundleError, match="reloc export"):
        points.create({**SETTINGS, **change})
