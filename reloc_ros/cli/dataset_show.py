"""`reloc dataset show`: pictures of a data set."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--data", required=True, metavar="FORMAT:PATH", help="images with poses, e.g. seven_scenes:DIR")
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures")


def run(args: argparse.Namespace) -> int:
    """Write contact_sheet.png, frusta.png and coverage.png."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from reloc_ros.datasets.pictures import contact_sheet, coverage_figure, frusta_figure
    from reloc_ros.datasets.posed_images import read_dataset

    dataset = read_dataset(args.data)
    args.out.mkdir(parents=True, exist_ok=True)
    for name, draw in (
        ("contact_sheet", contact_sheet),
        ("frusta", frusta_figure),
        ("coverage", coverage_figure),
    ):
        figure = draw(dataset)
        FigureCanvasAgg(figure)
        # Without the version of matplotlib two equal runs write equal files.
        figure.savefig(args.out / f"{name}.png", dpi=110, metadata={"Software": None})
    print(f"{len(dataset)} images, {len(dataset.skipped)} skipped: contact_sheet, frusta, coverage.png in {args.out}")
    return 0
