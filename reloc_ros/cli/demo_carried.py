"""The second act of the demo: absolute fixes are cut off, and a sequence carries the pose across."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from reloc_ros.cli.demo_carried_report import CarriedVerdict, carried_table, judge_carried, write_carried_figure
from reloc_ros.cli.demo_session import run_session
from reloc_ros.synthetic.carried_drive import (
    RIG,
    RIG_CAMERAS,
    TOPICS,
    plan_carried_drive,
    render_carried_drive,
    write_carried_bag,
)
from reloc_ros.synthetic.free_space import FreeSpace
from reloc_ros.synthetic.renderer import Renderer
from reloc_ros.synthetic.robot import Robot, demo_camera
from reloc_ros.synthetic.worlds import World

PARAMETERS = {
    "rig_cameras": RIG_CAMERAS,
    "rig_frame": RIG,
    # No odometry: what moves the pose between two fixes is the sequence alone.
    "tf_mode": "map_to_camera",
    "votes_at_first": 6.0,
}
FASTER = 2.0
"""The first act showed real time."""
WATCHED = (TOPICS["front"][0], TOPICS["panorama"][0], "/tf_static")


def run_second_act(
    bag: Path,
    bundles: tuple[Path, Path],
    world: World,
    space: FreeSpace,
    *,
    seconds: float,
    seed: int,
    workers: int,
    rate: float,
    console: Console,
) -> CarriedVerdict:
    """Render a drive, play it into the node, show the figures and draw them.

    Args:
        bag: folder to write the drive to; logs and the picture lie beside it.
        bundles: of the sequence, and the absolute one.
        world: to drive in.
        space: that the robot fits in.
        seconds: length of the drive.
        seed: of the drive and its cameras.
        workers: render processes.
        rate: speed of playing, times real time.
        console: to show it on.

    Raises:
        ProcessError: the node or the player failed.
    """
    robot, rng, camera = Robot(), np.random.default_rng([seed, 2]), demo_camera()
    act = plan_carried_drive(space, robot, world, seconds, rng)
    images = render_carried_drive(act, world, camera, workers, rng)
    written = write_carried_bag(bag, act, robot, camera, images)
    for _ in track(written, total=len(act.steps), description="rendering the second act", console=console):
        pass
    sequence, absolute = bundles
    parameters = {**PARAMETERS, "anchor_bundle": str(absolute.resolve())}
    log = bag.with_name("carried_node.log")
    recording = run_session(
        bag, sequence, act, log, FASTER * rate, console, parameters=parameters, remaps={}, watched=WATCHED
    )
    verdict = judge_carried(act, recording)
    console.print(carried_table(verdict))
    write_carried_figure(act, verdict, Renderer(world.mesh, world.outdoors), world, bag.with_name("carried.png"))
    return verdict
