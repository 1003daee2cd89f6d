"""Several cameras that look at once, as one: its image is their images, one below the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reloc_ros.cameras.camera import Camera
from reloc_ros.cameras.canvas import View
from reloc_ros.errors import CameraError, ImageError
from reloc_ros.geometry import se3
from reloc_ros.types import Array, Image


@dataclass(frozen=True, eq=False)
class RigCamera:
    """A calibrated rig.

    Rays are those of directions: what the cameras see is taken for far away from all of them.

    Args:
        cameras: in the order of their images, from the top.
        T_rig_cameras: (4, 4) of each, camera to rig, optical axes both.

    Raises:
        CameraError: there is no camera, or not one pose for each.
    """

    cameras: tuple[Camera, ...]
    T_rig_cameras: tuple[Array, ...]

    def __post_init__(self) -> None:
        if not self.cameras or len(self.cameras) != len(self.T_rig_cameras):
            raise CameraError(
                f"rig has {len(self.cameras)} cameras and {len(self.T_rig_cameras)} poses; give one pose for each"
            )

    @property
    def model(self) -> str:
        """`rig`."""
        return "rig"

    @property
    def width(self) -> int:
        """Of the widest image, pixels."""
        return max(camera.width for camera in self.cameras)

    @property
    def height(self) -> int:
        """Of all images, pixels."""
        return sum(camera.height for camera in self.cameras)

    def join(self, images: Sequence[Image]) -> Image:
        """Return the rig's image (height, width, 3) of those of its cameras.

        Raises:
            ImageError: an image is not of its camera's size.
        """
        joined = np.zeros((self.height, self.width, 3), np.uint8)
        top = 0
        for camera, image in zip(self.cameras, images, strict=True):
            expected = (camera.height, camera.width, 3)
            if image.shape != expected:
                raise ImageError(f"image is {image.shape}, its camera says {expected}; use the camera that took it")
            joined[top : top + camera.height, : camera.width] = image
            top += camera.height
        return joined

    def views(self, image: Image) -> list[View]:
        """Return the cameras' images in the rig's image (height, width, 3), for a canvas."""
        tops = self._tops()
        return [
            View(np.ascontiguousarray(image[top : top + camera.height, : camera.width]), camera, T_rig_camera)
            for top, camera, T_rig_camera in zip(tops, self.cameras, self.T_rig_cameras, strict=True)
        ]

    def rays(self, pixels_px: Array) -> Array:
        """Return (N, 3) unit rays in the rig frame through (N, 2) pixels; NaN where the image shows no camera's."""
        pixels = np.asarray(pixels_px, dtype=np.float64)
        rays = np.full((len(pixels), 3), np.nan)
        for top, camera, T_rig_camera in zip(self._tops(), self.cameras, self.T_rig_cameras, strict=True):
            inside = (pixels[:, 1] >= top - 0.5) & (pixels[:, 1] < top + camera.height - 0.5)
            inside &= pixels[:, 0] < camera.width - 0.5
            rays[inside] = camera.rays(pixels[inside] - [0.0, top]) @ T_rig_camera[:3, :3].T
        return rays

    def project(self, points_camera: Array) -> tuple[Array, NDArray[np.bool_]]:
        """Return (N, 2) pixels of (N, 3) points in the rig frame, in the first camera that sees each, and (N,) whether."""
        points = np.asarray(points_camera, dtype=np.float64)
        pixels, seen = np.full((len(points), 2), np.nan), np.zeros(len(points), dtype=bool)
        for top, camera, T_rig_camera in zip(self._tops(), self.cameras, self.T_rig_cameras, strict=True):
            found, visible = camera.project(se3.transform_points(se3.inverse(T_rig_camera), points))
            new = visible & ~seen
            pixels[new] = found[new] + [0.0, top]
            seen |= new
        return pixels, seen

    def resized(self, width: int, height: int) -> Camera:
        """Refuse: the images of a rig are resized one by one.

        Raises:
            CameraError: always.
        """
        raise CameraError(f"a rig cannot be resized to {width} x {height}: resize the images of its cameras")

    def cropped(self, left: int, top: int, width: int, height: int) -> Camera:
        """Refuse: the images of a rig are cropped one by one.

        Raises:
            CameraError: always.
        """
        raise CameraError(f"a rig cannot be cropped to {width} x {height} at ({left}, {top}): crop its cameras' images")

    def to_dict(self) -> dict[str, Any]:
        """Return a plain description."""
        cameras = [camera.to_dict() for camera in self.cameras]
        return {"model": self.model, "cameras": cameras, "T_rig_cameras": [T.tolist() for T in self.T_rig_cameras]}

    def _tops(self) -> list[int]:
        heights = [camera.height for camera in self.cameras]
        return [sum(heights[:index]) for index in range(len(heights))]
