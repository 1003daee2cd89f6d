"""Viewpoints all over the free floor, to train on."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from scipy.spatial.transform import Rotation

from reloc_ros.synthetic.free_space import FreeSpace
from reloc_ros.synthetic.robot import Robot, planar_pose
from reloc_ros.types import Array

TILT_RAD = np.radians(1.0)
LIFT_M = 0.015


def random_viewpoints(space: FreeSpace, robot: Robot, count: int, rng: Generator) -> list[Array]:
    """Return `count` T_map_camera (4, 4) that cover the free floor evenly, with every heading.

    Cells are taken in a shuffled round, so that no place is visited twice before each has been visited once; the
    position within the cell and the heading are random, tilt and height vary as on a real floor.
    """
    cells = np.argwhere(space.free)
    poses: list[Array] = []
    # Headings step by the golden angle: any run of them is spread evenly over the circle.
    heading = 2 * np.pi * rng.random()
    while len(poses) < count:
        for cell in rng.permutation(cells)[: count - len(poses)]:
            x, y = space.centres(cell) + (rng.random(2) - 0.5) * space.resolution
            heading += np.pi * (3 - np.sqrt(5)) + 0.3 * rng.standard_normal()
            T_map_base = planar_pose(x, y, heading, space.floor_m + LIFT_M * rng.standard_normal())
            T_base_tilted = np.eye(4)
            T_base_tilted[:3, :3] = Rotation.from_rotvec(TILT_RAD * rng.standard_normal(3) * (1, 1, 0)).as_matrix()
            poses.append(T_map_base @ T_base_tilted @ robot.T_base_camera)
    return poses
