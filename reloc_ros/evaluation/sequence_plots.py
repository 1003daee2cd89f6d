"""Pictures of followed sequences: errors over the distance travelled, and ways seen from above."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from reloc_ros.evaluation.sequence_error import DISTANCE_BINS_M, FollowedSequence, FrameErrors, first_frame_truth
from reloc_ros.types import Array

# Colours that stay apart for colour-blind readers (Okabe and Ito 2008); the first is the method that is judged.
_COLOURS = ("#0072b2", "#d55e00", "0.45", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_WAYS_SHOWN = 6
# Fewer frames make no quartiles.
_FEWEST = 3
# An exact zero has no place on a logarithmic axis; it stands at a value below anything measured.
_LEAST = 1e-3


def error_figure(errors: Mapping[str, FrameErrors], title: str) -> Figure:
    """Return the median errors of each method over the distance travelled, with the quartiles of the first.

    Frames without a pose are infinite: a median they reach is off the picture.

    Args:
        errors: by method, at least one.
        title: what they are about.
    """
    figure = Figure(figsize=(12, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    panels: tuple[tuple[Axes, str, str], ...] = (
        (left, "translation_m", "translation error [m]"),
        (right, "rotation_deg", "rotation error [deg]"),
    )
    for axes, name, label in panels:
        # What stands still errs by a hundred times as much as what follows; both are to be seen.
        axes.set_yscale("log")
        for index, (method, found) in enumerate(errors.items()):
            middle_m, quartiles = _quartiles(found, getattr(found, name))
            colour = _COLOURS[index % len(_COLOURS)]
            axes.plot(middle_m, quartiles[:, 1], color=colour, marker=".", label=method)
            if index == 0:
                axes.fill_between(middle_m, quartiles[:, 0], quartiles[:, 2], color=colour, alpha=0.15, linewidth=0)
        axes.set(xlabel="distance travelled [m]", ylabel=label)
        axes.set_xlim(left=0.0)
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.grid(alpha=0.3, which="both")
    left.legend(fontsize=8)
    figure.suptitle(f"{title}: median error (band: quartiles)")
    return figure


def way_figure(sequences: Sequence[FollowedSequence], methods: Sequence[str]) -> Figure:
    """Return some of the longest ways seen from above in the axes of their first cameras: truth and methods."""
    longest = sorted(sequences, key=lambda s: -_length_m(s))[:_WAYS_SHOWN]
    columns = min(3, len(longest))
    rows = -(-len(longest) // columns)
    figure = Figure(figsize=(4.2 * columns, 4.0 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, sequence in zip(panels, longest):
        _draw_way(axes, first_frame_truth(sequence.T_world_camera), "black", "true")
        for index, method in enumerate(methods):
            _draw_way(axes, sequence.T_first_camera[method], _COLOURS[index % len(_COLOURS)], method)
        axes.set_aspect("equal", adjustable="datalim")
        axes.set_title(f"{sequence.name}, {sequence.fov_deg:.0f} deg", fontsize=9)
        axes.set(xlabel="x, right of the first camera [m]", ylabel="z, ahead of it [m]")
        axes.grid(alpha=0.3)
    for axes in panels[len(longest) :]:
        axes.set_visible(False)
    panels[0].legend(fontsize=8)
    return figure


def _draw_way(axes: Axes, T_first_camera: Array, colour: str, label: str) -> None:
    axes.plot(T_first_camera[:, 0, 3], T_first_camera[:, 2, 3], color=colour, linewidth=1.3, label=label)
    axes.plot(*T_first_camera[-1, [0, 2], 3], ".", color=colour)


def _length_m(sequence: FollowedSequence) -> float:
    return float(np.linalg.norm(np.diff(sequence.T_world_camera[:, :3, 3], axis=0), axis=1).sum())


def _quartiles(errors: FrameErrors, values: Array) -> tuple[Array, Array]:
    """Return the middles (K,) of stretches of the distance and the quartiles (K, 3) of the values in each, metres."""
    edges = [edge for low, high in pairwise(DISTANCE_BINS_M) for edge in (low, (low + high) / 2)]
    middles, quartiles = [], []
    for low, high in pairwise([*edges, DISTANCE_BINS_M[-1], np.inf]):
        inside = (errors.travelled_m >= low) & (errors.travelled_m < high)
        if inside.sum() >= _FEWEST:
            middles.append(float(np.median(errors.travelled_m[inside])))
            quartiles.append(np.quantile(values[inside], (0.25, 0.5, 0.75), method="lower"))
    return np.array(middles), np.maximum(np.array(quartiles).reshape(-1, 3), _LEAST)
