"""Refinement on rays: it finds the pose, resists outliers, and its covariance is the spread of its errors."""

from __future__ import annotations

import box_room
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reloc_ros.cameras.camera import ray_grid
from reloc_ros.errors import DegenerateGeometryError
from reloc_ros.geometry import rotation, se3
from reloc_ros.geometry.ray_alignment import align_rays

DEVIATIONS = {"angle_std_rad": 0.01, "range_std_log": 0.05}
T_TRUE = box_room.pose(0.3, -0.2, 0.1, 0.7)


def _moved(T: np.ndarray, by_m: float, by_rad: float, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    axis, direction = (v / np.linalg.norm(v) for v in generator.normal(size=(2, 3)))
    return T @ se3.from_rotation_translation(rotation.exp(by_rad * axis), by_m * direction)


@pytest.mark.parametrize("camera", [box_room.pinhole(), box_room.panorama()], ids=["pinhole", "panorama"])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_finds_the_pose_from_a_poor_guess(camera, seed):
    rays = ray_grid(camera, 8, 8)
    points = box_room.wall_points(T_TRUE, rays)
    range_m = np.linalg.norm(points - T_TRUE[:3, 3], axis=1)
    guess = _moved(T_TRUE, 0.3, 0.2, seed)
    aligned = align_rays(guess, points, rays, range_m, np.ones(64), **DEVIATIONS)
    np.testing.assert_allclose(aligned.T_map_camera, T_TRUE, atol=1e-6)
    assert aligned.angles_rad.max() < 1e-6
    assert aligned.kernel.min() > 0.999


def test_outliers_keep_no_weight():
    rays = ray_grid(box_room.pinhole(), 10, 10)
    points = box_room.wall_points(T_TRUE, rays)
    range_m = np.linalg.norm(points - T_TRUE[:3, 3], axis=1)
    points[:30] += (0.5, -1.0, 0.8)
    aligned = align_rays(_moved(T_TRUE, 0.1, 0.05, 1), points, rays, range_m, np.ones(100), **DEVIATIONS)
    np.testing.assert_allclose(aligned.T_map_camera, T_TRUE, atol=2e-3)
    assert aligned.kernel[:30].max() < 0.05
    assert aligned.kernel[30:].min() > 0.9


def test_wrong_ranges_do_not_bend_a_pose_that_directions_determine():
    rays = ray_grid(box_room.pinhole(), 10, 10)
    points = box_room.wall_points(T_TRUE, rays)
    range_m = 1.05 * np.linalg.norm(points - T_TRUE[:3, 3], axis=1)
    loose = align_rays(T_TRUE, points, rays, range_m, np.ones(100), angle_std_rad=0.001, range_std_log=10.0)
    np.testing.assert_allclose(loose.T_map_camera, T_TRUE, atol=1e-4)


def test_covariance_is_the_spread_of_the_errors():
    rays = ray_grid(box_room.pinhole(), 8, 8)
    generator = np.random.default_rng(3)
    clean = box_room.wall_points(T_TRUE, rays)
    range_m = np.linalg.norm(clean - T_TRUE[:3, 3], axis=1)
    errors, covariance = [], np.zeros((6, 6))
    for _ in range(300):
        across = generator.normal(0, 0.004, (64, 3)) * range_m[:, None]
        noisy_range_m = range_m * np.exp(generator.normal(0, 0.02, 64))
        # Noise along the ray would count twice; it stands in the range alone.
        directions = rays @ T_TRUE[:3, :3].T
        across -= np.sum(across * directions, axis=1, keepdims=True) * directions
        aligned = align_rays(
            T_TRUE, clean + across, rays, noisy_range_m, np.ones(64), angle_std_rad=0.004, range_std_log=0.02
        )
        turned = rotation.log(T_TRUE[:3, :3] @ aligned.T_map_camera[:3, :3].T)
        errors.append(np.concatenate([T_TRUE[:3, 3] - aligned.T_map_camera[:3, 3], turned]))
        covariance += aligned.covariance / 300
    squared = np.einsum("ni,ij,nj->n", errors, np.linalg.inv(covariance), errors)
    # Chi-square with six freedoms has mean 6.
    assert 5.0 < squared.mean() < 7.0
    correlation = np.corrcoef(np.array(errors).T)
    scale = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(correlation, covariance / np.outer(scale, scale), atol=0.2)


def test_points_behind_the_camera_are_refused():
    rays = ray_grid(box_room.pinhole(), 4, 4)
    points = T_TRUE[:3, 3] - 2.0 * rays @ T_TRUE[:3, :3].T
    with pytest.raises(DegenerateGeometryError, match="rays do not determine a pose"):
        align_rays(T_TRUE, points, rays, np.full(16, 2.0), np.ones(16), **DEVIATIONS)
