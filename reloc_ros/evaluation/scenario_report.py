"""What a relocalizer did in scenarios of trouble, against what it should do: figures, a page, a picture."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from reloc_ros.evaluation.markdown import table
from reloc_ros.evaluation.plots import save_figure
from reloc_ros.evaluation.pose_error import rotation_error_deg, translation_error_m
from reloc_ros.evaluation.recovery_plots import legend_handles, mark, timeline
from reloc_ros.evaluation.recovery_simulation import FALSE_DEG, FALSE_M, RIGHT_DEG, RIGHT_M
from reloc_ros.evaluation.recovery_traces import Trace
from reloc_ros.localization.decision import State
from reloc_ros.types import Array

HEADER = ("images", "found itself", "poses", "wrong", "worst", "available", "in trouble", "silent", "again", "verdict")


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What should happen; wrong poses are never allowed.

    Args:
        words: the same for people.
        silent: no pose during the trouble.
        lost_s: longest time from the start of the trouble to the end of trust; infinite: trust may go on.
        available: least share of the troubled images at which a right `map -> odom` holds.
        again_s: longest time from the end of the trouble to the first right pose.
        start_s: longest time from the start to the first right pose.
    """

    words: str
    silent: bool = False
    lost_s: float = math.inf
    available: float = 0.0
    again_s: float = math.inf
    start_s: float = 20.0


