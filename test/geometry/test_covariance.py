from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.linalg import expm

from reloc_ros.errors import DegenerateGeometryError
from reloc_ros.geometry import covariance, rotation, se3
from reloc_ros.geometry.kabsch import weighted_kabsch
from reloc_ros.types import Array

# Far from the map origin and turned: mixing up "about the map origin" and "about the camera" changes everything.
T_MAP_CAMERA = se3.from_quat_xyzw_translation(np.array([1.0, 2.0, 4.0, 10.0]) / 11.0, [30.0, -20.0, 4.0])
numbers = st.floats(-5.0, 5.0)
transforms = st.builds(
    lambda *values: se3.from_rotation_translation(rotation.exp(values[:3]), values[3:]), *(numbers,) * 6
)


def pose_error(T_true: Array, T: Array) -> Array:
    """Return (dt, dr) with t_true = t + dt and R_true = Exp(dr) R: the definition, not the code under test."""
    return np.concatenate([T_true[:3, 3] - T[:3, 3], rotation.log(T_true[:3, :3] @ T[:3, :3].T)])


def perturbed(T: Array, error: Array) -> Array:
    return se3.from_rotation_translation(rotation.exp(error[3:]) @ T[:3, :3], T[:3, 3] + error[:3])


def ahead(rng: np.random.Generator, count: int) -> Array:
    """Points in a narrow cone before the camera, as an image gives them: translation and rotation are correlated."""
    return np.column_stack([rng.uniform(-1, 1, count), rng.uniform(-0.5, 0.5, count), rng.uniform(3, 6, count)])


def same_ellipsoid(found: Array, truth: Array) -> Array:
    """Return the variance ratios found/truth along the principal axes of `truth`-whitened space."""
    whiten = np.linalg.inv(np.linalg.cholesky(truth))
    return np.linalg.eigvalsh(whiten @ found @ whiten.T)


def test_predicted_covariance_is_that_of_many_trials() -> None:
    rng = np.random.default_rng(7)
    points_camera = ahead(rng, 80)
    sigma = rng.uniform(0.01, 0.08, 80)[:, None] * np.array([1.0, 0.5, 2.0])
    weights = rng.uniform(0.2, 1.0, 80)
    errors, predictions = [], []
    for _ in range(1500):
        points_map = se3.transform_points(T_MAP_CAMERA, points_camera) + rng.normal(size=(80, 3)) * sigma
        T = weighted_kabsch(points_map, points_camera, weights)
        errors.append(pose_error(T_MAP_CAMERA, T))
        predictions.append(covariance.pose_covariance(points_map, points_camera, weights, T))
    ratios = same_ellipsoid(np.mean(predictions, axis=0), np.cov(np.array(errors).T))
    # 1500 trials know a variance to 3.7 % (one sigma); the least and the greatest of six directions lie within 3 sigma.
    assert_allclose(ratios, 1.0, atol=0.13)


def test_weights_need_not_be_calibrated() -> None:
    rng = np.random.default_rng(1)
    points_camera = ahead(rng, 50)
    points_map = se3.transform_points(T_MAP_CAMERA, points_camera) + rng.normal(scale=0.05, size=(50, 3))
    weights = rng.uniform(0.2, 1.0, 50)
    T = weighted_kabsch(points_map, points_camera, weights)
    expected = covariance.pose_covariance(points_map, points_camera, weights, T)
    scaled = covariance.pose_covariance(points_map, points_camera, 1e4 * weights, T)
    assert_allclose(scaled, expected, rtol=1e-9)
    assert np.all(np.linalg.eigvalsh(expected) > 0.0)


def test_noise_floor_replaces_residuals_that_vanish() -> None:
    points_camera = ahead(np.random.default_rng(2), 40)
    points_map = se3.transform_points(T_MAP_CAMERA, points_camera)
    weights = np.ones(40)
    assert_allclose(covariance.pose_covariance(points_map, points_camera, weights, T_MAP_CAMERA), 0.0, atol=1e-20)
    floored = covariance.pose_covariance(points_map, points_camera, weights, T_MAP_CAMERA, noise_floor_m=0.02)
    jacobians = covariance.point_jacobians(points_camera @ T_MAP_CAMERA[:3, :3].T)
    least_squares = 0.02**2 * np.linalg.inv(np.einsum("nij,nik->jk", jacobians, jacobians))
    assert_allclose(floored, least_squares * 120 / 114, rtol=1e-6)


def test_jacobian_is_the_derivative_in_our_convention() -> None:
    points_camera = ahead(np.random.default_rng(3), 4)
    jacobians = covariance.point_jacobians(points_camera @ T_MAP_CAMERA[:3, :3].T)
    step = 1e-6
    for axis in range(6):
        forward = se3.transform_points(perturbed(T_MAP_CAMERA, step * np.eye(6)[axis]), points_camera)
        backward = se3.transform_points(perturbed(T_MAP_CAMERA, -step * np.eye(6)[axis]), points_camera)
        assert_allclose(jacobians[:, :, axis], (forward - backward) / (2 * step), atol=1e-7)


