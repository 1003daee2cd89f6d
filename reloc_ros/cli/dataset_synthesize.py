"""Render data sets: random viewpoints in one world, or drives through many worlds."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from reloc_ros.cli import dataset_drives
from reloc_ros.cli.dataset_drives import DEFAULT_FOV_DEG, positive

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reloc_ros.cameras.camera import Camera

MIN_FOV_DEG, MAX_FOV_DEG = 10.0, 160.0
SIZE_PX = (320, 240)
HEIGHTS_M = (1.0,)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--out", type=Path, required=True, help="new folder for the data set")
    parser.add_argument("--camera", choices=("pinhole", "equirectangular"), help="default: equirectangular for drives")
    parser.add_argument("--width", type=positive, help="default: 256 for drives, 320 otherwise")
    parser.add_argument("--height", type=positive, help="default: 128 for drives, 240 otherwise")
    parser.add_argument(
        "--fov-deg", type=_fov, nargs="+", metavar="DEG", help="horizontal, of the pinhole camera; drives take several"
    )
    parser.add_argument(
        "--camera-height-m", type=float, nargs="+", metavar="M", help="default: 0.1 0.5 1.7 for drives, 1.0 otherwise"
    )
    parser.add_argument("--seed", type=int, default=1, help="of everything that is drawn by chance")
    parser.add_argument("--workers", type=positive, default=os.cpu_count() or 1, help="render processes")
    one = parser.add_argument_group("random viewpoints in one world")
    one.add_argument(
        "--world", default="apartment", help="apartment, interior, or a .glb, .gltf, .obj or .ply file in metres, z up"
    )
    one.add_argument("--world-seed", type=int, default=0, help="which apartment or interior")
    one.add_argument("--frames", type=positive, default=4000)
    dataset_drives.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Render and return the exit code."""
    if args.worlds is not None or args.mesh or args.unseen_mesh:
        return dataset_drives.run(args)
    return _one_world(args)


def _one_world(args: argparse.Namespace) -> int:
    from dataclasses import replace

    import numpy as np
    from rich.progress import Progress, track

    from reloc_ros.synthetic.camera_look import CameraLook
    from reloc_ros.synthetic.free_space import free_space
    from reloc_ros.synthetic.render_pool import RenderPool, Shot
    from reloc_ros.synthetic.robot import Robot
    from reloc_ros.synthetic.sequence_writer import write_sequence
    from reloc_ros.synthetic.viewpoints import random_viewpoints
    from reloc_ros.synthetic.worlds import load_world

    height_m = _only(args.camera_height_m or HEIGHTS_M, "--camera-height-m")
    robot = replace(Robot(), camera_height_m=height_m)
    camera = _camera(args)
    with Progress(transient=True) as bar:
        task = bar.add_task(f"baking the light of {args.world}", total=1.0)
        world = load_world(args.world, args.world_seed, lambda share: bar.update(task, completed=share))
    space = free_space(world.mesh, robot.radius_m, robot.height_m, world.floor_m)
    rng = np.random.default_rng(args.seed)
    poses = random_viewpoints(space, robot, args.frames, rng)
    shots = [Shot(pose, CameraLook.random(rng), (args.seed, index)) for index, pose in enumerate(poses)]
    notes = {"world": f"{args.world}:{args.world_seed}", "height_above_floor_m": height_m}
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
    width, height = args.width or SIZE_PX[0], args.height or SIZE_PX[1]
    if args.camera == "equirectangular":
        from reloc_ros.cameras.equirectangular import EquirectangularCamera

        return EquirectangularCamera(width=width, height=height)
    from reloc_ros.synthetic.robot import demo_camera

    return demo_camera(width, height, _only(args.fov_deg or (DEFAULT_FOV_DEG,), "--fov-deg"))


def _only(values: Sequence[float], option: str) -> float:
    from reloc_ros.errors import ConfigError

    if len(values) != 1:
        raise ConfigError(f"{option} has {len(values)} values; several are for drives through many worlds (--worlds N)")
    return values[0]


def _fov(text: str) -> float:
    value = float(text)
    if not MIN_FOV_DEG <= value <= MAX_FOV_DEG:
        raise argparse.ArgumentTypeError(f"{text} degrees are not between {MIN_FOV_DEG:g} and {MAX_FOV_DEG:g}")
    return value
