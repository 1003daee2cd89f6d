"""Measure a trajectory file against a reference, as evo does."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reloc_ros.evaluation.trajectory import Delta

# What published figures use: 10 m on the drives of KITTI, consecutive frames elsewhere.
_DELTAS = {"kitti": (10.0, "m"), "tum": (1.0, "f"), "euroc": (1.0, "f")}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("estimate", metavar="ESTIMATE", type=Path, help="trajectory to judge")
    parser.add_argument("--reference", required=True, metavar="REF", type=Path, help="true trajectory")
    parser.add_argument(
        "--format",
        required=True,
        choices=tuple(_DELTAS),
        help="of both files; with euroc the estimate may also be a TUM file",
    )
    parser.add_argument(
        "--align",
        choices=("none", "se3", "sim3"),
        default="none",
        help="move the estimate onto the reference first (Umeyama); sim3 also scales it (default: none)",
    )
    parser.add_argument(
        "--delta",
        type=float,
        metavar="D",
        help="how far apart the two poses of a relative error are (default: 10 m for kitti, 1 frame otherwise)",
    )
    parser.add_argument(
        "--delta-unit",
        choices=("f", "m"),
        help="frames or metres travelled (default: f where --delta is given)",
    )
    parser.add_argument(
        "--from-first-pose",
        action="store_true",
        help="with metres, also count the pair that begins at the first pose, as evo does from 1.38.0 on",
    )
    parser.add_argument("--report", required=True, metavar="OUT", type=Path, help="folder for the report")


def run(args: argparse.Namespace) -> int:
    """Compare, write the report and print the main figures."""
    from reloc_ros.evaluation.trajectory_report import Task, write_trajectory_report

    task = Task(
        estimate=args.estimate,
        reference=args.reference,
        file_format=args.format,
        alignment=args.align,
        delta=_delta(args),
    )
    _print_summary(write_trajectory_report(args.report, task), args.report)
    return 0


def _delta(args: argparse.Namespace) -> Delta:
    from reloc_ros.evaluation.trajectory import Delta

    if args.delta is None and args.delta_unit is None:
        size, unit = _DELTAS[args.format]
    else:
        size, unit = 1.0 if args.delta is None else args.delta, args.delta_unit or "f"
    return Delta(size=size, unit=unit, from_first_pose=args.from_first_pose)


def _print_summary(report: dict[str, Any], folder: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    ape, rpe = report["ape"], report["rpe"]
    table = Table(title=f"{report['poses']['associated']} poses, alignment {report['alignment']['kind']}")
    for column in ("", "APE m", f"RPE m ({rpe['delta']:g} {rpe['delta_unit']})", "APE deg", "RPE deg"):
        table.add_column(column, justify="right" if column else "left")
    for name in ape["rotation_deg"]:
        values = (figures[name] for figures in (ape, rpe, ape["rotation_deg"], rpe["rotation_deg"]))
        table.add_row(name, *(f"{value:.6g}" for value in values))
    console = Console()
    console.print(table)
    console.print(f"report: {folder / 'report.md'}", soft_wrap=True, highlight=False)
