"""Does the covariance say how large the errors are?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import chi2

from reloc_ros.evaluation.replay import FrameResult
from reloc_ros.geometry.covariance import difference
from reloc_ros.localization.calibration import PARTS, squared_mahalanobis
from reloc_ros.types import Array

_LEVELS_PERCENT = (50, 90, 95)


def calibration(results: Sequence[FrameResult]) -> dict[str, Any]:
    """Return how the accepted frames' errors, in the true scene, compare with their covariances.

    Returns:
        `nees_median` (5.35 when calibrated) and `nees_mean` (6 when calibrated; outliers dominate it) of the squared
        error relative to the covariance; `coverage`: the fraction of frames whose truth lies inside the 50, 90 and 95 %
        ellipsoid of the pose; `coverage_position`, `coverage_rotation`: the same for each alone. All None without
        accepted frames.
    """
    nees = _squared(results, "joint")
    return {
        "nees_median": float(np.median(nees)) if len(nees) else None,
        "nees_mean": float(np.mean(nees)) if len(nees) else None,
        "coverage": _coverage(results, "joint"),
        "coverage_position": _coverage(results, "position"),
        "coverage_rotation": _coverage(results, "rotation"),
    }


def levels_reached(results: Sequence[FrameResult], part: str) -> Array:
    """Return the probability of the smallest ellipsoid that holds the truth, for each accepted frame in ascending order.

    The share of them up to q is the coverage at level q: they are uniform in 0 to 1 when the covariances are right.

    Args:
        results: rejected frames and those in another scene are left out.
        part: of `reloc_ros.localization.calibration.PARTS`.
    """
    entries = PARTS[part]
    return np.sort(chi2.cdf(_squared(results, part), entries.stop - entries.start))


def _squared(results: Sequence[FrameResult], part: str) -> Array:
    accepted = [(result.pose, result.T_map_camera) for result in results if result.pose is not None]
    errors = np.array([difference(pose.T_map_camera, truth) for pose, truth in accepted]).reshape(-1, 6)
    covariances = np.array([pose.covariance for pose, _ in accepted]).reshape(-1, 6, 6)
    return squared_mahalanobis(errors, covariances, part)


def _coverage(results: Sequence[FrameResult], part: str) -> dict[str, float | None]:
    reached = levels_reached(results, part)
    return {str(level): float(np.mean(reached <= level / 100)) if len(reached) else None for level in _LEVELS_PERCENT}
