"""SIFT features of an image, and which of them two images share."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from reloc_ros.types import Array


@dataclass(frozen=True)
class Features:
    """(N, 2) pixels and (N, 128) float32 descriptors of them."""

    pixels_px: Array
    descriptors: np.ndarray


def detect(image: np.ndarray, count: int) -> Features:
    """Return at most about `count` of the strongest features of a uint8 image, grey or RGB."""
    points, descriptors = cv2.SIFT_create(nfeatures=count).detectAndCompute(np.ascontiguousarray(image), None)
    if descriptors is None:
        return Features(np.zeros((0, 2)), np.zeros((0, 128), np.float32))
    return Features(np.array([point.pt for point in points], np.float64).reshape(-1, 2), descriptors)


def match(first: Features, second: Features, ratio: float) -> tuple[Array, Array]:
    """Return the (M, 2) and (M, 2) pixels of features whose nearest descriptor is nearer than `ratio` of the second."""
    if len(first.descriptors) < 2 or len(second.descriptors) < 2:
        return np.zeros((0, 2)), np.zeros((0, 2))
    pairs = cv2.BFMatcher(cv2.NORM_L2).knnMatch(first.descriptors, second.descriptors, k=2)
    kept = [best for best, other in pairs if best.distance < ratio * other.distance]
    query, train = [pair.queryIdx for pair in kept], [pair.trainIdx for pair in kept]
    return first.pixels_px[query], second.pixels_px[train]
