"""Measure how long things take on this machine: without a name all networks and the node, with one a single thing."""

from __future__ import annotations

import argparse
from types import ModuleType

from reloc_ros.cli import (
    bench_ablation,
    bench_networks,
    bench_node,
    bench_recovery,
    bench_rendering,
    bench_scenarios,
    bench_soak,
    bench_streaming,
    bench_transforms,
)

# Each module has `add_arguments(parser)` and `run(args) -> int`.
BENCHES: dict[str, tuple[ModuleType, str]] = {
    "node": (
        bench_node,
        "the node over DDS: latency from image arrival to pose, minus inference, and CPU share at 30 Hz",
    ),
    "inference": (
        bench_networks,
        (
            "the networks alone, in every back end of this machine; without a name, `reloc bench` also varies "
            "resolution, batch and threads, and measures the node"
        ),
    ),
    "ablation": (bench_ablation, "what a part of a method is worth: trainings with and without it"),
    "recovery": (
        bench_recovery,
        "trust: kidnapped robots, how soon they are right again and what wrong poses they publish",
    ),
    "scenarios": (
        bench_scenarios,
        "trouble: black-out, crowd, dusk, a bump, an unmapped place and twin rooms, against what should happen",
    ),
    "soak": (bench_soak, "endurance: the node for half an hour, with faults in every stage"),
    "streaming": (
        bench_streaming,
        "sequences: time of a late frame against an early one, and the step against the pass over all frames",
    ),
    "transforms": (
        bench_transforms,
        "transforms: a consumer that asks for map to base at 50 Hz while images come once a second",
    ),
    "rendering": (bench_rendering, "synthetic pictures: milliseconds for each, panorama and pinhole"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    bench_networks.add_arguments(parser)
    benches = parser.add_subparsers(dest="bench", metavar="BENCH")
    for name, (module, summary) in BENCHES.items():
        chosen = benches.add_parser(name, help=summary, description=summary)
        if module is bench_networks:
            bench_networks.add_arguments(chosen, sections=("networks",))
        else:
            module.add_arguments(chosen)


def run(args: argparse.Namespace) -> int:
    """Measure and print the figures."""
    module, _ = BENCHES["inference" if args.bench is None else args.bench]
    return int(module.run(args))
