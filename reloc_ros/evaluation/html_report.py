"""One HTML file about an evaluation: what the model may be used for first, then figures, then pictures."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from html import escape
from pathlib import Path
from typing import Any

from reloc_ros.evaluation import comparison
from reloc_ros.evaluation.html import picture, section, table, verdict_banner, verdict_table, write_page
from reloc_ros.evaluation.markdown import FAULT_HEADER, fault_cells

_PICTURES = (
    (
        "conditions.png",
        "When do errors grow?",
        "Each point is a frame. Beyond the right edge of a curve nobody knows; crosses are frames without a pose.",
    ),
    ("trajectory.png", "Seen from above", "Each estimate joined to where the reference says it was."),
    ("errors.png", "Every frame", "The curves on the right never reach 100 % where frames are rejected."),
    ("frames.png", "Best, middle, worst and rejected frames", "Brighter cells are what the pose rests on."),
    ("faults.png", "Spoilt frames", "What the injected faults look like, and what became of some frames."),
    ("reliability.png", "Do covariances tell the truth?", "Below the diagonal: too sure. Above: too careful."),
)


def write_html(folder: Path, report: Mapping[str, Any], verdict: Mapping[str, Any], pictures: Collection[str]) -> None:
    """Write `report.html`.

    Args:
        folder: that the pictures lie in.
        report: content of `report.json`, infinite figures still infinite.
        verdict: content of `verdict.json`.
        pictures: names of those that are there.
    """
    unit = unit_of(report)
    parts = [
        verdict_banner(verdict, report),
        *_comparison(folder, report, unit, pictures),
        section("The verdict in figures", verdict_table(verdict)),
        *_faults(report, unit),
        *(
            section(heading, picture(folder / name, heading, note))
            for name, heading, note in _PICTURES
            if name in pictures
        ),
        section("What was measured", table([(escape(name), escape(value)) for name, value in _facts(report)])),
    ]
    write_page(folder / "report.html", f"{report['method']}: {report['data']}", parts)


def _comparison(folder: Path, report: Mapping[str, Any], unit: str, pictures: Collection[str]) -> list[str]:
    rows = report.get("comparison")
    if not rows:
        return []
    shown = table([[escape(cell) for cell in comparison.cells(row, unit)] for row in rows], comparison.HEADER)
    if spoilt := comparison.fault_table(rows):
        header, lines = spoilt
        shown += table([[escape(cell) for cell in line] for line in lines], header)
    if "comparison.png" in pictures:
        shown += picture(folder / "comparison.png", "Cumulative errors", "Further up and to the left is better.")
    return [section("Side by side, on the same frames", shown)]


def _faults(report: Mapping[str, Any], unit: str) -> list[str]:
    if not report["faults"]:
        return []
    rows = [[escape(cell) for cell in fault_cells(name, found, unit)] for name, found in report["faults"].items()]
    note = (
        f"<p>Over the spoilt frames alone, drawn with seed {report['fault_seed']}. On black images no pose is the right "
        "answer. Recovery: from the end of a fault (a kidnap: from its first frame) to the first right pose, each image "
        "by itself.</p>"
    )
    return [section("When something goes wrong", table(rows, FAULT_HEADER) + note)]


def _facts(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    split = ", ".join(f"{key} {value}" for key, value in report["split_settings"].items())
    first, latency, nees = report["time_to_first_fix_s"], report["latency_ms"], report["calibration"]["nees_median"]
    ate = report["ate"]["none"]
    return [
        ("bundle", f"{report['bundle']}, {report['map_bytes'] / 1e6:.1f} MB, sha256 {report['model_sha256'][:12]}"),
        ("method", report["method"]),
        ("data", f"{report['data']}, part {report['split']}" + (f" ({split})" if split else "")),
        ("true poses", f"{report['ground_truth']}; figures against others do not compare"),
        ("frames", f"{report['frames']}, {report['skipped']} more left out by the data set itself"),
        ("until the first right pose", f"median {first['median']:.2f} s, longest {first['max']:.2f} s"),
        ("absolute trajectory error", "too few poses" if ate is None else f"rmse {ate['rmse']:.3f} {unit_of(report)}"),
        ("squared error over covariance", "no poses" if nees is None else f"median {nees:.2f}, 5.35 when calibrated"),
        ("latency p50 / p99", f"{comparison.latency_cell(latency)}, one frame at a time"),
        ("ran on", f"{report['backend']}, {report['device']}, {report['precision']}"),
    ]


def unit_of(report: Mapping[str, Any]) -> str:
    """Return the unit of lengths in a report."""
    return "m" if report["metric"] else "scene units"
