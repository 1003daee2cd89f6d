"""Paths of a robot through a world, cut into evenly spaced frames that cameras at several heights share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from scipy.spatial.transform import Rotation

from reloc_ros.errors import DatasetError
from reloc_ros.synthetic.free_space import FreeSpace
from reloc_ros.synthetic.robot import Robot, planar_pose
from reloc_ros.synthetic.trajectories import Area, drive_through
from reloc_ros.types import Array

SPACING_M = (0.15, 0.25)
SPACING_RAD = float(np.radians(10.0))
LENGTH_M = (3.0, 20.0)
SLOWEST_M_S = 0.25
"""Mean speed over a drive, turns included; where the drive turns out shorter than wanted, a longer one is tried."""
TILT_RAD = float(np.radians(0.6))
LIFT_M = 0.005
MAX_DRIVES = 4


@dataclass(frozen=True, kw_only=True)
class Path:
    """Where a robot took pictures.

    Args:
        x_y_yaw: (N, 3) metres and radians of the base in the map, one for each frame.
        length_m: way driven from the first to the last frame.
        floor_m: height of the floor.
    """

    x_y_yaw: Array
    length_m: float
    floor_m: float


def random_path(
    space: FreeSpace,
    robot: Robot,
    rooms: dict[str, Area],
    rng: Generator,
    length_m: tuple[float, float] = LENGTH_M,
    spacing_m: tuple[float, float] = SPACING_M,
) -> Path:
    """Return a drive from room to room: straights, arcs and turns in place, free of collisions.

    Its length and the spacing of its frames are drawn evenly from the ranges given; a frame is also taken after every
    10 degrees of turning.

    Raises:
        DatasetError: the free floor is too small for a path of the shortest length.
    """
    wanted_m = float(rng.uniform(*length_m))
    step_m = float(rng.uniform(*spacing_m))
    seconds, driven_m = wanted_m / SLOWEST_M_S, 0.0
    for _ in range(MAX_DRIVES):
        drive = drive_through(space, robot, rooms, seconds, rng)
        way = np.cumsum(np.linalg.norm(np.diff(drive.x_y_yaw[:, :2], axis=0, prepend=drive.x_y_yaw[:1, :2]), axis=1))
        driven_m = float(way[-1])
        if driven_m >= wanted_m:
            return _frames(drive.x_y_yaw[: int(np.searchsorted(way, wanted_m)) + 1], way, step_m, space.floor_m)
        seconds *= 2
    raise DatasetError(
        f"a robot of radius {robot.radius_m} m drove only {driven_m:.1f} m of {wanted_m:.1f} m in "
        f"{seconds / 2:.0f} s; ask for shorter trajectories, or leave this world out"
    )


def _frames(x_y_yaw: Array, way: Array, step_m: float, floor_m: float) -> Path:
    turn = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(x_y_yaw[:, 2])))])
    chosen = [0]
    for k in range(1, len(x_y_yaw)):
        if way[k] - way[chosen[-1]] >= step_m or turn[k] - turn[chosen[-1]] >= SPACING_RAD:
            chosen.append(k)
    return Path(x_y_yaw=x_y_yaw[chosen], length_m=float(way[chosen[-1]] - way[0]), floor_m=floor_m)


def camera_poses(path: Path, height_m: float, rng: Generator) -> list[Array]:
    """Return T_map_camera (4, 4) for each frame, looking ahead from `height_m` above the floor.

    The motion is planar but for what a real floor adds: a little pitch, roll and lift, drawn anew for each frame.
    """
    T_base_camera = Robot(camera_height_m=height_m, camera_forward_m=0.0).T_base_camera
    poses = []
    for x, y, yaw in path.x_y_yaw:
        T_base_tilted = np.eye(4)
        T_base_tilted[:3, :3] = Rotation.from_rotvec(TILT_RAD * rng.standard_normal(3) * (1, 1, 0)).as_matrix()
        lift_m = LIFT_M * float(np.clip(rng.standard_normal(), -3, 3))
        poses.append(planar_pose(x, y, yaw, path.floor_m + lift_m) @ T_base_tilted @ T_base_camera)
    return poses
