"""Measure bundles against images with known poses and write a report."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from reloc_ros.cli.bag_options import add_bag_options, given_bag_options

if TYPE_CHECKING:
    from reloc_ros.datasets.images import PosedImages

T = TypeVar("T")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "bundles",
        nargs="+",
        metavar="BUNDLE",
        help="folder that `reloc export` wrote; several are compared with the first; bundles that follow sequences are told "
        "where each one starts",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", metavar="FORMAT:PATH", help="images with poses, e.g. seven_scenes:DIR")
    source.add_argument(
        "--bag", type=Path, metavar="BAG", help="recorded drive with images and poses, as for reloc map"
    )
    add_bag_options(parser)
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
    parser.add_argument(
        "--mapping",
        metavar="FORMAT:PATH",
        help="what the bundle was trained on, for errors off the mapping path and for --baseline (default: with --split "
        "val the rest of DATA, else what the bundle names, if it is still there)",
    )
    parser.add_argument(
        "--fault",
        type=_names,
        default=(),
        metavar="NAME,...",
        help="inject faults: kidnap, blackout, blur, dark, occlusion, noise, camera_bump, or all",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the faults (default: 0)")
    parser.add_argument("--baseline", choices=("sift",), help="also judge SIFT, retrieval and PnP on the same images")
    parser.add_argument(
        "--fov-deg",
        type=float,
        nargs="+",
        default=(360.0,),
        metavar="DEG",
        help="sequence bundles: fields of view to cut the images down to (default: all that they show)",
    )
    parser.add_argument(
        "--recorded",
        type=Path,
        metavar="FILE",
        help="judge the poses a node published (`reloc play BAG --record FILE`) instead of running the bundle here",
    )
    parser.add_argument("--report", required=True, metavar="OUT", type=Path, help="folder for the report")
    parser.add_argument("--backend", default="onnxruntime", metavar="NAME", help="back end (default: onnxruntime)")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="threads of the network; 0 is automatic")


def run(args: argparse.Namespace) -> int:
    """Evaluate, write the report and print the main figures."""
    from reloc_ros.bundle.load import load_bundle
    from reloc_ros.evaluation.fault_drives import FAULTS
    from reloc_ros.evaluation.study import Study, run_study

    # Reading the data takes longer than seeing that a bundle is none.
    followers = tuple(path for path in args.bundles if load_bundle(path).manifest.sequence is not None)
    data, dataset = _read(args)
    if len(followers) == len(args.bundles):
        return _run_sequences(args, data, dataset)
    study = Study(
        bundles=tuple(path for path in args.bundles if path not in followers),
        followers=followers,
        data=data,
        dataset=dataset,
        part=args.split,
        scene=args.scene,
        backend=args.backend,
        threads=args.threads,
        faults=FAULTS if args.fault == ("all",) else args.fault,
        seed=args.seed,
        baseline=args.baseline,
        recorded=args.recorded,
        mapping=args.mapping,
    )
    report = run_study(study, args.report, _track)
    _print_summary(report, args.report)
    return 0


def _run_sequences(args: argparse.Namespace, data: str, dataset: PosedImages) -> int:
    """Follow the sequences of the data set with bundles that do."""
    from rich.console import Console

    from reloc_ros.evaluation.sequence_replay import SequenceBundle, follow_all, subject_of
    from reloc_ros.evaluation.sequence_report import summary_table, write_sequence_report

    bundles = [SequenceBundle(path, args.backend, args.threads) for path in args.bundles]
    followed, seconds = follow_all(bundles, dataset, args.fov_deg, _track)
    subject = subject_of(bundles[0], args.bundles[0], data, dataset, seconds)
    report = write_sequence_report(args.report, subject, followed)
    for bundle in bundles:
        bundle.close()
    console = Console()
    console.print(summary_table(report), highlight=False, soft_wrap=True)
    console.print(f"report: {args.report / 'report.md'}, report.json", soft_wrap=True, highlight=False)
    return 0


def _read(args: argparse.Namespace) -> tuple[str, PosedImages]:
    """Return what to evaluate on, and its name in the report."""
    from reloc_ros.datasets.posed_images import read_dataset
    from reloc_ros.errors import ConfigError
    from reloc_ros.evaluation.readable import without_unreadable
    from reloc_ros.mapping.source import complete_options, read_drive

    given = given_bag_options(args)
    if args.bag is not None:
        drive = read_drive(args.bag, complete_options(args.bag, given))
        return f"rosbag:{args.bag}", without_unreadable(drive, _track(drive.images, "Reading"))
    if given:
        raise ConfigError(
            f"--{'/--'.join(given)} speak of a bag, but --bag is not given; write --data FORMAT:PATH?OPTION"
        )
    return args.data, read_dataset(args.data)


def _track(images: Sequence[T], title: str) -> Iterable[T]:
    from rich.console import Console
    from rich.progress import track

    return track(images, description=title, console=Console(stderr=True), transient=True)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _print_summary(report: dict[str, Any], folder: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    from reloc_ros.evaluation.comparison import latency_cell

    unit, false = "m" if report["metric"] else "scene units", report["false_fix_rate"]
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
        ("false fixes", "no poses" if false is None else f"{100 * false:.1f} % of the poses"),
        ("latency p50 / p99", latency_cell(report["latency_ms"])),
    )
    for row in (*rows, *_scene_rows(report, unit)):
        table.add_row(*row)
    console = Console()
    console.print(table)
    for heading, header, lines in _more_tables(report, unit):
        more = Table(*header, title=heading)
        for line in lines:
            more.add_row(*line)
        console.print(more)
    console.print(f"report: {folder / 'report.html'}, report.md, report.json", soft_wrap=True, highlight=False)


def _more_tables(report: dict[str, Any], unit: str) -> list[tuple[str, Sequence[str], list[list[str]]]]:
    from reloc_ros.evaluation.comparison import HEADER, cells
    from reloc_ros.evaluation.markdown import FAULT_HEADER, fault_cells

    tables: list[tuple[str, Sequence[str], list[list[str]]]] = []
    if "comparison" in report:
        # One column for each: names of figures are long, terminals narrow.
        name, *others = zip(HEADER, *(cells(row, unit) for row in report["comparison"]))
        tables.append(("side by side", list(name), [list(line) for line in others]))
    if report["faults"]:
        rows = [fault_cells(name, found, unit) for name, found in report["faults"].items()]
        tables.append(("faults", FAULT_HEADER, rows))
    return tables


def _scene_rows(report: dict[str, Any], unit: str) -> list[tuple[str, str]]:
    told, share = report["oracle"], report["poses_in_true_scene"]
    if told is None:
        return []
    median = f"{told['median_translation_error_m']:.3f} {unit} / {told['median_rotation_error_deg']:.2f} deg"
    found = "no poses" if share is None else f"{100 * share:.1f} %"
    return [(f"poses in {report['scene']}", found), ("median error, scene given", median)]
