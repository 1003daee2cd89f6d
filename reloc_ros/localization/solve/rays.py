"""Rays in map axes to a pose: two-stage RANSAC weighted by confidence, then the refinement (DIMM, ICCV 2025)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from reloc_ros.cameras.camera import Camera
from reloc_ros.errors import DegenerateGeometryError
from reloc_ros.geometry import se3
from reloc_ros.geometry.ray_ransac import pose_from_rays
from reloc_ros.geometry.ray_refinement import MapRays
from reloc_ros.localization.camera_cache import cached_ray_grid
from reloc_ros.localization.solve.settings import check_number, read_settings
from reloc_ros.localization.solve.solution import Failure, Solution, Solver
from reloc_ros.types import Outputs, Reason


@dataclass(frozen=True, kw_only=True)
class RaysSettings:
    """Numbers of the solver, as the manifest's `solve` has them.

    Args:
        rows: rows of the grid of cells.
        columns: columns of it.
        centre_x_m: the point that moments are about, in the map; near the cameras, where float32 is finest.
        centre_y_m: its y.
        centre_z_m: its z.
        direction_std_rad: deviation of a direction along each axis across it, at a frame's mean confidence, fitted on
            held-out frames.
        moment_std_m: deviation of each component of a moment, likewise.
        hypotheses: poses tried in either stage.
        seed: of the pairs that are tried.
        min_inlier_ratio: least share of the confidence, in directions and in moments, within three deviations.
    """

    rows: int
    columns: int
    centre_x_m: float
    centre_y_m: float
    centre_z_m: float
    direction_std_rad: float
    moment_std_m: float
    hypotheses: int
    seed: int
    min_inlier_ratio: float

    def __post_init__(self) -> None:
        for name in ("rows", "columns", "hypotheses"):
            check_number(name, getattr(self, name), least=1, whole=True)
        check_number("seed", self.seed, least=0, whole=True)
        for name in ("centre_x_m", "centre_y_m", "centre_z_m"):
            check_number(name, getattr(self, name), least=-np.inf)
        for name in ("direction_std_rad", "moment_std_m"):
            check_number(name, getattr(self, name), least=1e-9)
        check_number("min_inlier_ratio", self.min_inlier_ratio, least=0, most=1)


def create(settings: dict[str, Any]) -> Solver:
    """Return the solver with the manifest's `solve` as its settings.

    Raises:
        BundleError: a key is unknown or missing, or a value out of range.
    """
    return partial(solve, numbers=read_settings(RaysSettings, settings, "rays"))


def solve(outputs: Outputs, camera: Camera, numbers: RaysSettings) -> Solution | Failure:
    """Return the pose that most of the confidence agrees with.

    Args:
        outputs: `directions_map` (1, N, 3) of any length and `moments_m` (1, N, 3) about the settings' centre, both in
            map axes; `direction_confidence` (1, N) and `moment_confidence` (1, N), inverse variances up to a factor.
        camera: model of the image the network saw.
        numbers: see `RaysSettings`.
    """
    directions_map, moments_m, direction_confidence, moment_confidence = (
        outputs[name][0].astype(np.float64)
        for name in ("directions_map", "moments_m", "direction_confidence", "moment_confidence")
    )
    try:
        rays = MapRays(
            rays_camera=cached_ray_grid(camera, numbers.rows, numbers.columns),
            directions_map=directions_map,
            moments_m=moments_m,
            direction_weights=direction_confidence,
            moment_weights=moment_confidence,
            direction_std_rad=numbers.direction_std_rad,
            moment_std_m=numbers.moment_std_m,
        )
        # A generator of its own for each frame: a frame's pose does not depend on the frames before it.
        found = pose_from_rays(rays, hypotheses=numbers.hypotheses, generator=np.random.default_rng(numbers.seed))
    except DegenerateGeometryError as error:
        return Failure(reason=Reason.DEGENERATE, detail=str(error))
    evidence = {
        "direction_inlier_ratio": float(rays.direction_weights[found.direction_inliers].sum() / rays.count),
        "moment_inlier_ratio": float(rays.moment_weights[found.moment_inliers].sum() / rays.count),
        "median_angle_rad": float(np.median(found.refined.angles_rad)),
        "median_moment_error_m": float(np.median(found.refined.moment_errors_m)),
        "mean_direction_confidence": float(direction_confidence.mean()),
        "mean_moment_confidence": float(moment_confidence.mean()),
    }
    for half in ("direction", "moment"):
        ratio = evidence[f"{half}_inlier_ratio"]
        if ratio < numbers.min_inlier_ratio:
            detail = f"{ratio:.0%} of the {half}s' weight agrees with the pose, limit {numbers.min_inlier_ratio:.0%}"
            return Failure(reason=Reason.TOO_FEW_INLIERS, detail=detail)
    T_centre_camera = found.refined.T_map_camera
    T_map_centre = se3.from_rotation_translation(
        np.eye(3), (numbers.centre_x_m, numbers.centre_y_m, numbers.centre_z_m)
    )
    return Solution(
        T_map_camera=T_map_centre @ T_centre_camera,
        covariance=found.refined.covariance,
        evidence=evidence,
        cell_weights=np.sqrt(rays.direction_weights * rays.moment_weights).reshape(numbers.rows, numbers.columns),
    )
