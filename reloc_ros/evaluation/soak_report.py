"""The figures of a soak: does memory grow, does latency drift, was anything wrong published?"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import linregress, t

from reloc_ros.evaluation.plots import save_figure
from reloc_ros.evaluation.recovery_simulation import FALSE_DEG, FALSE_M
from reloc_ros.types import Array

WARM_UP_SHARE = 0.2
"""Of the time; before it allocators and caches fill."""

_BLOCKS = 20
_CONFIDENCE = 0.95
MAX_GROWTH_MIB = 8.0
"""Growth over a soak above which memory counts as leaking, the limit of the test of lifecycle rounds."""
MAX_LATENCY_RATIO = 1.5
MAX_TRANSITION_S = 1.0
MAX_STARVED = 0.3
"""Share of the time a process is ready to run, for which it waits for a CPU, from which on latency says nothing."""
_SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What was seen of a process, as arrays over time.

    Args:
        usage: (N, 6) second, memory MiB, CPU s, threads, open files, s for which it was ready and had no CPU.
        latency: (N, 3) second, p50 ms, p99 ms.
        errors: (N, 3) second, metres, degrees of published poses.
        seconds: length.
        sent: images.
        counts: what became of them.
        planted: faults by name.
        states: seconds in each state of trust.
        transitions: (name, seconds) of each.
        calls: service calls, asked and answered.
        faults: exceptions that nobody planted.
        exit_code: of the process.
    """

    usage: Array
    latency: Array
    errors: Array
    seconds: float
    sent: int
    counts: Mapping[str, int]
    planted: Mapping[str, int]
    states: Mapping[str, int]
    transitions: Sequence[tuple[str, float]]
    calls: Mapping[str, int]
    faults: Mapping[str, int]
    exit_code: int


def slope_per_hour(seconds: Array, values: Array) -> tuple[float, float, float]:
    """Return slope and the bounds of its 95 % confidence interval, per hour.

    Neighbouring samples are alike, which would make the interval too narrow: the line goes through the means of 20
    blocks of time.
    """
    blocks = [block for block in np.array_split(np.arange(len(seconds)), min(_BLOCKS, len(seconds))) if len(block)]
    x = np.array([seconds[block].mean() for block in blocks]) / _SECONDS_PER_HOUR
    y = np.array([values[block].mean() for block in blocks])
    line = linregress(x, y)
    margin = float(t.ppf(0.5 + _CONFIDENCE / 2, len(x) - 2) * line.stderr)
    return float(line.slope), float(line.slope) - margin, float(line.slope) + margin


def soak_figures(watched: Watched) -> dict[str, Any]:
    """Return the figures and what is wrong with them (`complaints`, empty: the soak is passed)."""
    settled = watched.usage[watched.usage[:, 0] >= WARM_UP_SHARE * watched.seconds]
    slope, low, high = slope_per_hour(settled[:, 0], settled[:, 1])
    hours = watched.seconds / _SECONDS_PER_HOUR
    latency = watched.latency[watched.latency[:, 0] >= WARM_UP_SHARE * watched.seconds]
    early, late = (np.median(part, axis=0) for part in np.array_split(latency, 2))
    halves = np.array_split(settled, 2)
    starved_early, starved_late = map(_starved, halves)
    wrong = (watched.errors[:, 1] > FALSE_M) | (watched.errors[:, 2] > FALSE_DEG)
    slowest = max(watched.transitions, key=lambda each: each[1], default=("none", 0.0))
    figures: dict[str, Any] = {
        "seconds": watched.seconds,
        "images": watched.sent,
        "rate_hz": watched.sent / watched.seconds,
        "faults_planted": sum(watched.planted.values()),
        "poses": len(watched.errors),
        "wrong_poses": int(wrong.sum()),
        "error_m": _quantiles(watched.errors[:, 1]),
        "error_deg": _quantiles(watched.errors[:, 2]),
        "memory_mib": {"first": float(settled[0, 1]), "last": float(settled[-1, 1])},
        "memory_slope_mib_per_hour": {"slope": slope, "low": low, "high": high},
        "threads": {"first": int(settled[0, 3]), "last": int(settled[-1, 3])},
        "open_files": {"first": int(settled[0, 4]), "last": int(settled[-1, 4])},
        "cpu_share": float((watched.usage[-1, 2] - watched.usage[0, 2]) / (watched.usage[-1, 0] - watched.usage[0, 0])),
        "latency_p50_ms": {"first_half": float(early[1]), "second_half": float(late[1])},
        "latency_p99_ms": {"first_half": float(early[2]), "second_half": float(late[2])},
        "cpu_ms_per_image": {
            "first_half": _cpu_ms(halves[0], watched),
            "second_half": _cpu_ms(halves[1], watched),
        },
        "starved": {"first_half": starved_early, "second_half": starved_late},
        "transitions": len(watched.transitions),
        "slowest_transition": {"name": slowest[0], "seconds": slowest[1]},
        "calls": dict(watched.calls),
        "trust_s": dict(watched.states),
        "frames": dict(watched.counts),
        "planted": dict(watched.planted),
        "faults": dict(watched.faults),
        "exit_code": watched.exit_code,
    }
    checks = {
        f"{int(wrong.sum())} wrong poses": bool(wrong.any()),
        "no pose at all": len(watched.errors) == 0,
        f"memory grows by {low:.1f} MiB/h or more": low * hours > MAX_GROWTH_MIB,
        # On a machine that others load more and more, waiting for a CPU is not this process's fault.
        "latency grows": bool(late[1] > MAX_LATENCY_RATIO * early[1] + 1.0) and starved_late < MAX_STARVED,
        "threads pile up": bool(settled[-1, 3] > settled[0, 3] + 1),
        "open files pile up": bool(settled[-1, 4] > settled[0, 4] + 5),
        f"{slowest[0]} took {slowest[1]:.1f} s, limit {MAX_TRANSITION_S:g} s": slowest[1] > MAX_TRANSITION_S,
        "calls unanswered": watched.calls.get("answered", 0) < watched.calls.get("asked", 0),
        f"exceptions that nobody planted: {', '.join(watched.faults)}": bool(watched.faults),
        f"exit code {watched.exit_code}": watched.exit_code != 0,
    }
    return {**figures, "complaints": [text for text, holds in checks.items() if holds]}


