"""`reloc dataset check`: do the poses of a data set agree with its images?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reloc_ros.datasets.pose_check import PoseCheck

EXIT_FINDINGS = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--data", required=True, metavar="FORMAT:PATH", help="images with poses, e.g. seven_scenes:DIR")
    parser.add_argument("--report", type=Path, metavar="OUT", help="folder for report.json")


def run(args: argparse.Namespace) -> int:
    """Print what was found and return 0 when poses and images agree, 1 when something looks wrong."""
    import json

    from reloc_ros.datasets.pose_check import check_poses
    from reloc_ros.datasets.posed_images import read_dataset

    dataset = read_dataset(args.data)
    check = check_poses(dataset)
    _print(args.data, check)
    if args.report is not None:
        args.report.mkdir(parents=True, exist_ok=True)
        text = json.dumps(_report(args.data, check), indent=2, allow_nan=False)
        (args.report / "report.json").write_text(text + "\n", encoding="utf-8")
    return EXIT_FINDINGS if check.findings else 0


def _report(data: str, check: PoseCheck) -> dict[str, Any]:
    """Return the content of report.json; JSON knows no infinity: where most rays meet behind a camera it has null."""
    fits = {
        name: {
            "median_px": fit.median_px if fit.median_px < float("inf") else None,
            "agreeing": fit.agreeing,
            "cost_px": fit.cost_px,
        }
        for name, fit in check.fits.items()
    }
    return {
        "data": data,
        "consistent": not check.findings,
        "findings": list(check.findings),
        "pairs": check.pairs,
        "matches": check.matches,
        "best": check.best,
        "focal_scale": check.focal_scale,
        "hypotheses": fits,
    }


def _print(data: str, check: PoseCheck) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"{data}: {check.matches} matches in {check.pairs} image pairs", title_justify="left")
    for heading in ("hypothesis", "median error", "within 4 px"):
        table.add_column(heading, justify="left" if heading == "hypothesis" else "right")
    for name, fit in check.fits.items():
        median = f"{fit.median_px:.1f} px" if fit.median_px < float("inf") else "behind"
        table.add_row(Text(name), median, f"{100 * fit.agreeing:.0f} %", style="bold" if name == check.best else None)
    console = Console()
    console.print(table)
    for finding in check.findings:
        console.print(f"[red]wrong[/red] {finding}", soft_wrap=True, highlight=False)
    if not check.findings:
        console.print("[green]ok[/green] poses, axes and focal length agree with the images", soft_wrap=True)
