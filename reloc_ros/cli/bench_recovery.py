"""Kidnap robots and see what they publish: with simulated fixes, or with a bundle on real or rendered images."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.random import Generator
    from rich.progress import Progress

    from reloc_ros.evaluation.recovery_report import Source
    from reloc_ros.synthetic.free_space import FreeSpace
    from reloc_ros.synthetic.robot import Robot
    from reloc_ros.synthetic.trajectories import Drive
    from reloc_ros.synthetic.worlds import World

RATE_HZ = 5.0
DRIVES, DRIVE_S = 8, 60.0
"""Rendered once; each kidnap cuts its own pieces out of them."""

_POOL_SEED = 1
_TRIES = 20

_KIDNAPS = ("kidnap", "signalled_kidnap")
"""Scenarios that cuts between drives can play."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `reloc bench recovery`."""
    parser.add_argument("--kidnaps", type=int, default=50, metavar="N", help="robots to kidnap (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="of drives, kidnaps and odometry")
    parser.add_argument("--report", type=Path, required=True, metavar="OUT", help="folder for figures and picture")
    parser.add_argument(
        "--scenario", default="kidnap", metavar="NAME",
        help="what happens to the robot; 'all' for a table of all, 'kidnap' at its head (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--trade-off", action="store_true", help="also ask for less and for more agreeing views")
    parser.add_argument("--planar", action="store_true", help="fuse x, y and yaw only, as for a robot on a flat floor")
    parser.add_argument("--bundle", type=Path, metavar="B", help="let this bundle localize instead of a simulation")
    parser.add_argument(
        "--data", metavar="FORMAT:PATH",
        help="recordings of the mapped place that the bundle was not trained on (default: drives through the apartment "
        "are rendered)",
    )  # fmt: skip
    parser.add_argument("--before-s", type=float, default=20.0, metavar="S", help="drive before a cut, with a bundle")
    parser.add_argument("--after-s", type=float, default=40.0, metavar="S", help="drive after a cut, with a bundle")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="keep rendered drives and the bundle's fixes here")
    parser.add_argument("--backend", default="onnxruntime", metavar="NAME", help="back end (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="threads of the network; 0 is automatic")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="render processes")


def render_drives(folder: Path, workers: int, progress: Progress) -> None:
    """Render drives through the apartment as data set of format panorama_sequences; what exists is kept."""
    import numpy as np

    from reloc_ros.cli.demo import WORLD, WORLD_SEED
    from reloc_ros.synthetic.camera_look import CameraLook
    from reloc_ros.synthetic.free_space import free_space
    from reloc_ros.synthetic.render_pool import RenderPool, Shot
    from reloc_ros.synthetic.robot import Robot, demo_camera
    from reloc_ros.synthetic.sequence_writer import write_sequence
    from reloc_ros.synthetic.trajectories import STEP_S
    from reloc_ros.synthetic.worlds import load_world

    missing = [index for index in range(DRIVES) if not (folder / f"drive_{index}" / "poses.txt").is_file()]
    if not missing:
        return
    task = progress.add_task("rendering drives", total=len(missing) * round(DRIVE_S * RATE_HZ))
    robot, camera, world = Robot(), demo_camera(), load_world(WORLD, WORLD_SEED)
    space = free_space(world.mesh, robot.radius_m, robot.height_m, world.floor_m)
    steps = np.arange(0, round(DRIVE_S / STEP_S), round(1.0 / (RATE_HZ * STEP_S)))
    notes = {"world": f"{WORLD}:{WORLD_SEED}", "height_above_floor_m": robot.camera_height_m}
    with RenderPool(world, camera, workers) as pool:
        for index in missing:
            rng = np.random.default_rng([_POOL_SEED, index])
            drive = _drive(space, robot, world, rng)
            poses = [drive.T_map_base(int(step)) @ robot.T_base_camera for step in steps]
            look = CameraLook.random(rng)
            shots = [Shot(pose, look, (_POOL_SEED, index, number)) for number, pose in enumerate(poses)]
            images = pool.render(shots)
            for _ in write_sequence(folder / f"drive_{index}", camera, images, poses, RATE_HZ, notes):
                progress.advance(task)


def _drive(space: FreeSpace, robot: Robot, world: World, rng: Generator) -> Drive:
    """Return a drive; where a robot gets stuck in a niche another one starts elsewhere."""
    from reloc_ros.errors import DatasetError
    from reloc_ros.synthetic.trajectories import drive_through

    for _ in range(_TRIES - 1):
        try:
            return drive_through(space, robot, world.rooms, DRIVE_S, rng)
        except DatasetError:
            continue
    return drive_through(space, robot, world.rooms, DRIVE_S, rng)


def run(args: argparse.Namespace) -> int:
    """Kidnap, write the report and print the table."""
    from rich.console import Console
    from rich.progress import Progress

    from reloc_ros.evaluation.recovery_report import VOTES, measure, steps_of, write_report
    from reloc_ros.localization.recovery_settings import RecoverySettings

    _check(args)
    console = Console()
    with Progress(console=console) as progress:
        source = _simulated(args) if args.bundle is None else _localized(args, progress)
        votes = VOTES if args.trade_off else ()
        task = progress.add_task("kidnapping robots", total=args.kidnaps * steps_of(source, votes=votes))
        measured = measure(
            source,
            RecoverySettings(planar=args.planar),
            seed=args.seed,
            votes=votes,
            on_run=lambda: progress.advance(task),
        )
    write_report(args.report, measured)
    _print(console.width, measured.report)
    for name in ("report.json", "report.md", "recovery.png"):
        print(args.report / name)
    return 0


def _check(args: argparse.Namespace) -> None:
    from reloc_ros.errors import ConfigError
    from reloc_ros.evaluation.simulated_drives import SCENARIOS

    choices = SCENARIOS if args.bundle is None else _KIDNAPS
    if args.scenario not in {"all", *choices}:
        played = "" if args.bundle is None else " with a bundle"
        raise ConfigError(f"--scenario is '{args.scenario}', expected all, {', '.join(choices)}{played}")
    if args.kidnaps < 1:
        raise ConfigError(f"--kidnaps is {args.kidnaps}, at least 1 is needed")
    if args.bundle is None and args.data is not None:
        raise ConfigError("--data needs --bundle B: without one fixes are simulated and no image is looked at")
    if args.bundle is not None and args.planar:
        raise ConfigError("--planar is for simulated fixes: those of a bundle are poses of a camera, not of a base")


def _simulated(args: argparse.Namespace) -> Source:
    from reloc_ros.evaluation.recovery_report import Source
    from reloc_ros.evaluation.recovery_simulation import draw_runs
    from reloc_ros.evaluation.simulated_drives import SCENARIOS

    return Source(
        title="simulated: errors as those of a relocalizer of 17 cm and 3.2 deg (medians)",
        draw=lambda name: draw_runs(name, kidnaps=args.kidnaps, seed=args.seed),
        scenarios=tuple(SCENARIOS) if args.scenario == "all" else (args.scenario,),
        details={},
    )


def _localized(args: argparse.Namespace, progress: Progress) -> Source:
    """Return the source of a bundle that localizes each image once."""
    from reloc_ros.bundle.load import load_bundle
    from reloc_ros.bundle.manifest import MANIFEST_NAME
    from reloc_ros.datasets.posed_images import read_dataset
    from reloc_ros.errors import ConfigError
    from reloc_ros.evaluation.recovery_drives import cut_runs, drives_of, fix_figures, localize_all, thinned
    from reloc_ros.evaluation.recovery_report import Source
    from reloc_ros.inference.backend import create_backend
    from reloc_ros.localization.localizer import Localizer

    bundle = load_bundle(args.bundle)
    if len(bundle.manifest.scenes) > 1:
        names = ", ".join(scene.name for scene in bundle.manifest.scenes)
        raise ConfigError(f"bundle {args.bundle} knows several scenes ({names}); recovery is measured in one map")
    cache = args.cache or args.report / "cache"
    if args.data is None:
        render_drives(cache / "drives", args.workers, progress)
    data = args.data or f"panorama_sequences:{cache / 'drives'}"
    dataset = thinned(read_dataset(data), RATE_HZ)
    task = progress.add_task("localizing", total=len(dataset))
    backend = create_backend(args.backend, bundle, args.threads)
    looks = localize_all(
        dataset,
        Localizer(bundle.manifest, backend).localize,
        cache=cache,
        # The manifest holds the checksum of the network.
        key=f"{args.backend} {(bundle.path / MANIFEST_NAME).read_text(encoding='utf-8')}",
        on_image=lambda: progress.advance(task),
    )
    backend.close()
    progress.update(task, completed=len(dataset))
    drives = drives_of(dataset, looks)
    seconds = {"before_s": args.before_s, "after_s": args.after_s}
    return Source(
        title=f"bundle {bundle.path.name} ({bundle.manifest.method}) on {len(dataset)} images of {dataset.name}",
        draw=lambda _name: cut_runs(drives, kidnaps=args.kidnaps, seed=args.seed, **seconds),
        scenarios=_KIDNAPS if args.scenario == "all" else (args.scenario,),
        details=fix_figures(drives),
    )


def _print(width: int, report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from reloc_ros.evaluation.recovery_report import HEADER, row

    table = Table(title=report["source"])
    for heading in ("", *HEADER):
        table.add_column(heading, justify="right" if heading else "left")
    for name, figures in report["scenarios"].items():
        table.add_row(name, *row(figures))
    for point in report["trade_off"]:
        table.add_row(f"votes_to_accept {point['votes_to_accept']:g}", *row(point))
    # Wide enough for the table when the output is a file.
    Console(width=max(width, 130)).print(table)
