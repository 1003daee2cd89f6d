"""Render data sets: random viewpoints in one world, or drives through many worlds."""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.progress import Progress, TaskID

    from reloc_ros.cameras.camera import Camera
    from reloc_ros.synthetic.world_set import WorldSet
    from reloc_ros.synthetic.world_set_manifest import SetManifest

MAX_COUNT = 1_000_000
MIN_FOV_DEG, MAX_FOV_DEG = 10.0, 160.0
DEFAULT_FOV_DEG = 90.0
ONE_WORLD_SIZE_PX, MANY_WORLDS_SIZE_PX = (320, 240), (256, 128)
ONE_WORLD_HEIGHTS_M, MANY_WORLDS_HEIGHTS_M = (1.0,), (0.1, 0.5, 1.7)
BYTES_PER_MB = 1_000_000


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
    many = parser.add_argument_group(
        "drives through many worlds", "into OUT/seen and OUT/unseen; the same command goes on where it was stopped"
    )
    many.add_argument("--worlds", type=_count, metavar="N", help="number of furnished interiors, each another one")
    many.add_argument(
        "--unseen-worlds", type=_count, metavar="N", help="of them kept for OUT/unseen (default: an eighth)"
    )
    many.add_argument("--mesh", type=Path, action="append", default=[], metavar="FILE", help="a world more; repeatable")
    many.add_argument(
        "--unseen-mesh", type=Path, action="append", default=[], metavar="FILE", help="one for OUT/unseen"
    )
    many.add_argument("--trajectories", type=positive, default=4, metavar="N", help="drives in each world")
    many.add_argument("--length-m", type=float, nargs=2, default=(3.0, 20.0), metavar=("MIN", "MAX"), help="of a drive")
    many.add_argument(
        "--spacing-m", type=float, nargs=2, default=(0.15, 0.25), metavar=("MIN", "MAX"), help="between frames"
    )
    many.add_argument("--dry-run", action="store_true", help="only say how much it would be")


def run(args: argparse.Namespace) -> int:
    """Render and return the exit code."""
    if args.worlds is not None or args.mesh or args.unseen_mesh:
        return _many_worlds(args)
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

    height_m = _only(args.camera_height_m or ONE_WORLD_HEIGHTS_M, "--camera-height-m")
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
    width, height = args.width or ONE_WORLD_SIZE_PX[0], args.height or ONE_WORLD_SIZE_PX[1]
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


def _many_worlds(args: argparse.Namespace) -> int:
    from reloc_ros.synthetic.world_set_manifest import SetManifest

    settings = _settings(args)
    estimate = settings.estimate(args.workers)
    free_bytes = shutil.disk_usage(_existing(args.out)).free
    print(
        f"{len(settings.specs())} worlds, about {estimate.images} images, {estimate.size_bytes / BYTES_PER_MB:.0f} MB, "
        f"{estimate.seconds / 60:.0f} min with {args.workers} processes; "
        f"{free_bytes / BYTES_PER_MB:.0f} MB are free at {args.out}",
        flush=True,
    )
    if args.dry_run:
        return 0
    manifest = SetManifest(args.out, settings)
    _check_room(args.out, estimate.size_bytes, free_bytes, manifest, len(settings.specs()))
    _render_with_progress(args, settings, manifest, estimate.images)
    for name, reason in manifest.skipped.items():
        print(f"skipped {name}: {reason}")
    print(
        f"{manifest.images()} images in {args.out}; train with: reloc train motion_encoder "
        f"--data panorama_sequences:{args.out / 'seen'} --out RUN, and evaluate on {args.out / 'unseen'}"
    )
    return 0


def _settings(args: argparse.Namespace) -> WorldSet:
    from reloc_ros.errors import ConfigError, DatasetError
    from reloc_ros.synthetic.world_set import WorldSet

    model = args.camera or "equirectangular"
    if model == "equirectangular" and args.fov_deg:
        raise ConfigError("--fov-deg is for pinhole cameras; add --camera pinhole, or leave it out")
    for path in (*args.mesh, *args.unseen_mesh):
        if not path.is_file():
            raise DatasetError(f"mesh file {path} does not exist")
    worlds = args.worlds or 0
    return WorldSet(
        seed=args.seed,
        worlds=worlds,
        unseen_worlds=worlds // 8 if args.unseen_worlds is None else args.unseen_worlds,
        meshes=tuple(args.mesh),
        unseen_meshes=tuple(args.unseen_mesh),
        model=model,
        width=args.width or MANY_WORLDS_SIZE_PX[0],
        height=args.height or MANY_WORLDS_SIZE_PX[1],
        fov_deg=tuple(args.fov_deg or (DEFAULT_FOV_DEG,)) if model == "pinhole" else (),
        heights_m=tuple(args.camera_height_m or MANY_WORLDS_HEIGHTS_M),
        trajectories=args.trajectories,
        length_m=tuple(args.length_m),
        spacing_m=tuple(args.spacing_m),
    )


def _check_room(out: Path, size_bytes: int, free_bytes: int, manifest: SetManifest, worlds: int) -> None:
    from reloc_ros.errors import DatasetError

    missing_bytes = size_bytes * (worlds - len(manifest.finished)) / worlds
    if missing_bytes > free_bytes:
        raise DatasetError(
            f"about {missing_bytes / BYTES_PER_MB:.0f} MB are still to be written and {free_bytes / BYTES_PER_MB:.0f} MB "
            f"are free at {out}; free some space, or ask for fewer worlds or trajectories"
        )


def _existing(path: Path) -> Path:
    """Return the path itself, or the nearest folder above it that exists."""
    return path if path.exists() else _existing(path.resolve().parent)


def _render_with_progress(args: argparse.Namespace, settings: WorldSet, manifest: SetManifest, images: int) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from reloc_ros.synthetic.world_set_run import render_set

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as bar:
        everything = bar.add_task("images (estimated)", total=max(images, 1), completed=manifest.images())
        worlds = bar.add_task("worlds", total=len(settings.specs()), completed=len(manifest.finished))
        lines: dict[str, TaskID] = {}
        for event in render_set(settings, args.out, manifest, args.workers):
            if event.kind == "done":
                bar.advance(worlds)
                _close(bar, lines, event.world)
                continue
            if event.world not in lines:
                lines[event.world] = bar.add_task(f"{event.world}: light, percent", total=100)
            if event.kind == "light":
                bar.update(lines[event.world], completed=round(100 * event.value))
            elif event.kind == "planned":
                bar.update(lines[event.world], description=f"{event.world}: images", completed=0, total=event.value)
            else:
                bar.advance(lines[event.world], event.value)
                bar.advance(everything, event.value)
        bar.update(everything, description="images", total=manifest.images(), completed=manifest.images())


def _close(bar: Progress, lines: dict[str, TaskID], world: str) -> None:
    if world in lines:
        bar.remove_task(lines.pop(world))


def positive(text: str) -> int:
    """Read a whole number of 1 or more."""
    value = _count(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not between 1 and {MAX_COUNT}")
    return value


def _count(text: str) -> int:
    value = int(text)
    if not 0 <= value <= MAX_COUNT:
        raise argparse.ArgumentTypeError(f"{value} is not between 0 and {MAX_COUNT}")
    return value


def _fov(text: str) -> float:
    value = float(text)
    if not MIN_FOV_DEG <= value <= MAX_FOV_DEG:
        raise argparse.ArgumentTypeError(f"{text} degrees are not between {MIN_FOV_DEG:g} and {MAX_FOV_DEG:g}")
    return value
