"""Drive through a synthetic apartment over real DDS, with a black-out and a kidnap, and show how well it localizes."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from reloc_ros.errors import BundleError, DatasetError

SEQUENCE = "spr_small"
WORLD, WORLD_SEED = "apartment", 0
"""The flat that the bundle `models/apartment` was trained in; `reloc dataset synthesize` has the same defaults."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `reloc demo`."""
    parser.add_argument("--out", type=Path, default=Path("demo_out"), help="folder for bag, table, picture and log")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the drive")
    parser.add_argument("--bundle", type=Path, help="relocalizer bundle; default: the one shipped for the apartment")
    parser.add_argument("--seed", type=int, default=2024, help="of the drive, its odometry and its camera")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="render processes")
    parser.add_argument("--sequence-bundle", type=Path, help="bundle of the second act; default: the one shipped")
    parser.add_argument("--second-act", type=float, default=30.0, help="length of the second act, s; 0 leaves it out")
    parser.add_argument("--rate", type=float, default=1.0, help="speed of playing, times real time")


def run(args: argparse.Namespace) -> int:
    """Render a drive, play it into the node, and report."""
    import numpy as np
    from rich.console import Console
    from rich.progress import track

    from reloc_ros.cli.demo_carried import run_second_act
    from reloc_ros.cli.demo_report import judge, result_table, write_figure, write_json
    from reloc_ros.cli.demo_session import run_session
    from reloc_ros.synthetic.demo_drive import plan_demo_drive, write_demo_bag
    from reloc_ros.synthetic.free_space import free_space
    from reloc_ros.synthetic.renderer import Renderer
    from reloc_ros.synthetic.robot import Robot, demo_camera
    from reloc_ros.synthetic.worlds import load_world

    console = Console()
    bundle = args.bundle or shipped_bundle(WORLD)
    sequence = _sequence_bundle(args)
    bag = _fresh_bag_folder(args.out, "drive")
    robot, rng = Robot(), np.random.default_rng(args.seed)
    with console.status("building the apartment"):
        world = load_world(WORLD, WORLD_SEED)
        space = free_space(world.mesh, robot.radius_m, robot.height_m, world.floor_m)
        demo = plan_demo_drive(space, robot, world, args.seconds, rng)
    written = write_demo_bag(bag, demo, world, robot, demo_camera(), args.workers, rng)
    for _ in track(written, total=len(demo.steps), description="rendering the drive", console=console):
        pass
    recording = run_session(bag, bundle, demo, args.out / "node.log", args.rate, console)
    verdict = judge(demo, recording)
    console.print(result_table(verdict))
    write_figure(demo, verdict, Renderer(world.mesh, world.outdoors), world, args.out / "demo.png")
    carried, pictures = None, [args.out / "demo.png"]
    if sequence is not None:
        carried = run_second_act(
            _fresh_bag_folder(args.out, "carried"),
            (sequence, bundle),
            world,
            space,
            seconds=args.second_act,
            seed=args.seed,
            workers=args.workers,
            rate=args.rate,
            console=console,
        )
        pictures.append(args.out / "carried.png")
    write_json(verdict, args.out / "demo.json", carried)
    console.print(f"pictures: {' '.join(map(str, pictures))}   figures: {args.out / 'demo.json'}   bag: {bag}")
    return 0


def _sequence_bundle(args: argparse.Namespace) -> Path | None:
    """Return the bundle of the second act, None where there is to be none."""
    if args.second_act <= 0.0:
        return None
    bundle: Path | None = args.sequence_bundle
    try:
        return bundle or shipped_bundle(SEQUENCE)
    except BundleError:
        return None  # the first act needs none


def shipped_bundle(name: str = WORLD) -> Path:
    """Return a bundle of the demo: in the checkout, or where the package was installed.

    Raises:
        BundleError: it is in none of these places.
    """
    prefixes = [*os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep), sys.prefix]
    places = [Path(__file__).parents[2] / "models" / name]
    places += [Path(prefix) / "share" / "reloc_ros" / "models" / name for prefix in prefixes if prefix]
    for place in places:
        if (place / "manifest.yaml").is_file():
            return place
    raise BundleError(
        f"no bundle {name} in {', '.join(str(place) for place in places)}; give one with --bundle, or make "
        "one with `reloc dataset synthesize`, `reloc train` and `reloc export`"
    )


def _fresh_bag_folder(out: Path, name: str) -> Path:
    """Return a bag's folder in `out`, without the bag of an earlier demo."""
    bag = out / name
    if bag.exists():
        if not (bag / "metadata.yaml").is_file():
            raise DatasetError(f"{bag} is in the way and is not a bag of an earlier demo; choose another --out")
        shutil.rmtree(bag)
    out.mkdir(parents=True, exist_ok=True)
    return bag
