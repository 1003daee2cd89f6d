"""Make and examine data sets: render a world, write any set as a bag, check poses against images, draw."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from reloc_ros.cli import dataset_check, dataset_show

if TYPE_CHECKING:
    from reloc_ros.cameras.camera import Camera

MAX_FRAMES = 1_000_000
MIN_RATE_HZ, MAX_RATE_HZ = 0.01, 1000.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `reloc dataset`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    synthesize = actions.add_parser("synthesize", help="render a world into a data set of format panorama_sequences")
    synthesize.add_argument("--world", default="apartment", help="name of a world, or a .glb, .gltf, .obj or .ply file")
    synthesize.add_argument("--world-seed", type=int, default=0, help="which apartment")
    synthesize.add_argument("--out", type=Path, required=True, help="new folder for the data set")
    synthesize.add_argument("--frames", type=_positive, default=4000)
    synthesize.add_argument("--camera", choices=("pinhole", "equirectangular"), default="pinhole")
    synthesize.add_argument("--width", type=_positive, default=320)
    synthesize.add_argument("--height", type=_positive, default=240)
    synthesize.add_argument("--fov-deg", type=float, default=90.0, help="horizontal, of the pinhole camera")
    synthesize.add_argument("--camera-height-m", type=float, default=1.0)
    synthesize.add_argument("--seed", type=int, default=1, help="of viewpoints, exposure and noise")
    synthesize.add_argument("--workers", type=_positive, default=os.cpu_count() or 1, help="render processes")
    convert = actions.add_parser("convert", help="write a data set of any format as a ROS 2 bag, to play into the node")
    convert.add_argument(
        "--data", required=True, metavar="FORMAT:PATH", help="images with poses, e.g. seven_scenes:DIR"
    )
    convert.add_argument("--out", type=Path, required=True, help="new folder for the bag")
    convert.add_argument("--rate", type=_rate, metavar="HZ", help="space the images evenly (default: their own stamps)")
    convert.add_argument("--storage", choices=("mcap", "sqlite3"), default="mcap", help="default: mcap")
    convert.add_argument("--max-frames", type=_positive, metavar="N", help="only the first N images")
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


def _synthesize(args: argparse.Namespace) -> int:
    from dataclasses import replace

    import numpy as np
    from rich.progress import track

    from reloc_ros.synthetic.camera_look import CameraLook
    from reloc_ros.synthetic.free_space import free_space
    from reloc_ros.synthetic.render_pool import RenderPool, Shot
    from reloc_ros.synthetic.robot import Robot
    from reloc_ros.synthetic.sequence_writer import write_sequence
    from reloc_ros.synthetic.viewpoints import random_viewpoints
    from reloc_ros.synthetic.worlds import load_world

    robot = replace(Robot(), camera_height_m=args.camera_height_m)
    camera = _camera(args)
    world = load_world(args.world, args.world_seed)
    space = free_space(world.mesh, robot.radius_m, robot.height_m, world.floor_m)
    rng = np.random.default_rng(args.seed)
    poses = random_viewpoints(space, robot, args.frames, rng)
    shots = [Shot(pose, CameraLook.random(rng), (args.seed, index)) for index, pose in enumerate(poses)]
    notes = {"world": f"{args.world}:{args.world_seed}", "height_above_floor_m": args.camera_height_m}
    with RenderPool(world, camera, args.workers) as pool:
        written = write_sequence(args.out / "everywhere", camera, pool.render(shots), poses, 10.0, notes)
        for _ in track(written, total=len(poses), description=f"rendering {world.name}"):
            pass
    print(
        f"{len(poses)} frames in {args.out}; train with: reloc train implicit_geometry "
        f"--data panorama_sequences:{args.out} --out RUN"
    )
    return 0


def _camera(args: argparse.Namespace) -> Camera:
    if args.camera == "equirectangular":
        from reloc_ros.cameras.equirectangular import EquirectangularCamera

        return EquirectangularCamera(width=args.width, height=args.height)
    from reloc_ros.synthetic.robot import demo_camera

    return demo_camera(args.width, args.height, args.fov_deg)


def _positive(text: str) -> int:
    value = int(text)
    if not 1 <= value <= MAX_FRAMES:
        raise argparse.ArgumentTypeError(f"{value} is not between 1 and {MAX_FRAMES}")
    return value


def _rate(text: str) -> float:
    value = float(text)
    if not MIN_RATE_HZ <= value <= MAX_RATE_HZ:
        raise argparse.ArgumentTypeError(f"{text} Hz is not between {MIN_RATE_HZ:g} and {MAX_RATE_HZ:g}")
    return value


_ACTIONS = {"synthesize": _synthesize, "convert": _convert, "check": dataset_check.run, "show": dataset_show.run}
