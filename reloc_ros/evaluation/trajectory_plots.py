"""Pictures of a trajectory beside its reference: the way seen from above with its error as colour, and the errors."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from reloc_ros.evaluation.trajectory import Comparison, Errors, statistics
from reloc_ros.types import Array

_REFERENCE, _ERROR, _RMSE, _MEDIAN = "0.55", "#0072b2", "#d55e00", "#009e73"
_AXIS_NAMES = ("x", "y", "z")
# Right and up of the picture when this axis is left out. Where y is the least it points down, as cameras have it.
_SHOWN_AXES = ((1, 2), (0, 2), (0, 1))


def way_figure(comparison: Comparison, unit: str) -> Figure:
    """Return both ways seen along the axis in which the reference extends least, the estimate coloured by its APE.

    Args:
        comparison: of at least two poses.
        unit: of lengths.
    """
    positions = comparison.reference[:, :3, 3]
    shown = _SHOWN_AXES[int(np.argmin(np.ptp(positions, axis=0)))]
    way, errors = comparison.estimate[:, shown, 3], comparison.ape.translation_m
    pieces = np.stack([way[:-1], way[1:]], axis=1)
    coloured = LineCollection(pieces, array=errors[1:], cmap="viridis", linewidths=2.5, zorder=2)
    coloured.set_clim(float(errors.min()), float(errors.max()))

    figure = Figure(figsize=(9, 8), layout="constrained")
    axes = figure.subplots()
    axes.plot(*positions[:, shown].T, color=_REFERENCE, linestyle="--", linewidth=1.2, label="reference", zorder=1)
    axes.add_collection(coloured)
    axes.plot(*way[0], "o", color="black", markersize=6, label="start", zorder=3)
    axes.autoscale_view()
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xlabel(f"{_AXIS_NAMES[shown[0]]} [{unit}]")
    axes.set_ylabel(f"{_AXIS_NAMES[shown[1]]} [{unit}]")
    axes.grid(alpha=0.3)
    axes.legend(loc="best")
    axes.set_title(f"Seen from above: {len(way)} poses")
    figure.colorbar(coloured, ax=axes, label=f"estimate: absolute error [{unit}]", shrink=0.8)
    return figure


def errors_figure(comparison: Comparison, unit: str) -> Figure:
    """Return absolute and relative errors, translation and rotation, over time or over poses without stamps.

    Args:
        comparison: of at least two poses.
        unit: of lengths.
    """
    stamps_s = comparison.stamps_s
    label = "pose" if stamps_s is None else "time [s]"
    over = np.arange(len(comparison.estimate), dtype=np.float64) if stamps_s is None else stamps_s - stamps_s[0]
    figure = Figure(figsize=(12, 7), layout="constrained")
    grid = figure.subplots(2, 2, sharex=True)
    for row, (name, errors) in zip(grid, (("APE", comparison.ape), ("RPE", comparison.rpe)), strict=True):
        _plot_errors(row[0], over, errors, errors.translation_m, f"{name} translation [{unit}]")
        _plot_errors(row[1], over, errors, errors.rotation_deg, f"{name} rotation [deg]")
    for axes in grid[1]:
        axes.set_xlabel(label)
    return figure


def _plot_errors(axes: Axes, over: Array, errors: Errors, values: Array, label: str) -> None:
    figures = statistics(values)
    axes.plot(over[errors.index], values, color=_ERROR, linewidth=1.0, marker=".", markersize=3)
    axes.axhline(figures["rmse"], color=_RMSE, linewidth=1.2, label=f"rmse {figures['rmse']:.3g}")
    axes.axhline(
        figures["median"], color=_MEDIAN, linewidth=1.2, linestyle="--", label=f"median {figures['median']:.3g}"
    )
    axes.set_ylim(bottom=0.0)
    axes.set_ylabel(label)
    axes.grid(alpha=0.3)
    # Above the axes, where it hides no peak.
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, frameon=False, borderaxespad=0.2)
