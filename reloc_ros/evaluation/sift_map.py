"""A classical map from posed images alone: SIFT matches between near images, triangulated by COLMAP at the known poses."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from reloc_ros.datasets.images import PosedImage
from reloc_ros.datasets.sift import Features
from reloc_ros.errors import ConfigError, DatasetError
from reloc_ros.evaluation.sift_retrieval import Retrieval, root_sift
from reloc_ros.evaluation.sift_views import Pinhole, View, ideal_camera, views_of
from reloc_ros.geometry import rotation, se3
from reloc_ros.types import Array

MAX_IMAGES = 300
"""Evenly out of all of them: more cost minutes and change little."""

_STEPS = (1, 3, 8)
_NEAREST = 4
_MAX_TURN_DEG = 50.0
_RATIO = 0.8
_MAX_EPIPOLAR_PX = 3.0
_MIN_MATCHES = 15
_MIN_POINTS = 50

Track = Callable[[Sequence[Any], str], Iterable[Any]]


@dataclass(frozen=True, kw_only=True)
class SiftMap:
    """What the baseline stores instead of a network.

    Args:
        points: (P, 3) in the map.
        descriptors: (P, 128) uint8, mean RootSIFT of each point.
        seen: for each image the indices of its points.
        retrieval: finds the images that look like a query.
    """

    points: Array
    descriptors: np.ndarray
    seen: tuple[np.ndarray, ...]
    retrieval: Retrieval

    @property
    def size_bytes(self) -> int:
        """What it takes to store: points and indices in 32 bits, descriptors in 8."""
        return 4 * self.points.size + self.descriptors.nbytes + 4 * sum(map(len, self.seen)) + self.retrieval.size_bytes


@dataclass(frozen=True)
class _Shot:
    """One view in the map, numbered as in COLMAP's database from 1 on."""

    image: int
    view: View
    T_map_view: Array


def build_sift_map(images: Sequence[PosedImage], track: Track) -> SiftMap:
    """Return the map of images with known poses, all of one camera.

    Raises:
        ConfigError: pycolmap is not installed.
        DatasetError: the images are of several cameras, or show too little in common.
    """
    pycolmap = require_pycolmap()
    chosen = images[:: math.ceil(len(images) / MAX_IMAGES)]
    pinhole = _common_pinhole(chosen)
    shots = [
        _Shot(index, view, image.T_map_camera @ se3.from_rotation_translation(view.R_camera_view, np.zeros(3)))
        for index, image in enumerate(track(chosen, "SIFT features of the map"))
        for view in views_of(image.frame())
    ]
    with tempfile.TemporaryDirectory(prefix="reloc_sift_") as folder:
        found = _triangulate(pycolmap, shots, pinhole, Path(folder), track)
    if len(found.points3D) < _MIN_POINTS:
        raise DatasetError(
            f"SIFT finds {len(found.points3D)} points in {len(chosen)} images, a map needs {_MIN_POINTS}; check the poses "
            "with `reloc dataset check`"
        )
    return _as_map(found, shots, len(chosen))


def require_pycolmap() -> Any:
    """Return the module.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import pycolmap
    except ImportError as error:
        raise ConfigError(
            f"the baseline needs pycolmap ({error}); install it with: pip install 'reloc_ros[baseline]'"
        ) from error
    return pycolmap


def colmap_camera(pycolmap: Any, pinhole: Pinhole) -> Any:
    """Return a pinhole as COLMAP's."""
    return pycolmap.Camera(
        model="SIMPLE_PINHOLE", width=pinhole.width, height=pinhole.height,
        params=[pinhole.focal_px, *pinhole.centre_px], camera_id=1,
    )  # fmt: skip


def _common_pinhole(images: Sequence[PosedImage]) -> Pinhole:
    pinholes = {ideal_camera(image.camera) for image in images}
    if len(pinholes) > 1:
        raise DatasetError(
            f"the images of the map are of {len(pinholes)} cameras, the baseline knows maps of one; evaluate without it"
        )
    return pinholes.pop()


def _triangulate(pycolmap: Any, shots: Sequence[_Shot], pinhole: Pinhole, folder: Path, track: Track) -> Any:
    """Return COLMAP's reconstruction at the known poses."""
    pycolmap.set_random_seed(0)
    logging = getattr(pycolmap, "logging", None)
    if logging is not None:
        logging.minloglevel = logging.Level.ERROR if hasattr(logging, "Level") else 2
    known = pycolmap.Reconstruction()
    known.add_camera_with_trivial_rig(colmap_camera(pycolmap, pinhole))
    for number, shot in enumerate(shots, start=1):
        image = pycolmap.Image(
            name=f"{number:06d}", keypoints=shot.view.features.pixels_px, camera_id=1, image_id=number
        )
        T_view_map = se3.inverse(shot.T_map_view)
        known.add_image_with_trivial_frame(image, pycolmap.Rigid3d(np.ascontiguousarray(T_view_map[:3])))
    path = folder / "database.db"
    with pycolmap.Database.open(path) as database:
        database.write_camera(known.cameras[1], use_camera_id=True)
        database.write_rig(known.rigs[1], use_rig_id=True)
        for number, shot in enumerate(shots, start=1):
            image = pycolmap.Image(name=f"{number:06d}", camera_id=1, image_id=number)
            image.frame_id = number
            database.write_frame(known.frames[number], use_frame_id=True)
            database.write_image(image, use_image_id=True)
            database.write_keypoints(number, shot.view.features.pixels_px.astype(np.float32))
        for first, second in track(list(_near_pairs(shots)), "SIFT matches of the map"):
            matches = _matches(shots[first], shots[second], pinhole)
            if len(matches) >= _MIN_MATCHES:
                geometry = pycolmap.TwoViewGeometry(
                    config=pycolmap.TwoViewGeometryConfiguration.CALIBRATED, inlier_matches=matches
                )
                database.write_matches(first + 1, second + 1, matches)
                database.write_two_view_geometry(first + 1, second + 1, geometry)
    out = folder / "model"
    out.mkdir()
    options = pycolmap.IncrementalPipelineOptions(extract_colors=False, random_seed=0, num_threads=1)
    return pycolmap.triangulate_points(known, path, folder, out, True, options)


