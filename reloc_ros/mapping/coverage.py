"""Picture of a mapping drive: what was covered and what dropped."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from reloc_ros.datasets.images import PosedImage
from reloc_ros.datasets.pictures import level_frame
from reloc_ros.mapping.frames import Choice, Drop

# Okabe and Ito 2008: apart for colour-blind readers.
_KEPT, _HELD_OUT, _JUMP, _GUARD = "#0072b2", "#e69f00", "#d62728", "#999999"
_DROPPED = {
    Drop.JUMP: ("#d55e00", "x"),
    Drop.UNREADABLE: ("#000000", "v"),
    Drop.FROZEN: ("#cc79a7", "s"),
    Drop.BLURRED: ("#009e73", "+"),
}
"""Colour and marker of what is worth seeing on the map; frames at rest lie on kept ones."""
_ARROWS = 250
_HEADING_BINS = 36


def coverage_figure(
    images: Sequence[PosedImage], choice: Choice, held_out: Sequence[int], guard: Sequence[int]
) -> Figure:
    """Return path, kept, held-out and dropped frames seen from above, and the headings of the kept ones.

    Args:
        images: of the drive, all with a pose.
        choice: what became of them.
        held_out: indices of kept images that the verdict rests on.
        guard: indices of kept images between the two parts.
    """
    level = level_frame(images)
    positions = np.array([level.R_level_map @ image.T_map_camera[:3, 3] for image in images])[:, :2]
    forward = np.array([level.R_level_map @ image.T_map_camera[:3, 2] for image in images])[:, :2]
    trained = sorted(set(choice.kept) - set(held_out) - set(guard))
    figure = Figure(figsize=(13, 7.5), layout="constrained")
    grid = figure.add_gridspec(1, 2, width_ratios=(2.4, 1))
    above = figure.add_subplot(grid[0])
    for piece in np.split(np.arange(len(images)), [jump + 1 for jump in choice.jumps]):
        above.plot(*positions[piece].T, color="#cccccc", linewidth=1, zorder=1)
    for indices, colour, label in (
        (trained, _KEPT, "learned from"),
        (list(held_out), _HELD_OUT, "held out for the verdict"),
        (list(guard), _GUARD, "left out between the two"),
    ):
        if indices:
            above.plot(*positions[indices].T, ".", color=colour, markersize=5, label=f"{label} ({len(indices)})")
    for indices, colour in ((trained, _KEPT), (list(held_out), _HELD_OUT)):
        shown = indices[:: max(1, math.ceil(len(indices) / _ARROWS))]
        above.quiver(*positions[shown].T, *forward[shown].T, color=colour, width=0.0018, scale=32, alpha=0.7)
    for reason, (colour, marker) in _DROPPED.items():
        lost = [index for index, why in choice.dropped.items() if why is reason]
        if lost:
            label = f"dropped: {reason.value} ({len(lost)})"
            above.plot(*positions[lost].T, marker, color=colour, markersize=5, linestyle="none", label=label)
    for number, jump in enumerate(choice.jumps):
        named = f"jumps of the reference ({len(choice.jumps)})" if number == 0 else None
        above.plot(*positions[jump : jump + 2].T, "--", color=_JUMP, linewidth=1.5, label=named)
    above.set_aspect("equal", adjustable="datalim")
    above.set(xlabel=f"{level.labels[0]} [m]", ylabel=f"{level.labels[1]} [m]")
    above.grid(alpha=0.3)
    above.legend(loc="best", fontsize=8)
    extent = " x ".join(f"{side:.3g}" for side in np.ptp(positions, axis=0))
    above.set_title(f"Seen from above: {len(choice.kept)} of {len(images)} frames kept, {extent} m")
    polar = figure.add_subplot(grid[1], projection="polar")
    headings = np.arctan2(forward[trained, 1], forward[trained, 0])
    counts, edges = np.histogram(headings, bins=_HEADING_BINS, range=(-math.pi, math.pi))
    polar.bar(edges[:-1], counts, width=2 * math.pi / _HEADING_BINS, align="edge", color=_KEPT)
    polar.set_title("learned frames by heading (0 deg points right)")
    return figure