@pytest.mark.parametrize(
    ("points", "weights", "message"),
    [
        (np.outer(np.arange(5.0), [1.0, 2.0, 4.0]), np.ones(5), "not determined"),
        (ahead(np.random.default_rng(0), 5), np.array([1.0, 1.0, 0.0, 0.0, 0.0]), "more than 2"),
        (ahead(np.random.default_rng(0), 5), np.zeros(5), "more than 2"),
    ],
)
def test_undetermined_poses_are_refused(points: Array, weights: Array, message: str) -> None:
    with pytest.raises(DegenerateGeometryError, match=message):
        covariance.pose_covariance(se3.transform_points(T_MAP_CAMERA, points), points, weights, T_MAP_CAMERA)


def test_information_is_inverted_whatever_its_units() -> None:
    rng = np.random.default_rng(4)
    jacobian, units = rng.normal(size=(20, 6)), np.array([1e6, 1e6, 1e6, 1.0, 1.0, 1e-6])
    information = (jacobian * units).T @ (jacobian * units)
    expected = np.linalg.inv(jacobian.T @ jacobian) / np.outer(units, units)
    assert_allclose(covariance.invert_information(information), expected, rtol=1e-8)
    singular = np.diag([1.0, 1.0, 1.0, 1.0, 1.0, 0.0])
    for broken in (singular, np.full((6, 6), np.nan), np.ones((6, 6))):
        with pytest.raises(DegenerateGeometryError, match="not determined"):
            covariance.invert_information(broken)


def small_covariance(seed: int) -> tuple[Array, Array]:
    """Return a (6, 6) covariance and the (6, 6) factor whose columns are errors one sigma long."""
    factor = np.random.default_rng(seed).normal(size=(6, 6)) * 1e-6
    return factor @ factor.T, factor


@given(st.integers(0, 1000), transforms, transforms)
def test_changing_the_map_frame(seed: int, T_map_camera: Array, T_new_map: Array) -> None:
    C, factor = small_covariance(seed)
    errors = [pose_error(T_new_map @ perturbed(T_map_camera, error), T_new_map @ T_map_camera) for error in factor.T]
    expected = sum(np.outer(error, error) for error in errors)
    assert_allclose(covariance.change_map_frame(C, T_new_map[:3, :3]), expected, atol=1e-15)


@given(st.integers(0, 1000), transforms, transforms)
def test_changing_the_body_frame(seed: int, T_map_camera: Array, T_camera_base: Array) -> None:
    C, factor = small_covariance(seed)
    errors = [
        pose_error(perturbed(T_map_camera, error) @ T_camera_base, T_map_camera @ T_camera_base) for error in factor.T
    ]
    expected = sum(np.outer(error, error) for error in errors)
    assert_allclose(covariance.change_body_frame(C, T_map_camera, T_camera_base), expected, atol=1e-14)


def test_lever_literal() -> None:
    # A camera 2 m ahead (+x) of the base, yaw known to 0.1 rad only: the base is uncertain sideways (y) by 0.2 m.
    C = np.diag([0.0, 0.0, 0.0, 0.0, 0.0, 0.01])
    T_camera_base = se3.from_rotation_translation(np.eye(3), [-2.0, 0.0, 0.0])
    moved = covariance.change_body_frame(C, np.eye(4), T_camera_base)
    assert_allclose(np.diagonal(moved), [0.0, 0.04, 0.0, 0.0, 0.0, 0.01])
    assert moved[1, 5] == pytest.approx(-0.02)


def exp_se3(twist: Array) -> Array:
    generator = np.zeros((4, 4))
    generator[:3, :3], generator[:3, 3] = rotation.skew(twist[3:]), twist[:3]
    return expm(generator)


@given(st.integers(0, 1000), transforms)
def test_left_perturbations_are_converted(seed: int, T_map_camera: Array) -> None:
    C, factor = small_covariance(seed)
    errors = [pose_error(exp_se3(twist) @ T_map_camera, T_map_camera) for twist in factor.T]
    expected = sum(np.outer(error, error) for error in errors)
    assert_allclose(covariance.from_left_perturbation(C, T_map_camera), expected, atol=1e-14)


@given(transforms, st.integers(0, 1000))
def test_adjoint_carries_a_motion_through(T: Array, seed: int) -> None:
    twist = np.random.default_rng(seed).normal(size=6)
    assert_allclose(T @ exp_se3(twist), exp_se3(covariance.adjoint(T) @ twist) @ T, atol=1e-9)
