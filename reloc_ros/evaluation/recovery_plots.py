"""The picture of kidnapped robots: some runs in time, how soon all recover, and what more evidence costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, NullFormatter

from reloc_ros.evaluation.recovery_traces import Trace
from reloc_ros.localization.decision import State

_BANDS = {
    State.INIT: ("#e6e6e6", "silent: init or lost"),
    State.LOST: ("#e6e6e6", "silent: init or lost"),
    State.CANDIDATE: ("#fff3c4", "silent: candidate"),
    State.TRACKING: ("#d3efdf", "tracking: poses are published"),
    State.DEGRADED: ("#fddcc0", "degraded: map -> odom only"),
}
# Colours that stay apart for colour-blind readers (Okabe and Ito 2008).
_FIX, _TRUSTED, _GOOD, _FALSE, _TIME = "#888888", "black", "#009e73", "#d62728", "#0072b2"
_LOWEST, _HIGHEST = 0.03, 30.0
_HEADROOM = 6.0


def recovery_figure(report: Mapping[str, Any], traces: Mapping[str, Trace]) -> Figure:
    """Return the picture of a report.

    Args:
        report: as `recovery_report.measure` makes it.
        traces: runs to show, one under the other, by what is special about each.
    """
    heights = [2.3] * len(traces) + [0.7, 3.0]
    figure = Figure(figsize=(13, sum(heights) + 1.2), layout="constrained")
    figure.suptitle(_title(report), fontsize=13, fontweight="bold")
    rows = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    for index, (name, item) in enumerate(traces.items()):
        axes = figure.add_subplot(rows[index])
        timeline(axes, item)
        axes.set_title(name, loc="left", fontsize=10)
        if index + 1 == len(traces):
            axes.set_xlabel("seconds")
    legend = figure.add_subplot(rows[-2])
    legend.set_axis_off()
    legend.legend(handles=legend_handles(), loc="center", ncols=3, frameon=False)
    has_points = bool(report["trade_off"])
    panels = rows[-1].subgridspec(1, 3 if has_points else 2)
    _recoveries(figure.add_subplot(panels[0]), report)
    if has_points:
        _false_fixes_over_votes(figure.add_subplot(panels[1]), report["trade_off"])
        _times_over_votes(figure.add_subplot(panels[2]), report["trade_off"])
    else:
        _guard(figure.add_subplot(panels[1]), report)
    return figure


def _title(report: Mapping[str, Any]) -> str:
    found = round(report["success_rate"] * report["kidnaps"])
    return (
        f"{report['scenario']}: {found} of {report['kidnaps']} robots found themselves, "
        f"{report['false_fixes']} of {report['published']} published poses wrong\n{report['source']}"
    )


def timeline(axes: Axes, item: Trace) -> None:
    """Draw the states and errors of one run in time."""
    step_s = float(np.median(np.diff(item.times_s)))
    start = 0
    for state, steps in groupby(item.states):
        end = start + len(list(steps))
        axes.axvspan(item.times_s[start], item.times_s[end - 1] + step_s, color=_BANDS[state][0], lw=0)
        start = end
    axes.axhline(1.0, color=_FALSE, lw=1.2, ls="--")
    axes.plot(item.times_s, item.fix.clip(_LOWEST, _HIGHEST), ".", color=_FIX, ms=4)
    wrong = item.trusted > 1.0
    axes.plot(item.times_s, np.where(wrong, np.nan, item.trusted).clip(_LOWEST), color=_TRUSTED, lw=1.0)
    axes.plot(item.times_s, np.where(wrong, item.trusted, np.nan).clip(_LOWEST, _HIGHEST), color=_FALSE, lw=3.0)
    false = item.published > 1.0
    right = np.isfinite(item.published) & ~false
    axes.plot(item.times_s[right], item.published[right].clip(_LOWEST), "o", color=_GOOD, ms=3.2)
    axes.plot(item.times_s[false], item.published[false].clip(_LOWEST, _HIGHEST), "X", color=_FALSE, ms=9)
    since_s = item.kidnap_s or 0.0
    if item.kidnap_s is not None:
        mark(axes, item.kidnap_s, "kidnapped", _TRUSTED)
    if item.recovered_s is not None:
        again = "right" if item.kidnap_s is None else "right again"
        mark(axes, since_s + item.recovered_s, f"{again} after {item.recovered_s:.1f} s", _GOOD)
    axes.set(yscale="log", ylim=(_LOWEST, _HEADROOM * _HIGHEST), xlim=(item.times_s[0], item.times_s[-1] + step_s))
    axes.set_yticks([0.1, 1.0, 10.0], ["5 cm or 1°", "0.5 m or 10°", "5 m or 100°"])
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylabel("true error")


def mark(axes: Axes, time_s: float, text: str, colour: str) -> None:
    """Draw a moment with its name in the headroom, above all errors."""
    axes.axvline(time_s, color=colour, lw=1.8)
    axes.annotate(
        text, (time_s, _HEADROOM * _HIGHEST), xytext=(5, -4), textcoords="offset points", va="top", color=colour,
        fontweight="bold", fontsize=10,
    )  # fmt: skip


def legend_handles() -> list[Line2D | Patch]:
    """Return what explains timelines."""
    bands = {label: Patch(color=colour, label=label) for colour, label in _BANDS.values()}
    return [
        *bands.values(),
        Line2D([], [], color=_FIX, marker=".", ls="", label="fix of one image, not published"),
        Line2D([], [], color=_TRUSTED, label="map -> odom"),
        Line2D([], [], color=_FALSE, lw=3.0, label="map -> odom while it is wrong"),
        Line2D([], [], color=_GOOD, marker="o", ls="", ms=5, label="published pose"),
        Line2D(
            [], [], color=_FALSE, marker="X", ls="--", ms=8, label="published false fix (none is the aim); its limit"
        ),
    ]


def _recoveries(axes: Axes, report: Mapping[str, Any]) -> None:
    times = sorted(seconds for seconds in report["recover_s"] if seconds is not None)
    count = len(report["recover_s"])
    axes.step([0.0, *times], [0, *range(1, len(times) + 1)], where="post", color=_GOOD, lw=2.2)
    axes.axhline(count, color="#bbbbbb", lw=1.0)
    for level in (0.5, 0.9):
        seconds = report["time_to_recover_s"][f"p{round(100 * level)}"]
        if seconds is not None:
            axes.plot([seconds] * 2, [0, level * len(times)], ":", color="black", lw=1.2)
            axes.annotate(
                f"p{round(100 * level)}: {seconds:.1f} s",
                (seconds, level * len(times)),
                xytext=(-6, 2),
                textcoords="offset points",
                ha="right",
            )
    axes.set(xlabel="seconds to a right map -> odom", ylabel=f"robots, of {count}", ylim=(0, 1.06 * count))
    axes.set_xlim(0.0, 1.08 * max(times, default=1.0))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title("How soon they are right again")


def _false_fixes_over_votes(axes: Axes, points: Sequence[Mapping[str, Any]]) -> None:
    false = [point["false_fixes"] for point in points]
    axes.bar(range(len(points)), false, width=0.55, color=_FALSE)
    for place, number in enumerate(false):
        axes.annotate(
            str(number), (place, number), xytext=(0, 3), textcoords="offset points", ha="center", fontweight="bold"
        )
    axes.set(ylabel="published false fixes", ylim=(0, 1.15 * max([*false, 1])))
    axes.set_title("What little evidence costs")
    _label_votes(axes, points)


def _times_over_votes(axes: Axes, points: Sequence[Mapping[str, Any]]) -> None:
    for name, marker in (("p50", "o-"), ("p90", "s--")):
        seconds = [point["time_to_recover_s"][name] for point in points]
        axes.plot(range(len(points)), [np.nan if s is None else s for s in seconds], marker, color=_TIME, label=name)
    axes.set_ylim(bottom=0.0)
    axes.set_ylabel("seconds to recover")
    axes.legend(frameon=False)
    axes.set_title("What much evidence costs")
    _label_votes(axes, points)


def _label_votes(axes: Axes, points: Sequence[Mapping[str, Any]]) -> None:
    axes.set_xticks(range(len(points)), [f"{point['votes_to_accept']:g}" for point in points])
    axes.set_xlabel("views that must agree (votes_to_accept)")


def _guard(axes: Axes, report: Mapping[str, Any]) -> None:
    names = ("every fix published", "published by this machine")
    false = (report["false_fixes_unguarded"], report["false_fixes"])
    axes.barh(names, false, color=(_FIX, _FALSE), height=0.5)
    for place, number in enumerate(false):
        axes.annotate(f"{number}", (number, place), xytext=(5, 0), textcoords="offset points", va="center")
    axes.invert_yaxis()
    axes.set(xlabel="false fixes", xlim=(0, 1.15 * max([*false, 1])))
    axes.set_title("What the machine keeps back")
