"""SIFT features of a frame as pixels of ideal pinholes, whatever the lens."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from reloc_ros.cameras.camera import Camera
from reloc_ros.cameras.equirectangular import EquirectangularCamera
from reloc_ros.cameras.pinhole import PinholeCamera
from reloc_ros.datasets.sift import Features, detect
from reloc_ros.geometry import rotation
from reloc_ros.types import Array, Frame

FEATURES = 1500
"""Of a frame; with 1000 the reference figures of this data set are reached, more cost time."""

_FACES = 4
_FACE_DEG = 100.0
"""A panorama is seen through four windows that overlap a little: SIFT knows planes, not spheres."""
_MIN_FORWARD = 0.1


@dataclass(frozen=True)
class Pinhole:
    """A camera without distortion: pixel = focal_px * (x, y) / z + centre."""

    width: int
    height: int
    focal_px: float
    centre_px: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class View:
    """What one window shows.

    Args:
        features: pixels are those of the ideal pinhole.
        R_camera_view: (3, 3), axes of the window in those of the camera.
    """

    features: Features
    R_camera_view: Array


def ideal_camera(camera: Camera) -> Pinhole:
    """Return the pinhole that all views of a camera have."""
    if isinstance(camera, PinholeCamera):
        # COLMAP's pixel centres are at one half, ours at zero.
        return Pinhole(
            camera.width,
            camera.height,
            float(camera.K[0, 0]),
            (float(camera.K[0, 2]) + 0.5, float(camera.K[1, 2]) + 0.5),
        )
    focal_px = camera.width / (2 * math.pi)
    side = 2 * math.ceil(focal_px * math.tan(math.radians(_FACE_DEG / 2)))
    return Pinhole(side, side, focal_px, (side / 2, side / 2))


def views_of(frame: Frame) -> list[View]:
    """Return the features of a frame, in one view or, for a panorama, in four."""
    if not isinstance(frame.camera, EquirectangularCamera):
        return [_whole(frame)]
    pinhole = ideal_camera(frame.camera)
    turns = [rotation.exp(np.array([0.0, 2 * math.pi * k / _FACES, 0.0])) for k in range(_FACES)]
    return [_window(frame, pinhole, turn) for turn in turns]


def _whole(frame: Frame) -> View:
    found = detect(frame.image, FEATURES)
    rays = frame.camera.rays(found.pixels_px) if len(found.pixels_px) else np.zeros((0, 3))
    forward = rays[:, 2] > _MIN_FORWARD
    pinhole = ideal_camera(frame.camera)
    pixels = pinhole.focal_px * rays[forward, :2] / rays[forward, 2:] + np.array(pinhole.centre_px)
    return View(features=Features(pixels, found.descriptors[forward]), R_camera_view=np.eye(3))


def _window(frame: Frame, pinhole: Pinhole, R_camera_view: Array) -> View:
    v, u = np.indices((pinhole.height, pinhole.width)) + 0.5
    directions = np.stack([u.ravel(), v.ravel()], axis=1) - np.array(pinhole.centre_px)
    rays = np.column_stack([directions, np.full(len(directions), pinhole.focal_px)]) @ R_camera_view.T
    pixels, _ = frame.camera.project(rays)
    table = pixels.astype(np.float32).reshape(pinhole.height, pinhole.width, 2)
    picture = cv2.remap(frame.image, table, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    found = detect(picture, FEATURES // _FACES)
    return View(features=Features(found.pixels_px + 0.5, found.descriptors), R_camera_view=R_camera_view)
