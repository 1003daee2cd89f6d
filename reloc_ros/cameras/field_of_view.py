"""How much a camera sees, for any camera model."""

from __future__ import annotations

import math

import numpy as np

from reloc_ros.cameras.camera import Camera
from reloc_ros.types import Array


def horizontal_fov_deg(camera: Camera) -> float:
    """Return the horizontal field of view from the left to the right edge of the middle row, degrees.

    It is the sum of the angles left edge - middle column - right edge, so it goes beyond 180 for a fisheye and reaches
    360 for a panorama, where the edges' rays coincide.
    """
    middle_v = (camera.height - 1) / 2
    pixels_px = np.array([[-0.5, middle_v], [(camera.width - 1) / 2, middle_v], [camera.width - 0.5, middle_v]])
    left, middle, right = camera.rays(pixels_px)
    return math.degrees(_angle_rad(left, middle) + _angle_rad(middle, right))


def _angle_rad(ray_a: Array, ray_b: Array) -> float:
    # atan2 keeps full precision near 0 and pi, where acos loses half its digits.
    return math.atan2(float(np.linalg.norm(np.cross(ray_a, ray_b))), float(ray_a @ ray_b))
