"""Make a training set: `synthesize` renders a world from all over its free floor."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reloc_ros.cameras.camera import Camera

MAX_FRAMES = 1_000_000


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


def run(args: argparse.Namespace) -> int:
    """Render the data set and tell how to train on it."""
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
