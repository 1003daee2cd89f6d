"""What can go wrong between the world and the image: each fault a pure function of the image and a generator."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np

from reloc_ros.cameras.camera import Camera
from reloc_ros.geometry import rotation
from reloc_ros.types import Array, Image

Spoil = Callable[[Image, np.random.Generator], Image]
"""(H, W, 3) RGB image to an image of the same size; the same generator state gives the same image."""

_BLACK_LEVEL = 3
_BLUR_OF_WIDTH = (0.03, 0.06)
_DARK_GAIN, _DARK_NOISE = (0.03, 0.10), 0.004
_GAMMA = 2.2
_COVERED = (0.25, 0.5)
_NOISE_STD = (20.0, 40.0)
_BUMP_DEG = (6.0, 12.0)


def blackout(image: Image, rng: np.random.Generator) -> Image:
    """Return a black image with the noise of a covered sensor: no pose is the right answer."""
    return np.asarray(rng.integers(0, _BLACK_LEVEL + 1, image.shape), np.uint8)


def blur(image: Image, rng: np.random.Generator) -> Image:
    """Return the image smeared along one direction over 3 to 6 % of its width, as a fast turn does."""
    length_px = max(2, round(rng.uniform(*_BLUR_OF_WIDTH) * image.shape[1]))
    angle = rng.uniform(0, math.pi)
    kernel = np.zeros((2 * length_px + 1,) * 2, np.float32)
    half = 0.5 * length_px * np.array([math.cos(angle), math.sin(angle)])
    start, end = (np.round(length_px + sign * half).astype(int).tolist() for sign in (-1, 1))
    cv2.line(kernel, start, end, 1.0)
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE), np.uint8)


def dark(image: Image, rng: np.random.Generator) -> Image:
    """Return the image with 3 to 10 % of its light and the sensor noise that then shows."""
    light = (image / 255) ** _GAMMA * rng.uniform(*_DARK_GAIN) + rng.normal(0.0, _DARK_NOISE, image.shape)
    return np.asarray(np.round(255 * np.clip(light, 0, 1) ** (1 / _GAMMA)), np.uint8)


def occlusion(image: Image, rng: np.random.Generator) -> Image:
    """Return the image with 25 to 50 % of it behind people-like upright shapes of one colour each."""
    height, width, _ = image.shape
    spoilt: Image = image.copy()
    covered = np.zeros((height, width), np.uint8)
    wanted = rng.uniform(*_COVERED) * covered.size
    while np.count_nonzero(covered) < wanted:
        half_width, top = width * rng.uniform(0.06, 0.14), height * rng.uniform(0.0, 0.4)
        centre = (int(rng.uniform(0, width)), int(0.5 * (top + height)))
        axes = (max(1, int(half_width)), max(1, int(0.55 * (height - top))))
        person = np.zeros_like(covered)
        cv2.ellipse(person, centre, axes, 0.0, 0.0, 360.0, 1, -1)
        spoilt[person > 0] = rng.integers(30, 200, 3, dtype=np.uint8)
        covered |= person
    return spoilt


def noise(image: Image, rng: np.random.Generator) -> Image:
    """Return the image with normal noise of 20 to 40 grey levels."""
    spoilt = image + rng.normal(0.0, rng.uniform(*_NOISE_STD), image.shape)
    return np.asarray(np.clip(np.round(spoilt), 0, 255), np.uint8)


SPOILS: dict[str, Spoil] = {
    "blackout": blackout,
    "blur": blur,
    "dark": dark,
    "occlusion": occlusion,
    "noise": noise,
}
"""Faults of single images, by name."""


def random_bump(rng: np.random.Generator) -> Array:
    """Return R_camera_bumped (3, 3) of a camera that was knocked by 6 to 12 degrees about any axis."""
    axis = rng.normal(size=3)
    angle = math.radians(rng.uniform(*_BUMP_DEG))
    return np.asarray(rotation.exp(angle * axis / np.linalg.norm(axis)))


def turned(camera: Camera, R_camera_turned: Array) -> Callable[[Image], Image]:
    """Return the function to what the same camera sees after turning on the spot; what it had not seen is black.

    Args:
        camera: of the images.
        R_camera_turned: (3, 3), axes of the turned camera in those of the camera as it was.
    """
    v, u = np.indices((camera.height, camera.width), dtype=np.float64)
    rays = camera.rays(np.stack([u.ravel(), v.ravel()], axis=1)) @ R_camera_turned.T
    pixels, visible = camera.project(rays)
    table = np.where(visible[:, np.newaxis], pixels, -2.0).astype(np.float32)
    return partial(_remapped, table.reshape(camera.height, camera.width, 2))


def _remapped(pixels: np.ndarray, image: Image) -> Image:
    return np.asarray(cv2.remap(image, pixels, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT), np.uint8)
