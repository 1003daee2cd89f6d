"""Measure a bundle against images with known poses and write a report."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reloc_ros.bundle.load import Bundle
    from reloc_ros.datasets.posed_images import PosedImages
    from reloc_ros.datasets.splits import Split
    from reloc_ros.evaluation.replay import FrameResult
    from reloc_ros.evaluation.report import Subject
    from reloc_ros.inference.backend import Backend
    from reloc_ros.localization.localizer import Localizer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("bundle", metavar="BUNDLE", help="folder that `reloc export` wrote")
    parser.add_argument("--data", required=True, metavar="FORMAT:PATH", help="images with poses, e.g. seven_scenes:DIR")
    parser.add_argument(
        "--split",
        choices=("train", "val", "all"),
        default="all",
        help="part of the data; train and val are cut as in the bundle's training (default: all)",
    )
    parser.add_argument(
        "--scene",
        metavar="NAME",
        help="scene of the bundle that the images are from; needed where it knows several and was not trained on DATA",
    )
    parser.add_argument("--report", required=True, metavar="OUT", type=Path, help="folder for the report")
    parser.add_argument("--backend", default="onnxruntime", metavar="NAME", help="back end (default: onnxruntime)")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="threads of the network; 0 is automatic")


def run(args: argparse.Namespace) -> int:
    """Evaluate, write the report and print the main figures."""
    from dataclasses import replace

    from reloc_ros.bundle.load import load_bundle
    from reloc_ros.datasets.posed_images import read_dataset
    from reloc_ros.datasets.splits import split_images
    from reloc_ros.evaluation.frame_sheet import frame_sheet
    from reloc_ros.evaluation.report import write_report
    from reloc_ros.inference.backend import create_backend
    from reloc_ros.localization.localizer import Localizer

    bundle = load_bundle(args.bundle)
    split = _training_split(bundle)
    scene = _scene_of(bundle, args)
    dataset = split_images(read_dataset(args.data), args.split, split)
    backend = create_backend(args.backend, bundle, args.threads)
    localizer = Localizer(bundle.manifest, backend)
    results = _replay_with_progress(localizer, dataset, scene)
    told = _replay_with_progress(Localizer(bundle.manifest, backend, scene), dataset, scene) if scene else None
    unit = "m" if dataset.metric else "scene units"
    frames = frame_sheet(results, dataset.images, localizer.network_view, unit) if results else None
    subject = replace(_subject(args, bundle, dataset, split, backend), scene=scene)
    backend.close()
    report = write_report(args.report, subject, results, frames, told)
    _print_summary(report, args.report)
    return 0


def _training_split(bundle: Bundle) -> Split:
    """Return the split the bundle was trained with, so that its held-out part is held out here, too."""
    from reloc_ros.datasets.splits import Split
    from reloc_ros.errors import BundleError

    recorded = bundle.manifest.training.get("split", {})
    try:
        return Split(**recorded)
    except TypeError as error:
        raise BundleError(
            f"{bundle.path}: training.split is {recorded!r}, not a split this program knows ({error})"
        ) from error


def _scene_of(bundle: Bundle, args: argparse.Namespace) -> str:
    """Return the scene that the images are from; empty where the bundle knows but one."""
    from reloc_ros.errors import ConfigError

    names = [scene.name for scene in bundle.manifest.scenes]
    if args.scene is not None and args.scene not in names:
        raise ConfigError(f"--scene is {args.scene!r}, the bundle knows {', '.join(names)}; choose one of these")
    if len(names) == 1:
        return ""
    # Networks of several scenes are trained on one data set for each, in the order of the scenes.
    trained = dict(zip(bundle.manifest.training.get("data", ()), names, strict=False))
    scene = args.scene or trained.get(args.data)
    if scene is None:
        raise ConfigError(
            f"the bundle knows the scenes {', '.join(names)} and was not trained on {args.data}; say with --scene which "
            "one these images are from"
        )
    return str(scene)


def _replay_with_progress(localizer: Localizer, dataset: PosedImages, scene: str) -> list[FrameResult]:
    from rich.console import Console
    from rich.progress import track

    from reloc_ros.evaluation.replay import replay

    images = track(dataset.images, description="Localizing", console=Console(stderr=True), transient=True)
    return replay(localizer, images, scene=scene)


def _subject(args: argparse.Namespace, bundle: Bundle, dataset: PosedImages, split: Split, backend: Backend) -> Subject:
    from dataclasses import asdict

    from reloc_ros.bundle.manifest import MODEL_NAME
    from reloc_ros.evaluation.report import Subject

    return Subject(
        bundle=args.bundle,
        method=bundle.manifest.method,
        model_sha256=bundle.manifest.files[MODEL_NAME],
        data=args.data,
        split=args.split,
        split_settings={} if args.split == "all" else asdict(split),
        ground_truth=dataset.ground_truth,
        metric=dataset.metric,
        skipped=len(dataset.skipped),
        backend=backend.name,
        device=backend.device,
        precision=backend.precision,
        threads=args.threads,
    )


def _print_summary(report: dict[str, Any], folder: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    unit = "m" if report["metric"] else "scene units"
    table = Table(title=f"{report['data']} ({report['split']})")
    table.add_column("figure")
    table.add_column("value", justify="right")
    rows = (
        ("frames", str(report["frames"])),
        ("rejected", f"{100 * report['rejection_rate']:.1f} %"),
        (
            "median error",
            f"{report['median_translation_error_m']:.3f} {unit} / {report['median_rotation_error_deg']:.2f} deg",
        ),
        ("90 % error", f"{report['p90_translation_error_m']:.3f} {unit} / {report['p90_rotation_error_deg']:.2f} deg"),
        *((f"within {limit.replace('_', ' ')}", f"{100 * value:.1f} %") for limit, value in report["recall"].items()),
        ("latency p50 / p99", f"{report['latency_ms']['p50']:.1f} / {report['latency_ms']['p99']:.1f} ms"),
    )
    for row in (*rows, *_scene_rows(report, unit)):
        table.add_row(*row)
    console = Console()
    console.print(table)
    console.print(f"report: {folder / 'report.md'}", soft_wrap=True, highlight=False)


def _scene_rows(report: dict[str, Any], unit: str) -> list[tuple[str, str]]:
    told, share = report["oracle"], report["poses_in_true_scene"]
    if told is None:
        return []
    median = f"{told['median_translation_error_m']:.3f} {unit} / {told['median_rotation_error_deg']:.2f} deg"
    found = "no poses" if share is None else f"{100 * share:.1f} %"
    return [(f"poses in {report['scene']}", found), ("median error, scene given", median)]
