"""Figures of a drive as a whole: how long a robot waits for a pose, and how the estimated trajectory lies on the true one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from reloc_ros.errors import ConfigError, DegenerateGeometryError
from reloc_ros.evaluation.metrics import quantile
from reloc_ros.evaluation.replay import FrameResult
from reloc_ros.evaluation.timeline import played_s, wait_for_right_fix_s
from reloc_ros.evaluation.trajectory import Comparison, Delta, Errors, compare, statistics
from reloc_ros.evaluation.trajectory_files import Trajectory

RPE_DELTA = Delta(size=1, unit="f")
"""From pose to pose, as evo does by default."""


def drive_figures(results: Sequence[FrameResult]) -> dict[str, Any]:
    """Return waiting times, ATE and RPE by their names in the report.

    Returns:
        `time_to_first_fix_s`: median and maximum over the sequences, each frame taken by itself, until the first pose
        that is no false fix; `longest_without_fix_s`; `ate`: absolute errors, without alignment (`none`: the estimate
        is in the map already) and after an SE(3) alignment (`se3`), `rpe`: from pose to pose, both over the accepted
        frames of each sequence, as evo computes them for `estimate.tum` and `ground_truth.tum` of one sequence. None
        where there are too few poses.
    """
    played = played_s(results)
    starts = [i for i, result in enumerate(results) if i == 0 or results[i - 1].sequence != result.sequence]
    waits = [wait_for_right_fix_s(results, played, start) for start in starts]
    return {
        "time_to_first_fix_s": {"median": quantile(waits, 0.5), "max": max(waits)},
        "longest_without_fix_s": _longest_wait_s(results),
        "ate": {alignment: _pooled(results, alignment, lambda found: found.ape) for alignment in ("none", "se3")},
        "rpe": _pooled(results, "none", lambda found: found.rpe),
    }


def _longest_wait_s(results: Sequence[FrameResult]) -> float:
    """Return the longest time in a sequence between right fixes, its beginning and its end."""
    played, longest, since = played_s(results), 0.0, 0.0
    for index, result in enumerate(results):
        if index and results[index - 1].sequence != result.sequence:
            longest, since = max(longest, played[index - 1] - since), played[index]
        if result.is_right_fix:
            longest, since = max(longest, played[index] - since), played[index]
    return float(max(longest, played[-1] - since))


def _pooled(
    results: Sequence[FrameResult], alignment: str, part: Callable[[Comparison], Errors]
) -> dict[str, Any] | None:
    """Return the statistics of the errors of all sequences together."""
    metres, degrees = [], []
    for _, group in groupby(results, key=lambda result: result.sequence):
        accepted = [(result.T_map_camera, result.pose.T_map_camera) for result in group if result.pose is not None]
        if not accepted:
            continue
        truth, estimate = (Trajectory(poses=np.array(poses), stamps_s=None) for poses in zip(*accepted))
        try:
            errors = part(compare(truth, estimate, alignment=alignment, delta=RPE_DELTA))
        except (ConfigError, DegenerateGeometryError):  # too few poses, or on a straight line
            continue
        metres.append(errors.translation_m)
        degrees.append(errors.rotation_deg)
    if not metres:
        return None
    return {**statistics(np.concatenate(metres)), "rotation_deg": statistics(np.concatenate(degrees))}
