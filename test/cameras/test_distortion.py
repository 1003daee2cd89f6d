from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from reloc_ros.cameras.distortion import BrownLens, EquidistantLens
from reloc_ros.types import Array

BROWN = {
    "none": (),
    "wide": (-0.3, 0.1, 0.001, -0.002),
    # OpenCV's own undistortPoints is 100 px off at the corners with this one.
    "strong barrel": (-0.45, 0.25, 0.002, 0.001, -0.08),
    "pincushion": (0.2, 0.05, -0.001, 0.002, 0.0),
    "rational": (2.1, 1.3, 0.001, -0.001, 0.1, 2.4, 1.9, 0.3),
}
FISHEYE = {"none": (), "typical": (-0.02, 0.01, -0.004, 0.0005), "folding": (0.1, -0.08, 0.0, 0.0)}


def cone(count: int, max_angle_rad: float, seed: int) -> Array:
    """Return (N, 3) unit vectors within an angle of the optical axis."""
    rng = np.random.default_rng(seed)
    angle, azimuth = rng.uniform(0.0, max_angle_rad, count), rng.uniform(-np.pi, np.pi, count)
    return np.column_stack([np.sin(angle) * np.cos(azimuth), np.sin(angle) * np.sin(azimuth), np.cos(angle)])


@pytest.mark.parametrize("coefficients", BROWN.values(), ids=BROWN)
def test_brown_projects_as_opencv(coefficients: tuple[float, ...]) -> None:
    points = cone(100, 0.6, 0)
    expected = cv2.projectPoints(points, np.zeros(3), np.zeros(3), np.eye(3), np.array(coefficients or (0.0,) * 4))[0]
    found, covered = BrownLens(coefficients).project(points)
    assert np.all(covered)
    assert_allclose(found, expected[:, 0], atol=1e-13)


@pytest.mark.parametrize("coefficients", FISHEYE.values(), ids=FISHEYE)
def test_equidistant_projects_as_opencv(coefficients: tuple[float, ...]) -> None:
    points = cone(100, 1.2, 1)
    expected = cv2.fisheye.projectPoints(
        points[:, None], np.zeros(3), np.zeros(3), np.eye(3), np.array(coefficients or (0.0,) * 4)
    )[0]
    found, covered = EquidistantLens(coefficients).project(points)
    assert np.all(covered)
    assert_allclose(found, expected[:, 0], atol=1e-13)


@pytest.mark.parametrize("coefficients", BROWN.values(), ids=BROWN)
def test_brown_rays_undo_the_projection(coefficients: tuple[float, ...]) -> None:
    lens = BrownLens(coefficients)
    # 45 degrees at most, and 3 % short of the fold, where the inverse has an infinite slope.
    points = cone(2000, min(np.pi / 4, np.arctan(0.97 * lens.max_slope)), 2)
    plane, covered = lens.project(points)
    assert np.all(covered)
    assert_allclose(lens.directions(plane), points, atol=1e-11)


@pytest.mark.parametrize("coefficients", FISHEYE.values(), ids=FISHEYE)
def test_fisheye_rays_undo_the_projection_beyond_90_degrees(coefficients: tuple[float, ...]) -> None:
    lens = EquidistantLens(coefficients)
    points = cone(2000, min(np.radians(170), 0.98 * lens.max_angle_rad), 3)
    plane, covered = lens.project(points)
    assert np.all(covered)
    assert_allclose(lens.directions(plane), points, atol=1e-11)


small = st.floats(-0.05, 0.05)


@settings(max_examples=60)
@given(st.floats(-0.4, 0.4), st.floats(-0.15, 0.15), small, small, st.floats(0.0, 2 * np.pi))
def test_any_brown_lens_inverts_where_it_is_far_from_folding(
    k1: float, k2: float, k3: float, p: float, azimuth: float
) -> None:
    lens = BrownLens((k1, k2, 0.1 * p, -0.05 * p, k3))
    slopes = np.linspace(0.0, min(1.0, 0.8 * lens.max_slope), 40)
    points = np.column_stack([slopes * np.cos(azimuth), slopes * np.sin(azimuth), np.ones(40)])
    rays = lens.directions(lens.project(points)[0])
    assert_allclose(rays[:, :2] / rays[:, 2:], points[:, :2], atol=1e-9)


def test_brown_range_ends_where_the_radius_folds_back() -> None:
    # r (1 - 0.3 r^2) is greatest at r = sqrt(1 / 0.9).
    lens = BrownLens((-0.3, 0.0, 0.0, 0.0))
    assert lens.max_slope == pytest.approx(np.sqrt(1 / 0.9))
    _, covered = lens.project(np.array([[1.05, 0.0, 1.0], [1.06, 0.0, 1.0]]))
    assert covered.tolist() == [True, False]


def test_rational_range_ends_at_a_pole() -> None:
    lens = BrownLens((0.0, 0.0, 0.0, 0.0, 0.0, -0.25, 0.0, 0.0))
    assert lens.max_slope == pytest.approx(2.0)
    points = np.column_stack([np.linspace(0.0, 1.99, 50), np.zeros(50), np.ones(50)])
    rays = lens.directions(lens.project(points)[0])
    assert_allclose(rays[:, 0] / rays[:, 2], points[:, 0], atol=1e-9)


def test_a_vanishing_coefficient_changes_nothing() -> None:
    expected = BrownLens((-0.25, -0.125, 0.0, 0.0)).max_slope
    assert BrownLens((-0.25, -0.125, 0.0, 0.0, 1.2e-38)).max_slope == pytest.approx(expected)
    assert BrownLens((-0.25, -0.125, 0.0, 0.0, 1e-9)).max_slope == pytest.approx(expected, rel=1e-6)


def test_fisheye_range_ends_where_the_angle_folds_back() -> None:
    assert EquidistantLens((-0.3, 0.0, 0.0, 0.0)).max_angle_rad == pytest.approx(np.sqrt(1 / 0.9))
    assert EquidistantLens(()).max_angle_rad == pytest.approx(np.pi)


def test_beyond_the_range_rays_stay_at_its_edge() -> None:
    lens = BrownLens((-0.3, 0.0, 0.0, 0.0))
    ray = lens.directions(np.array([[5.0, 0.0]]))[0]
    assert_allclose(ray[:2] / ray[2], [np.sqrt(1 / 0.9), 0.0], atol=1e-7)
    fisheye = EquidistantLens((-0.3, 0.0, 0.0, 0.0))
    assert np.arccos(fisheye.directions(np.array([[0.0, 5.0]]))[0, 2]) == pytest.approx(np.sqrt(1 / 0.9), abs=1e-7)


def test_points_without_an_image() -> None:
    behind = np.array([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    plane, covered = BrownLens(()).project(behind)
    assert not np.any(covered)
    assert np.all(np.isnan(plane))
    plane, covered = EquidistantLens(()).project(behind)
    assert covered.tolist() == [False, True, False]
    assert_allclose(plane[1], [np.pi / 2, 0.0])
