"""Measure networks in every back end of this machine, and what that depends on."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reloc_ros.benchmark.networks import Row, Say, Subject
    from reloc_ros.node.bench import NodeFigures

SECTIONS = ("networks", "resolution", "batch", "tuning", "node")
_METHODS = ("implicit_geometry", "dimm", "mvl_loc", "spr_mamba")
_SHIPPED = ("apartment", "spr_small")
_SWEPT = "implicit_geometry"
"""What resolution and batch are varied on: all of its arithmetic grows with the image."""

EXIT_DOES_NOT_WORK = 1


def add_arguments(parser: argparse.ArgumentParser, sections: Sequence[str] = SECTIONS) -> None:
    """Declare the arguments.

    Args:
        parser: to add them to.
        sections: measured by default.
    """
    parser.add_argument(
        "--bundle", type=Path, action="append", default=[], metavar="B",
        help="bundle to measure, may be repeated (default: those of the demo, and one with random weights of every method)",
    )  # fmt: skip
    parser.add_argument(
        "--section", action="append", choices=SECTIONS, dest="sections",
        help=f"part to measure, may be repeated (default: {', '.join(sections)})",
    )  # fmt: skip
    parser.add_argument("--skip", action="append", default=[], metavar="BACKEND", help="back end to leave out")
    parser.add_argument(
        "--seconds", type=float, default=4.0, metavar="S", help="to measure each line of a table (default: %(default)s)"
    )
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="threads of the networks; 0 is every core")
    parser.add_argument("--report", type=Path, metavar="DIR", help="also write bench.json and bench.png here")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    parser.add_argument(
        "--pin-clocks", action="store_true", help="lock the GPU's clock meanwhile, where that is allowed"
    )
    parser.add_argument(
        "--verify-device", action="store_true",
        help="instead: compile every network with TensorRT, run it, compare its poses and time it; one verdict each",
    )  # fmt: skip
    parser.set_defaults(default_sections=tuple(sections))


def run(args: argparse.Namespace) -> int:
    """Measure, print the tables, write the files; what was measured is kept whatever happens next."""
    from reloc_ros.benchmark.machine import describe_machine, pinned_clocks
    from reloc_ros.benchmark.networks import subjects
    from reloc_ros.benchmark.plot import write_plot
    from reloc_ros.benchmark.report import show, write_json

    sections = args.sections or args.default_sections
    paths = [path for path in (args.json, args.report / "bench.json" if args.report else None) if path is not None]
    rows: list[Row] = []
    node: list[NodeFigures] = []

    def keep(machine: dict[str, object]) -> None:
        for path in paths:
            write_json(path, rows, machine, [each.to_dict() for each in node])

    try:
        with _progress() as say, pinned_clocks(wanted=args.pin_clocks) as clocks:
            machine = describe_machine(clocks)
            with subjects(args.bundle or _shipped(), () if args.bundle else _METHODS, say) as chosen:
                if args.verify_device:
                    return _verify(args, chosen, say)
                # Once before anything is measured: a folder that cannot be written is noticed now.
                keep(machine)
                for row in _rows(args, sections, chosen, say):
                    rows.append(row)
                    keep(machine)
    finally:
        show(rows)
    for figures in _node() if "node" in sections else ():
        node.append(figures)
        keep(machine)
    if args.report is not None:
        write_plot(args.report / "bench.png", rows)
    return 0


def _shipped() -> list[Path]:
    from reloc_ros.cli.demo import shipped_bundle

    return [shipped_bundle(name) for name in _SHIPPED]


def _rows(args: argparse.Namespace, sections: Sequence[str], chosen: Sequence[Subject], say: Say) -> Iterator[Row]:
    from reloc_ros.benchmark.networks import (
        BACKENDS,
        compare_backends,
        or_reason,
        sweep_batches,
        sweep_sizes,
        tune_onnxruntime,
    )

    cores = os.cpu_count() or 1
    budget = {"threads": args.threads or cores, "seconds": args.seconds, "say": say}
    if "networks" in sections:
        yield from compare_backends(chosen, [name for name in BACKENDS if name not in args.skip], **budget)
    if "resolution" in sections:
        yield from sweep_sizes(_SWEPT, **budget)
    if "batch" in sections:
        yield from sweep_batches(_SWEPT, **budget)
    if "tuning" in sections:
        tune = partial(tune_onnxruntime, chosen[0], cores=cores, seconds=args.seconds, say=say)
        yield from or_reason("tuning", chosen[0].label, tune)


def _node() -> Iterator[NodeFigures]:
    """Measure the node around a network that costs nothing, where there is ROS."""
    from reloc_ros.cli.bench_node import measure_trivial, show
    from reloc_ros.errors import RelocError

    try:
        for figures in measure_trivial():
            show([figures])
            yield figures
    except ImportError as error:
        print(f"the node is not measured: {error}; source a ROS 2 installation or run `make setup`")
    except RelocError as error:
        print(f"the node is not measured: {error}")


def _verify(args: argparse.Namespace, chosen: Sequence[Subject], say: Say) -> int:
    from rich.console import Console

    from reloc_ros.benchmark.verify_device import table, verify

    threads = args.threads or os.cpu_count() or 1
    outcomes = verify(chosen, cache=None, threads=threads, seconds=args.seconds, say=say)
    console = Console()
    Console(width=max(console.width, 150)).print(table(outcomes))
    bad = [outcome for outcome in outcomes if outcome.bad]
    if bad:
        print(f"{len(bad)} of {len(outcomes)} do not work; ONNX Runtime serves these bundles")
        return EXIT_DOES_NOT_WORK
    not_run = sum(not outcome.ran for outcome in outcomes)
    print("all compiled" + (f", {not_run} of {len(outcomes)} were not run: there is no GPU" if not_run else " and ran"))
    return 0


@contextmanager
def _progress() -> Iterator[Say]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Preparing", total=1.0)
        yield lambda what, done: bar.update(task, description=what, completed=done)
