"""Pictures of an evaluation: the way seen from above, the errors, what covariances promise. Object interface only: no display, no state."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from numpy.typing import NDArray

from reloc_ros.evaluation.calibration import levels_reached
from reloc_ros.evaluation.replay import FrameResult
from reloc_ros.evaluation.timeline import is_step
from reloc_ros.types import Array, Estimate

# Blue, orange and red that stay apart for colour-blind readers (Okabe and Ito 2008).
_TRUE, _ESTIMATED, _REJECTED = "#0072b2", "#e69f00", "#d62728"
# The same palette: pose, its position, its rotation.
_PART_COLOURS = {"joint": "black", "position": "#0072b2", "rotation": "#009e73"}
# Two-sided 95 % of a normal distribution.
_USUAL_DEVIATIONS = 1.96
_AXIS_NAMES = ("x", "y", "z")
# Seen from above an image's right and up are these map axes, so that right x up = the axis that points to the viewer.
_RIGHT_AND_UP = {(0, 1): (1, 2), (0, -1): (2, 1), (1, 1): (2, 0), (1, -1): (0, 2), (2, 1): (0, 1), (2, -1): (1, 0)}
_SHOWN_MARGIN = 0.15


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, without the time and version that would make two equal runs differ."""
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=120, metadata={"Software": None})


def trajectory_figure(results: Sequence[FrameResult], unit: str) -> Figure:
    """Return the true way, the estimates and the rejected frames seen from above.

    What is above is not assumed: it is the map axis that the cameras' upper image edges point to on average.

    Args:
        results: at least one.
        unit: of lengths in the map.
    """
    right, up = _top_down_axes(results)
    true = np.array([result.T_map_camera[:3, 3] for result in results])[:, [right, up]]
    accepted = np.array([result.pose is not None for result in results])
    estimated = np.array([result.pose.T_map_camera[:3, 3] for result in results if result.pose is not None]).reshape(
        -1, 3
    )[:, [right, up]]

    figure = Figure(figsize=(9, 8), layout="constrained")
    axes = figure.subplots()
    low, high = _shown_box(true)
    outside = int(np.sum(np.any((estimated < low) | (estimated > high), axis=1)))
    for k, piece in enumerate(_pieces(results)):
        axes.plot(
            *true[piece].T, color=_TRUE, linewidth=1.5, marker=".", markersize=3, label="true" if k == 0 else None
        )
    for start, end in zip(true[accepted], estimated, strict=True):
        axes.plot(*np.stack([start, end]).T, color=_ESTIMATED, linewidth=0.5, alpha=0.6)
    axes.plot(*estimated.T, ".", color=_ESTIMATED, markersize=5, label=f"estimated ({accepted.sum()})")
    if not accepted.all():
        missing = true[~accepted]
        axes.plot(*missing.T, "x", color=_REJECTED, markersize=6, label=f"{_without_pose(results)}, at the true place")
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    axes.set_aspect("equal")
    axes.set_xlabel(f"map {_AXIS_NAMES[right]} [{unit}]")
    axes.set_ylabel(f"map {_AXIS_NAMES[up]} [{unit}]")
    axes.grid(alpha=0.3)
    axes.legend(loc="best")
    note = f"; {outside} estimates lie outside the picture" if outside else ""
    axes.set_title(f"Seen from above: {len(results)} frames{note}")
    return figure


def error_figure(results: Sequence[FrameResult], unit: str) -> Figure:
    """Return both errors over the frames and as cumulative curves; rejected frames never reach the curve.

    Args:
        results: at least one.
        unit: of lengths in the map.
    """
    figure = Figure(figsize=(12, 7), layout="constrained")
    grid = figure.subplots(2, 2, gridspec_kw={"width_ratios": (2, 1)})
    rows = (
        (f"translation error [{unit}]", np.array([result.translation_error_m for result in results])),
        ("rotation error [deg]", np.array([result.rotation_error_deg for result in results])),
    )
    for (over_frames, cumulative), (label, errors) in zip(grid, rows, strict=True):
        _plot_over_frames(over_frames, label, errors, _without_pose(results))
        _plot_cumulative(cumulative, label, errors)
    return figure


