from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from reloc_ros.errors import DegenerateGeometryError
from reloc_ros.geometry import rotation, se3
from reloc_ros.geometry.kabsch import align, conditioning, weighted_kabsch

T_MAP_CAMERA = se3.from_quat_xyzw_translation(np.array([1.0, 2.0, 4.0, 10.0]) / 11.0, [1.0, -2.0, 3.0])
CLOUD = np.array([[1.0, 0.0, 2.0], [0.0, 3.0, 4.0], [-2.0, 1.0, 5.0], [0.5, -1.5, 3.0], [2.0, 2.0, 7.0]])

numbers = st.floats(-5.0, 5.0)
transforms = st.builds(
    lambda *values: se3.from_rotation_translation(rotation.exp(values[:3]), values[3:]), *(numbers,) * 6
)


@given(transforms, st.floats(1e-6, 1e6), st.integers(0, 2**32 - 1))
def test_exact_clouds_give_the_exact_transform(T_map_camera: np.ndarray, scale: float, seed: int) -> None:
    weights = np.random.default_rng(seed).uniform(0.1, 1.0, len(CLOUD)) * scale
    found = weighted_kabsch(se3.transform_points(T_map_camera, CLOUD), CLOUD, weights)
    assert_allclose(found, T_map_camera, atol=1e-12)


@pytest.mark.parametrize("angle", [0.0, 1e-9, np.pi - 1e-9, np.pi])
def test_turns_of_nothing_and_of_half_a_circle(angle: float) -> None:
    T_map_camera = se3.from_rotation_translation(rotation.exp(np.array([0.6, 0.0, 0.8]) * angle), [1.0, 2.0, 4.0])
    found = weighted_kabsch(se3.transform_points(T_map_camera, CLOUD), CLOUD, np.ones(5))
    assert_allclose(found, T_map_camera, atol=1e-12)


def test_weight_zero_takes_a_point_out() -> None:
    points_map = se3.transform_points(T_MAP_CAMERA, CLOUD)
    points_map[3] += 100.0
    weights = np.array([1.0, 2.0, 3.0, 0.0, 4.0])
    assert_allclose(weighted_kabsch(points_map, CLOUD, weights), T_MAP_CAMERA, atol=1e-12)
    assert not np.allclose(weighted_kabsch(points_map, CLOUD, np.ones(5)), T_MAP_CAMERA, atol=0.1)


@given(st.integers(0, 2**32 - 1))
def test_no_small_motion_improves_the_weighted_fit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.1, 2.0, len(CLOUD))
    points_map = se3.transform_points(T_MAP_CAMERA, CLOUD) + rng.normal(scale=0.3, size=CLOUD.shape)
    found = weighted_kabsch(points_map, CLOUD, weights)

    def cost(T: np.ndarray) -> float:
        return float(weights @ np.sum((points_map - se3.transform_points(T, CLOUD)) ** 2, axis=1))

    for _ in range(5):
        step = se3.from_rotation_translation(
            rotation.exp(rng.normal(scale=1e-3, size=3)), rng.normal(scale=1e-3, size=3)
        )
        assert cost(found) <= cost(step @ found) + 1e-12


