"""What a robot needs besides the weights, measured on held-out images: solver deviations, gates, covariance scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import chi2

from reloc_ros.cameras.camera import Camera
from reloc_ros.cameras.field_of_view import horizontal_fov_deg
from reloc_ros.geometry import rotation, se3
from reloc_ros.localization.camera_cache import cached_ray_grid
from reloc_ros.localization.solve.solution import Failure, Solution
from reloc_ros.training.image_store import ImageStore
from reloc_ros.training.validate import Validation, measure, solve_all
from reloc_ros.types import Array, Outputs

# Rayleigh's median in deviations: the angle across a ray has two components.
_RAYLEIGH_MEDIAN = float(np.sqrt(2 * np.log(2)))
# Tried in `_tune`: deviations of the kernel as shares of the measured one, and of the logarithm of the range for each
# radian across the ray.
_KERNEL_SHARES = (0.125, 0.25, 0.5, 1.0)
_RANGES_PER_ANGLE = (1.5, 3.0, 6.0, 12.0, 24.0)
_TUNING_IMAGES = 64
# Gates cut where held-out images of the place end: the least certain twentieth, and the hundredth with the least support.
# In the demo's apartment looser ones let black images pass.
_CERTAIN_PERCENTILE = 95
_SUPPORTED_PERCENTILE = 1
_LARGEST_MIN_INLIER_RATIO = 0.3
# Degenerate clouds are far below anything held out, not a little.
_CONDITIONING_MARGIN = 9.0
# A camera may leave the box of training positions by this share of its diagonal.
_BOUNDS_MARGIN = 0.25


def describe_serving(fitted: dict[str, Any], train: ImageStore, val: ImageStore, log_zoom: float) -> dict[str, Any]:
    """Return all of the manifest that depends on data: what `fit_serving` measured, the map's box and the cameras.

    Args:
        fitted: result of `fit_serving`.
        train: images of the map.
        val: held-out images.
        log_zoom: of the training's augmentation.
    """
    positions = train.T_map_camera[:, :3, 3]
    low_deg, high_deg = horizontal_fov_range_deg(train.cameras, log_zoom)
    extent_m = float(np.linalg.norm(np.ptp(positions, axis=0)))
    return {
        **fitted,
        "gate": {**fitted["gate"], "bounds_margin_m": max(_BOUNDS_MARGIN * extent_m, 1e-6)},
        "map_bounds": {"min_m": positions.min(0).tolist(), "max_m": positions.max(0).tolist()},
        "assumption": {
            "model": train.cameras[0].model,
            "horizontal_fov_deg_min": low_deg,
            "horizontal_fov_deg_max": high_deg,
        },
        "camera": val.cameras[0].to_dict(),
    }


def fit_serving(
    outputs: list[Outputs], store: ImageStore, grid: tuple[int, int], scale_m: float
) -> tuple[dict[str, Any], Validation]:
    """Return the manifest's `solve`, `gate`, `covariance_scale` and `metrics`, and the errors they lead to.

    Args:
        outputs: the network's outputs for each image of the store.
        store: held-out images with their true poses.
        grid: rows and columns of cells.
        scale_m: size of the scene, metres.
    """
    settings = _tune(outputs, store, grid, scale_m)
    solutions = solve_all(outputs, store, settings)
    validation = measure(solutions, store.T_map_camera)
    solved = [solution for solution in solutions if isinstance(solution, Solution)]
    covariance_scale = _covariance_scale(solutions, store.T_map_camera)
    covariances = np.array([solution.covariance * covariance_scale for solution in solved]).reshape(-1, 6, 6)
    ratios = [solution.evidence["inlier_ratio"] for solution in solved] or [0.0]
    conditionings = [solution.evidence["conditioning"] for solution in solved] or [0.0]
    settings["min_inlier_ratio"] = min(float(np.percentile(ratios, _SUPPORTED_PERCENTILE)), _LARGEST_MIN_INLIER_RATIO)
    settings["min_conditioning"] = float(np.min(conditionings)) / _CONDITIONING_MARGIN
    fitted = {
        "solve": settings,
        "gate": {
            "max_position_std_m": _usual_std(covariances[:, :3, :3]),
            "max_rotation_std_rad": _usual_std(covariances[:, 3:, 3:]),
        },
        "covariance_scale": covariance_scale,
        "metrics": {"part": "val", "frames": len(store), **validation.summary()},
    }
    return fitted, validation


def _tune(outputs: list[Outputs], store: ImageStore, grid: tuple[int, int], scale_m: float) -> dict[str, Any]:
    """Return the solver's settings with the deviations that localize held-out images best.

    The median deviation across the rays is that of all cells, good and bad. The kernel does better with that of the good
    ones, and how much a range is worth beside a direction differs from scene to scene: both are tried, in turn.
    """
    across_rad = _deviation_across_rad(outputs, store, grid)
    chosen = np.unique(np.linspace(0, len(outputs) - 1, _TUNING_IMAGES).astype(int)).tolist()
    few, few_outputs = store.subset(chosen), [outputs[index] for index in chosen]

    def score(angle_std_rad: float, range_per_angle: float) -> float:
        solutions = solve_all(few_outputs, few, _settings(grid, angle_std_rad, range_per_angle))
        return measure(solutions, few.T_map_camera).score(scale_m)

    share = _KERNEL_SHARES[len(_KERNEL_SHARES) // 2]
    range_per_angle = min(_RANGES_PER_ANGLE, key=lambda ratio: score(share * across_rad, ratio))
    share = min(_KERNEL_SHARES, key=lambda kernel: score(kernel * across_rad, range_per_angle))
    return _settings(grid, share * across_rad, range_per_angle)


def _settings(grid: tuple[int, int], angle_std_rad: float, range_per_angle: float) -> dict[str, Any]:
    return {
        "rows": grid[0],
        "columns": grid[1],
        "angle_std_rad": angle_std_rad,
        "range_std_log": range_per_angle * angle_std_rad,
        "min_inlier_ratio": 0.0,
        "min_conditioning": 1e-6,
    }


def horizontal_fov_range_deg(cameras: Sequence[Camera], log_zoom: float) -> tuple[float, float]:
    """Return the fields of view that training showed the network: those of its cameras, widened by the random zoom."""
    fields_deg = [horizontal_fov_deg(camera) for camera in set(cameras)]
    low, high = min(fields_deg), max(fields_deg)
    if high > 179.0:
        return low, high
    low_tangent, high_tangent = (np.tan(np.radians(value) / 2) for value in (low, high))
    return (
        float(2 * np.degrees(np.arctan(low_tangent * np.exp(-log_zoom)))),
        float(2 * np.degrees(np.arctan(high_tangent * np.exp(log_zoom)))),
    )


def _deviation_across_rad(outputs: list[Outputs], store: ImageStore, grid: tuple[int, int]) -> float:
    """Return the deviation of the predicted points across their rays, robustly, at the true poses."""
    angles = []
    for output, camera, T_map_camera in zip(outputs, store.cameras, store.T_map_camera, strict=True):
        rays = cached_ray_grid(camera, *grid)
        seen = se3.transform_points(se3.inverse(T_map_camera), output["points_map"][0].astype(np.float64))
        along = np.einsum("ni,ni->n", seen, rays)
        angles.append(np.arctan2(np.linalg.norm(seen - along[:, None] * rays, axis=1), along))
    return max(float(np.median(np.concatenate(angles))) / _RAYLEIGH_MEDIAN, 1e-4)


def _covariance_scale(solutions: list[Solution | Failure], T_map_camera: Array) -> float:
    """Return the factor that brings the median squared Mahalanobis error to that of six degrees of freedom.

    Cells of one image err together, so the covariance of independent residuals is far too small; how far is measured.
    """
    squared = []
    for solution, truth in zip(solutions, T_map_camera):
        if isinstance(solution, Solution):
            moved_m = truth[:3, 3] - solution.T_map_camera[:3, 3]
            turned_rad = rotation.log(truth[:3, :3] @ solution.T_map_camera[:3, :3].T)
            error = np.concatenate([moved_m, turned_rad])
            squared.append(float(error @ np.linalg.solve(solution.covariance, error)))
    if not squared:
        return 1.0
    return float(np.median(squared) / chi2.median(6))


def _usual_std(covariances: Array) -> float:
    """Return the 95th percentile of the largest standard deviation of (M, 3, 3) covariances; infinite for none."""
    if not len(covariances):
        return float("inf")
    return float(np.percentile(np.sqrt(np.linalg.eigvalsh(covariances)[:, -1]), _CERTAIN_PERCENTILE))
