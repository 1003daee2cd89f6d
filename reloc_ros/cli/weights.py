"""List and fetch the published checkpoints of pre-trained encoders."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from reloc_ros.training.download import Progress as Callback
    from reloc_ros.training.fetch_weights import Fetched
    from reloc_ros.training.official_weights import WeightFile

MIRROR_VARIABLE = "RELOC_WEIGHTS_MIRROR"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    summary = "show the checkpoints there are, their licences and sizes"
    actions.add_parser("list", help=summary, description=summary)
    summary = "download a checkpoint, or the rest of it, and check its hash"
    fetch = actions.add_parser("fetch", help=summary, description=summary)
    fetch.add_argument("name", metavar="NAME", help="see reloc weights list")
    fetch.add_argument("--to", type=Path, metavar="DIR", help="folder for the files (default: weights/NAME)")
    fetch.add_argument(
        "--mirror",
        metavar="URL",
        default=os.environ.get(MIRROR_VARIABLE),
        help=f"server to ask instead of the official ones (default: ${MIRROR_VARIABLE} if set)",
    )


def run(args: argparse.Namespace) -> int:
    """List or fetch."""
    if args.action == "list":
        _list()
        return 0
    from reloc_ros.training.fetch_weights import fetch, find_checkpoint

    checkpoint = find_checkpoint(args.name)
    folder = args.to or Path("weights") / args.name
    print(f"{args.name}: {checkpoint.what}, about {checkpoint.megabytes} MB")
    print(f"licence: {checkpoint.licence}, see {checkpoint.licence_url}", flush=True)
    with _progress() as progress:
        fetch(args.name, folder, _Watcher(progress), args.mirror)
    print(f"{args.name} is in {folder}")
    return 0


class _Watcher:
    """Shows one bar while files arrive and one line for each that is there."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None

    def starts(self, file: WeightFile) -> Callback:
        task = self._task = self._progress.add_task(file.name, total=file.size)
        return lambda have, total: self._progress.update(task, completed=have, total=total)

    def ends(self, fetched: Fetched) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None
        state = "was there" if fetched.was_there else "fetched"
        print(
            f"{fetched.path.name}: {state}, {fetched.size} bytes, SHA-256 {fetched.sha256}, "
            f"held against {fetched.origin.value}",
            flush=True,
        )


def _progress() -> Progress:
    import sys

    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"), *columns, console=console, transient=True, disable=not sys.stderr.isatty()
    )


def _list() -> None:
    from rich.console import Console
    from rich.table import Table

    from reloc_ros.training.official_weights import CHECKPOINTS

    table = Table(title="reloc weights fetch NAME")
    for heading in ("name", "what", "MB", "licence", "hash known"):
        table.add_column(heading, justify="right" if heading == "MB" else "left")
    for name, checkpoint in CHECKPOINTS.items():
        known = [len(file.sha256 or "") for file in checkpoint.files]
        state = "yes" if min(known) == 64 else "its beginning" if min(known) else "at first fetch"
        table.add_row(name, checkpoint.what, str(checkpoint.megabytes), checkpoint.licence, state)
    console = Console()
    Console(width=max(console.width, 150)).print(table)
