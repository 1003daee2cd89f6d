"""Make and examine data sets: render a world, write any set as a bag, check poses against images, draw."""

from __future__ import annotations

import argparse
from pathlib import Path

from reloc_ros.cli import dataset_check, dataset_film, dataset_show, dataset_synthesize
from reloc_ros.cli.dataset_drives import positive

MIN_RATE_HZ, MAX_RATE_HZ = 0.01, 1000.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `reloc dataset`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    dataset_synthesize.add_arguments(
        actions.add_parser("synthesize", help="render one world or many into a data set of format panorama_sequences")
    )
    convert = actions.add_parser("convert", help="write a data set of any format as a ROS 2 bag, to play into the node")
    convert.add_argument(
        "--data", required=True, metavar="FORMAT:PATH", help="images with poses, e.g. seven_scenes:DIR"
    )
    convert.add_argument("--out", type=Path, required=True, help="new folder for the bag")
    convert.add_argument("--rate", type=_rate, metavar="HZ", help="space the images evenly (default: their own stamps)")
    convert.add_argument("--storage", choices=("mcap", "sqlite3"), default="mcap", help="default: mcap")
    convert.add_argument("--max-frames", type=positive, metavar="N", help="only the first N images")
    dataset_film.add_arguments(
        actions.add_parser("film", help="add a camera to a recorded drive that has none, in a synthetic world")
    )
    dataset_check.add_arguments(actions.add_parser("check", help="find poses, axes and focal lengths that are wrong"))
    dataset_show.add_arguments(actions.add_parser("show", help="draw images, cameras and coverage"))


def run(args: argparse.Namespace) -> int:
    """Do what the action says and return its exit code."""
    return _ACTIONS[args.action](args)


def _convert(args: argparse.Namespace) -> int:
    from rich.progress import track

    from reloc_ros.datasets.as_bag import only_camera, write_as_bag
    from reloc_ros.datasets.posed_images import read_dataset

    dataset = read_dataset(args.data)
    images = dataset.images[: args.max_frames]
    written = write_as_bag(args.out, images, args.storage, args.rate)
    for _ in track(written, total=len(images), description=f"writing {args.out.name}"):
        pass
    if dataset.skipped:
        print(f"{len(dataset.skipped)} images of the data set have no usable pose and are left out")
    if not dataset.metric:
        print("the positions of this data set are not known to be metres; a bag cannot say so")
    option = "?camera=equirectangular" if only_camera(images).model == "equirectangular" else ""
    print(
        f"{len(images)} images in {args.out}; use them as --data rosbag:{args.out}{option}, or: reloc play {args.out}"
    )
    return 0


def _rate(text: str) -> float:
    value = float(text)
    if not MIN_RATE_HZ <= value <= MAX_RATE_HZ:
        raise argparse.ArgumentTypeError(f"{text} Hz is not between {MIN_RATE_HZ:g} and {MAX_RATE_HZ:g}")
    return value


_ACTIONS = {
    "synthesize": dataset_synthesize.run,
    "convert": _convert,
    "film": dataset_film.run,
    "check": dataset_check.run,
    "show": dataset_show.run,
}
