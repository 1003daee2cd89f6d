"""Play scenarios of trouble into a node of its own process, over DDS, and compare with what should happen."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress

    from reloc_ros.cameras.camera import Camera
    from reloc_ros.evaluation.scenario_report import Played
    from reloc_ros.node.lockstep import Answer
    from reloc_ros.synthetic.troubled_drives import TroubledDrive
    from reloc_ros.synthetic.worlds import World
    from reloc_ros.types import Array, Image

OTHER_SEED = 7
"""Of the apartment that no map shows."""

TWINS = "aliasing"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `reloc bench scenarios`."""
    parser.add_argument("--report", type=Path, required=True, metavar="OUT", help="folder for figures and picture")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="of drives, people and odometry")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="play these only (default: all)")
    parser.add_argument("--bundle", type=Path, metavar="B", help="of the apartment (default: the one shipped)")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="threads of the network; 0 is automatic")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="render processes")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="keep rendered images here")


def run(args: argparse.Namespace) -> int:
    """Play, write the report, print the table and return 1 where something is not as expected."""
    from rich.console import Console
    from rich.progress import Progress

    from reloc_ros.cli.demo import shipped_bundle
    from reloc_ros.errors import ConfigError
    from reloc_ros.evaluation.scenario_report import write_scenarios
    from reloc_ros.synthetic.troubled_drives import TROUBLES

    names = tuple(args.only or (*TROUBLES, TWINS))
    unknown = sorted(set(names) - {*TROUBLES, TWINS})
    if unknown:
        raise ConfigError(f"--only names {', '.join(unknown)}, expected some of {', '.join((*TROUBLES, TWINS))}")
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    os.environ.setdefault("ROS_DOMAIN_ID", "97")
    bundle = args.bundle or shipped_bundle()
    with Progress(console=Console()) as progress:
        stage = _Apartment(args, bundle, names, progress)
        played = [play_twins(args.seed, progress=progress) if name == TWINS else stage.play(name) for name in names]
    source = f"bundle {bundle.name} over DDS, the node in its own process, seed {args.seed}"
    report = write_scenarios(args.report, source, played, {"seed": args.seed})
    _print(report)
    for name in ("report.json", "report.md", "scenarios.png"):
        print(args.report / name)
    return 1 if any(figures["complaints"] for figures in report["scenarios"].values()) else 0


class _Apartment:
    """Drives with rendered images."""

    def __init__(self, args: argparse.Namespace, bundle: Path, names: tuple[str, ...], progress: Progress) -> None:
        from reloc_ros.cli.demo import WORLD_SEED
        from reloc_ros.synthetic.robot import Robot, demo_camera
        from reloc_ros.synthetic.troubled_drives import TROUBLES

        self._args, self._bundle, self._progress = args, bundle, progress
        self._robot, self._camera = Robot(), demo_camera()
        self._troubles = {name: TROUBLES[name] for name in names if name in TROUBLES}
        self._world = self._build(WORLD_SEED)
        elsewhere = any(trouble.elsewhere for trouble in self._troubles.values())
        self._other = self._build(OTHER_SEED) if elsewhere else None

    def play(self, name: str) -> Played:
        from reloc_ros.synthetic.troubled_drives import plan

        drive = plan(name, self._troubles[name], self._world, self._other, self._robot, self._args.seed)
        parameters = {"bundle": str(self._bundle.resolve()), "threads": self._args.threads}
        task = self._progress.add_task(name, total=len(drive.times_s))
        return play_drive(
            drive,
            self._images(drive),
            self._camera,
            self._robot.T_base_camera,
            parameters,
            on_image=lambda: self._progress.advance(task),
        )

    def _build(self, seed: int) -> World:
        from reloc_ros.cli.demo import WORLD
        from reloc_ros.synthetic.worlds import load_world

        task = self._progress.add_task(f"building {WORLD} {seed}", total=1.0)
        return load_world(WORLD, seed, lambda share: self._progress.update(task, completed=share))

    def _images(self, drive: TroubledDrive) -> Iterator[Image]:
        """Yield the images, rendered or as kept by an earlier run."""
        import numpy as np

        from reloc_ros.synthetic.troubled_drives import render

        kept = None if self._args.cache is None else self._args.cache / f"{drive.name}_{self._args.seed}.npy"
        if kept is not None and kept.is_file():
            yield from np.load(kept, mmap_mode="r")
            return
        images = []
        for image in render(
            drive,
            self._troubles[drive.name],
            self._camera,
            self._world,
            self._other,
            seed=self._args.seed,
            workers=self._args.workers,
        ):
            if kept is not None:
                images.append(image)
            yield image
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            np.save(kept, np.stack(images))


