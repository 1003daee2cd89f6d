"""Pairs of images that show the same things, found without looking at the poses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from reloc_ros.cameras.camera import Camera
from reloc_ros.datasets import sift
from reloc_ros.datasets.images import PosedImage
from reloc_ros.types import Array

_ANCHORS = 12
_GAPS = (1, 2, 4, 8, 16)
_FEATURES = 800
_RATIO = 0.7
_MIN_MATCHES = 40
# What moved less than this share of the image's width says little about poses.
_MIN_MOTION = 0.02
_MAX_SIDE_PX = 640


@dataclass(frozen=True, kw_only=True)
class View:
    """One side of a pair: the (reduced) camera, its pose as given, and the (N, 2) pixels of the matches."""

    name: str
    camera: Camera
    T_map_camera: Array
    pixels_px: Array


def matched_pairs(images: Sequence[PosedImage]) -> Iterator[tuple[View, View]]:
    """Yield matched pairs spread over the data set, each as far apart in time as enough matches allow.

    Neighbourhood in time holds whatever is wrong with the poses; neighbourhood in space would not.

    Raises:
        DatasetError: an image cannot be read.
    """
    for anchor in np.unique(np.linspace(0, len(images) - 1, _ANCHORS).round().astype(int)):
        pair = _widest(images, int(anchor))
        if pair is not None:
            yield pair


def _widest(images: Sequence[PosedImage], anchor: int) -> tuple[View, View] | None:
    first, camera = _features(images[anchor])
    widest = None
    for gap in _GAPS:
        # The last images have nothing after them: look back.
        partner = anchor + gap if anchor + gap < len(images) else anchor - gap
        if partner < 0 or images[partner].sequence != images[anchor].sequence:
            continue
        second, other_camera = _features(images[partner])
        pixels = sift.match(first, second, _RATIO)
        if len(pixels[0]) < _MIN_MATCHES:
            break
        if np.median(np.linalg.norm(pixels[0] - pixels[1], axis=1)) >= _MIN_MOTION * camera.width:
            widest = (_view(images[anchor], camera, pixels[0]), _view(images[partner], other_camera, pixels[1]))
    return widest


def _features(image: PosedImage) -> tuple[sift.Features, Camera]:
    picture = cv2.cvtColor(image.frame().image, cv2.COLOR_RGB2GRAY)
    height, width = picture.shape
    shrink = min(1.0, _MAX_SIDE_PX / max(width, height))
    camera = image.camera
    if shrink < 1.0:
        camera = camera.resized(round(shrink * width), round(shrink * height))
        picture = cv2.resize(picture, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    return sift.detect(picture, _FEATURES), camera


def _view(image: PosedImage, camera: Camera, pixels_px: Array) -> View:
    return View(name=image.name, camera=camera, T_map_camera=image.T_map_camera, pixels_px=pixels_px)
