from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from reloc_ros.errors import DegenerateGeometryError
from reloc_ros.geometry import rotation

QUAT_XYZW = np.array([1.0, 2.0, 4.0, 10.0]) / 11.0
# Written out from the textbook formula, so that a swapped order or a transposed matrix shows.
R_LITERAL = np.array([[81.0, -76.0, 48.0], [84.0, 87.0, -4.0], [-32.0, 36.0, 111.0]]) / 121.0

axes = st.tuples(*(st.floats(-1.0, 1.0),) * 3).filter(lambda v: np.linalg.norm(v) > 1e-3)
# Half of the draws lie where naive formulas divide 0 by 0.
angles = st.one_of(
    st.floats(0.0, np.pi),
    st.sampled_from([0.0, 1e-300, 1e-16, 1e-9, 1e-4, np.pi - 1e-4, np.pi - 1e-7, np.pi - 1e-12, np.pi]),
)


def rotvec_of(axis: tuple[float, float, float], angle: float) -> np.ndarray:
    return np.array(axis) / np.linalg.norm(axis) * angle


def test_quaternion_literal_is_x_y_z_w() -> None:
    assert_allclose(rotation.from_quat_xyzw(QUAT_XYZW), R_LITERAL, atol=1e-15)
    assert_allclose(rotation.to_quat_xyzw(R_LITERAL), QUAT_XYZW, atol=1e-15)


def test_quaternion_need_not_be_normalised_nor_have_positive_w() -> None:
    assert_allclose(rotation.from_quat_xyzw(-7.0 * QUAT_XYZW), R_LITERAL, atol=1e-15)


def test_w_is_positive_where_another_component_is_larger() -> None:
    assert_allclose(rotation.to_quat_xyzw(rotation.exp([-3.0, 0, 0])), [-np.sin(1.5), 0, 0, np.cos(1.5)], atol=1e-15)


def test_exp_turns_by_the_right_hand_rule() -> None:
    assert_allclose(rotation.exp([0.0, 0.0, np.pi / 2]) @ [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], atol=1e-15)


def test_log_of_literal() -> None:
    expected = np.array([1.0, 2.0, 4.0]) / np.sqrt(21.0) * 2.0 * np.arctan2(np.sqrt(21.0), 10.0)
    assert_allclose(rotation.log(R_LITERAL), expected, atol=1e-14)


@given(axes, angles)
def test_log_undoes_exp_up_to_the_sign_at_pi(axis: tuple[float, float, float], angle: float) -> None:
    rotvec = rotvec_of(axis, angle)
    found = rotation.log(rotation.exp(rotvec))
    # Within rounding of pi the axis and its opposite are the same rotation.
    if np.pi - angle < 1e-7 and found @ rotvec < 0.0:
        found = -found
    assert_allclose(found, rotvec, atol=2e-7 if np.pi - angle < 1e-7 else 1e-12)


@given(axes, angles)
def test_exp_undoes_log_and_is_a_rotation(axis: tuple[float, float, float], angle: float) -> None:
    R = rotation.exp(rotvec_of(axis, angle))
    assert_allclose(R.T @ R, np.eye(3), atol=1e-14)
    assert np.linalg.det(R) > 0.0
    assert_allclose(rotation.exp(rotation.log(R)), R, atol=1e-13)
    quat_xyzw = rotation.to_quat_xyzw(R)
    assert quat_xyzw[3] >= 0.0
    assert_allclose(rotation.from_quat_xyzw(quat_xyzw), R, atol=1e-13)


@given(st.floats(1e-12, 1e-3))
def test_small_rotations_keep_their_relative_precision(angle: float) -> None:
    assert_allclose(rotation.log(rotation.exp([0.6 * angle, 0.0, -0.8 * angle])), [0.6 * angle, 0, -0.8 * angle], 1e-9)


@given(axes, angles, axes, angles)
def test_angle_between(axis_a: tuple, angle_a: float, axis: tuple, angle: float) -> None:
    R_a = rotation.exp(rotvec_of(axis_a, angle_a))
    R_b = R_a @ rotation.exp(rotvec_of(axis, angle))
    assert rotation.angle_between_rad(R_a, R_b) == pytest.approx(angle, abs=1e-14 if angle < 1.0 else 1e-7)
    assert rotation.angle_between_rad(R_b, R_a) == pytest.approx(angle, abs=1e-14 if angle < 1.0 else 1e-7)


def test_every_function_is_vectorised() -> None:
    rotvecs = np.random.default_rng(3).normal(size=(2, 5, 3))
    R = rotation.exp(rotvecs)
    assert R.shape == (2, 5, 3, 3)
    for index in np.ndindex(2, 5):
        assert_allclose(R[index], rotation.exp(rotvecs[index]))
        assert_allclose(rotation.log(R)[index], rotation.log(R[index]))
        assert_allclose(rotation.to_quat_xyzw(R)[index], rotation.to_quat_xyzw(R[index]))
        assert_allclose(rotation.skew(rotvecs)[index], rotation.skew(rotvecs[index]))
        assert_allclose(rotation.angle_between_rad(R, R[0, 0])[index], rotation.angle_between_rad(R[index], R[0, 0]))
    assert rotation.angle_between_rad(R[0, 0], R[0, 1]).shape == ()