def play_drive(
    drive: TroubledDrive,
    images: Iterator[Image],
    camera: Camera,
    T_base_camera: Array,
    parameters: dict[str, Any],
    *,
    on_image: Any = lambda: None,
    module: str = "reloc_ros.node.relocalizer_node",
) -> Played:
    """Return what a node makes of a drive."""
    from reloc_ros.node.lockstep import Look, play

    # Images first, so that whoever makes them is told that they were the last.
    looks = (
        Look(time_s=float(time_s), T_odom_base=T_odom_base, image=image)
        for image, time_s, T_odom_base in zip(images, drive.times_s, drive.T_odom_base)
    )
    answers = play(looks, camera, T_base_camera, parameters, module=module, on_answer=lambda _: on_image())
    return as_played(drive, answers)


def as_played(drive: TroubledDrive, answers: list[Answer]) -> Played:
    """Return a drive with the answers to it."""
    import numpy as np

    from reloc_ros.evaluation.scenario_report import Played
    from reloc_ros.localization.decision import State

    nowhere = np.full((4, 4), np.nan)
    shown = [nowhere if a.T_map_odom is None else a.T_map_odom @ T for a, T in zip(answers, drive.T_odom_base)]
    return Played(
        name=drive.name,
        times_s=drive.times_s,
        T_map_base=drive.T_map_base,
        T_map_camera=drive.T_map_camera,
        troubled=drive.troubled,
        mapped=drive.mapped,
        carried_s=drive.carried_s,
        states=tuple(State(answer.state) for answer in answers),
        rejections=tuple(answer.rejection for answer in answers),
        T_map_base_shown=np.stack(shown),
        T_map_camera_published=np.stack([nowhere if a.T_map_camera is None else a.T_map_camera for a in answers]),
    )


def play_twins(seed: int, *, seconds: float = 80.0, progress: Progress | None = None) -> Played:
    """Return what a node makes of two rooms that look alike; its network says what the simulation lets it see."""
    import math
    from dataclasses import replace

    import numpy as np

    from reloc_ros.evaluation.simulated_drives import SCENARIOS, draw_run
    from reloc_ros.node import oracle_image
    from reloc_ros.node.soak import MODULE, T_BASE_CAMERA
    from reloc_ros.synthetic.troubled_drives import TroubledDrive

    scenario = replace(SCENARIOS[TWINS], seconds=seconds, kidnap_s=math.inf)
    samples = draw_run(scenario, np.random.default_rng([seed, 0]))
    nothing = oracle_image.write(np.eye(4), oracle_image.Plant.NOTHING_SEEN)
    images = (
        nothing if sample.fix is None else oracle_image.write(sample.fix.T_map_body @ T_BASE_CAMERA)
        for sample in samples
    )
    T_map_base = np.stack([sample.T_map_body for sample in samples])
    everywhere = np.ones(len(samples), dtype=bool)
    drive = TroubledDrive(
        name=TWINS,
        times_s=np.array([sample.stamp_ns - samples[0].stamp_ns for sample in samples]) * 1e-9,
        T_map_base=T_map_base,
        T_odom_base=np.stack([sample.T_odom_body for sample in samples]),
        T_map_camera=T_map_base @ T_BASE_CAMERA,
        troubled=everywhere,
        mapped=everywhere,
        carried_s=(),
    )
    task = None if progress is None else progress.add_task(TWINS, total=len(samples))

    def on_image() -> None:
        if progress is not None and task is not None:
            progress.advance(task)

    parameters = {"bundle": "oracle"}
    return play_drive(drive, images, oracle_image.CAMERA, T_BASE_CAMERA, parameters, on_image=on_image, module=MODULE)


def _print(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from reloc_ros.evaluation.scenario_report import HEADER, row

    table = Table(title=report["source"])
    for heading in ("", *HEADER):
        table.add_column(heading, justify="right" if heading else "left")
    for name, figures in report["scenarios"].items():
        table.add_row(name, *row(figures))
    # Wide enough for the table when the output is a file.
    Console(width=max(Console().width, 150)).print(table)