def write_soak(watched: Watched, figures: Mapping[str, Any], json_file: Path) -> Path:
    """Write the figures as JSON and, beside it, the picture; return the picture's path."""
    json_file.parent.mkdir(parents=True, exist_ok=True)
    json_file.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    picture = json_file.with_suffix(".png")
    save_figure(soak_figure(watched, figures), picture)
    return picture


def soak_figure(watched: Watched, figures: Mapping[str, Any]) -> Figure:
    """Return memory, CPU, latency and pose errors over time."""
    figure = Figure(figsize=(10.0, 9.0), layout="constrained")
    memory, cpu, latency, errors = figure.subplots(4, 1, sharex=True)
    minutes = watched.usage[:, 0] / 60.0
    slope = figures["memory_slope_mib_per_hour"]
    memory.plot(minutes, watched.usage[:, 1], color="tab:blue", linewidth=1.0)
    memory.axvspan(0.0, WARM_UP_SHARE * watched.seconds / 60.0, color="0.9", label="warm-up, not judged")
    memory.set_ylabel("memory, MiB")
    memory.set_title(
        f"{watched.seconds / 60.0:.0f} min, {figures['rate_hz']:.0f} images/s, {figures['faults_planted']} faults: memory "
        f"{slope['slope']:+.1f} MiB/h (95 %: {slope['low']:+.1f} to {slope['high']:+.1f})"
    )
    memory.legend(loc="lower right")
    share = np.diff(watched.usage[:, 2]) / np.maximum(np.diff(watched.usage[:, 0]), 1e-6)
    cpu.plot(minutes[1:], 100.0 * share, color="tab:green", linewidth=0.8)
    cpu.set_ylabel("CPU, % of a core")
    cpu.set_ylim(bottom=0.0)
    latency.plot(watched.latency[:, 0] / 60.0, watched.latency[:, 1], label="p50")
    latency.plot(watched.latency[:, 0] / 60.0, watched.latency[:, 2], label="p99", linewidth=0.8)
    latency.set_yscale("log")
    latency.set_ylabel("latency, ms")
    latency.legend(loc="lower right")
    errors.plot(watched.errors[:, 0] / 60.0, watched.errors[:, 1], ".", markersize=1.5, color="tab:purple")
    errors.axhline(FALSE_M, color="tab:red", linestyle="--", linewidth=1.0, label="wrong beyond")
    errors.set_ylim(0.0, 1.4 * FALSE_M)
    errors.set_ylabel("error of poses, m")
    errors.set_xlabel("minutes")
    errors.legend(loc="upper right")
    return figure


def _quantiles(values: Array) -> dict[str, float | None]:
    names = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    return {name: float(np.quantile(values, level)) if len(values) else None for name, level in names.items()}


def _starved(usage: Array) -> float:
    """Return for which share of the time that a process was ready to run it waited for a CPU."""
    ran_s, waited_s = usage[-1, 2] - usage[0, 2], usage[-1, 5] - usage[0, 5]
    return float(waited_s / max(ran_s + waited_s, 1e-9))


def _cpu_ms(usage: Array, watched: Watched) -> float:
    images = (usage[-1, 0] - usage[0, 0]) * watched.sent / watched.seconds
    return float(1e3 * (usage[-1, 2] - usage[0, 2]) / max(images, 1.0))