def _without_pose(results: Sequence[FrameResult]) -> str:
    """Return how many frames have no pose that could be compared, and why."""
    elsewhere = sum(result.pose is None and isinstance(result.localization, Estimate) for result in results)
    missing = sum(result.pose is None for result in results)
    return f"rejected ({missing - elsewhere})" + (f" or in another scene ({elsewhere})" if elsewhere else "")


def reliability_figure(results: Sequence[FrameResult]) -> Figure:
    """Return how many truths lie inside the ellipsoid of each level, beside how many should.

    Below the diagonal covariances are too small, above it too large. The grey band holds 95 % of the curves of as many
    independent frames with right covariances.

    Args:
        results: at least one; only accepted frames are drawn.
    """
    figure = Figure(figsize=(6.5, 6), layout="constrained")
    axes = figure.subplots()
    level = np.linspace(0.0, 1.0, 101)
    axes.plot((0, 100), (0, 100), color="grey", linewidth=0.8, linestyle="--", label="right")
    count = 0
    for part, colour in _PART_COLOURS.items():
        reached = levels_reached(results, part)
        count = len(reached)
        if count:
            share = np.searchsorted(reached, level, side="right") / count
            axes.plot(100 * level, 100 * share, color=colour, label="pose" if part == "joint" else part)
    if count:
        usual = _USUAL_DEVIATIONS * np.sqrt(level * (1 - level) / count)
        low, high = np.clip(level - usual, 0.0, 1.0), np.clip(level + usual, 0.0, 1.0)
        axes.fill_between(100 * level, 100 * low, 100 * high, color="grey", alpha=0.2, linewidth=0)
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 101)
    axes.set_aspect("equal")
    axes.set_xlabel("ellipsoid that should hold the truth in this share of frames [%]")
    axes.set_ylabel("frames in which it does [%]")
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left")
    axes.set_title(f"Do covariances tell the truth? {count} accepted frames")
    return figure


def _plot_over_frames(axes: Axes, label: str, errors: Array, without_pose: str) -> None:
    index, finite = np.arange(len(errors)), np.isfinite(errors)
    # An exact zero has no place on a logarithmic axis; it stands at a value below anything measured.
    axes.semilogy(
        index[finite], np.maximum(errors[finite], 1e-6), ".", color=_ESTIMATED, markersize=4, label="accepted"
    )
    for position in index[~finite]:
        axes.axvline(position, color=_REJECTED, linewidth=0.6, alpha=0.5)
    if not finite.all():
        axes.plot([], [], color=_REJECTED, label=without_pose)
    axes.set_xlim(-0.5, len(errors) - 0.5)
    _write_plain_numbers(axes.yaxis)
    axes.set_xlabel("frame")
    axes.set_ylabel(label)
    axes.grid(alpha=0.3, which="both")
    axes.legend(loc="upper right")


def _plot_cumulative(axes: Axes, label: str, errors: Array) -> None:
    reached = np.sort(errors[np.isfinite(errors)])
    share_percent = 100 * np.arange(1, len(reached) + 1) / len(errors)
    axes.semilogx(np.maximum(reached, 1e-6), share_percent, color=_TRUE, drawstyle="steps-post")
    axes.axhline(50, color="grey", linewidth=0.8, linestyle="--")
    _write_plain_numbers(axes.xaxis)
    axes.set_ylim(0, 101)
    axes.set_xlabel(label)
    axes.set_ylabel("of all frames below [%]")
    axes.grid(alpha=0.3, which="both")


def _write_plain_numbers(axis: Axis) -> None:
    # 0.05 m reads faster than 5 x 10^-2 m.
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def _top_down_axes(results: Sequence[FrameResult]) -> tuple[int, int]:
    # The camera's y points down in the image.
    above = -np.mean([result.T_map_camera[:3, 1] for result in results], axis=0)
    axis = int(np.argmax(np.abs(above)))
    return _RIGHT_AND_UP[axis, 1 if above[axis] >= 0 else -1]


def _shown_box(true: Array) -> tuple[Array, Array]:
    low, high = true.min(axis=0), true.max(axis=0)
    margin = _SHOWN_MARGIN * max(float(np.max(high - low)), 0.1)
    return low - margin, high + margin


def _pieces(results: Sequence[FrameResult]) -> list[NDArray[np.intp]]:
    """Return indices of consecutive frames, cut where the sequence changes or the time jumps."""
    cuts = [i for i, follows in enumerate(is_step(results), start=1) if not follows]
    return np.split(np.arange(len(results)), cuts)
