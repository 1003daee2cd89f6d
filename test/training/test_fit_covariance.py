"""The fitted calibration: planted numbers come back, and what was not used for the fit is covered as claimed."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from scipy.stats import chi2

from reloc_ros.bundle.manifest import CovarianceSpec
from reloc_ros.localization.calibration import PARTS, calibrated, squared_mahalanobis
from reloc_ros.training.fit_covariance import fit_covariance
from reloc_ros.types import Array

PLANTED = CovarianceSpec(position_scale=3.0, rotation_scale=1.5, position_floor_m=0.04, rotation_floor_rad=0.01)


def solver_covariances(rng: np.random.Generator, count: int) -> Array:
    """Return (N, 6, 6) of images near and far, with position and rotation bound together."""
    levers = np.eye(6) + np.zeros((count, 1, 1))
    levers[:, :3, 3:] = 2.0 * rng.normal(size=(count, 3, 3))
    deviations = np.exp(rng.normal(scale=0.7, size=(count, 1))) * np.array([0.01, 0.01, 0.01, 0.004, 0.004, 0.004])
    roots = levers * deviations[:, np.newaxis, :]
    return roots @ roots.transpose(0, 2, 1)


def draw_errors(rng: np.random.Generator, covariances: Array) -> Array:
    roots = np.linalg.cholesky(covariances)
    return (roots @ rng.normal(size=(len(covariances), 6, 1)))[:, :, 0]


def coverage(errors: Array, covariances: Array, part: str) -> list[float]:
    freedoms = PARTS[part].stop - PARTS[part].start
    squared = squared_mahalanobis(errors, covariances, part)
    return [float(np.mean(squared <= chi2.ppf(level, freedoms))) for level in (0.5, 0.9, 0.95)]


@pytest.fixture(scope="module")
def drawn() -> tuple[Array, Array]:
    rng = np.random.default_rng(8)
    covariances = solver_covariances(rng, 1200)
    return draw_errors(rng, calibrated(covariances, PLANTED)), covariances


@pytest.fixture(scope="module")
def fitted(drawn: tuple[Array, Array]) -> CovarianceSpec:
    errors, covariances = drawn
    return fit_covariance(errors[::2], covariances[::2])


def test_planted_numbers_come_back(fitted: CovarianceSpec) -> None:
    assert asdict(fitted) == pytest.approx(asdict(PLANTED), rel=0.3)


@pytest.mark.parametrize("part", PARTS)
def test_errors_that_were_not_fitted_are_covered_as_claimed(
    drawn: tuple[Array, Array], fitted: CovarianceSpec, part: str
) -> None:
    errors, covariances = (values[1::2] for values in drawn)
    np.testing.assert_allclose(coverage(errors, calibrated(covariances, fitted), part), [0.5, 0.9, 0.95], atol=0.045)


def test_one_scale_would_not_do(drawn: tuple[Array, Array]) -> None:
    errors, covariances = drawn
    scale = np.median(squared_mahalanobis(errors, covariances)) / chi2.median(6)
    assert coverage(errors, covariances * scale, "joint")[1] < 0.85


def test_images_of_another_place_do_not_widen_what_the_rest_claims(drawn: tuple[Array, Array]) -> None:
    errors, covariances = (values[::2].copy() for values in drawn)
    errors[:12] *= 1000.0
    calibrated_rest = calibrated(covariances, fit_covariance(errors, covariances))[12:]
    np.testing.assert_allclose(coverage(errors[12:], calibrated_rest, "joint"), [0.5, 0.9, 0.95], atol=0.045)


def test_few_errors_give_one_scale_right_in_the_median() -> None:
    rng = np.random.default_rng(2)
    covariances = solver_covariances(rng, 19)
    errors = draw_errors(rng, 4.0 * covariances)
    found = fit_covariance(errors, covariances)
    assert (found.position_floor_m, found.rotation_floor_rad) == (0.0, 0.0)
    assert found.position_scale == found.rotation_scale
    squared = squared_mahalanobis(errors, calibrated(covariances, found))
    assert np.median(squared) == pytest.approx(chi2.median(6))


def test_no_errors_leave_covariances_as_they_are() -> None:
    found = fit_covariance(np.empty((0, 6)), np.empty((0, 6, 6)))
    np.testing.assert_array_equal(calibrated(np.eye(6), found), np.eye(6))


def test_a_network_without_errors_is_no_reason_to_fail() -> None:
    covariances = solver_covariances(np.random.default_rng(4), 30)
    assert all(np.isfinite(value) for value in asdict(fit_covariance(np.zeros((30, 6)), covariances)).values())
