from __future__ import annotations

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from reloc_ros.geometry import rotation, se3
from reloc_ros.geometry.two_views import cross_rays, epipolar_errors_rad

numbers = st.floats(-2.0, 2.0)
turns = st.builds(lambda *v: rotation.exp(v), numbers, numbers, numbers)


def unit(*vectors: tuple[float, float, float]) -> np.ndarray:
    rays = np.array(vectors, dtype=float)
    return rays / np.linalg.norm(rays, axis=1, keepdims=True)


def test_rays_meet_where_they_should() -> None:
    crossing = cross_rays([0, 0, 0], unit((3, 0, 4), (3, 0, 4)), [6, 0, 0], unit((-3, 0, 4), (-3, 0.3, 4)))
    assert_allclose(crossing.points[0], [3, 0, 4], atol=1e-12)
    assert_allclose([crossing.range_first[0], crossing.range_second[0], crossing.gap[0]], [5, 5, 0], atol=1e-12)
    assert_allclose(crossing.parallax_rad[0], 2 * np.arctan2(3, 4))
    assert crossing.gap[1] > 0.1


def test_ranges_behind_an_origin_are_negative() -> None:
    crossing = cross_rays([0, 0, 0], unit((3, 0, 4)), [6, 0, 0], unit((3, 0, -4)))
    assert_allclose([crossing.range_first[0], crossing.range_second[0]], [5, -5], atol=1e-12)


def test_parallel_rays_have_no_parallax_and_finite_numbers() -> None:
    crossing = cross_rays([0, 0, 0], unit((0, 0, 1)), [1, 0, 0], unit((0, 0, 1)))
    assert crossing.parallax_rad[0] == 0
    assert np.all(np.isfinite(crossing.points))


@given(turns, st.tuples(numbers, numbers, numbers), st.integers(0, 2**32 - 1))
def test_views_of_the_same_points_keep_the_epipolar_constraint(
    R: np.ndarray, t: tuple[float, float, float], seed: int
) -> None:
    assume(np.linalg.norm(t) > 0.1)
    T_first_second = se3.from_rotation_translation(R, t)
    points = np.random.default_rng(seed).uniform(-5, 5, (20, 3))
    seen = se3.transform_points(se3.inverse(T_first_second), points)
    rays_first, rays_second = unit(*points), unit(*seen)
    assert_allclose(epipolar_errors_rad(rays_first, rays_second, T_first_second), 0.0, atol=1e-9)


def test_an_error_is_shared_by_both_rays() -> None:
    # Sideways motion along x: both epipolar lines are level, and one ray points 0.01 rad too low.
    T_first_second = se3.from_rotation_translation(np.eye(3), [1.0, 0.0, 0.0])
    errors = epipolar_errors_rad(unit((0, 0, 1)), unit((0, np.tan(0.01), 1)), T_first_second)
    assert_allclose(errors, 0.01 / np.sqrt(2), rtol=1e-3)


def test_without_a_baseline_nothing_agrees() -> None:
    assert epipolar_errors_rad(unit((0, 0, 1)), unit((0, 0, 1)), np.eye(4))[0] == np.inf
