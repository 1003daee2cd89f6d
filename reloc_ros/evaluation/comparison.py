"""Several localizers on the same frames, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from reloc_ros.evaluation.replay import FrameResult

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Okabe and Ito 2008: apart for colour-blind readers."""
_COMPARED = (
    "method", "told", "map_bytes", "frames", "availability", "false_fix_rate", "median_translation_error_m",
    "median_rotation_error_deg", "p90_translation_error_m", "p90_rotation_error_deg", "recall", "time_to_first_fix_s",
    "latency_ms",
)  # fmt: skip
_COMPARED_UNDER_FAULTS = ("availability", "false_fix_rate")


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One of them.

    Args:
        name: in tables.
        report: content of its `report.json`.
        results: of the same frames in the same order.
    """

    name: str
    report: dict[str, Any]
    results: Sequence[FrameResult]


def comparison_rows(contenders: Sequence[Contender]) -> list[dict[str, Any]]:
    """Return what is compared, for the report; `latency_ms` alone differs from run to run."""
    return [
        {
            "name": contender.name,
            **{key: contender.report[key] for key in _COMPARED},
            "faults": {
                fault: {key: figures[key] for key in _COMPARED_UNDER_FAULTS}
                for fault, figures in contender.report["faults"].items()
            },
        }
        for contender in contenders
    ]


def comparison_figure(contenders: Sequence[Contender], unit: str) -> Figure:
    """Return the cumulative errors of all of them; a curve ends where the frames without a pose begin."""
    figure = Figure(figsize=(12, 4.5), layout="constrained")
    errors = (
        (f"position error [{unit}]", [[r.translation_error_m for r in contender.results] for contender in contenders]),
        ("rotation error [deg]", [[r.rotation_error_deg for r in contender.results] for contender in contenders]),
    )
    for axes, (label, of_each) in zip(figure.subplots(1, 2), errors):
        for k, (contender, values) in enumerate(zip(contenders, of_each)):
            reached = np.sort([value for value in values if np.isfinite(value)])
            share = 100 * np.arange(1, len(reached) + 1) / len(values)
            colour = _COLOURS[k % len(_COLOURS)]
            axes.semilogx(np.maximum(reached, 1e-4), share, color=colour, drawstyle="steps-post", label=contender.name)
        axes.axhline(50, color="grey", linewidth=0.8, linestyle="--")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set(xlabel=label, ylabel="of all frames below [%]", ylim=(0, 101))
        axes.grid(alpha=0.3, which="both")
        axes.legend(loc="upper left", fontsize=8)
    return figure


def cells(row: dict[str, Any], unit: str) -> list[str]:
    """Return a row of the comparison as people read it, in the order of `HEADER`."""

    def error(key: str) -> str:
        metres, degrees = (row[f"{key}_{part}"] for part in ("translation_error_m", "rotation_error_deg"))
        return f"{metres:.3f} {unit} / {degrees:.2f} deg" if np.isfinite(metres) else "infinite"

    return [
        row["name"],
        row["method"] + (f", told {row['told']}" if row["told"] else ""),
        f"{row['map_bytes'] / 1e6:.1f} MB",
        _percent(row["availability"]),
        _percent(row["false_fix_rate"]),
        error("median"),
        error("p90"),
        _percent(row["recall"]["0.05m_5deg"]),
        _percent(row["recall"]["0.25m_5deg"]),
        latency_cell(row["latency_ms"]),
    ]


def fault_table(rows: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[str]]] | None:
    """Return header and lines of what each makes of spoilt frames: poses, and false ones among them; None without faults.

    Those that follow sequences are not judged on faults: their next pose would depend on what was spoilt before.
    """
    faults = list(rows[0]["faults"])
    if not faults:
        return None
    lines = [
        [
            row["name"],
            *(_under_fault(row["faults"].get(fault)) for fault in faults),
        ]
        for row in rows
    ]
    return ["spoilt frames with a pose", *faults], lines


def _under_fault(figures: dict[str, Any] | None) -> str:
    if figures is None:
        return "not judged"
    poses, false = _percent(figures["availability"]), figures["false_fix_rate"]
    return poses if false is None else f"{poses}, {_percent(false)} false"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def latency_cell(latency_ms: dict[str, float]) -> str:
    """Return percentiles as people read them; a recording has no durations."""
    p50, p99 = latency_ms["p50"], latency_ms["p99"]
    return f"{p50:.1f} / {p99:.1f} ms" if np.isfinite(p50) and np.isfinite(p99) else "not measured"


HEADER = (
    "", "method", "map", "frames with a pose", "false fixes, of the poses", "median error", "90 % of frames",
    "within 5 cm, 5 deg", "within 25 cm, 5 deg", "latency p50 / p99",
)  # fmt: skip
