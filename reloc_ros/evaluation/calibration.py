"""Does the covariance say how large the errors are?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import chi2

from reloc_ros.evaluation.pose_error import error_vector
from reloc_ros.evaluation.replay import FrameResult
from reloc_ros.types import Array, Estimate

_POSE_FREEDOMS = 6
_LEVELS_PERCENT = (50, 90, 95)


def squared_mahalanobis(estimate: Estimate, T_map_camera_true: Array) -> float:
    """Return the normalised estimation error squared, d^T C^-1 d: chi-square with 6 freedoms when C is right."""
    error = error_vector(estimate.T_map_camera, T_map_camera_true)
    return float(error @ np.linalg.solve(estimate.covariance, error))


def calibration(results: Sequence[FrameResult]) -> dict[str, Any]:
    """Return how the accepted frames' errors, in the true scene, compare with their covariances.

    Returns:
        `nees_median` (5.35 when calibrated), `nees_mean` (6 when calibrated; outliers dominate it) and `coverage`: the
        fraction of frames whose truth lies inside the 50, 90 and 95 % ellipsoid. All None without accepted frames.
    """
    nees = [squared_mahalanobis(result.pose, result.T_map_camera) for result in results if result.pose is not None]
    return {
        "nees_median": float(np.median(nees)) if nees else None,
        "nees_mean": float(np.mean(nees)) if nees else None,
        "coverage": {str(level): _coverage(nees, level) for level in _LEVELS_PERCENT},
    }


def _coverage(nees: Sequence[float], level_percent: int) -> float | None:
    limit = chi2.ppf(level_percent / 100, _POSE_FREEDOMS)
    return float(np.mean(np.asarray(nees) <= limit)) if nees else None
