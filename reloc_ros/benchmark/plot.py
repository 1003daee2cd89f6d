"""The tables as one picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from reloc_ros.benchmark.networks import BACKENDS, Row

# Okabe and Ito 2008: apart for colour-blind readers.
_COLOURS = ("#999999", "#555555", "#0072b2", "#56b4e9", "#e69f00", "#d55e00", "#cc79a7", "#009e73")
_BAR = 0.8
_SWEEPS = {
    "resolution": ("pixels of the image", "ms for one image"),
    "batch": ("images in a call", "images a second"),
}


def write_plot(path: Path, rows: Sequence[Row]) -> None:
    """Draw latency by network and back end, and beside it what it depends on.

    Args:
        path: PNG file to write; none is written where nothing was measured.
        rows: of all tables.
    """
    measured = [row for row in rows if not row.figures.problem]
    if not measured:
        return
    networks = [row for row in measured if row.section == "networks"]
    sweeps = [name for name in (*_SWEEPS, "tuning") if any(row.section == name for row in measured)]
    names = list(dict.fromkeys(row.network for row in networks))
    height = max(4.0, 1.0 + 1.1 * len(names), 3.0 * len(sweeps))
    figure = Figure(figsize=(12.5 if sweeps and networks else 8.0, height), layout="constrained")
    FigureCanvasAgg(figure)
    sides = figure.subfigures(1, 2, width_ratios=(1.5, 1.0)) if sweeps and networks else [figure]
    if networks:
        _plot_networks(sides[0].subplots(), networks, names)
    if sweeps:
        panels = sides[-1].subplots(len(sweeps), 1, squeeze=False)[:, 0]
        for axes, name in zip(panels, sweeps, strict=True):
            chosen = [row for row in measured if row.section == name]
            (_plot_tuning if name == "tuning" else _plot_sweep)(axes, chosen)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _plot_networks(axes: Axes, rows: Sequence[Row], names: Sequence[str]) -> None:
    present = [name for name in BACKENDS if any(row.what == name for row in rows)]
    width = _BAR / max(len(present), 1)
    # Networks differ by far more than back ends: each has its own unit, what its first back end takes.
    units_ms = {row.network: row.figures.p50_ms for row in reversed(rows)}
    for index, backend in enumerate(present):
        chosen = [row for row in rows if row.what == backend]
        at = [names.index(row.network) + (index + 0.5) * width - _BAR / 2 for row in chosen]
        unit_ms = np.array([units_ms[row.network] for row in chosen])
        p50 = np.array([row.figures.p50_ms for row in chosen]) / unit_ms
        p99 = np.array([row.figures.p99_ms for row in chosen]) / unit_ms
        axes.barh(at, p50, width, color=_COLOURS[BACKENDS.index(backend)], label=backend)
        axes.errorbar(p50, at, xerr=[np.zeros_like(p50), p99 - p50], fmt="none", ecolor="black", elinewidth=0.8)
        for place, end, row in zip(at, p99, chosen, strict=True):
            axes.annotate(f" {row.figures.p50_ms:.1f} ms", (end, place), va="center", fontsize=7)
    sizes = {row.network: row.size for row in rows}
    axes.set_yticks(range(len(names)), [f"{name}\n{sizes[name]}" for name in names])
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel(f"time for one image, median of {present[0]} = 1; line to the 99th percentile")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize=8)


def _plot_sweep(axes: Axes, rows: Sequence[Row]) -> None:
    section = rows[0].section
    for backend in dict.fromkeys(row.figures.contender.backend for row in rows):
        chosen = [row for row in rows if row.figures.contender.backend == backend]
        if section == "resolution":
            at = [int(np.prod([int(side) for side in row.size.split("x")])) for row in chosen]
            values = [row.figures.p50_ms for row in chosen]
        else:
            at = [row.figures.contender.batch for row in chosen]
            values = [row.figures.images_per_s for row in chosen]
        axes.plot(at, values, "o-", color=_COLOURS[BACKENDS.index(backend)], label=backend)
        if section == "resolution":
            axes.set_xticks(at, [row.size for row in chosen], fontsize=8)
    axes.set_xlabel(_SWEEPS[section][0])
    axes.set_ylabel(_SWEEPS[section][1])
    axes.set_ylim(bottom=0)
    axes.set_title(rows[0].network, fontsize=9)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def _plot_tuning(axes: Axes, rows: Sequence[Row]) -> None:
    at = np.arange(len(rows))
    axes.barh(at - 0.2, [row.figures.p50_ms for row in rows], 0.4, color=_COLOURS[2], label="ms for one image")
    axes.barh(at + 0.2, [row.figures.cpu_ms for row in rows], 0.4, color=_COLOURS[4], label="ms of CPU time")
    axes.set_yticks(at, [row.what for row in rows], fontsize=8)
    axes.invert_yaxis()
    axes.set_title(f"{rows[0].network}, onnxruntime", fontsize=9)
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize=8)
