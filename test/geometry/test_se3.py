from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from reloc_ros.errors import DegenerateGeometryError
from reloc_ros.geometry import rotation, se3

QUAT_XYZW = np.array([1.0, 2.0, 4.0, 10.0]) / 11.0
T_LITERAL = (
    np.array(
        [
            [81.0, -76.0, 48.0, 121.0],
            [84.0, 87.0, -4.0, -242.0],
            [-32.0, 36.0, 111.0, 363.0],
            [0.0, 0.0, 0.0, 121.0],
        ]
    )
    / 121.0
)

numbers = st.floats(-10.0, 10.0)
transforms = st.builds(
    lambda *values: se3.from_rotation_translation(rotation.exp(values[:3]), values[3:]), *(numbers,) * 6
)


def test_literal_both_ways() -> None:
    assert_allclose(se3.from_quat_xyzw_translation(QUAT_XYZW, [1.0, -2.0, 3.0]), T_LITERAL, atol=1e-15)
    quat_xyzw, translation = se3.to_quat_xyzw_translation(T_LITERAL)
    assert_allclose(quat_xyzw, QUAT_XYZW, atol=1e-15)
    assert_allclose(translation, [1.0, -2.0, 3.0])


def test_points_are_rotated_then_translated() -> None:
    assert_allclose(se3.transform_points(T_LITERAL, [[1.0, 0.0, 0.0]]), [[202 / 121, -158 / 121, 331 / 121]])


@given(transforms, transforms)
def test_inverse_cancels_and_composition_chains(T_a_b: np.ndarray, T_b_c: np.ndarray) -> None:
    points = np.array([[1.0, 2.0, 4.0], [-3.0, 0.5, 10.0]])
    assert_allclose(T_a_b @ se3.inverse(T_a_b), np.eye(4), atol=1e-12)
    chained = se3.transform_points(T_a_b, se3.transform_points(T_b_c, points))
    assert_allclose(se3.transform_points(T_a_b @ T_b_c, points), chained, atol=1e-11)


def test_stacks_of_transforms() -> None:
    stack = np.stack([T_LITERAL, np.eye(4), se3.inverse(T_LITERAL)])
    assert_allclose(se3.inverse(stack)[2], T_LITERAL, atol=1e-14)
    assert se3.transform_points(stack, np.ones((3, 5, 3))).shape == (3, 5, 3)
    assert se3.from_rotation_translation(stack[:, :3, :3], np.ones(3)).shape == (3, 4, 4)


@given(transforms, transforms, st.floats(0.0, 1.0))
def test_interpolation_moves_steadily(T_a: np.ndarray, T_b: np.ndarray, fraction: float) -> None:
    T = se3.interpolate(T_a, T_b, fraction)
    assert se3.is_rigid(T, 1e-9)
    assert_allclose(T[:3, 3], T_a[:3, 3] + fraction * (T_b[:3, 3] - T_a[:3, 3]), atol=1e-12)
    whole = rotation.angle_between_rad(T_a[:3, :3], T_b[:3, :3])
    assert rotation.angle_between_rad(T_a[:3, :3], T[:3, :3]) == pytest.approx(fraction * whole, abs=1e-6)


@given(transforms, transforms)
def test_interpolation_ends_at_its_ends(T_a: np.ndarray, T_b: np.ndarray) -> None:
    assert_allclose(se3.interpolate(T_a, T_b, 0.0), T_a, atol=1e-12)
    assert_allclose(se3.interpolate(T_a, T_b, 1.0), T_b, atol=1e-12)


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(np.diag([1.0, 1.0, -1.0, 1.0]), id="mirrored"),
        pytest.param(np.diag([2.0, 2.0, 2.0, 1.0]), id="scaled"),
        pytest.param(np.diag([1.0, 1.0, 1.0, 2.0]), id="last row"),
        pytest.param(np.full((4, 4), np.nan), id="nan"),
        pytest.param(np.eye(3), id="shape"),
    ],
)
def test_what_is_not_rigid(broken: np.ndarray) -> None:
    assert not se3.is_rigid(broken)
    with pytest.raises(DegenerateGeometryError, match="not a rigid transform"):
        se3.nearest_rigid(broken, 1e-3)


def test_a_rounded_pose_becomes_exactly_rigid_and_stays_put() -> None:
    rounded = np.round(T_LITERAL, 4)
    assert not se3.is_rigid(rounded, 1e-6)
    fixed = se3.nearest_rigid(rounded, 1e-3)
    assert se3.is_rigid(fixed, 1e-14)
    assert_allclose(fixed, T_LITERAL, atol=1e-4)
    assert_allclose(fixed[:3, 3], rounded[:3, 3])
