"""One panorama for every lens: images resampled along their rays onto a sphere, with what of it they cover.

A network that reads canvases serves panoramas, single pinhole cameras and rigs of them alike; a narrow lens is a canvas
with less coverage. The canvas has the axes of an equirectangular camera: its centre column looks along +z, u grows to +x.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import cv2
import numpy as np

from reloc_ros.cameras.camera import Camera
from reloc_ros.cameras.equirectangular import EquirectangularCamera
from reloc_ros.errors import CameraError, ImageError
from reloc_ros.geometry import rotation
from reloc_ros.types import Array, Image

COVERED = 255
"""Value of the fourth channel where a canvas shows something; 0 where it does not, and there the colours are 0, too."""

_FULL_CIRCLE_DEG = 360.0
# A rig has some cameras, a robot some rigs.
_CACHED_TABLES = 32


@dataclass(frozen=True)
class View:
    """One image of a rig.

    Args:
        image: (H, W, 3) uint8 RGB.
        camera: whose size is (W, H).
        T_rig_camera: (4, 4), camera to rig, optical axes both. Its rotation alone counts: what the cameras see is
            taken for far away.
    """

    image: Image
    camera: Camera
    T_rig_camera: Array


@dataclass(frozen=True)
class Canvas:
    """An equirectangular canvas of one size, pixels.

    Raises:
        CameraError: a size is not positive.
    """

    width: int
    height: int

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise CameraError(f"canvas is {self.width} x {self.height} pixels; both must be at least 1")

    def paint(self, image: Image, camera: Camera) -> Image:
        """Return (height, width, 4) uint8: the image's colours, and `COVERED` where it has any.

        An image that is finer than the canvas is averaged down first, so that nothing flickers between its pixels.

        Args:
            image: (H, W, 3) uint8 RGB.
            camera: whose size is (W, H) and whose axes the canvas takes.

        Raises:
            ImageError: the image is not of the camera's size.
        """
        return self.paint_rig([View(image, camera, np.eye(4))])

    def paint_rig(self, views: Sequence[View]) -> Image:
        """Return the canvas of several images in the axes of their rig, as `paint` does of one.

        Where they overlap each pixel comes from the camera whose axis is nearest.

        Raises:
            ImageError: an image is not of its camera's size.
        """
        painted = np.zeros((self.height, self.width, 4), np.uint8)
        nearest = np.full((self.height, self.width), -np.inf, np.float32)
        for view in views:
            _check_size(view)
            reduced = self._reduced(view.camera)
            R_rig_camera = np.asarray(view.T_rig_camera, np.float64)[:3, :3]
            table = _table(self, cast("Hashable", reduced), R_rig_camera.tobytes())
            image = cv2.resize(view.image, (reduced.width, reduced.height), interpolation=cv2.INTER_AREA)
            if isinstance(reduced, EquirectangularCamera):
                # The neighbour of the last column is the first one.
                image = np.concatenate([image[:, -1:], image, image[:, :1]], axis=1)
            seen = cv2.remap(image, table.u_px, table.v_px, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            chosen = table.along_axis > nearest
            painted[chosen, :3] = seen[chosen]
            painted[chosen, 3] = COVERED
            nearest[chosen] = table.along_axis[chosen]
        return painted

    def _reduced(self, camera: Camera) -> Camera:
        """Return the camera of the image averaged down to the canvas's pixels, if it is finer than they are."""
        if isinstance(camera, EquirectangularCamera):
            width, height = min(camera.width, self.width), min(camera.height, self.height)
        else:
            middle_px = np.array([(camera.width - 1) / 2, (camera.height - 1) / 2])
            left, right = camera.rays(middle_px + np.array([[-0.5, 0.0], [0.5, 0.0]]))
            scale = min(1.0, self.width * math.asin(min(1.0, float(np.linalg.norm(left - right)) / 2)) / math.pi)
            width, height = (max(1, round(scale * side)) for side in (camera.width, camera.height))
        return camera if (width, height) == (camera.width, camera.height) else camera.resized(width, height)


def narrowed(canvas: Image, fov_deg: float) -> Image:
    """Return what is left of (..., H, W, 4) canvases in a field of view about their centre.

    It is a window of `fov_deg` in azimuth and, where that is less than all, in elevation; 360 changes nothing.

    Raises:
        CameraError: the field of view is not in 0 to 360.
    """
    if not 0.0 < fov_deg <= _FULL_CIRCLE_DEG:
        raise CameraError(f"field of view is {fov_deg:g} deg, expected more than 0 and at most {_FULL_CIRCLE_DEG:g}")
    height, width = canvas.shape[-3:-1]
    azimuth_deg = np.abs(((np.arange(width) + 0.5) / width - 0.5) * 360.0)
    elevation_deg = np.abs((0.5 - (np.arange(height) + 0.5) / height) * 180.0)
    inside = (elevation_deg[:, None] <= fov_deg / 2) & (azimuth_deg <= fov_deg / 2)
    return np.where(inside[..., None], canvas, np.uint8(0))


def rolled(canvas: Image, columns: int) -> tuple[Image, Array]:
    """Return (..., H, W, 4) canvases turned by whole columns, and R_rolled_camera (3, 3) of the camera turned with them.

    Content moves right by `columns`: the camera turned left, by the angle of as many columns.
    """
    return np.roll(canvas, columns, axis=-2), roll_rotation(columns / canvas.shape[-2])


def roll_rotation(turns: float | Array) -> Array:
    """Return R_rolled_camera (..., 3, 3) of canvases rolled to the right by a share of their width: about +y (down)."""
    angle = 2.0 * np.pi * np.asarray(turns, np.float64)
    return rotation.exp(np.stack([np.zeros_like(angle), angle, np.zeros_like(angle)], axis=-1))


@dataclass(frozen=True)
class _Table:
    """Where in an image each pixel of a canvas is, and how far along the camera's axis its ray goes: -inf outside."""

    u_px: np.ndarray
    v_px: np.ndarray
    along_axis: np.ndarray


@lru_cache(maxsize=_CACHED_TABLES)
def _table(canvas: Canvas, camera: Camera, R_rig_camera: bytes) -> _Table:
    u, v = np.meshgrid(np.arange(canvas.width, dtype=np.float64), np.arange(canvas.height, dtype=np.float64))
    rays_rig = EquirectangularCamera(canvas.width, canvas.height).rays(np.stack([u.ravel(), v.ravel()], axis=1))
    rays_camera = rays_rig @ np.frombuffer(R_rig_camera).reshape(3, 3)
    pixels, seen = camera.project(rays_camera)
    shape = (canvas.height, canvas.width)
    along = np.where(seen, rays_camera[:, 2], -np.inf).reshape(shape)
    # The column that `paint_rig` puts before the first.
    shift = 1.0 if isinstance(camera, EquirectangularCamera) else 0.0
    places = np.where(seen[:, None], pixels + np.array([shift, 0.0]), -1.0).astype(np.float32)
    return _Table(places[:, 0].reshape(shape), places[:, 1].reshape(shape), along.astype(np.float32))


def _check_size(view: View) -> None:
    expected = (view.camera.height, view.camera.width, 3)
    if view.image.shape != expected or view.image.dtype != np.uint8:
        raise ImageError(
            f"image is {view.image.dtype} {view.image.shape}, its camera says uint8 {expected}; use the camera that took it"
        )
