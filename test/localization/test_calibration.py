"""Covariances after calibration: literals, and the squared errors that judge them."""

from __future__ import annotations

import numpy as np
import pytest

from reloc_ros.bundle.manifest import CovarianceSpec
from reloc_ros.localization.calibration import calibrated, squared_mahalanobis

SPEC = CovarianceSpec(position_scale=2.0, rotation_scale=3.0, position_floor_m=0.5, rotation_floor_rad=0.1)


def test_scales_multiply_deviations_and_floors_join_each_axis() -> None:
    covariance = np.diag([1.0, 4.0, 9.0, 0.01, 0.04, 0.09])
    covariance[0, 1] = covariance[1, 0] = 0.5
    covariance[1, 5] = covariance[5, 1] = -0.2
    found = calibrated(covariance, SPEC)
    np.testing.assert_allclose(np.diagonal(found), [4.25, 16.25, 36.25, 0.10, 0.37, 0.82])
    assert found[0, 1] == found[1, 0] == pytest.approx(2.0)
    assert found[1, 5] == found[5, 1] == pytest.approx(-1.2)
    assert np.count_nonzero(found) == 10


def test_many_covariances_are_calibrated_as_each_alone() -> None:
    rng = np.random.default_rng(3)
    roots = rng.normal(size=(4, 6, 6))
    covariances = roots @ roots.transpose(0, 2, 1)
    together = calibrated(covariances, SPEC)
    for one, found in zip(covariances, together, strict=True):
        np.testing.assert_array_equal(calibrated(one, SPEC), found)
        assert np.linalg.eigvalsh(found)[0] > 0.0


def test_a_squared_error_knows_its_part_and_its_correlation() -> None:
    covariance = np.diag([1.0, 4.0, 9.0, 0.01, 0.04, 0.09])
    covariance[0, 3] = covariance[3, 0] = 0.08
    errors = np.array([[1.0, 2.0, 3.0, 0.1, 0.2, 0.3], [0.0, 0.0, 6.0, 0.0, 0.0, 0.0]])
    both = np.stack([covariance, covariance])
    np.testing.assert_allclose(squared_mahalanobis(errors, both, "position"), [3.0, 4.0])
    np.testing.assert_allclose(squared_mahalanobis(errors, both, "rotation"), [3.0, 0.0])
    # Of the correlated pair 1 and 0.1, each one deviation: 2 / (1 + 0.8).
    np.testing.assert_allclose(squared_mahalanobis(errors, both), [4.0 + 2.0 / 1.8, 4.0])
