"""Measure how long things take on this machine."""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

from reloc_ros.cli import (
    bench_ablation,
    bench_recovery,
    bench_rendering,
    bench_scenarios,
    bench_soak,
    bench_streaming,
    bench_transforms,
)

if TYPE_CHECKING:
    from reloc_ros.node.bench import NodeFigures

BENCH_IMAGES = 20

_IN_OWN_FILE = {
    "ablation": bench_ablation,
    "recovery": bench_recovery,
    "rendering": bench_rendering,
    "scenarios": bench_scenarios,
    "soak": bench_soak,
    "streaming": bench_streaming,
    "transforms": bench_transforms,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    benches = parser.add_subparsers(dest="bench", required=True, metavar="BENCH")
    summary = "the node over DDS: latency from image arrival to pose, minus inference, and CPU share at 30 Hz"
    node = benches.add_parser("node", help=summary, description=summary)
    node.add_argument("--bundle", type=Path, metavar="B", help="bundle to run (default: a network that costs nothing)")
    node.add_argument("--data", metavar="FORMAT:PATH", help="images for the bundle; needed with --bundle")
    node.add_argument("--backend", default="onnxruntime", metavar="NAME", help="back end (default: %(default)s)")
    summary = "the network alone: torch eager against ONNX Runtime"
    inference = benches.add_parser("inference", help=summary, description=summary)
    inference.add_argument("--bundle", type=Path, metavar="B", help="bundle to run (default: the demo's)")
    summary = "what a part of a method is worth: trainings with and without it"
    ablation = benches.add_parser("ablation", help=summary, description=summary)
    bench_ablation.add_arguments(ablation)
    summary = "trust: kidnapped robots, how soon they are right again and what wrong poses they publish"
    recovery = benches.add_parser("recovery", help=summary, description=summary)
    bench_recovery.add_arguments(recovery)
    summary = "trouble: black-out, crowd, dusk, a bump, an unmapped place and twin rooms, against what should happen"
    scenarios = benches.add_parser("scenarios", help=summary, description=summary)
    bench_scenarios.add_arguments(scenarios)
    summary = "endurance: the node for half an hour, with faults in every stage"
    soak = benches.add_parser("soak", help=summary, description=summary)
    bench_soak.add_arguments(soak)
    summary = "sequences: time of a late frame against an early one, and the step against the pass over all frames"
    streaming = benches.add_parser("streaming", help=summary, description=summary)
    bench_streaming.add_arguments(streaming)
    summary = "transforms: a consumer that asks for map to base at 50 Hz while images come once a second"
    transforms = benches.add_parser("transforms", help=summary, description=summary)
    bench_transforms.add_arguments(transforms)
    summary = "synthetic pictures: milliseconds for each, panorama and pinhole"
    rendering = benches.add_parser("rendering", help=summary, description=summary)
    bench_rendering.add_arguments(rendering)
    for bench in (node, inference):
        bench.add_argument("--threads", type=int, default=0, metavar="N", help="threads of the network; 0 is automatic")
        bench.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")


def run(args: argparse.Namespace) -> int:
    """Measure and print the figures."""
    if args.bench in _IN_OWN_FILE:
        return _IN_OWN_FILE[args.bench].run(args)
    if args.bench == "inference":
        from reloc_ros.cli.demo import shipped_bundle
        from reloc_ros.inference import bench

        bench.run(args.bundle or shipped_bundle(), args.threads, args.json)
        return 0
    from reloc_ros.node.large_images import make_room_for_large_images

    make_room_for_large_images()
    # Own domain, this machine only: what else runs on this computer shall not hear 30 images a second.
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    os.environ.setdefault("ROS_DOMAIN_ID", "95")
    figures = _bench_trivial() if args.bundle is None else [_bench_bundle(args)]
    _print(figures)
    if args.json is not None:
        machine = {"cpu_count": os.cpu_count(), "platform": platform.platform(), "python": platform.python_version()}
        report = {"bench": "node", "machine": machine, "runs": [run.to_dict() for run in figures]}
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def _bench_trivial() -> list[NodeFigures]:
    from reloc_ros.node.bench import bench_trivial

    return [bench_trivial(kind) for kind in ("pinhole", "equirectangular")]


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


def _print(figures: list[NodeFigures]) -> None:
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
