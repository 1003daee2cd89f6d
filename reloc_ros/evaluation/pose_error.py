"""How far an estimated pose is from the true one."""

from __future__ import annotations

import math

import numpy as np

from reloc_ros.geometry import rotation
from reloc_ros.types import Array


def translation_error_m(T_map_camera_estimated: Array, T_map_camera_true: Array) -> float:
    """Return the distance between two camera positions, metres."""
    return float(np.linalg.norm(T_map_camera_estimated[:3, 3] - T_map_camera_true[:3, 3]))


def rotation_error_deg(T_map_camera_estimated: Array, T_map_camera_true: Array) -> float:
    """Return the angle of the rotation between two camera orientations, degrees in 0 to 180."""
    return math.degrees(float(rotation.angle_between_rad(T_map_camera_estimated[:3, :3], T_map_camera_true[:3, :3])))
