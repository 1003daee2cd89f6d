"""What every camera model can do.

Camera frames are optical: z forward, x right, y down (REP-103 suffix `_optical`). The centre of the top-left pixel is
(0, 0), so an image W pixels wide spans u in [-0.5, W - 0.5], and resizing by s maps u to (u + 0.5) * s - 0.5.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from reloc_ros.types import Array


@runtime_checkable
class Camera(Protocol):
    """A calibrated camera: one ray for each pixel."""

    @property
    def model(self) -> str:
        """Name in the camera table: `pinhole` or `equirectangular`."""

    @property
    def width(self) -> int:
        """Image width, pixels."""

    @property
    def height(self) -> int:
        """Image height, pixels."""

    def rays(self, pixels_px: Array) -> Array:
        """Return (N, 3) unit rays in the camera frame through (N, 2) pixels (u, v)."""

    def project(self, points_camera: Array) -> tuple[Array, NDArray[np.bool_]]:
        """Return (N, 2) pixels of (N, 3) points and (N,) whether each lies in the image and before the camera."""

    def resized(self, width: int, height: int) -> Camera:
        """Return the camera of the same image resized to width x height."""

    def cropped(self, left: int, top: int, width: int, height: int) -> Camera:
        """Return the camera of the sub-image whose top-left pixel is (left, top)."""

    def to_dict(self) -> dict[str, Any]:
        """Return the plain description that `camera_from_dict` reads back."""


def cell_centres(height: int, width: int, rows: int, columns: int) -> Array:
    """Return (rows * columns, 2) pixels (u, v) of the centres of a grid of equal cells, row by row.

    Cell (i, j) covers a (height / rows, width / columns) block of pixels; its centre is
    u = (j + 0.5) * width / columns - 0.5.
    """
    u = (np.arange(columns) + 0.5) * width / columns - 0.5
    v = (np.arange(rows) + 0.5) * height / rows - 0.5
    grid_u, grid_v = np.meshgrid(u, v)
    return np.stack([grid_u.ravel(), grid_v.ravel()], axis=1)


def ray_grid(camera: Camera, rows: int, columns: int) -> Array:
    """Return (rows * columns, 3) unit rays through the centres of a grid of equal cells, row by row."""
    return camera.rays(cell_centres(camera.height, camera.width, rows, columns))