@given(st.integers(0, 2**32 - 1))
def test_mirrored_clouds_still_give_a_rotation(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cloud = rng.normal(size=(8, 3))
    alignment = align(cloud * (1.0, 1.0, -1.0), cloud, np.ones(8))
    assume(alignment.conditioning > 1e-6)
    assert se3.is_rigid(alignment.T_map_camera, 1e-9)


def test_planar_cloud_is_enough() -> None:
    flat = CLOUD * (1.0, 1.0, 0.0)
    found = weighted_kabsch(se3.transform_points(T_MAP_CAMERA, flat), flat, np.ones(5))
    assert_allclose(found, T_MAP_CAMERA, atol=1e-12)


LINE = np.outer([-1.0, 0.0, 0.5, 2.0, 3.0], [1.0, 2.0, 4.0]) + np.array([100.0, 20.0, 3.0])


@pytest.mark.parametrize(
    ("points", "weights"),
    [
        pytest.param(LINE, np.ones(5), id="line"),
        pytest.param(np.full((5, 3), 0.1), np.ones(5), id="one point"),
        pytest.param(np.zeros((5, 3)), np.ones(5), id="origin"),
        pytest.param(CLOUD, np.array([1.0, 1.0, 0.0, 0.0, 0.0]), id="two points with weight"),
        pytest.param(CLOUD, np.array([1.0, 0.0, 0.0, 0.0, 0.0]), id="one point with weight"),
    ],
)
def test_clouds_that_do_not_determine_a_rotation(points: np.ndarray, weights: np.ndarray) -> None:
    points_map = se3.transform_points(T_MAP_CAMERA, points)
    assert conditioning(points_map, points, weights) < 1e-10
    with pytest.raises(DegenerateGeometryError, match="do not determine a rotation"):
        weighted_kabsch(points_map, points, weights)


def test_one_collapsed_cloud_is_degenerate_too() -> None:
    assert conditioning(np.full((5, 3), 0.1), CLOUD, np.ones(5)) == 0.0
    assert conditioning(CLOUD, np.full((5, 3), 0.1), np.ones(5)) == 0.0


def test_conditioning_literals() -> None:
    ball = np.vstack([np.eye(3), -np.eye(3)])
    disc = ball[[0, 1, 3, 4]]
    stretched = ball * (2.0, 1.0, 1.0)
    assert conditioning(ball, ball, np.ones(6)) == pytest.approx(1.0)
    assert conditioning(disc, disc, np.ones(4)) == pytest.approx(0.5)
    assert conditioning(stretched, stretched, np.ones(6)) == pytest.approx(2.0 / 5.0)
    assert conditioning(ball * (1.0, 1.0, -1.0), ball, np.ones(6)) == pytest.approx(0.0, abs=1e-12)


@given(st.floats(1e-3, 1e3), transforms)
def test_conditioning_depends_on_neither_scale_nor_frame(scale: float, T_map_camera: np.ndarray) -> None:
    expected = conditioning(CLOUD, CLOUD, np.ones(5))
    moved = se3.transform_points(T_map_camera, scale * CLOUD)
    assert conditioning(moved, scale * CLOUD, np.full(5, scale)) == pytest.approx(expected, rel=1e-6)


@given(st.floats(1e-3, 1e3), transforms, st.integers(0, 2**32 - 1))
def test_exact_clouds_give_the_exact_scale(scale: float, T_map_camera: np.ndarray, seed: int) -> None:
    weights = np.random.default_rng(seed).uniform(0.1, 1.0, len(CLOUD))
    points_map = se3.transform_points(T_map_camera, scale * CLOUD)
    found = align(points_map, CLOUD, weights, with_scale=True)
    assert found.scale == pytest.approx(scale, rel=1e-9)
    assert_allclose(found.T_map_camera, T_map_camera, atol=1e-8)
    assert align(points_map, CLOUD, weights).scale == 1.0


def test_no_other_scale_fits_noisy_clouds_better() -> None:
    rng = np.random.default_rng(3)
    points_map = se3.transform_points(T_MAP_CAMERA, 2.5 * CLOUD) + rng.normal(scale=0.3, size=CLOUD.shape)
    weights = rng.uniform(0.1, 2.0, len(CLOUD))
    found = align(points_map, CLOUD, weights, with_scale=True)

    def cost(scale: float) -> float:
        T = align(points_map, scale * CLOUD, weights).T_map_camera
        return float(weights @ np.sum((points_map - se3.transform_points(T, scale * CLOUD)) ** 2, axis=1))

    assert cost(found.scale) < min(cost(found.scale * 1.001), cost(found.scale / 1.001))


def test_a_mirrored_cloud_has_the_scale_of_its_best_rotation() -> None:
    # Umeyama 1991 eq. 42 with S = diag(1, 1, -1): (4 + 4 - 1) / (4 + 4 + 1) of the variances along the axes.
    cloud = np.vstack([np.eye(3), -np.eye(3)]) * (2.0, 2.0, 1.0)
    assert align(cloud * (1.0, 1.0, -1.0), cloud, np.ones(6), with_scale=True).scale == pytest.approx(7.0 / 9.0)


def test_a_collapsed_cloud_has_no_scale() -> None:
    found = align(CLOUD, np.full((5, 3), 0.1), np.ones(5), with_scale=True)
    assert (found.scale, found.conditioning) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("points_map", "weights", "message"),
    [
        (np.where(CLOUD == 7.0, np.nan, CLOUD), np.ones(5), "not finite"),
        (np.where(CLOUD == 7.0, np.inf, CLOUD), np.ones(5), "not finite"),
        (CLOUD, np.zeros(5), "at least one above 0"),
        (CLOUD, np.array([1.0, 1.0, 1.0, 1.0, -1e-9]), "non-negative"),
        (CLOUD, np.array([1.0, 1.0, 1.0, 1.0, np.nan]), "finite"),
        (CLOUD[:4], np.ones(5), r"must be \(N, 3\)"),
        (CLOUD, np.ones(4), r"must be \(N, 3\)"),
    ],
)
def test_unusable_input_is_refused(points_map: np.ndarray, weights: np.ndarray, message: str) -> None:
    with pytest.raises(DegenerateGeometryError, match=message):
        weighted_kabsch(points_map, CLOUD, weights)


def test_huge_weights_do_not_overflow() -> None:
    points_map = se3.transform_points(T_MAP_CAMERA, CLOUD)
    assert_allclose(weighted_kabsch(points_map, CLOUD, np.full(5, 1e308)), T_MAP_CAMERA, atol=1e-12)
