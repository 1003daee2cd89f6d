"""The classical reference: retrieve images, match SIFT with their points, PnP with RANSAC. No learning, no depth."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Any

import cv2
import numpy as np

from reloc_ros.datasets.images import PosedImage
from reloc_ros.evaluation.sift_map import SiftMap, Track, build_sift_map, colmap_camera, require_pycolmap
from reloc_ros.evaluation.sift_retrieval import root_sift
from reloc_ros.evaluation.sift_views import View, ideal_camera, views_of
from reloc_ros.geometry import se3
from reloc_ros.geometry.covariance import invert_information
from reloc_ros.geometry.rotation import skew
from reloc_ros.types import Array, Estimate, Frame, Localization, Reason, Rejected

_RETRIEVED = 10
_RATIO = 0.8
_MAX_ERROR_PX = 6.0
_MIN_INLIERS = 15
_MIN_INLIER_RATIO = 0.15
_PIXEL_STD_PX = 2.0
"""Typical residual of SIFT against a small map; scales the covariance."""


def build_sift_localizer(images: Sequence[PosedImage], track: Track) -> SiftLocalizer:
    """Return the localizer in the map of images with known poses.

    Raises:
        ConfigError: pycolmap is not installed.
        DatasetError: no map can be made of the images.
    """
    return SiftLocalizer(build_sift_map(images, track))


class SiftLocalizer:
    """Localizes frames in a SIFT map. The same frame always gives the same result."""

    def __init__(self, sift_map: SiftMap) -> None:
        self._map = sift_map
        self._pycolmap = require_pycolmap()
        self.stage_seconds: dict[str, float] = {}
        """Duration of each stage that ran in the last call, seconds."""

    @property
    def map_bytes(self) -> int:
        """What a robot has to store."""
        return self._map.size_bytes

    def localize(self, frame: Frame) -> Localization:
        """Return the pose of the frame's camera in the map, or why there is none."""
        self.stage_seconds = {}
        start = perf_counter()
        views = views_of(frame)
        rooted = [root_sift(view.features.descriptors) for view in views]
        start = self._done("features", start)
        retrieved = self._map.retrieval.nearest(np.concatenate(rooted), _RETRIEVED)
        start = self._done("retrieve", start)
        known = np.unique(np.concatenate([self._map.seen[image] for image in retrieved]))
        matched = [_match(each, self._map.descriptors, known) for each in rooted]
        start = self._done("match", start)
        found = self._solve(frame, views, matched)
        self._done("solve", start)
        return found

    def _done(self, stage: str, start: float) -> float:
        now = perf_counter()
        self.stage_seconds[stage] = now - start
        return now

    def _solve(self, frame: Frame, views: Sequence[View], matched: Sequence[np.ndarray]) -> Localization:
        def refused(detail: str) -> Rejected:
            return Rejected(reason=Reason.TOO_FEW_INLIERS, detail=detail, stamp_ns=frame.stamp_ns)

        pixels = np.concatenate([view.features.pixels_px[m[:, 0]] for view, m in zip(views, matched)])
        points = np.concatenate([self._map.points[m[:, 1]] for m in matched])
        owner = np.concatenate([np.full(len(m), k) for k, m in enumerate(matched)])
        if len(points) < _MIN_INLIERS:
            return refused(f"{len(points)} matches with the map, must be at least {_MIN_INLIERS}")
        answer = self._ransac(frame, views, pixels, points, owner)
        if answer is None:
            return refused("no pose agrees with the matches")
        T_map_camera, inliers = answer
        count, ratio = int(inliers.sum()), float(inliers.mean())
        if count < _MIN_INLIERS or ratio < _MIN_INLIER_RATIO:
            return refused(
                f"{count} of {len(points)} matches agree, must be at least {_MIN_INLIERS} and {_MIN_INLIER_RATIO:.0%}"
            )
        return Estimate(
            T_map_camera=T_map_camera,
            covariance=_covariance(points[inliers], T_map_camera, _PIXEL_STD_PX / ideal_camera(frame.camera).focal_px),
            map_frame="map",
            stamp_ns=frame.stamp_ns,
            evidence={"inliers": float(count), "inlier_ratio": ratio},
        )

    def _ransac(
        self, frame: Frame, views: Sequence[View], pixels: Array, points: Array, owner: np.ndarray
    ) -> tuple[Array, np.ndarray] | None:
        """Return T_map_camera and which matches agree with it."""
        pycolmap: Any = self._pycolmap
        camera = colmap_camera(pycolmap, ideal_camera(frame.camera))
        ransac = pycolmap.RANSACOptions(max_error=_MAX_ERROR_PX, random_seed=0, max_num_trials=5000, num_threads=1)
        view_from_camera = [pycolmap.Rigid3d(np.column_stack([view.R_camera_view.T, np.zeros(3)])) for view in views]
        found = pycolmap.estimate_and_refine_generalized_absolute_pose(
            pixels, points, owner.tolist(), view_from_camera, [camera] * len(views), estimation_options=ransac
        )
        if found is None:
            return None
        T_camera_map = np.vstack([found["rig_from_world"].matrix(), [0.0, 0.0, 0.0, 1.0]])
        return se3.inverse(T_camera_map), np.asarray(found["inlier_mask"], bool)


def _match(rooted: np.ndarray, descriptors: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return (M, 2) of feature and point, no point twice."""
    if len(rooted) == 0 or len(known) < 2:
        return np.zeros((0, 2), int)
    stored = descriptors[known].astype(np.float32) / 512
    best: dict[int, tuple[float, int]] = {}
    for nearest, second in cv2.BFMatcher(cv2.NORM_L2).knnMatch(rooted, stored, k=2):
        if nearest.distance < min(_RATIO * second.distance, best.get(nearest.trainIdx, (np.inf, 0))[0]):
            best[nearest.trainIdx] = (nearest.distance, nearest.queryIdx)
    return np.array([(feature, known[point]) for point, (_, feature) in best.items()], int).reshape(-1, 2)


def _covariance(points: Array, T_map_camera: Array, std_rad: float) -> Array:
    """Return the (6, 6) covariance from the directions to the points, each measured to `std_rad` across its ray."""
    lever = points - T_map_camera[:3, 3]
    distance = np.maximum(np.linalg.norm(lever, axis=1), 1e-6)
    information = np.zeros((6, 6))
    for vector, length in zip(lever, distance):
        ray = vector / length
        # A ray turns with the camera and against its translation: d(ray) = P dr x ray - P dt / length, P across the ray.
        across = np.eye(3) - np.outer(ray, ray)
        jacobian = np.hstack([-across / length, -skew(ray)])
        information += jacobian.T @ jacobian / std_rad**2
    return invert_information(information)
