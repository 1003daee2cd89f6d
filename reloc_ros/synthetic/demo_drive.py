"""The drive of the demo: room to room, with a black-out and a kidnap in the middle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from reloc_ros.cameras.pinhole import PinholeCamera
from reloc_ros.errors import DatasetError
from reloc_ros.synthetic.bag_writer import DriveBag, step_stamp_ns
from reloc_ros.synthetic.camera_look import CameraLook
from reloc_ros.synthetic.free_space import FreeSpace
from reloc_ros.synthetic.render_pool import RenderPool, Shot
from reloc_ros.synthetic.robot import Robot
from reloc_ros.synthetic.trajectories import STEP_S, Drive, OdometryNoise, drive_through, kidnapped, odometry
from reloc_ros.synthetic.worlds import World
from reloc_ros.types import Array

IMAGE_RATE_HZ = 10.0
STEPS_PER_IMAGE = round(1 / (IMAGE_RATE_HZ * STEP_S))
BLACK_OUT_SHARE = (0.36, 0.42)
KIDNAP_SHARE = 0.6
SHORTEST_S = 10.0
_DARK = CameraLook(exposure=1e-4, noise=1.5)


@dataclass(frozen=True, kw_only=True)
class DemoDrive:
    """A drive as the camera sees it, one entry for each image.

    Args:
        drive: every state.
        steps: (N,) state in which each image is taken.
        stamps_ns: (N,).
        T_map_camera: (N, 4, 4) truth.
        black: (N,) whether the image is black.
        kidnap_ns: stamp of the first image after the kidnap.
        looks: (N,) how the camera develops each image.
    """

    drive: Drive
    steps: NDArray[np.int64]
    stamps_ns: NDArray[np.int64]
    T_map_camera: Array
    black: NDArray[np.bool_]
    kidnap_ns: int
    looks: tuple[CameraLook, ...]


def plan_demo_drive(space: FreeSpace, robot: Robot, world: World, seconds: float, rng: Generator) -> DemoDrive:
    """Return a drive of `seconds`, dark for a few of them, after which the robot is carried to the farthest room.

    Raises:
        DatasetError: it is too short to show anything, or no way can be driven.
    """
    if seconds < SHORTEST_S:
        raise DatasetError(f"a demo of {seconds:g} s is too short, at least {SHORTEST_S:g} s are needed")
    before = drive_through(space, robot, world.rooms, KIDNAP_SHARE * seconds, rng)
    far = _farthest_room(world, before.x_y_yaw[-1, :2])
    after = drive_through(space, robot, world.rooms, (1 - KIDNAP_SHARE) * seconds, rng, start_room=far)
    drive = kidnapped(before, after)
    steps = np.arange(0, len(drive.stamps_s), STEPS_PER_IMAGE)
    T_map_camera = np.stack([drive.T_map_base(int(step)) @ robot.T_base_camera for step in steps])
    share = drive.stamps_s[steps] / seconds
    black = (share >= BLACK_OUT_SHARE[0]) & (share < BLACK_OUT_SHARE[1])
    look = replace(CameraLook.random(rng), noise=2.0)
    first_after = int(np.argmax(steps >= drive.kidnapped_at[0]))
    return DemoDrive(
        drive=drive,
        steps=steps,
        stamps_ns=np.array([step_stamp_ns(int(step)) for step in steps]),
        T_map_camera=T_map_camera,
        black=black,
        kidnap_ns=step_stamp_ns(int(steps[first_after])),
        looks=tuple(_DARK if dark else look for dark in black),
    )


def write_demo_bag(
    path: Path, demo: DemoDrive, world: World, robot: Robot, camera: PinholeCamera, workers: int, rng: Generator
) -> Iterator[int]:
    """Render the drive and write it as a bag; yield the number of images written so far."""
    noise = OdometryNoise()
    odom = odometry(demo.drive, noise, rng)
    seed = int(rng.random() * 2**31)
    shots = [Shot(pose, look, (seed, k)) for k, (pose, look) in enumerate(zip(demo.T_map_camera, demo.looks))]
    with RenderPool(world, camera, workers) as pool, DriveBag(path) as bag:
        yield from bag.write(demo.drive, odom, noise, camera, robot.T_base_camera, pool.render(shots), STEPS_PER_IMAGE)


def _farthest_room(world: World, xy: Array) -> str:
    def distance(name: str) -> float:
        x0, y0, x1, y1 = world.rooms[name]
        return float(np.hypot((x0 + x1) / 2 - xy[0], (y0 + y1) / 2 - xy[1]))

    return max(world.rooms, key=distance)
