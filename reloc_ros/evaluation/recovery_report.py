"""The report of kidnapped robots: figures for programs, a page for people, one picture."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reloc_ros.evaluation.markdown import table
from reloc_ros.evaluation.plots import save_figure
from reloc_ros.evaluation.recovery_plots import recovery_figure
from reloc_ros.evaluation.recovery_simulation import FALSE_DEG, FALSE_M, RIGHT_DEG, RIGHT_M, replay, summarize
from reloc_ros.evaluation.recovery_traces import Trace, trace
from reloc_ros.evaluation.simulated_drives import Sample
from reloc_ros.localization.fusion import OdometryNoise
from reloc_ros.localization.recovery_settings import RecoverySettings

VOTES = (1.0, 2.0, 4.0, 6.0, 8.0)
_DEFINITIONS = (
    f"Recovered: `map -> odom` within {RIGHT_M:g} m and {RIGHT_DEG:g} deg. False fix: a published pose off by more than "
    f"{FALSE_M:g} m or {FALSE_DEG:g} deg; unguarded: what publishing every fix would give. Available: images at which "
    "a right `map -> odom` was trusted. Misled: time for which a wrong one was; after a kidnap that nothing signals "
    "some of it cannot be avoided."
)

_CUTS = (
    "Images and fixes are those of the bundle; odometry is simulated from the true poses, and a kidnap is a cut from "
    "one drive to another that it does not notice. Kidnaps share images, so they are not independent of each other. A "
    "wrong fix is one that would be a false fix if it were published; NEES is 6 on average where covariances are right."
)


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the fixes come from.

    Args:
        title: in words.
        draw: gives the drives of a scenario.
        scenarios: names of those that are measured, the one of the headline first.
        details: of the fixes, for the report.
    """

    title: str
    draw: Callable[[str], list[list[Sample]]]
    scenarios: tuple[str, ...]
    details: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A report, and runs that show what its figures mean, by what is special about each."""

    report: dict[str, Any]
    traces: Mapping[str, Trace]


def steps_of(source: Source, *, votes: Sequence[float]) -> int:
    """Return how often `measure` calls `on_step` for each run, for a progress bar."""
    return len(source.scenarios) + len(votes)


def measure(
    source: Source,
    settings: RecoverySettings,
    *,
    seed: int,
    votes: Sequence[float] = (),
    on_run: Callable[[], None] | None = None,
) -> Measured:
    """Kidnap the robots of a source.

    Args:
        source: of the fixes.
        settings: of the state machine.
        seed: that the source drew with, for the report.
        votes: values of `votes_to_accept` for the trade-off; none: no trade-off.
        on_run: told after each replay of a run.
    """
    headline = source.scenarios[0]
    runs_of = {name: source.draw(name) for name in source.scenarios}
    figures = {name: _figures(runs, settings, name, on_run) for name, runs in runs_of.items()}
    points = [
        {"votes_to_accept": value, **_figures(runs_of[headline], settings.with_votes(value), headline, on_run)}
        for value in votes
    ]
    traces = [trace(run, settings, OdometryNoise(), signalled=_signalled(headline)) for run in runs_of[headline]]
    report = {
        **figures[headline],
        "scenario": headline,
        "seed": seed,
        "source": source.title,
        "fixes": dict(source.details),
        "recover_s": [item.recovered_s for item in traces],
        "scenarios": figures,
        "trade_off": points,
        "limits": {"false_fix": [FALSE_M, FALSE_DEG], "recovered": [RIGHT_M, RIGHT_DEG]},
        # JSON knows no infinity.
        "settings": {
            name: None if value == math.inf else value for name, value in dataclasses.asdict(settings).items()
        },
    }
    return Measured(report=report, traces=_telling(traces))


def write_report(out: Path, measured: Measured) -> None:
    """Write report.json, report.md and recovery.png into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.json").write_text(json.dumps(measured.report, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    (out / "report.md").write_text(as_markdown(measured.report), encoding="utf-8")
    save_figure(recovery_figure(measured.report, measured.traces), out / "recovery.png")


HEADER = ("kidnaps", "recovered", "time p50", "time p90", "false fixes", "unguarded", "available", "misled p50/max")


def row(figures: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the figures of one scenario or point as cells under `HEADER`."""
    time, misled = figures["time_to_recover_s"], figures["misled_s"]
    return (
        str(figures["kidnaps"]),
        f"{figures['success_rate']:.0%}",
        _seconds(time["p50"]),
        _seconds(time["p90"]),
        f"{figures['false_fixes']} of {figures['published']}",
        str(figures["false_fixes_unguarded"]),
        f"{figures['availability']:.0%}",
        f"{misled['p50']:.1f} / {misled['max']:.1f} s",
    )


def as_markdown(report: Mapping[str, Any]) -> str:
    """Return the report as Markdown."""
    scenarios = [(name, *row(figures)) for name, figures in report["scenarios"].items()]
    sections = [
        f"# Recovery: {report['scenario']}, {report['kidnaps']} runs, seed {report['seed']}",
        f"Fixes: {report['source']}.",
        *([_CUTS, table(("fixes", "value"), _cells(report["fixes"]))] if report["fixes"] else []),
        _DEFINITIONS,
        "## Scenarios",
        table(("scenario", *HEADER), scenarios),
        "![timelines](recovery.png)",
    ]
    if report["trade_off"]:
        points = [(f"{point['votes_to_accept']:g}", *row(point)) for point in report["trade_off"]]
        sections += ["## What evidence costs", table(("votes to accept", *HEADER), points)]
    sections += ["## Settings", table(("setting", "value"), _cells(report["settings"]))]
    return "\n\n".join(sections) + "\n"


def _figures(
    runs: Sequence[Sequence[Sample]], settings: RecoverySettings, scenario: str, on_run: Callable[[], None] | None
) -> dict[str, Any]:
    outcomes = []
    for run in runs:
        outcomes.append(replay(run, settings, OdometryNoise(), signalled=_signalled(scenario)))
        if on_run is not None:
            on_run()
    return summarize(outcomes)


def _signalled(scenario: str) -> bool:
    return scenario.startswith("signalled_")


def _telling(traces: Sequence[Trace]) -> dict[str, Trace]:
    """Return the typical run, and those that went worst: false fixes first, then the slowest."""

    def badness(item: Trace) -> tuple[int, float]:
        return item.false_fixes, math.inf if item.recovered_s is None else item.recovered_s

    ranked = sorted(traces, key=badness)
    chosen = {"typical run": ranked[len(ranked) // 2], "worst run": ranked[-1]}
    if len(ranked) > 3:
        chosen["second worst run"] = ranked[-2]
    return chosen


def _cells(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name, _cell(value)) for name, value in values.items()]


def _cell(value: object) -> str:
    if value is None:
        return "no limit"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f} s"
