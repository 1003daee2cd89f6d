"""Two point clouds to a pose: robust weighted Kabsch, then the refinement on rays (arXiv 2312.02029, and ours)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from reloc_ros.cameras.camera import Camera
from reloc_ros.errors import BundleError, DegenerateGeometryError
from reloc_ros.geometry.kabsch import align
from reloc_ros.geometry.ray_alignment import RayAlignment, align_rays
from reloc_ros.localization.camera_cache import cached_ray_grid
from reloc_ros.localization.solve.settings import REMEDY, read_settings
from reloc_ros.localization.solve.solution import Failure, Solution, Solver
from reloc_ros.types import Array, Outputs, Reason

# Every cell keeps a little weight, so that a network sure of one corner alone is still checked against the rest.
_WEIGHT_FLOOR = 1e-3
_REWEIGHTINGS = 5
# Rays within this many standard deviations of their point count as inliers.
_INLIER_DEVIATIONS = 3.0


@dataclass(frozen=True, kw_only=True)
class PointsSettings:
    """Numbers of the solver, as the manifest's `solve` has them.

    Args:
        rows: rows of the grid of cells.
        columns: columns of it.
        angle_std_rad: deviation of a point across its ray, fitted on held-out frames.
        range_std_log: deviation of the logarithm of its range, fitted likewise.
        min_inlier_ratio: least share of the weight within three deviations of its ray.
        min_conditioning: least ratio of rotational stiffness of the clouds, see `geometry.kabsch.Alignment`.
    """

    rows: int
    columns: int
    angle_std_rad: float
    range_std_log: float
    min_inlier_ratio: float
    min_conditioning: float

    def __post_init__(self) -> None:
        for name in ("rows", "columns", "angle_std_rad", "range_std_log"):
            value = getattr(self, name)
            whole = isinstance(value, int) or name not in ("rows", "columns")
            if not (value > 0 and whole):
                raise BundleError(
                    f"solve.{name} is {value}, must be above 0 and rows and columns whole numbers; {REMEDY}"
                )


def create(settings: dict[str, Any]) -> Solver:
    """Return the solver with the manifest's `solve` as its settings.

    Raises:
        BundleError: a key is unknown or missing, or a value out of range.
    """
    return partial(solve, numbers=read_settings(PointsSettings, settings, "points"))


def solve(outputs: Outputs, camera: Camera, numbers: PointsSettings) -> Solution | Failure:
    """Return the pose that moves the camera cloud onto the global cloud.

    Args:
        outputs: `points_map` (1, N, 3) metres, `range_m` (1, N) metres along the cells' unit rays, `weights` (1, N).
        camera: model of the image the network saw.
        numbers: see `PointsSettings`.
    """
    rays = cached_ray_grid(camera, numbers.rows, numbers.columns)
    points_map, range_m, weights = (
        outputs[name][0].astype(np.float64) for name in ("points_map", "range_m", "weights")
    )
    weights = np.maximum(weights, _WEIGHT_FLOOR)
    try:
        T_map_camera, conditioning = _robust_kabsch(points_map, rays * range_m[:, None], weights)
        if conditioning < numbers.min_conditioning:
            detail = f"clouds give a stiffness ratio of {conditioning:.2g}, limit {numbers.min_conditioning:.2g}"
            return Failure(reason=Reason.DEGENERATE, detail=detail)
        aligned = align_rays(
            T_map_camera, points_map, rays, range_m, weights,
            angle_std_rad=numbers.angle_std_rad, range_std_log=numbers.range_std_log,
        )  # fmt: skip
    except DegenerateGeometryError as error:
        return Failure(reason=Reason.DEGENERATE, detail=str(error))
    inlier_ratio = _inlier_ratio(aligned, weights, numbers.angle_std_rad)
    if inlier_ratio < numbers.min_inlier_ratio:
        detail = f"{inlier_ratio:.0%} of the weight agrees with the pose, limit {numbers.min_inlier_ratio:.0%}"
        return Failure(reason=Reason.TOO_FEW_INLIERS, detail=detail)
    evidence = {
        "inlier_ratio": inlier_ratio,
        "median_angle_rad": float(np.median(aligned.angles_rad)),
        "conditioning": conditioning,
    }
    return Solution(
        T_map_camera=aligned.T_map_camera,
        covariance=aligned.covariance,
        evidence=evidence,
        cell_weights=(weights * aligned.kernel).reshape(numbers.rows, numbers.columns),
    )


def _robust_kabsch(points_map: Array, points_camera: Array, weights: Array) -> tuple[Array, float]:
    """Return T_map_camera and its conditioning after re-weighting by Geman-McClure at the median residual."""
    kernel = np.ones(len(weights))
    for _ in range(_REWEIGHTINGS):
        alignment = align(points_map, points_camera, weights * kernel)
        T_map_camera = alignment.T_map_camera
        moved = points_camera @ T_map_camera[:3, :3].T + T_map_camera[:3, 3]
        squared = np.sum((points_map - moved) ** 2, axis=1)
        scale = max(float(np.median(squared)), 1e-12)
        kernel = (scale / (scale + squared)) ** 2
    return alignment.T_map_camera, alignment.conditioning


def _inlier_ratio(aligned: RayAlignment, weights: Array, angle_std_rad: float) -> float:
    agrees = aligned.angles_rad < _INLIER_DEVIATIONS * angle_std_rad
    return float(weights[agrees].sum() / weights.sum())
