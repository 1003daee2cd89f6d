"""The box room with tiles of random grey: corners everywhere, for what stands on local features."""

from __future__ import annotations

import numpy as np
from box_room import wall_points

from reloc_ros.cameras.camera import Camera, ray_grid
from reloc_ros.types import Array, Image

TILE_M = 0.13


def tiles(camera: Camera, T_map_camera: Array) -> Image:
    """Return what a camera sees."""
    points = wall_points(T_map_camera, ray_grid(camera, camera.height, camera.width))
    cells = np.floor(points / TILE_M + 100.5).astype(np.int64)
    mixed = (cells @ np.array([73856093, 19349663, 83492791]) * 2654435761) % 2**32
    grey = (mixed >> 13) % 256
    return np.repeat(grey.reshape(camera.height, camera.width, 1), 3, axis=2).astype(np.uint8)
