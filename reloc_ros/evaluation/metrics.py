"""Figures over many frames. A rejected frame is an infinite error: it moves every quantile and counts in every rate."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from reloc_ros.errors import DatasetError
from reloc_ros.evaluation.replay import FrameResult
from reloc_ros.types import Estimate, Rejected

# (metres, degrees) by the name in the report; both must hold.
RECALL_LIMITS = {
    "0.05m_5deg": (0.05, 5.0),
    "0.1m_5deg": (0.1, 5.0),
    "0.25m_2deg": (0.25, 2.0),
    "0.25m_5deg": (0.25, 5.0),
    "0.5m_5deg": (0.5, 5.0),
}

QUANTILES = {"median": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
"""Quantile by the beginning of its names in the report."""


def quantile(values: Sequence[float], fraction: float) -> float:
    """Return a quantile with linear interpolation between order statistics, exact when values are infinite.

    `numpy.quantile` gives NaN there (inf - inf); an interpolation that touches an infinite neighbour is infinite.

    Args:
        values: at least one, none NaN.
        fraction: 0 to 1.
    """
    ordered = sorted(values)
    position = fraction * (len(ordered) - 1)
    below = math.floor(position)
    weight = position - below
    if weight == 0.0:
        return float(ordered[below])
    low, high = ordered[below], ordered[below + 1]
    return float(low + weight * (high - low)) if math.isfinite(high) else math.inf


def accuracy(results: Sequence[FrameResult]) -> dict[str, Any]:
    """Return the accuracy figures of the report, by their names there.

    Raises:
        DatasetError: there are no frames.
    """
    if not results:
        raise DatasetError("there are no frames to evaluate; choose another --split or --data")
    translation_m = [result.translation_error_m for result in results]
    rotation_deg = [result.rotation_error_deg for result in results]
    rejected = [result.localization for result in results if isinstance(result.localization, Rejected)]
    reasons = Counter(rejection.reason.value for rejection in rejected)
    return {
        "frames": len(results),
        "rejection_rate": len(rejected) / len(results),
        "rejected_by_reason": dict(sorted(reasons.items())),
        "availability": 1 - len(rejected) / len(results),
        **_false_fixes(results),
        **{f"{name}_translation_error_m": quantile(translation_m, level) for name, level in QUANTILES.items()},
        **{f"{name}_rotation_error_deg": quantile(rotation_deg, level) for name, level in QUANTILES.items()},
        "recall": {
            name: recall(translation_m, rotation_deg, limit_m, limit_deg)
            for name, (limit_m, limit_deg) in RECALL_LIMITS.items()
        },
    }


def recall(translation_m: Sequence[float], rotation_deg: Sequence[float], limit_m: float, limit_deg: float) -> float:
    """Return the fraction of all frames within both limits."""
    within = (np.asarray(translation_m) <= limit_m) & (np.asarray(rotation_deg) <= limit_deg)
    return float(np.mean(within))


def _false_fixes(results: Sequence[FrameResult]) -> dict[str, Any]:
    """Return how many poses mislead; the rate is of the poses, and None without any."""
    poses = sum(isinstance(result.localization, Estimate) for result in results)
    false = sum(result.is_false_fix for result in results)
    return {"false_fixes": false, "false_fix_rate": false / poses if poses else None}
