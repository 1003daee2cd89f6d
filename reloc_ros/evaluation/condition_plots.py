"""Pictures of errors against what frames were taken under."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from reloc_ros.evaluation.conditions import Condition, bins
from reloc_ros.evaluation.metrics import quantile
from reloc_ros.evaluation.pose_error import FALSE_FIX_M
from reloc_ros.evaluation.replay import FrameResult
from reloc_ros.types import Array

# Okabe and Ito 2008: apart for colour-blind readers.
_POSE, _LOST = "#0072b2", "#d62728"
_SMALLEST_ERROR_M = 1e-3
_SHOWN_ERRORS_M = (0.02, 1.0)
"""At least these, so that a bad model does not look like a good one on a larger scale."""


def conditions_figure(results: Sequence[FrameResult], found: Sequence[Condition], unit: str) -> Figure:
    """Return position errors against each condition, with medians of about as many frames each.

    Args:
        results: at least one.
        found: at least one condition.
        unit: of lengths in the map.
    """
    columns = min(2, len(found))
    rows = math.ceil(len(found) / columns)
    figure = Figure(figsize=(6.5 * columns, 4.2 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    errors = np.array([result.translation_error_m for result in results])
    for axes, condition in zip(panels, found):
        _plot(axes, condition, errors, unit)
    for axes in panels[len(found) :]:
        axes.set_axis_off()
    return figure


def _plot(axes: Axes, condition: Condition, errors: Array, unit: str) -> None:
    has_pose = np.isfinite(errors)
    shown = np.maximum(errors, _SMALLEST_ERROR_M)
    axes.semilogy(condition.values[has_pose], shown[has_pose], ".", color=_POSE, alpha=0.6, label="frames with a pose")
    # A frame without a pose is an infinite error: where most have none the curve ends.
    medians = [quantile(list(errors[part]), 0.5) for part in bins(condition)]
    axes.semilogy(
        [float(np.median(condition.values[part])) for part in bins(condition)],
        [max(value, _SMALLEST_ERROR_M) if math.isfinite(value) else math.nan for value in medians],
        "o-", color="black", label="median (rejected frames are infinite)",
    )  # fmt: skip
    axes.axhline(FALSE_FIX_M, color=_LOST, linestyle="--", linewidth=1, label=f"false fix ({FALSE_FIX_M:g} {unit})")
    if not has_pose.all():
        lost = condition.values[~has_pose]
        # Points on the lower edge, whatever the scale.
        axes.plot(lost, np.zeros(len(lost)), "x", color=_LOST, transform=axes.get_xaxis_transform(), clip_on=False,
                  label=f"rejected ({len(lost)})")  # fmt: skip
    axes.set(xlabel=condition.label, ylabel=f"position error [{unit}]")
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, _SHOWN_ERRORS_M[0]), max(high, _SHOWN_ERRORS_M[1]))
    # 0.05 m reads faster than 5 x 10^-2 m.
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.3, which="both")
    axes.legend(loc="best", fontsize=8)
