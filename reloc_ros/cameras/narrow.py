"""A camera whose view is cut down to a window, to see what a narrower lens would have made of the same image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reloc_ros.cameras.camera import Camera
from reloc_ros.errors import CameraError
from reloc_ros.types import Array

_FULL_CIRCLE_DEG = 360.0


@dataclass(frozen=True)
class NarrowCamera:
    """Another camera that sees nothing outside a window of `fov_deg` in azimuth and elevation about its axis.

    Images stay as they are; what lies outside does not project, so it is not painted onto canvases.

    Raises:
        CameraError: the field of view is not in 0 to 360 degrees.
    """

    camera: Camera
    fov_deg: float

    def __post_init__(self) -> None:
        if not 0.0 < self.fov_deg <= _FULL_CIRCLE_DEG:
            raise CameraError(f"field of view is {self.fov_deg:g} deg, expected more than 0 and at most 360")

    @property
    def model(self) -> str:
        """That of the camera."""
        return self.camera.model

    @property
    def width(self) -> int:
        """Image width, pixels."""
        return self.camera.width

    @property
    def height(self) -> int:
        """Image height, pixels."""
        return self.camera.height

    def rays(self, pixels_px: Array) -> Array:
        """Return (N, 3) unit rays in the camera frame through (N, 2) pixels (u, v), in the window or not."""
        return self.camera.rays(pixels_px)

    def project(self, points_camera: Array) -> tuple[Array, NDArray[np.bool_]]:
        """Return (N, 2) pixels of (N, 3) points, and (N,) whether each is seen in the window."""
        pixels, seen = self.camera.project(points_camera)
        x, y, z = np.asarray(points_camera, dtype=np.float64).T
        azimuth_deg = np.degrees(np.abs(np.arctan2(x, z)))
        elevation_deg = np.degrees(np.abs(np.arctan2(y, np.hypot(x, z))))
        return pixels, seen & (azimuth_deg <= self.fov_deg / 2) & (elevation_deg <= self.fov_deg / 2)

    def resized(self, width: int, height: int) -> NarrowCamera:
        """Return the camera of the same image resized to width x height."""
        return NarrowCamera(self.camera.resized(width, height), self.fov_deg)

    def cropped(self, left: int, top: int, width: int, height: int) -> NarrowCamera:
        """Return the camera of the sub-image whose top-left pixel is (left, top)."""
        return NarrowCamera(self.camera.cropped(left, top, width, height), self.fov_deg)

    def to_dict(self) -> dict[str, Any]:
        """Return the description of the camera; the window is no part of a calibration."""
        return self.camera.to_dict()
