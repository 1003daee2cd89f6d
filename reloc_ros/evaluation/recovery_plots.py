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
from matplotlib.ticker import FuncFormatter, MaxNLocator

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
_FIX, _TRUSTED, _GOOD, _FALSE = "#888888", "black", "#009e73", "#d62728"
_LOWEST, _HIGHEST = 0.03, 30.0


def recovery_figure(report: Mapping[str, Any], traces: Sequence[Trace]) -> Figure:
    """Return the picture of a report.

    Args:
        report: as `recovery_report.measure` makes it.
        traces: runs to show, one under the other.
    """
    figure = Figure(figsize=(12, 2.5 * len(traces) + 4.4), layout="constrained")
    figure.suptitle(_title(report), fontsize=13, fontweight="bold")
    rows = figure.add_gridspec(len(traces) + 1, 2, height_ratios=[1.0] * len(traces) + [1.25])
    for index, item in enumerate(traces):
        axes = figure.add_subplot(rows[index, :])
        _timeline(axes, item, last=index + 1 == len(traces))
    figure.legend(handles=_legend(), loc="outside lower center", ncols=4, frameon=False)
    _recoveries(figure.add_subplot(rows[-1, 0]), report)
    axes = figure.add_subplot(rows[-1, 1])
    if report["trade_off"]:
        _trade_off(axes, report)
    else:
        _guard(axes, report)
    return figure


def _title(report: Mapping[str, Any]) -> str:
    found = round(report["success_rate"] * report["kidnaps"])
    return (
        f"{report['scenario']}: {found} of {report['kidnaps']} robots found themselves, "
        f"{report['false_fixes']} of {report['published']} published poses wrong\n{report['source']}"
    )


def _timeline(axes: Axes, item: Trace, *, last: bool) -> None:
    step_s = float(np.median(np.diff(item.times_s)))
    start = 0
    for state, steps in groupby(item.states):
        end = start + len(list(steps))
        axes.axvspan(item.times_s[start], item.times_s[end - 1] + step_s, color=_BANDS[state][0], lw=0)
        start = end
    axes.axhline(1.0, color=_FALSE, lw=1.2, ls="--")
    axes.plot(item.times_s, item.fix.clip(_LOWEST, _HIGHEST), ".", color=_FIX, ms=4)
    axes.plot(item.times_s, item.trusted.clip(_LOWEST, _HIGHEST), color=_TRUSTED, lw=1.0)
    wrong = item.published > 1.0
    right = np.isfinite(item.published) & ~wrong
    axes.plot(item.times_s[right], item.published[right].clip(_LOWEST), "o", color=_GOOD, ms=3.2)
    axes.plot(item.times_s[wrong], item.published[wrong].clip(_LOWEST, _HIGHEST), "X", color=_FALSE, ms=8)
    if item.kidnap_s is not None:
        axes.axvline(item.kidnap_s, color="black", lw=1.8)
        axes.annotate(
            "kidnapped", (item.kidnap_s, _HIGHEST), xytext=(5, -4), textcoords="offset points", va="top", fontsize=10
        )
    since_s = item.kidnap_s or 0.0
    if item.recovered_s is not None:
        axes.axvline(since_s + item.recovered_s, color=_GOOD, lw=1.8)
        axes.annotate(
            f"right again after {item.recovered_s:.1f} s" if item.kidnap_s is not None else
            f"right after {item.recovered_s:.1f} s",
            (since_s + item.recovered_s, _HIGHEST), xytext=(5, -4), textcoords="offset points", va="top",
            color=_GOOD, fontweight="bold", fontsize=10,
        )  # fmt: skip
    axes.set(yscale="log", ylim=(_LOWEST, 1.3 * _HIGHEST), xlim=(item.times_s[0], item.times_s[-1] + step_s))
    axes.set_ylabel("error of position")
    axes.set_yticks([0.1, 1.0, 10.0], ["5 cm / 1°", "0.5 m / 10°", "5 m / 100°"])
    axes.yaxis.set_minor_formatter(FuncFormatter(lambda _value, _position: ""))
    axes.set_ylabel("true error")
    if last:
        axes.set_xlabel("seconds")


def _legend() -> list[Line2D | Patch]:
    bands = {label: Patch(color=colour, label=label) for colour, label in _BANDS.values()}
    return [
        *bands.values(),
        Line2D([], [], color=_FIX, marker=".", ls="", label="fix of one image, not published"),
        Line2D([], [], color=_TRUSTED, label="map -> odom"),
        Line2D([], [], color=_GOOD, marker="o", ls="", ms=5, label="published pose"),
        Line2D([], [], color=_FALSE, marker="X", ls="--", ms=8, label="published false fix, and its limit"),
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
                f"p{round(100 * level)}: {seconds:.1f} s", (seconds, 0), xytext=(4, 6), textcoords="offset points"
            )
    axes.set(
        xlabel="seconds from the kidnap to a right map -> odom", ylabel=f"robots, of {count}", ylim=(0, 1.06 * count)
    )
    axes.set_xlim(0.0, 1.08 * max(times, default=1.0))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title("How soon they are right again")


def _trade_off(axes: Axes, report: Mapping[str, Any]) -> None:
    points = report["trade_off"]
    votes = [point["votes_to_accept"] for point in points]
    false = [point["false_fixes"] for point in points]
    axes.bar(range(len(votes)), false, width=0.55, color=_FALSE, alpha=0.85)
    for place, number in enumerate(false):
        axes.annotate(
            str(number), (place, number), xytext=(0, 3), textcoords="offset points", ha="center", color=_FALSE
        )
    axes.set_xticks(range(len(votes)), [f"{value:g}" for value in votes])
    axes.set(xlabel="views that must agree (votes_to_accept)", ylim=(0, 1.35 * max([*false, 1])))
    axes.set_ylabel("false fixes (bars)", color=_FALSE)
    twin = axes.twinx()
    for name, marker in (("p50", "o-"), ("p90", "s--")):
        seconds = [np.nan if p["time_to_recover_s"][name] is None else p["time_to_recover_s"][name] for p in points]
        twin.plot(range(len(votes)), seconds, marker, color="#0072b2", label=f"time to recover, {name}")
    twin.set_ylim(bottom=0.0)
    twin.set_ylabel("seconds to recover (lines)", color="#0072b2")
    twin.legend(loc="upper center", ncols=2, frameon=False, fontsize=9)
    axes.set_title("What evidence costs")


def _guard(axes: Axes, report: Mapping[str, Any]) -> None:
    names = ("every fix published", "published by this machine")
    false = (report["false_fixes_unguarded"], report["false_fixes"])
    axes.barh(names, false, color=(_FIX, _FALSE), height=0.5)
    for place, number in enumerate(false):
        axes.annotate(f"{number}", (number, place), xytext=(5, 0), textcoords="offset points", va="center")
    axes.invert_yaxis()
    axes.set(xlabel="false fixes", xlim=(0, 1.15 * max([*false, 1])))
    axes.set_title("What the machine keeps back")