EXPECTED = {
    "kidnap": Expected(words="silent once it is noticed, then right again within 20 s", again_s=20.0),
    "blackout": Expected(
        words="no pose in the dark; map -> odom goes on; poses within 3 s of light", silent=True, available=0.95,
        again_s=3.0,
    ),
    "unmapped": Expected(
        words="silent, lost within 15 s; right again within 30 s on the map", silent=True, lost_s=15.0, again_s=30.0
    ),
    "crowd": Expected(words="map -> odom holds behind the people", available=0.9, again_s=5.0),
    "dark": Expected(words="nothing wrong in the dusk; right again within 15 s of light", again_s=15.0),
    "bumped": Expected(words="map -> odom holds within the bump; no pose wrong by more", available=0.9),
    "aliasing": Expected(words="silent rather than in the wrong twin", start_s=math.inf),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Played:
    """A scenario that was played, one entry for each image; poses are NaN where there is none.

    Args:
        name: of the scenario.
        times_s: (N,) from the start.
        T_map_base: (N, 4, 4) truth.
        T_map_camera: (N, 4, 4) truth.
        troubled: (N,) whether the trouble holds.
        mapped: (N,) whether the robot is where the map is.
        carried_s: when it was carried.
        states: (N) of trust.
        rejections: (N) why an image gave no fix; empty where it gave one.
        T_map_base_shown: (N, 4, 4) by `map -> odom` and odometry.
        T_map_camera_published: (N, 4, 4).
    """

    name: str
    times_s: Array
    T_map_base: Array
    T_map_camera: Array
    troubled: NDArray[np.bool_]
    mapped: NDArray[np.bool_]
    carried_s: tuple[float, ...]
    states: tuple[State, ...]
    rejections: tuple[str, ...]
    T_map_base_shown: Array
    T_map_camera_published: Array


def scenario_figures(played: Played) -> dict[str, Any]:
    """Return the figures of a scenario, and `complaints` where it is not as expected."""
    published = _errors(played.T_map_camera_published, played.T_map_camera, played.mapped)
    shown = _errors(played.T_map_base_shown, played.T_map_base, played.mapped)
    given, troubled = ~np.isnan(published[:, 0]), played.troubled
    wrong = given & _beyond(published, FALSE_M, FALSE_DEG)
    right_pose = given & ~wrong
    trusted = ~np.isnan(shown[:, 0])
    available = trusted & ~_beyond(shown, FALSE_M, FALSE_DEG)
    begin_s, end_s = _window(played)
    expected = EXPECTED[played.name]
    lost = troubled & np.array([state in (State.LOST, State.INIT, State.CANDIDATE) for state in played.states])
    step_s = float(np.median(np.diff(played.times_s)))
    figures: dict[str, Any] = {
        "images": len(played.times_s),
        # A trouble that holds from the start leaves no time before it.
        "start_s": _first_s(played, right_pose & ((played.times_s < begin_s) | (begin_s == 0.0)), 0.0),
        "poses": int(given.sum()),
        "false_fixes": int(wrong.sum()),
        "worst_m": _worst(published[given, 0]),
        "worst_deg": _worst(published[given, 1]),
        "median_m": _median(published[right_pose, 0]),
        "median_deg": _median(published[right_pose, 1]),
        "availability": float(available.mean()),
        "availability_in_trouble": float(available[troubled].mean()) if troubled.any() else None,
        "poses_in_trouble": int((given & troubled).sum()),
        "images_in_trouble": int(troubled.sum()),
        "rejections_in_trouble": dict(Counter(r for r, t in zip(played.rejections, troubled) if t and r)),
        "lost_after_s": _first_s(played, lost, begin_s) if troubled.any() else None,
        "again_s": _first_s(played, right_pose & (played.times_s >= end_s), end_s),
        "right_again_s": _first_s(
            played, available & ~_beyond(shown, RIGHT_M, RIGHT_DEG) & (played.times_s >= end_s), end_s
        ),
        "misled_s": float((trusted & ~available).sum() * step_s),
        "expected": expected.words,
    }
    return {**figures, "complaints": _complaints(figures, expected, ends=bool(end_s < played.times_s[-1]))}


def _complaints(figures: Mapping[str, Any], expected: Expected, *, ends: bool) -> list[str]:
    start_s, again_s, in_trouble = figures["start_s"], figures["again_s"], figures["availability_in_trouble"]
    checks = {
        f"{figures['false_fixes']} wrong poses": figures["false_fixes"] > 0,
        f"found itself after {_seconds(start_s)}, limit {expected.start_s:g} s": not _within(start_s, expected.start_s),
        f"{figures['poses_in_trouble']} poses where it should be silent": expected.silent
        and figures["poses_in_trouble"] > 0,
        f"trust ended after {_seconds(figures['lost_after_s'])}, limit {expected.lost_s:g} s": not _within(
            figures["lost_after_s"], expected.lost_s
        ),
        f"available in {in_trouble or 0.0:.0%} of the troubled images, limit {expected.available:.0%}": in_trouble
        is not None
        and in_trouble < expected.available,
        f"poses again after {_seconds(again_s)}, limit {expected.again_s:g} s": ends
        and not _within(again_s, expected.again_s),
    }
    return [text for text, holds in checks.items() if holds]


def write_scenarios(out: Path, source: str, played: Sequence[Played], details: Mapping[str, Any]) -> dict[str, Any]:
    """Write report.json, report.md and scenarios.png into a folder and return the report."""
    out.mkdir(parents=True, exist_ok=True)
    report = {
        "source": source,
        **details,
        "scenarios": {each.name: scenario_figures(each) for each in played},
        "limits": {"false_fix": [FALSE_M, FALSE_DEG]},
    }
    (out / "report.json").write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    rows = [(name, *row(figures)) for name, figures in report["scenarios"].items()]
    words = [(name, figures["expected"]) for name, figures in report["scenarios"].items()]
    sections = ["# Scenarios", source, table(("scenario", *HEADER), rows), _DEFINITIONS]
    sections += [table(("scenario", "expected"), words), "![timelines](scenarios.png)"]
    (out / "report.md").write_text("\n\n".join(sections) + "\n", encoding="utf-8")
    save_figure(scenarios_figure(played, source), out / "scenarios.png")
    return report


_DEFINITIONS = (
    f"Wrong: a published pose off by more than {FALSE_M:g} m or {FALSE_DEG:g} deg, or any pose where no map is. "
    "Available: images at which a right `map -> odom` is broadcast, of all and of the troubled ones. Silent: troubled "
    "images without a pose. Again: from the end of the trouble to the first right pose."
)


def row(figures: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the figures of one scenario as cells under `HEADER`."""
    troubled, in_trouble = figures["images_in_trouble"], figures["availability_in_trouble"]
    silent = "" if not troubled else f"{1.0 - figures['poses_in_trouble'] / troubled:.0%}"
    worst_m, worst_deg = figures["worst_m"], figures["worst_deg"]
    return (
        str(figures["images"]),
        _seconds(figures["start_s"]),
        str(figures["poses"]),
        str(figures["false_fixes"]),
        "" if worst_m is None else f"{worst_m:.2f} m {worst_deg:.1f} deg",
        f"{figures['availability']:.0%}",
        "" if in_trouble is None else f"{in_trouble:.0%}",
        silent,
        _seconds(figures["again_s"]),
        "; ".join(figures["complaints"]) or "as expected",
    )


def scenarios_figure(played: Sequence[Played], source: str) -> Figure:
    """Return one timeline for each scenario."""
    figure = Figure(figsize=(13.0, 2.3 * len(played) + 1.4), layout="constrained")
    figure.suptitle(source, fontsize=12, fontweight="bold")
    rows = figure.add_gridspec(len(played) + 1, 1, height_ratios=[2.3] * len(played) + [0.6])
    for index, each in enumerate(played):
        axes = figure.add_subplot(rows[index])
        timeline(axes, scenario_trace(each))
        axes.set_title(f"{each.name}: {EXPECTED[each.name].words}", loc="left", fontsize=10)
        for carried_s in each.carried_s:
            mark(axes, carried_s, "carried", "black")
        begin_s, end_s = _window(each)
        if each.troubled.any() and not each.troubled.all():
            for at_s, text in ((begin_s, each.name), (end_s, "over")):
                if at_s not in each.carried_s and at_s <= each.times_s[-1]:
                    mark(axes, at_s, text, "#555555")
    axes.set_xlabel("seconds")
    legend = figure.add_subplot(rows[-1])
    legend.set_axis_off()
    legend.legend(handles=legend_handles(), loc="center", ncols=3, frameon=False)
    return figure


def scenario_trace(played: Played) -> Trace:
    """Return a scenario as one line of a picture; single fixes are not seen from outside."""

    def share(errors: Array) -> Array:
        return np.maximum(errors[:, 0] / FALSE_M, errors[:, 1] / FALSE_DEG)

    return Trace(
        times_s=played.times_s,
        states=played.states,
        fix=np.full(len(played.times_s), np.nan),
        trusted=share(_errors(played.T_map_base_shown, played.T_map_base, played.mapped)),
        published=share(_errors(played.T_map_camera_published, played.T_map_camera, played.mapped)),
        kidnap_s=None,
        recovered_s=None,
    )


def _errors(found: Array, truth: Array, mapped: NDArray[np.bool_]) -> Array:
    """Return (N, 2) errors, metres and degrees: NaN without a pose, and a thousand for a pose off the map."""
    errors = np.full((len(found), 2), np.nan)
    for index, (T_found, T_true) in enumerate(zip(found, truth)):
        if not np.isnan(T_found[0, 0]):
            right_there = translation_error_m(T_found, T_true), rotation_error_deg(T_found, T_true)
            errors[index] = right_there if mapped[index] else (1000.0, 180.0)
    return errors


def _beyond(errors: Array, limit_m: float, limit_deg: float) -> NDArray[np.bool_]:
    return np.asarray((errors[:, 0] > limit_m) | (errors[:, 1] > limit_deg))


def _window(played: Played) -> tuple[float, float]:
    """Return when the trouble begins and ends; without one, the moment the robot is carried."""
    if not played.troubled.any():
        return played.carried_s[-1], played.carried_s[-1]
    step_s = float(np.median(np.diff(played.times_s)))
    during = played.times_s[played.troubled]
    return float(during[0]), float(during[-1]) + step_s


def _first_s(played: Played, mask: NDArray[np.bool_], since_s: float) -> float | None:
    return float(played.times_s[mask][0] - since_s) if mask.any() else None


def _within(value_s: float | None, limit_s: float) -> bool:
    return limit_s == math.inf or (value_s is not None and value_s <= limit_s)


def _seconds(value_s: float | None) -> str:
    return "never" if value_s is None else f"{value_s:.1f} s"


def _worst(values: Array) -> float | None:
    return float(values.max()) if len(values) else None


def _median(values: Array) -> float | None:
    return float(np.median(values)) if len(values) else None
