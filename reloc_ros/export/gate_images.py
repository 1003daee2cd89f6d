"""The images that poses are compared on: what the user gives, else what the bundle holds, else images of no place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from reloc_ros.bundle.calibration import read_calibration
from reloc_ros.bundle.load import Bundle
from reloc_ros.bundle.manifest import Manifest
from reloc_ros.errors import DatasetError
from reloc_ros.localization.prepare import central_crop
from reloc_ros.types import Image

SYNTHETIC, OF_THE_BUNDLE, GIVEN = "synthetic images", "images of the bundle", "images given"
_SYNTHETIC_IMAGES = 8
_GIVEN_IMAGES = 32
_SUFFIXES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True, kw_only=True)
class GateImages:
    """Images of the network's size.

    Args:
        images: (H, W, 3) uint8 each; of canvases also (H, W, 4), with what the camera saw.
        origin: where they are from, as verdicts say it.
    """

    images: list[Image]
    origin: str


def images_for(bundle: Bundle, folder: Path | None = None) -> GateImages:
    """Return what a bundle's poses are compared on.

    Args:
        bundle: verified bundle.
        folder: of frames of the place, which are preferred to all else.

    Raises:
        BundleError: the bundle's own images are unreadable.
        DatasetError: the folder holds no image.
    """
    if folder is not None:
        return images_in(folder, bundle.manifest)
    own = read_calibration(bundle)
    return synthetic_images(bundle.manifest) if own is None else GateImages(images=list(own), origin=OF_THE_BUNDLE)


def images_in(folder: Path, manifest: Manifest) -> GateImages:
    """Return images of a folder, evenly spread, as the network takes them.

    Raises:
        DatasetError: the folder holds no image.
    """
    names = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    places = {int(place) for place in np.linspace(0, len(names) - 1, _GIVEN_IMAGES)} if names else set()
    decoded = [cv2.imread(str(names[place]), cv2.IMREAD_COLOR) for place in sorted(places)]
    images = [_fitted(image[..., ::-1], manifest) for image in decoded if image is not None]
    if not images:
        raise DatasetError(
            f"{folder} holds no image ({', '.join(_SUFFIXES)}); give a folder of frames of the place, or leave --images "
            "out"
        )
    return GateImages(images=images, origin=GIVEN)


def _fitted(image: Image, manifest: Manifest) -> Image:
    width, height = manifest.input.width, manifest.input.height
    left, top, wide, tall = central_crop(image.shape[1], image.shape[0], width / height)
    cropped = np.ascontiguousarray(image[top : top + tall, left : left + wide])
    return np.asarray(cv2.resize(cropped, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def synthetic_images(manifest: Manifest, number: int = _SYNTHETIC_IMAGES) -> GateImages:
    """Return images of no place, always the same: clouds of several sizes under boxes with sharp edges."""
    generator = np.random.default_rng(0)
    height, width = manifest.input.shape[1:3]
    images = []
    for _ in range(number):
        image = np.full((height, width, 3), 128.0)
        for cells in (3, 9, 27):
            clouds = generator.normal(scale=60.0 / np.sqrt(cells), size=(cells, 2 * cells, 3))
            image += cv2.resize(clouds, (width, height), interpolation=cv2.INTER_CUBIC)
        for _ in range(12):
            top, left = generator.integers(0, height), generator.integers(0, width)
            tall, wide = generator.integers(4, 4 + height // 2), generator.integers(4, 4 + width // 2)
            image[top : top + tall, left : left + wide] += generator.normal(scale=60.0, size=3)
        images.append(np.clip(image, 0, 255).astype(np.uint8))
    return GateImages(images=images, origin=SYNTHETIC)
