"""Errors against literals, and the error vector against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reloc_ros.evaluation.pose_error import rotation_error_deg, translation_error_m
from reloc_ros.geometry import rotation, se3
from reloc_ros.geometry.covariance import difference

VECTOR = st.tuples(*[st.floats(-1.7, 1.7)] * 3).map(np.array)


def test_literals() -> None:
    quarter_turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    estimated = se3.from_rotation_translation(quarter_turn, np.array([1.0, 2.0, 3.0]))
    true = se3.from_rotation_translation(np.eye(3), np.array([3.0, 8.0, 6.0]))
    assert translation_error_m(estimated, true) == pytest.approx(7.0)
    assert rotation_error_deg(estimated, true) == pytest.approx(90.0)
    np.testing.assert_allclose(difference(estimated, true), [2.0, 6.0, 3.0, 0.0, 0.0, -np.pi / 2], atol=1e-12)


def test_half_a_turn_and_none() -> None:
    half = se3.from_rotation_translation(np.diag([-1.0, -1.0, 1.0]), np.zeros(3))
    assert rotation_error_deg(half, np.eye(4)) == pytest.approx(180.0)
    assert rotation_error_deg(half, half) == 0.0
    tiny = se3.from_rotation_translation(rotation.exp(np.array([0.0, 1e-9, 0.0])), np.zeros(3))
    assert rotation_error_deg(tiny, np.eye(4)) == pytest.approx(np.degrees(1e-9), rel=1e-4)


@given(rotvec=VECTOR, position=VECTOR, turned=VECTOR, moved=VECTOR)
def test_the_error_vector_leads_from_the_estimate_to_the_truth(
    rotvec: np.ndarray, position: np.ndarray, turned: np.ndarray, moved: np.ndarray
) -> None:
    estimated = se3.from_rotation_translation(rotation.exp(rotvec), position)
    true = se3.from_rotation_translation(rotation.exp(turned) @ rotation.exp(rotvec), position + moved)
    np.testing.assert_allclose(difference(estimated, true), np.concatenate([moved, turned]), atol=1e-9)
