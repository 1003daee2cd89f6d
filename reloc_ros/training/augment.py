"""Random views of a training image, with the rays of its cells moved along.

The pose of a view never changes: the camera's centre stays where it is, and whatever is done to the pixels (crop, zoom,
in-plane rotation, roll of a panorama) is done to the rays of the grid's cells. So one rule serves every camera model.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from reloc_ros.cameras.camera import Camera
from reloc_ros.training.image_config import AugmentConfig
from reloc_ros.types import Array, Image

# ImageNet's mean colour: what lies outside the image is nothing in particular after normalisation.
_OUTSIDE = (124, 116, 104)
_ERASED_RECTANGLES = 2
# Sides of an erased rectangle as shares of the image's.
_ERASED_SHARE = (0.1, 0.33)


@dataclass(frozen=True, kw_only=True)
class View:
    """One augmented view: (H, W, 3) uint8, (N, 3) float32 unit rays of its cells, (N,) whether a cell shows the image."""

    image: Image
    rays: np.ndarray
    inside: np.ndarray


def random_view(
    image: Image, camera: Camera, cells_px: Array, config: AugmentConfig, generator: np.random.Generator
) -> View:
    """Return a random view of an image: rolled for a panorama, moved, turned and zoomed for any other camera."""
    if camera.model == "equirectangular":
        return _rolled(image, camera, cells_px, config, generator)
    linear, offset = _random_affine(camera.width, camera.height, config, generator)
    warped = cv2.warpAffine(
        image,
        np.column_stack([linear, offset]),
        (camera.width, camera.height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=_OUTSIDE,
    )
    pixels = cells_px @ linear.T + offset
    inside = np.all((pixels > -0.5) & (pixels < np.array([camera.width, camera.height]) - 0.5), axis=1)
    inside &= ~_erase(warped, cells_px, config, generator)
    # A lens model need not hold outside the image it was calibrated on; those cells are masked anyway.
    pixels = np.clip(pixels, -0.5, np.array([camera.width, camera.height]) - 0.5)
    return View(image=warped, rays=camera.rays(pixels).astype(np.float32), inside=inside)


def _erase(image: Image, cells_px: Array, config: AugmentConfig, generator: np.random.Generator) -> np.ndarray:
    """Fill random rectangles of an image with one colour each; return (N,) whether each cell's centre lies in one.

    What is hidden cannot be leant on: other parts of the view must do (Zhong et al. 2020, random erasing).
    """
    height, width = image.shape[:2]
    hidden = np.zeros(len(cells_px), bool)
    for _ in range(_ERASED_RECTANGLES):
        if generator.random() >= config.erase:
            continue
        size = (generator.uniform(*_ERASED_SHARE, 2) * (width, height)).astype(int)
        corner = (generator.uniform(size=2) * (np.array([width, height]) - size)).astype(int)
        end = corner + size
        image[corner[1] : end[1], corner[0] : end[0]] = generator.integers(0, 256, 3)
        hidden |= np.all((cells_px >= corner) & (cells_px < end), axis=1)
    return hidden


def _random_affine(
    width: int, height: int, config: AugmentConfig, generator: np.random.Generator
) -> tuple[Array, Array]:
    """Return (2, 2) and (2,): where in the image each pixel of the view lies."""
    angle_rad = np.radians(generator.uniform(-config.rotation_deg, config.rotation_deg))
    zoom = np.exp(generator.uniform(-config.log_zoom, config.log_zoom))
    cosine, sine = np.cos(angle_rad) / zoom, np.sin(angle_rad) / zoom
    linear = np.array([[cosine, -sine], [sine, cosine]])
    centre = np.array([width - 1, height - 1]) / 2
    # Zoomed in, the view may lie anywhere in the image.
    slack = (max(0.0, 1 - 1 / zoom) / 2 + config.shift) * np.array([width, height])
    return linear, centre + generator.uniform(-slack, slack) - linear @ centre


def _rolled(
    image: Image, camera: Camera, cells_px: Array, config: AugmentConfig, generator: np.random.Generator
) -> View:
    shift = int(generator.integers(camera.width))
    pixels = cells_px.copy()
    pixels[:, 0] = (pixels[:, 0] + shift + 0.5) % camera.width - 0.5
    rolled = np.roll(image, -shift, axis=1)
    hidden = _erase(rolled, cells_px, config, generator)
    return View(image=rolled, rays=camera.rays(pixels).astype(np.float32), inside=~hidden)


def random_light(images: Tensor, config: AugmentConfig, generator: torch.Generator | None = None) -> Tensor:
    """Return (B, H, W, 3) float images, 0 to 255, with random exposure, contrast, colour and noise.

    Args:
        images: (B, H, W, 3) uint8.
        config: ranges.
        generator: of the images' device; None takes torch's own.
    """

    def factor(spread: float, channels: int = 1) -> Tensor:
        unit = torch.rand(len(images), 1, 1, channels, device=images.device, generator=generator)
        return 1 + spread * (2 * unit - 1)

    lit = images.float() * factor(config.brightness) * factor(config.white_balance, 3)
    mean = lit.mean((1, 2, 3), keepdim=True)
    lit = mean + (lit - mean) * factor(config.contrast)
    grey = lit.mean(3, keepdim=True)
    lit = grey + (lit - grey) * factor(config.saturation)
    strength = config.noise * torch.rand(len(images), 1, 1, 1, device=images.device, generator=generator)
    noise = torch.randn(lit.shape, device=images.device, generator=generator)
    return (lit + strength * noise).clamp(0, 255)
