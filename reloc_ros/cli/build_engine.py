"""Build the TensorRT engine of a bundle, check its poses and keep it for the node."""

from __future__ import annotations

import argparse
from pathlib import Path

EXIT_NO_ENGINE = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `reloc build-engine`."""
    parser.add_argument("bundle", type=Path, help="bundle folder")
    parser.add_argument(
        "--precision", default="auto", choices=("auto", "fp16", "bf16", "mixed", "fp32"),
        help="arithmetic of the heavy layers; where poses come out wrong, a more exact one is tried (default: auto)",
    )  # fmt: skip
    parser.add_argument(
        "--target", default="current", metavar="current|smNN",
        help="card to build for: the one in this machine, or with TensorRT-RTX any, such as sm86 or sm89",
    )  # fmt: skip
    parser.add_argument(
        "--images", type=Path, help="folder of frames of the place to compare poses on (default: synthetic images)"
    )
    parser.add_argument("--cache", type=Path, help="folder of engines (default: ~/.cache/reloc_ros/engines)")


def run(args: argparse.Namespace) -> int:
    """Build, judge, keep, and say what came out."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from reloc_ros.bundle.load import load_bundle
    from reloc_ros.export.engine import build_best, this_machine
    from reloc_ros.export.engine_parity import images_in
    from reloc_ros.inference.engine_cache import EngineCache

    bundle = load_bundle(args.bundle)
    images = None if args.images is None else images_in(args.images, bundle.manifest)
    machine = this_machine(args.target)
    cache = EngineCache(args.cache)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("Preparing", total=1.0)
        attempts = build_best(
            bundle, cache, machine, precision=args.precision, target=args.target, images=images,
            progress=lambda phase, done: bar.update(task, description=phase, completed=done),
        )  # fmt: skip
    for attempt in attempts:
        print(f"{attempt.precision}: {'not used' if attempt.failed else 'kept'}")
        for name, verdict in attempt.verdicts.items():
            print(f"  poses of the {name}: {verdict}")
        if attempt.entry is not None:
            build = attempt.entry.build
            print(f"  built in {build.seconds:.1f} s with {build.peak_memory_bytes / 2**20:.0f} MiB at most")
    last = attempts[-1]
    if last.failed or last.entry is None:
        print("no engine has the right poses; the back end onnxruntime serves this bundle")
        return EXIT_NO_ENGINE
    print(f"{last.entry.path}: {last.precision} for {last.entry.key.target}, TensorRT {last.entry.key.tensorrt}")
    return 0
