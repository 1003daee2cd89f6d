"""Poses of robots that stay on the floor: x, y and yaw. The floor is z = 0 of the map, the body frame stands on it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from reloc_ros.geometry import rotation, se3
from reloc_ros.geometry.covariance import difference
from reloc_ros.localization.fusion import Belief
from reloc_ros.types import Array

FREEDOMS = 3

_KEPT = np.array([0, 1, 5])
_FIXED = np.array([2, 3, 4])

_FIXED_VARIANCE = 1e-6
"""What is known stays in the covariance as 1 mm and 1 mrad: zeros would make it singular, and consumers read it."""


def flatten(T_map_body: Array) -> Array:
    """Return the (4, 4) pose set upright on the floor: the same x, y and yaw.

    The yaw is the direction of the body's x axis seen from above.
    """
    yaw = math.atan2(T_map_body[1, 0], T_map_body[0, 0])
    return se3.from_rotation_translation(rotation.exp([0.0, 0.0, yaw]), [*T_map_body[:2, 3], 0.0])


def flatten_belief(belief: Belief) -> Belief:
    """Return the belief with pose and odometry flattened; its covariance is the marginal of x, y and yaw."""
    flat = np.diag(np.full(6, _FIXED_VARIANCE))
    flat[np.ix_(_KEPT, _KEPT)] = belief.covariance[np.ix_(_KEPT, _KEPT)]
    return replace(
        belief, T_map_body=flatten(belief.T_map_body), covariance=flat, T_odom_body=flatten(belief.T_odom_body)
    )


def squared_distance_from_floor(belief: Belief) -> float:
    """Return how unlikely its height and tilt are for a robot on the floor: chi-square with 3 freedoms if it is there.

    A wrong fix seldom knows where the floor is, so this is a cheap and sharp test of a planar robot's fixes.
    """
    d = difference(belief.T_map_body, flatten(belief.T_map_body))[_FIXED]
    return float(d @ np.linalg.solve(belief.covariance[np.ix_(_FIXED, _FIXED)], d))
