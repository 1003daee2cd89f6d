"""The node over DDS: latency from image arrival to pose, minus inference, and CPU share at 30 Hz."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reloc_ros.node.bench import NodeFigures

BENCH_IMAGES = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--bundle", type=Path, metavar="B", help="bundle to run (default: a network that costs nothing)"
    )
    parser.add_argument("--data", metavar="FORMAT:PATH", help="images for the bundle; needed with --bundle")
    parser.add_argument("--backend", default="onnxruntime", metavar="NAME", help="back end (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="threads of the network; 0 is automatic")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")


def run(args: argparse.Namespace) -> int:
    """Measure and print the figures."""
    if args.bundle is None:
        figures = list(measure_trivial())
    else:
        _keep_to_ourselves()
        figures = [_bench_bundle(args)]
    show(figures)
    if args.json is not None:
        machine = {"cpu_count": os.cpu_count(), "platform": platform.platform(), "python": platform.python_version()}
        report = {"bench": "node", "machine": machine, "runs": [run.to_dict() for run in figures]}
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def measure_trivial() -> Iterator[NodeFigures]:
    """Yield the figures of the node with a network that costs nothing, for each kind of camera."""
    from reloc_ros.node.bench import bench_trivial

    _keep_to_ourselves()
    for kind in ("pinhole", "equirectangular"):
        yield bench_trivial(kind)


def _keep_to_ourselves() -> None:
    from reloc_ros.node.large_images import make_room_for_large_images

    make_room_for_large_images()
    # Own domain, this machine only: what else runs on this computer shall not hear 30 images a second.
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    os.environ.setdefault("ROS_DOMAIN_ID", "95")


def _bench_bundle(args: argparse.Namespace) -> NodeFigures:
    from reloc_ros.datasets.posed_images import read_dataset
    from reloc_ros.errors import ConfigError
    from reloc_ros.node.bench import bench_bundle

    if args.data is None:
        raise ConfigError("--bundle needs --data FORMAT:PATH: images that the bundle can localize")
    posed = read_dataset(args.data).images[:BENCH_IMAGES]
    frames = [image.frame() for image in posed if image.camera == posed[0].camera]
    images = [frame.image for frame in frames]
    return bench_bundle(args.bundle, posed[0].camera, images, backend=args.backend, threads=args.threads)


def show(figures: list[NodeFigures]) -> None:
    """Print the figures as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"relocalizer_node, {figures[0].backend} back end, {figures[0].rate_hz:g} Hz, milliseconds")
    headings = (
        "image",
        "poses",
        "latency p50/p99",
        "less inference p50/p99",
        "aim",
        "solve p50",
        "over DDS p50/p99",
        "CPU",
    )
    for heading in headings:
        table.add_column(heading, justify="right")
    for run in figures:
        table.add_row(
            f"{run.width}x{run.height}",
            f"{run.poses}/{run.frames_sent}",
            f"{run.latency_p50_ms:.1f}/{run.latency_p99_ms:.1f}",
            f"{run.overhead_p50_ms:.1f}/{run.overhead_p99_ms:.1f}",
            "" if run.aim_ms is None else f"{run.aim_ms:g}",
            f"{run.stages_p50_ms['solve']:.1f}",
            f"{run.round_trip_p50_ms:.1f}/{run.round_trip_p99_ms:.1f}",
            f"{run.cpu_share:.0%}",
        )
    # Wide enough for the table when the output is a file.
    console = Console()
    Console(width=max(console.width, 110)).print(table)
