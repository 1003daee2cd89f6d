"""Build the engine of a bundle, check its poses and keep it for the node."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reloc_ros.bundle.load import Bundle
    from reloc_ros.export.engine import Attempt
    from reloc_ros.export.gate_images import GateImages
    from reloc_ros.inference.engine_cache import EngineCache

EXIT_NO_ENGINE = 1
_INT8 = "int8"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `reloc build-engine`."""
    parser.add_argument("bundle", type=Path, help="bundle folder")
    parser.add_argument(
        "--precision", default="auto", choices=("auto", "fp16", "bf16", "mixed", "fp32", _INT8),
        help="arithmetic of the heavy layers in TensorRT; where poses come out wrong, a more exact one is tried. int8 is "
        "for ONNX Runtime on this CPU (default: auto)",
    )  # fmt: skip
    parser.add_argument(
        "--target", default="current", metavar="current|smNN",
        help="card to build for: the one in this machine, or with TensorRT-RTX any, such as sm86 or sm89",
    )  # fmt: skip
    parser.add_argument(
        "--images", type=Path,
        help="folder of frames of the place to compare poses on (default: those in the bundle; without any, synthetic ones)",
    )  # fmt: skip
    parser.add_argument(
        "--tolerance", type=_factor, default=1.0, metavar="F",
        help="factor on the limits of that comparison, for who gives up accuracy for speed (default: 1)",
    )  # fmt: skip
    parser.add_argument("--cache", type=Path, help="folder of engines (default: ~/.cache/reloc_ros/engines)")


def run(args: argparse.Namespace) -> int:
    """Build, judge, keep, and say what came out."""
    from reloc_ros.bundle.load import load_bundle
    from reloc_ros.export.gate_images import images_for
    from reloc_ros.inference.engine_cache import EngineCache

    bundle = load_bundle(args.bundle)
    images = images_for(bundle, args.images)
    # Of a sequence both graphs: what sees a frame, and what adds it to those before.
    graphs = [bundle] if bundle.manifest.sequence is None else [bundle.encoder(), bundle]
    results = [_run(args, graph, EngineCache(args.cache), images) for graph in graphs]
    return max(results)


def _run(args: argparse.Namespace, bundle: Bundle, cache: EngineCache, images: GateImages) -> int:
    """Build, judge and keep the engine of one graph; return the exit code."""
    build = _quantize if args.precision == _INT8 else _build
    attempts, backend, device = build(args, bundle, cache, images)
    print(bundle.model_path)
    for attempt in attempts:
        print(f"{attempt.precision}: {'not used' if attempt.failed else 'kept'}")
        for name, verdict in attempt.verdicts.items():
            print(f"  poses of the {name}: {verdict}")
        if attempt.entry is not None:
            cost = attempt.entry.build
            print(f"  built in {cost.seconds:.1f} s with {cost.peak_memory_bytes / 2**20:.0f} MiB at most")
    last = attempts[-1]
    if last.failed or last.entry is None:
        print("no engine has the right poses; the back end onnxruntime serves this graph")
        return EXIT_NO_ENGINE
    key = last.entry.key
    print(f"{last.entry.path}: {last.precision} for {key.target}, {key.flavour} {key.version}, back end {backend}")
    _record(bundle, last, backend, device)
    return 0


def _build(
    args: argparse.Namespace, bundle: Bundle, cache: EngineCache, images: GateImages
) -> tuple[list[Attempt], str, str]:
    """Return the attempts with TensorRT, the name of its back end, and this machine's card."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from reloc_ros.export.engine import build_best, this_machine

    machine = this_machine(args.target)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Preparing", total=1.0)
        attempts = build_best(
            bundle, cache, machine, precision=args.precision, target=args.target, images=images,
            tolerance=args.tolerance,
            progress=lambda phase, done: bar.update(task, description=phase, completed=done),
        )  # fmt: skip
    return attempts, "tensorrt", "" if machine.cuda is None else machine.cuda.gpu.name


def _quantize(
    args: argparse.Namespace, bundle: Bundle, cache: EngineCache, images: GateImages
) -> tuple[list[Attempt], str, str]:
    """Return the attempt in bytes, the name of its back end, and this machine's processor."""
    from reloc_ros.errors import ConfigError
    from reloc_ros.export.int8 import build_int8
    from reloc_ros.inference.cpu import cpu_name
    from reloc_ros.inference.quantized import NAME

    if args.target != "current":
        raise ConfigError(f"--precision int8 is for the CPU of this machine; leave --target {args.target} out")
    return [build_int8(bundle, cache, images, args.tolerance)], NAME, cpu_name()


def _record(bundle: Bundle, attempt: Attempt, backend: str, device: str) -> None:
    """Write what was found right on this machine's device into the manifest, for the next robot of its kind."""
    from reloc_ros.bundle.load import record_device
    from reloc_ros.bundle.manifest import DeviceSpec
    from reloc_ros.errors import BundleError
    from reloc_ros.inference.engine_cache import PASSED

    verdict = attempt.verdicts["engine"]
    if not verdict.startswith(PASSED):
        return
    try:
        record_device(bundle, device, DeviceSpec(backend=backend, precision=attempt.precision, verdict=verdict))
    except BundleError as error:
        print(f"the choice is not in the manifest: {error}")
    else:
        print(f"the manifest says so for every {device}")


def _factor(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value
