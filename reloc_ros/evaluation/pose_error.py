"""How far an estimated pose is from the true one, and from where on it misleads a robot."""

from __future__ import annotations

import math

import numpy as np

from reloc_ros.geometry import rotation
from reloc_ros.types import Array

FALSE_FIX_M, FALSE_FIX_DEG = 0.5, 10.0
"""A pose further off than one of these misleads a robot: AMCL does not recover from it, a local map does not match."""


def translation_error_m(T_map_camera_estimated: Array, T_map_camera_true: Array) -> float:
    """Return the distance between two camera positions, metres."""
    return float(np.linalg.norm(T_map_camera_estimated[:3, 3] - T_map_camera_true[:3, 3]))


def rotation_error_deg(T_map_camera_estimated: Array, T_map_camera_true: Array) -> float:
    """Return the angle of the rotation between two camera orientations, degrees in 0 to 180."""
    return math.degrees(float(rotation.angle_between_rad(T_map_camera_estimated[:3, :3], T_map_camera_true[:3, :3])))
