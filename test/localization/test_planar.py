"""A pose set on the floor keeps x, y and yaw, and says how far it was off."""

from __future__ import annotations

import numpy as np
import pytest
from driving import pose
from hypothesis import given
from hypothesis import strategies as st

from reloc_ros.geometry import se3
from reloc_ros.localization import planar
from reloc_ros.localization.fusion import Belief


def belief(T_map_body: np.ndarray, covariance: np.ndarray) -> Belief:
    return Belief(T_map_body=T_map_body, covariance=covariance, T_odom_body=pose(1.0, 2.0, 0.3, z=0.4), stamp_ns=5)


@given(
    x=st.floats(-50, 50), y=st.floats(-50, 50), yaw=st.floats(-3.1, 3.1), z=st.floats(-3, 3), roll=st.floats(-1.2, 1.2)
)
def test_x_y_and_yaw_stay(x, y, yaw, z, roll):
    np.testing.assert_allclose(planar.flatten(pose(x, y, yaw, z, roll)), pose(x, y, yaw), atol=1e-9)


def test_pitch_does_not_turn_the_yaw():
    pitched = pose(1.0, 2.0, 0.5).copy()
    c, s = np.cos(0.4), np.sin(0.4)
    pitched[:3, :3] = pitched[:3, :3] @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    np.testing.assert_allclose(planar.flatten(pitched), pose(1.0, 2.0, 0.5), atol=1e-12)


def test_the_covariance_is_the_marginal_of_x_y_and_yaw():
    random = np.random.default_rng(2).normal(size=(6, 6))
    covariance = random @ random.T
    flat = planar.flatten_belief(belief(pose(1.0, 2.0, 0.5, z=0.3, roll=0.1), covariance))
    np.testing.assert_allclose(flat.covariance[[0, 0, 1, 5], [0, 5, 5, 5]], covariance[[0, 0, 1, 5], [0, 5, 5, 5]])
    np.testing.assert_array_equal(flat.covariance[2], [0.0, 0.0, 1e-6, 0.0, 0.0, 0.0])
    assert np.all(np.linalg.eigvalsh(flat.covariance) > 0.0)
    np.testing.assert_allclose(flat.T_odom_body, pose(1.0, 2.0, 0.3), atol=1e-12)
    assert se3.is_rigid(flat.T_map_odom)


def test_height_and_tilt_are_measured_in_their_own_certainty():
    covariance = np.diag([9.0, 9.0, 0.04, 0.01, 0.01, 9.0])
    assert planar.squared_distance_from_floor(belief(pose(1.0, 2.0, 0.5), covariance)) == pytest.approx(0.0, abs=1e-12)
    high = belief(pose(1.0, 2.0, 0.5, z=0.6), covariance)
    assert planar.squared_distance_from_floor(high) == pytest.approx(0.36 / 0.04)
    tilted = belief(pose(1.0, 2.0, 0.5, z=0.6, roll=0.3), covariance)
    assert planar.squared_distance_from_floor(tilted) == pytest.approx(9.0 + 9.0)
