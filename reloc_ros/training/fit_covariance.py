"""Fit the calibration of a scene's covariances to the errors of held-out images.

Judged by the share of errors inside the 50/90/95 % regions of position and rotation together, fitted on every other
held-out image and looked at on the rest (150 images of redkitchen, 200 of the apartment, both ways round):

| | redkitchen | apartment |
|---|---|---|
| one scale, right in the median | 50/66/72 | 52/82/88 |
| one scale, right at 90 % | 69/90/94 | 65/89/92 |
| two scales | 30/62/70 | 42/74/80 |
| two scales and floors | 57/88/92 | 58/86/90 |

With one scale the position alone is inside 71/96/98 on redkitchen and 58/85/89 in the apartment, with floors 57/88/94
and 62/86/92: what was wrong is the correlation of position and rotation, and floors loosen it.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.stats import chi2

from reloc_ros.bundle.manifest import CovarianceSpec
from reloc_ros.localization.calibration import PARTS, calibrated, squared_mahalanobis
from reloc_ros.types import Array

# Quantiles that are brought to those of chi-square. The last twentieth stays out: one image of another place is no size
# of an error.
_LEVELS = (0.5, 0.75, 0.9, 0.95)
# Fewer errors have no 95 % quantile.
_FEWEST = 20
# A floor this share of the median error is none; one above the median error would leave the solver nothing to say.
_LOW_FLOOR, _FIRST_FLOOR, _HIGH_FLOOR = 1e-3, 0.25, 1.0
_LOW_SCALE, _FIRST_SCALE, _HIGH_SCALE = 1e-2, 0.7, 1e2
# Far below any camera, so that a perfect network has logarithms.
_EXACT = 1e-12
_MOST_EVALUATIONS = 600


def fit_covariance(errors: Array, covariances: Array) -> CovarianceSpec:
    """Return the calibration with which the errors' sizes are distributed as their covariances say.

    The squared errors relative to the covariances, of the pose and of its position and rotation alone, have the
    quantiles of chi-square as nearly as four numbers allow: least squares of their logarithms. Few errors give one
    scale alone, right in the median; none leave the covariances as they are.

    Args:
        errors: (N, 6) truth minus estimate, order and axes of `reloc_ros.types.Estimate.covariance`.
        covariances: (N, 6, 6) of the solver, positive definite, of images no gate has chosen.
    """
    if not len(errors):
        return CovarianceSpec(position_scale=1.0, rotation_scale=1.0, position_floor_m=0.0, rotation_floor_rad=0.0)
    scale = _median_scale(errors, covariances)
    if len(errors) < _FEWEST:
        return CovarianceSpec(position_scale=scale, rotation_scale=scale, position_floor_m=0.0, rotation_floor_rad=0.0)
    unit = np.log([scale, scale, _median_size(errors, "position"), _median_size(errors, "rotation")])

    def misfit(logarithms: Array) -> float:
        return _misfit(errors, calibrated(covariances, _spec(unit + logarithms)))

    scales, floors = (_LOW_SCALE, _FIRST_SCALE, _HIGH_SCALE), (_LOW_FLOOR, _FIRST_FLOOR, _HIGH_FLOOR)
    low, first, high = np.log([scales, scales, floors, floors]).T
    found = minimize(
        misfit,
        first,
        method="Nelder-Mead",
        bounds=list(zip(low, high, strict=True)),
        options={"maxfev": _MOST_EVALUATIONS, "xatol": 1e-2, "fatol": 1e-5},
    )
    return _spec(unit + found.x)


def _spec(logarithms: Array) -> CovarianceSpec:
    position_scale, rotation_scale, position_floor_m, rotation_floor_rad = np.exp(logarithms).tolist()
    return CovarianceSpec(
        position_scale=position_scale,
        rotation_scale=rotation_scale,
        position_floor_m=position_floor_m,
        rotation_floor_rad=rotation_floor_rad,
    )


def _median_scale(errors: Array, covariances: Array) -> float:
    """Return the factor on standard deviations that makes the median of the squared relative errors right."""
    ratio = float(np.median(squared_mahalanobis(errors, covariances))) / chi2.median(6)
    return float(np.sqrt(max(ratio, _EXACT)))


def _median_size(errors: Array, part: str) -> float:
    return max(float(np.median(np.linalg.norm(errors[:, PARTS[part]], axis=1))), _EXACT)


def _misfit(errors: Array, covariances: Array) -> float:
    total = 0.0
    for part, entries in PARTS.items():
        found = np.quantile(squared_mahalanobis(errors, covariances, part), _LEVELS)
        expected = chi2.ppf(_LEVELS, entries.stop - entries.start)
        total += float(np.mean((np.log(np.maximum(found, _EXACT)) - np.log(expected)) ** 2))
    return total
