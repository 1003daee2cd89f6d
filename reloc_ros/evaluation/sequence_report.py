"""The files about an evaluation on sequences: figures for programs and for people, every frame, pictures."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import chi2

from reloc_ros.errors import DatasetError
from reloc_ros.evaluation.markdown import table
from reloc_ros.evaluation.plots import save_figure
from reloc_ros.evaluation.report import write_json
from reloc_ros.evaluation.sequence_error import (
    STANDING_STILL,
    FollowedSequence,
    by_distance,
    first_frame_truth,
    frame_errors,
    medians,
    travelled_m,
)
from reloc_ros.evaluation.sequence_plots import error_figure, way_figure
from reloc_ros.geometry.covariance import difference
from reloc_ros.localization.calibration import squared_mahalanobis
from reloc_ros.types import Array

_LEVELS_PERCENT = (50, 90, 95)


@dataclass(frozen=True, kw_only=True)
class SequenceSubject:
    """What was evaluated, on what and how.

    Args:
        bundle: folder as given.
        method: relocalization method.
        model_sha256: checksum of the network.
        data: `FORMAT:PATH` as given.
        ground_truth: where the true poses come from.
        metric: whether the data's unit is the metre.
        backend: name in the back-end table.
        device: where it ran.
        milliseconds: median time of a frame.
    """

    bundle: str
    method: str
    model_sha256: str
    data: str
    ground_truth: str
    metric: bool
    backend: str
    device: str
    milliseconds: float


def make_sequence_report(subject: SequenceSubject, sequences: Sequence[FollowedSequence]) -> dict[str, Any]:
    """Return the content of `report.json`.

    Args:
        subject: what was evaluated.
        sequences: each as often as it was followed with another field of view; all by the same methods.

    Raises:
        DatasetError: no sequence has a second frame.
    """
    if not any(len(sequence.T_world_camera) > 1 for sequence in sequences):
        raise DatasetError("no sequence has a second frame; an error relative to the first needs one")
    methods = [*sequences[0].T_first_camera]
    fields_deg = sorted({sequence.fov_deg for sequence in sequences}, reverse=True)
    heights_m = sorted({sequence.height_m for sequence in sequences if sequence.height_m is not None})
    first = [sequence for sequence in sequences if sequence.fov_deg == fields_deg[0]]
    main = frame_errors(first, methods[0])
    return {
        **asdict(subject),
        "sequences": len(first),
        "frames": len(main),
        "rejection_rate": float(np.mean(np.isinf(main.translation_m))),
        **medians(main.translation_m, main.rotation_deg),
        "covariance_coverage": _coverage(first, methods[0]),
        "methods": methods,
        "fields_of_view": [
            {
                "fov_deg": fov_deg,
                "all_heights": _figures([s for s in sequences if s.fov_deg == fov_deg], methods),
                "heights": [
                    {
                        "height_m": height_m,
                        **_figures([s for s in sequences if s.fov_deg == fov_deg and s.height_m == height_m], methods),
                    }
                    for height_m in heights_m
                ],
            }
            for fov_deg in fields_deg
        ],
    }


def write_sequence_report(
    folder: Path, subject: SequenceSubject, sequences: Sequence[FollowedSequence]
) -> dict[str, Any]:
    """Write every file of the report into a folder and return the content of `report.json`."""
    report = make_sequence_report(subject, sequences)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "report.json", report)
    (folder / "report.md").write_text(as_sequence_markdown(report), encoding="utf-8")
    _write_frames(folder / "frames.csv", sequences)
    for fov_deg in (entry["fov_deg"] for entry in report["fields_of_view"]):
        shown = [sequence for sequence in sequences if sequence.fov_deg == fov_deg]
        errors = {method: frame_errors(shown, method) for method in report["methods"]}
        title = f"{subject.method} on {subject.data}, {fov_deg:.0f} deg"
        save_figure(error_figure(errors, title), folder / f"errors_{fov_deg:.0f}deg.png")
        ways = [method for method in report["methods"] if method != STANDING_STILL]
        save_figure(way_figure(shown, ways), folder / f"ways_{fov_deg:.0f}deg.png")
    return report


def summary_table(report: dict[str, Any]) -> str:
    """Return the median errors by field of view and distance as plain text."""
    unit = "m" if report["metric"] else "scene units"
    lines = []
    for entry in report["fields_of_view"]:
        header, *rows = _distance_rows(entry["all_heights"], report["methods"], unit)
        header = [f"{entry['fov_deg']:.0f} deg of view", *header[1:]]
        widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
        lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)) for row in (header, *rows)]
        lines.append("")
    return "\n".join(lines)


def as_sequence_markdown(report: dict[str, Any]) -> str:
    """Return the report for people: median errors by the distance travelled, methods side by side."""
    unit = "m" if report["metric"] else "scene units"
    sections = [
        f"# {report['method']}: {report['data']}",
        (
            f"{report['sequences']} sequences, {report['frames']} frames after the first ones, "
            f"{100 * report['rejection_rate']:.1f} % rejected, {report['milliseconds']:.1f} ms a frame "
            f"({report['backend']}, {report['device']}). Bundle `{report['bundle']}`, ground truth "
            f"{report['ground_truth']}."
        ),
        (
            "Median errors of the pose relative to each sequence's first frame, by the distance travelled to a frame. A "
            "rejected frame is an infinite error."
        ),
    ]
    for entry in report["fields_of_view"]:
        sections.append(f"## {entry['fov_deg']:.0f} degrees of view")
        header, *rows = _distance_rows(entry["all_heights"], report["methods"], unit)
        sections.append(table(header, rows))
        if len(entry["heights"]) > 1:
            sections.append(_height_table(entry["heights"], report["methods"], unit))
        sections.append(
            f"![errors](errors_{entry['fov_deg']:.0f}deg.png)\n\n![ways](ways_{entry['fov_deg']:.0f}deg.png)"
        )
    coverage = report["covariance_coverage"]
    if coverage is not None:
        shares = ", ".join(f"{100 * share:.0f} % in the {level} % ellipsoid" for level, share in coverage.items())
        sections += ["## Does the covariance tell the truth?", f"The truth lies: {shares}."]
    return "\n\n".join(sections) + "\n"


def _figures(sequences: Sequence[FollowedSequence], methods: Sequence[str]) -> dict[str, Any]:
    figures = {}
    for method in methods:
        errors = frame_errors(sequences, method)
        together = medians(errors.translation_m, errors.rotation_deg) if len(errors) else {}
        figures[method] = {**together, "by_distance": by_distance(errors)}
    return {"methods": figures}


def _distance_rows(figures: dict[str, Any], methods: Sequence[str], unit: str) -> list[list[str]]:
    """Return a header, the methods and the numbers of frames over bins of distance."""
    bins = figures["methods"][methods[0]]["by_distance"]
    header = ["method", *(_bin_name(entry, unit) for entry in bins), "all"]
    rows = [
        [method, *map(_median, figures["methods"][method]["by_distance"]), _median(figures["methods"][method])]
        for method in methods
    ]
    counts = ["frames", *(str(entry["frames"]) for entry in bins), str(sum(entry["frames"] for entry in bins))]
    return [header, *rows, counts]


def _height_table(heights: Sequence[dict[str, Any]], methods: Sequence[str], unit: str) -> str:
    """Return methods over heights, each figure of all distances."""
    header = ["method", *(f"{entry['height_m']:g} {unit} high" for entry in heights)]
    return table(header, [[method, *(_median(entry["methods"][method]) for entry in heights)] for method in methods])


def _bin_name(entry: dict[str, Any], unit: str) -> str:
    if entry["to_m"] is None:
        return f"beyond {entry['from_m']:g} {unit}"
    return f"{entry['from_m']:g} to {entry['to_m']:g} {unit}"


def _median(figures: dict[str, Any]) -> str:
    return f"{figures['median_translation_error_m']:.2f} / {figures['median_rotation_error_deg']:.1f} deg"


def _coverage(sequences: Sequence[FollowedSequence], method: str) -> dict[str, float] | None:
    """Return the share of frames whose truth lies in the ellipsoids of their covariances; None without any."""
    squared = [_squared(sequence, method) for sequence in sequences if sequence.covariance is not None]
    together = np.concatenate([*squared, []])
    if not len(together):
        return None
    return {str(level): float(np.mean(together <= chi2.ppf(level / 100, 6))) for level in _LEVELS_PERCENT}


def _squared(sequence: FollowedSequence, method: str) -> Array:
    covariance, found = np.asarray(sequence.covariance), sequence.T_first_camera[method]
    there = np.isfinite(covariance).all(axis=(1, 2)) & np.isfinite(found).all(axis=(1, 2))
    # The first frame is where it is by definition.
    there[0] = False
    truth = first_frame_truth(sequence.T_world_camera)
    errors = np.array([difference(a, b) for a, b in zip(found[there], truth[there], strict=True)]).reshape(-1, 6)
    return squared_mahalanobis(errors, covariance[there])


def _write_frames(path: Path, sequences: Sequence[FollowedSequence]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(
            [
                "sequence",
                "height_m",
                "fov_deg",
                "frame",
                "travelled_m",
                "method",
                "translation_error_m",
                "rotation_error_deg",
            ]
        )
        for sequence in sequences:
            way_m = travelled_m(sequence.T_world_camera)[1:]
            for method in sequence.T_first_camera:
                errors = frame_errors([sequence], method)
                for index, row in enumerate(zip(way_m, errors.translation_m, errors.rotation_deg), start=1):
                    far_m, error_m, error_deg = (f"{value:.6g}" for value in row)
                    writer.writerow(
                        [
                            sequence.name,
                            "" if sequence.height_m is None else sequence.height_m,
                            f"{sequence.fov_deg:g}",
                            index,
                            far_m,
                            method,
                            error_m,
                            error_deg,
                        ]
                    )
