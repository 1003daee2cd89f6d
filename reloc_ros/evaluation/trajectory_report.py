"""The files about a trajectory beside its reference: figures for programs and for people, and pictures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reloc_ros.evaluation.markdown import table
from reloc_ros.evaluation.plots import save_figure
from reloc_ros.evaluation.trajectory import MAX_STAMP_DIFFERENCE_S, Delta, Errors, compare, statistics
from reloc_ros.evaluation.trajectory_files import read_trajectories
from reloc_ros.evaluation.trajectory_plots import errors_figure, way_figure


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is compared and how.

    Args:
        estimate: file with the poses to judge.
        reference: file with the true poses.
        file_format: `tum`, `kitti` or `euroc`.
        alignment: `none`, `se3` or `sim3`.
        delta: of the relative errors.
    """

    estimate: Path
    reference: Path
    file_format: str
    alignment: str
    delta: Delta


def write_trajectory_report(folder: Path, task: Task) -> dict[str, Any]:
    """Compare, write every file of the report into a folder and return the content of `report.json`.

    Raises:
        ConfigError: the settings do not fit the trajectories.
        DatasetError: a file is missing or malformed, or the trajectories do not belong together.
        DegenerateGeometryError: the positions do not determine the alignment.
    """
    reference, estimate = read_trajectories(task.file_format, task.reference, task.estimate)
    comparison = compare(reference, estimate, alignment=task.alignment, delta=task.delta)
    report = {
        "ape": _figures(comparison.ape),
        "rpe": {
            **_figures(comparison.rpe),
            "delta": task.delta.size,
            "delta_unit": task.delta.unit,
            "from_first_pose": task.delta.unit == "f" or task.delta.from_first_pose,
        },
        "units": {"translation": "m", "rotation": "deg"},
        "alignment": {
            "kind": task.alignment,
            "T_reference_estimate": comparison.T_reference_estimate.tolist(),
            "scale": comparison.scale,
        },
        "poses": {
            "reference": len(reference.poses),
            "estimate": len(estimate.poses),
            "associated": len(comparison.estimate),
        },
        "association": "index" if comparison.stamps_s is None else "stamp",
        "max_stamp_difference_s": None if comparison.stamps_s is None else MAX_STAMP_DIFFERENCE_S,
        "estimate": str(task.estimate),
        "reference": str(task.reference),
        "format": task.file_format,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(report, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    (folder / "report.md").write_text(_as_markdown(report), encoding="utf-8")
    save_figure(way_figure(comparison, "m"), folder / "trajectory.png")
    save_figure(errors_figure(comparison, "m"), folder / "errors.png")
    return report


def _figures(errors: Errors) -> dict[str, Any]:
    """Return the figures of the translation, those of the rotation under `rotation_deg`, and how many there are."""
    return {
        **statistics(errors.translation_m),
        "rotation_deg": statistics(errors.rotation_deg),
        "count": len(errors.index),
    }


def _as_markdown(report: dict[str, Any]) -> str:
    ape, rpe, poses, alignment = report["ape"], report["rpe"], report["poses"], report["alignment"]
    rows = [
        (name, *(f"{figures[name]:.6g}" for figures in (ape, rpe, ape["rotation_deg"], rpe["rotation_deg"])))
        for name in ape["rotation_deg"]
    ]
    apart = "frames" if rpe["delta_unit"] == "f" else "m travelled, at least"
    start = "at the first pose" if rpe["from_first_pose"] else "where that is reached for the first time"
    facts = (
        f"estimate `{report['estimate']}`, reference `{report['reference']}`, format {report['format']}",
        f"{poses['associated']} poses compared (by {report['association']}) of {poses['estimate']} and {poses['reference']}",
        f"alignment: {alignment['kind']}, scale {alignment['scale']:.6g}",
        "APE: each pose after alignment",
        f"RPE: {rpe['count']} consecutive pairs of {rpe['delta']:g} {apart}, beginning {start}",
    )
    sections = [
        f"# {Path(report['estimate']).name} against {Path(report['reference']).name}",
        "\n".join(f"- {fact}" for fact in facts),
        table(("", "APE [m]", "RPE [m]", "APE [deg]", "RPE [deg]"), rows),
        "The unit m is that of the reference; sse is the sum of squares.",
        "![trajectory seen from above](trajectory.png)\n\n![errors](errors.png)",
    ]
    return "\n\n".join(sections) + "\n"
