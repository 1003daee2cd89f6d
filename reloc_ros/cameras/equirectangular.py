"""Full-sphere panoramas: the centre column looks along +z, u grows to +x, v grows downwards (+y)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reloc_ros.errors import CameraError
from reloc_ros.types import Array


@dataclass(frozen=True)
class EquirectangularCamera:
    """A panorama of 360 x 180 degrees: azimuth atan2(x, z) along u, elevation towards -y upwards.

    u = (azimuth / 2 pi + 1/2) width - 1/2 and v = (1/2 - elevation / pi) height - 1/2; the seam is behind the camera.

    Raises:
        CameraError: a size is not positive.
    """

    width: int
    height: int

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise CameraError(f"camera size is {self.width} x {self.height} pixels; both must be at least 1")

    @property
    def model(self) -> str:
        """`equirectangular`."""
        return "equirectangular"

    def rays(self, pixels_px: Array) -> Array:
        """Return (N, 3) unit rays in the camera frame through (N, 2) pixels (u, v); u wraps round at the seam."""
        pixels = np.asarray(pixels_px, dtype=np.float64)
        azimuth = ((pixels[:, 0] + 0.5) / self.width - 0.5) * (2.0 * np.pi)
        elevation = (0.5 - (pixels[:, 1] + 0.5) / self.height) * np.pi
        horizontal = np.cos(elevation)
        return np.column_stack([horizontal * np.sin(azimuth), -np.sin(elevation), horizontal * np.cos(azimuth)])

    def project(self, points_camera: Array) -> tuple[Array, NDArray[np.bool_]]:
        """Return (N, 2) pixels, u in [-0.5, width - 0.5), of (N, 3) points, and (N,) whether each has a direction.

        Every point but the camera centre, whose pixels are NaN, lies in the image.
        """
        points = np.asarray(points_camera, dtype=np.float64)
        horizontal = np.hypot(points[:, 0], points[:, 2])
        turn = np.arctan2(points[:, 0], points[:, 2]) / (2.0 * np.pi) + 0.5
        u = np.where(turn >= 1.0, 0.0, turn) * self.width - 0.5
        v = (0.5 + np.arctan2(points[:, 1], horizontal) / np.pi) * self.height - 0.5
        seen = np.all(np.isfinite(points), axis=1) & np.any(points != 0.0, axis=1)
        return np.where(seen[:, None], np.column_stack([u, v]), np.nan), seen

    def resized(self, width: int, height: int) -> EquirectangularCamera:
        """Return the camera of the same panorama resized to width x height."""
        return EquirectangularCamera(width, height)

    def cropped(self, left: int, top: int, width: int, height: int) -> EquirectangularCamera:
        """Return this camera for a crop that keeps everything.

        Raises:
            CameraError: the crop would cut the panorama, which this model cannot describe.
        """
        if (left, top, width, height) != (0, 0, self.width, self.height):
            raise CameraError(
                f"crop {width} x {height} at ({left}, {top}) cuts a panorama of {self.width} x {self.height}; "
                "a panorama stays whole: resize it instead"
            )
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return the plain description that `camera_from_dict` reads back."""
        return {"model": self.model, "width": self.width, "height": self.height}
