"""The robot that drives through synthetic worlds: its size, its limits and its camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reloc_ros.cameras.pinhole import PinholeCamera
from reloc_ros.types import Array

T_BASE_OPTICAL_AXES = np.array([[0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0, 0, 0, 1.0]])
"""Optical axes (z forward, x right, y down) in base axes (x forward, y left, z up)."""


@dataclass(frozen=True, kw_only=True)
class Robot:
    """A differential-drive robot with one level camera looking forward.

    Args:
        radius_m: of its footprint.
        height_m: of its highest part.
        camera_height_m: of the camera above the floor.
        camera_forward_m: of the camera before the base.
        max_speed_m_s: forward.
        max_yaw_rate_rad_s: turning.
        max_acceleration_m_s2: speeding up and braking.
        max_yaw_acceleration_rad_s2: starting and ending a turn.
    """

    radius_m: float = 0.22
    height_m: float = 1.2
    camera_height_m: float = 1.0
    camera_forward_m: float = 0.1
    max_speed_m_s: float = 0.7
    max_yaw_rate_rad_s: float = 1.1
    max_acceleration_m_s2: float = 0.6
    max_yaw_acceleration_rad_s2: float = 2.5

    @property
    def T_base_camera(self) -> Array:
        """(4, 4) camera optical frame to base, metres."""
        T_base_camera: Array = T_BASE_OPTICAL_AXES.copy()
        T_base_camera[:3, 3] = (self.camera_forward_m, 0.0, self.camera_height_m)
        return T_base_camera


def demo_camera(width: int = 320, height: int = 240, horizontal_fov_deg: float = 90.0) -> PinholeCamera:
    """Return an ideal pinhole camera whose image spans the given angle."""
    focal = 0.5 * width / np.tan(0.5 * np.radians(horizontal_fov_deg))
    K = np.array([[focal, 0.0, (width - 1) / 2], [0.0, focal, (height - 1) / 2], [0.0, 0.0, 1.0]])
    return PinholeCamera(width=width, height=height, K=K)


def planar_pose(x: float, y: float, yaw_rad: float, z: float = 0.0) -> Array:
    """Return T_map_base (4, 4) of a robot standing at (x, y, z), turned by yaw."""
    c, s = np.cos(yaw_rad), np.sin(yaw_rad)
    return np.array([[c, -s, 0.0, x], [s, c, 0.0, y], [0.0, 0.0, 1.0, z], [0.0, 0.0, 0.0, 1.0]])
