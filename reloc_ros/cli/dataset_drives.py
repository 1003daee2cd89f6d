"""Render drives through many worlds, seen and unseen, for what must work where it has never been."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from reloc_ros.synthetic.world_set import WorldSet
    from reloc_ros.synthetic.world_set_manifest import SetManifest

MAX_COUNT = 1_000_000
DEFAULT_FOV_DEG = 90.0
SIZE_PX = (256, 128)
HEIGHTS_M = (0.1, 0.5, 1.7)
BYTES_PER_MB = 1_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments that only drives have."""
    many = parser.add_argument_group(
        "drives through many worlds", "into OUT/seen and OUT/unseen; the same command goes on where it was stopped"
    )
    many.add_argument("--worlds", type=count, metavar="N", help="number of furnished interiors, each another one")
    many.add_argument(
        "--unseen-worlds", type=count, metavar="N", help="of them kept for OUT/unseen (default: an eighth)"
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
    """Render what is missing and return the exit code."""
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
        width=args.width or SIZE_PX[0],
        height=args.height or SIZE_PX[1],
        fov_deg=tuple(args.fov_deg or (DEFAULT_FOV_DEG,)) if model == "pinhole" else (),
        heights_m=tuple(args.camera_height_m or HEIGHTS_M),
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
    value = count(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not between 1 and {MAX_COUNT}")
    return value


def count(text: str) -> int:
    """Read a whole number of 0 or more."""
    value = int(text)
    if not 0 <= value <= MAX_COUNT:
        raise argparse.ArgumentTypeError(f"{value} is not between 0 and {MAX_COUNT}")
    return value