def _near_pairs(shots: Sequence[_Shot]) -> Iterator[tuple[int, int]]:
    """Yield the views that probably show the same: next in time, and nearest in space with a similar direction."""
    images = max(shot.image for shot in shots) + 1
    of_image: list[list[int]] = [[] for _ in range(images)]
    for index, shot in enumerate(shots):
        of_image[shot.image].append(index)
    positions = np.array([shots[numbers[0]].T_map_view[:3, 3] for numbers in of_image])
    pairs: set[tuple[int, int]] = set()
    for image in range(images):
        others = [image + step for step in _STEPS if image + step < images]
        nearest = np.argsort(np.linalg.norm(positions - positions[image], axis=1), kind="stable")
        apart = [int(other) for other in nearest if abs(int(other) - image) > max(_STEPS)]
        alike = [other for other in apart if _turn_deg(shots, of_image, image, other) < _MAX_TURN_DEG]
        for other in (*others, *alike[:_NEAREST]):
            for pair in product(of_image[image], of_image[other]):
                turn = rotation.angle_between_rad(shots[pair[0]].T_map_view[:3, :3], shots[pair[1]].T_map_view[:3, :3])
                if math.degrees(float(turn)) < _MAX_TURN_DEG:
                    pairs.add((min(pair), max(pair)))
    yield from sorted(pairs)


def _turn_deg(shots: Sequence[_Shot], of_image: Sequence[Sequence[int]], first: int, second: int) -> float:
    """Return the smallest angle between a view of one image and one of another, degrees."""
    R_first = shots[of_image[first][0]].T_map_view[:3, :3]
    turns = [float(rotation.angle_between_rad(R_first, shots[k].T_map_view[:3, :3])) for k in of_image[second]]
    return math.degrees(min(turns))


def _matches(first: _Shot, second: _Shot, pinhole: Pinhole) -> np.ndarray:
    """Return (M, 2) uint32 indices of features that match and lie on each other's epipolar lines."""
    indices = _mutual(first.view.features, second.view.features)
    T_first_second = se3.inverse(first.T_map_view) @ second.T_map_view
    translation = T_first_second[:3, 3]
    if not len(indices) or np.linalg.norm(translation) == 0:
        return np.zeros((0, 2), np.uint32)
    rays = [
        np.column_stack(
            [(shot.view.features.pixels_px[column] - pinhole.centre_px) / pinhole.focal_px, np.ones(len(column))]
        )
        for shot, column in ((first, indices[:, 0]), (second, indices[:, 1]))
    ]
    # x1^T E x2 = 0 with E = [t] R; the distance to a line is that over the length of its normal's first two entries.
    lines = rays[1] @ (rotation.skew(translation / np.linalg.norm(translation)) @ T_first_second[:3, :3]).T
    length = np.maximum(np.linalg.norm(lines[:, :2], axis=1), 1e-12)
    distance_px = pinhole.focal_px * np.abs(np.sum(rays[0] * lines, axis=1)) / length
    return np.asarray(indices[distance_px < _MAX_EPIPOLAR_PX], np.uint32)


def _mutual(first: Features, second: Features) -> np.ndarray:
    """Return (M, 2) indices of features that are each other's nearest and clearly nearer than the second."""
    if len(first.descriptors) < 2 or len(second.descriptors) < 2:
        return np.zeros((0, 2), int)
    matcher = cv2.BFMatcher(cv2.NORM_L2)
    there = matcher.knnMatch(first.descriptors, second.descriptors, k=2)
    forward = {a.queryIdx: a.trainIdx for a, b in there if a.distance < _RATIO * b.distance}
    # One feature of the second image, one point: of several that want it the best.
    taken: dict[int, tuple[float, int]] = {}
    for best, _ in there:
        if best.queryIdx in forward and best.distance < taken.get(best.trainIdx, (math.inf, 0))[0]:
            taken[best.trainIdx] = (best.distance, best.queryIdx)
    return np.array([(query, train) for train, (_, query) in taken.items()], int).reshape(-1, 2)


def _as_map(found: Any, shots: Sequence[_Shot], images: int) -> SiftMap:
    numbers = sorted(found.points3D)
    rooted = [root_sift(shot.view.features.descriptors) for shot in shots]
    seen: list[set[int]] = [set() for _ in range(images)]
    points, descriptors = [], []
    for index, number in enumerate(numbers):
        point = found.points3D[number]
        points.append(point.xyz)
        elements = [(element.image_id - 1, element.point2D_idx) for element in point.track.elements]
        descriptors.append(np.mean([rooted[shot][feature] for shot, feature in elements], axis=0))
        for shot, _ in elements:
            seen[shots[shot].image].add(index)
    pooled = [np.concatenate([rooted[k] for k, shot in enumerate(shots) if shot.image == i]) for i in range(images)]
    return SiftMap(
        points=np.array(points, np.float64).reshape(-1, 3),
        descriptors=np.clip(np.round(512 * np.array(descriptors)), 0, 255).astype(np.uint8),
        seen=tuple(np.array(sorted(indices), int) for indices in seen),
        retrieval=Retrieval.from_images(pooled),
    )
