"""Where a scene lies and how large it is, from posed images alone.

A network that starts at the right place and scale needs no warm-up to find them, and losses relative to the scale serve
metric maps and reconstructions of unknown scale alike.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from reloc_ros.datasets.sift import detect, match
from reloc_ros.geometry.two_views import cross_rays
from reloc_ros.training.image_store import ImageStore
from reloc_ros.types import Array

_log = logging.getLogger(__name__)

_PAIRS = 40
_PARTNERS = 12
_FEATURES = 400
_RATIO = 0.8
# Below this angle between the two rays of a match the range is a guess.
_MIN_PARALLAX_RAD = np.radians(1.5)
# Two rays of a true match pass each other within this angle, seen from the cameras.
_MAX_GAP_RAD = np.radians(0.7)
_MIN_POINTS = 30


@dataclass(frozen=True, kw_only=True)
class SceneExtent:
    """Middle of what the cameras look at, (3,) metres in the map, and the median distance to it, metres."""

    centre_m: Array
    range_m: float


def scene_extent(store: ImageStore) -> SceneExtent:
    """Return the extent of triangulated SIFT matches, or that of the cameras where too few images match."""
    pairs = _pairs(store.T_map_camera)
    found = [_triangulate(store, first, second) for first, second in pairs]
    points, ranges = (np.concatenate(values) for values in zip(*found)) if found else (np.zeros((0, 3)), np.zeros(0))
    if len(points) >= _MIN_POINTS:
        return SceneExtent(centre_m=np.median(points, axis=0), range_m=float(np.median(ranges)))
    _log.warning("only %d points could be triangulated; taking the scene's size from the camera path", len(points))
    positions = store.T_map_camera[:, :3, 3]
    spread = float(np.linalg.norm(np.ptp(positions, axis=0)))
    range_m = spread if spread > 0 else 1.0
    return SceneExtent(centre_m=(positions + range_m * store.T_map_camera[:, :3, 2]).mean(0), range_m=range_m)


def _pairs(T_map_camera: Array) -> list[tuple[int, int]]:
    """Return pairs that look the same way from places apart, spread over the images."""
    pairs = []
    for first in np.unique(np.linspace(0, len(T_map_camera) - 1, _PAIRS).round().astype(int)):
        apart_m = np.linalg.norm(T_map_camera[:, :3, 3] - T_map_camera[first, :3, 3], axis=1)
        alike = T_map_camera[:, :3, 2] @ T_map_camera[first, :3, 2]
        near = [int(i) for i in np.argsort(apart_m)[1:] if alike[i] > 0.9 and apart_m[i] > 0][: 3 * _PARTNERS]
        if near:
            # The widest of the near ones: enough parallax, and still the same view.
            pairs.append((int(first), near[min(_PARTNERS, len(near)) - 1]))
    return pairs


def _triangulate(store: ImageStore, first: int, second: int) -> tuple[Array, Array]:
    """Return (P, 3) points in the map and (P,) ranges from the first camera of matches between two images."""
    pixels = match(detect(store.images[first], _FEATURES), detect(store.images[second], _FEATURES), _RATIO)
    rays = [
        store.cameras[index].rays(seen) @ store.T_map_camera[index][:3, :3].T
        for index, seen in zip((first, second), pixels, strict=True)
    ]
    crossing = cross_rays(store.T_map_camera[first][:3, 3], rays[0], store.T_map_camera[second][:3, 3], rays[1])
    in_front = (crossing.range_first > 0) & (crossing.range_second > 0)
    near = crossing.gap < _MAX_GAP_RAD * crossing.range_first
    good = (crossing.parallax_rad > _MIN_PARALLAX_RAD) & in_front & near
    return crossing.points[good], crossing.range_first[good]