def test_logarithm_of_a_quaternion_is_half_the_rotation_vector() -> None:
    expected = np.array([1.0, 2.0, 4.0]) / np.sqrt(21.0) * np.arctan2(np.sqrt(21.0), 10.0)
    assert_allclose(rotation.log_quat(QUAT_XYZW), expected, atol=1e-15)
    assert_allclose(rotation.exp_log_quat(expected), QUAT_XYZW, atol=1e-15)
    assert_allclose(rotation.exp_log_quat([0.0, 0.25 * np.pi, 0.0]), [0.0, np.sqrt(0.5), 0.0, np.sqrt(0.5)], atol=1e-15)


@given(axes, angles, st.floats(0.01, 100.0))
def test_quaternion_logarithm_is_the_same_in_both_hemispheres_and_at_every_length(
    axis: tuple[float, float, float], angle: float, length: float
) -> None:
    half = rotvec_of(axis, angle / 2)
    quat_xyzw = rotation.exp_log_quat(half)
    assert quat_xyzw[3] >= 0.0
    assert np.linalg.norm(quat_xyzw) == pytest.approx(1.0, abs=1e-14)
    assert_allclose(rotation.from_quat_xyzw(quat_xyzw), rotation.exp(2 * half), atol=1e-13)
    for scaled in (length * quat_xyzw, -length * quat_xyzw):
        found = rotation.log_quat(scaled)
        # Within rounding of pi the axis and its opposite are the same rotation.
        if np.pi - angle < 1e-7 and found @ half < 0.0:
            found = -found
        assert_allclose(found, half, rtol=1e-9, atol=1e-7 if np.pi - angle < 1e-7 else 1e-13)


@given(axes, angles, st.integers(-3, 3))
def test_a_logarithm_beyond_the_half_turn_is_the_same_rotation(
    axis: tuple[float, float, float], angle: float, turns: int
) -> None:
    half = rotvec_of(axis, angle / 2)
    beyond = half + np.pi * turns * rotvec_of(axis, 1.0)
    assert_allclose(
        rotation.from_quat_xyzw(rotation.exp_log_quat(beyond)),
        rotation.from_quat_xyzw(rotation.exp_log_quat(half)),
        atol=1e-12,
    )


def test_quaternion_logarithms_keep_leading_dimensions() -> None:
    halves = np.random.default_rng(2).uniform(-0.8, 0.8, (2, 5, 3))
    assert_allclose(rotation.log_quat(rotation.exp_log_quat(halves)), halves, atol=1e-14)


def test_skew_is_the_cross_product() -> None:
    a, b = np.array([1.0, 2.0, 4.0]), np.array([-3.0, 5.0, 0.5])
    assert_allclose(rotation.skew(a) @ b, np.cross(a, b))


def test_align_hemisphere_negates_only_what_points_away() -> None:
    aligned = rotation.align_hemisphere(np.stack([QUAT_XYZW, -QUAT_XYZW]), [0.0, 0.0, 0.0, 1.0])
    assert_allclose(aligned, np.stack([QUAT_XYZW, QUAT_XYZW]))
    assert_allclose(rotation.align_hemisphere(QUAT_XYZW, -QUAT_XYZW), -QUAT_XYZW)


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), angles.filter(lambda angle: angle < 3.0))
def test_mean_ignores_signs_and_lies_half_way(seed: int, angle: float) -> None:
    rng = np.random.default_rng(seed)
    R_a = rotation.exp(rng.normal(size=3))
    R_b = R_a @ rotation.exp(rotvec_of(tuple(rng.normal(size=3)), angle))
    pair = rotation.to_quat_xyzw(np.stack([R_a, R_b])) * rng.choice([-1.0, 1.0], size=(2, 1))
    mean = rotation.from_quat_xyzw(rotation.mean_quat_xyzw(pair))
    assert rotation.angle_between_rad(R_a, mean) == pytest.approx(angle / 2, abs=1e-7)
    assert rotation.angle_between_rad(R_b, mean) == pytest.approx(angle / 2, abs=1e-7)


def test_mean_follows_the_weights_and_has_positive_w() -> None:
    other = rotation.to_quat_xyzw(rotation.exp([0.0, 0.3, 0.0]))
    mean = rotation.mean_quat_xyzw(np.stack([-QUAT_XYZW, other]), [1.0, 0.0])
    assert_allclose(mean, QUAT_XYZW, atol=1e-12)


@pytest.mark.parametrize("weights", [None, [0.0, 0.0]])
def test_mean_of_opposite_rotations_is_refused(weights: list[float] | None) -> None:
    opposite = np.array([[0.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0]])
    with pytest.raises(DegenerateGeometryError, match="no unique mean"):
        rotation.mean_quat_xyzw(opposite, weights)


@pytest.mark.parametrize("bad", [np.zeros(4), np.full(4, np.nan), [np.inf, 0.0, 0.0, 1.0]])
def test_quaternion_without_direction_is_refused(bad: object) -> None:
    for function in (rotation.from_quat_xyzw, rotation.log_quat):
        with pytest.raises(DegenerateGeometryError, match="quaternion"):
            function(bad)


@pytest.mark.parametrize("bad", [np.diag([1.0, 1.0, -1.0]), np.zeros((3, 3)), np.full((3, 3), np.nan)])
def test_matrix_that_is_no_rotation_is_refused(bad: np.ndarray) -> None:
    for function in (rotation.log, rotation.to_quat_xyzw):
        with pytest.raises(DegenerateGeometryError, match="not a rotation"):
            function(bad)
