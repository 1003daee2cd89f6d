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
from reloc_ros.training.validate import PROVISIONAL_SETTINGS, measure, solve_all
from reloc_ros.types import Array, Outputs

# Rayleigh's median in deviations: the angle across a ray has two components.
_RAYLEIGH_MEDIAN = float(np.sqrt(2 * np.log(2)))
_NORMAL_MEDIAN = 0.6745
# A pose three times less certain, or with a third of the support, of what held-out images of the place gave was hardly
# taken there.
_GATE_FACTOR = 3.0
_LARGEST_MIN_INLIER_RATIO = 0.3
# A camera may leave the box of training positions by this share of its diagonal.
_BOUNDS_MARGIN = 0.25


def describe_serving(
    outputs: list[Outputs], train: ImageStore, val: ImageStore, grid: tuple[int, int], log_zoom: float
) -> dict[str, Any]:
    """Return all of the manifest that depends on data: what `fit_serving` measures, the map's box and the cameras.

    Args:
        outputs: the network's outputs for each held-out image.
        train: images of the map.
        val: held-out images.
        grid: rows and columns of cells.
        log_zoom: of the training's augmentation.
    """
    positions = train.T_map_camera[:, :3, 3]
    low_deg, high_deg = horizontal_fov_range_deg(train.cameras, log_zoom)
    fitted = fit_serving(outputs, val, grid)
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


def fit_serving(outputs: list[Outputs], store: ImageStore, grid: tuple[int, int]) -> dict[str, Any]:
    """Return the manifest's `solve`, `gate`, `covariance_scale` and `metrics` from the outputs on held-out images.

    Args:
        outputs: the network's outputs for each image of the store.
        store: held-out images with their true poses.
        grid: rows and columns of cells.
    """
    angle_std_rad, range_std_log = _deviations(outputs, store, grid)
    settings: dict[str, Any] = {
        "rows": grid[0],
        "columns": grid[1],
        **PROVISIONAL_SETTINGS,
        "angle_std_rad": angle_std_rad,
        "range_std_log": range_std_log,
    }
    solutions = solve_all(outputs, store, settings)
    solved = [solution for solution in solutions if isinstance(solution, Solution)]
    covariance_scale = _covariance_scale(solutions, store.T_map_camera)
    covariances = np.array([solution.covariance * covariance_scale for solution in solved]).reshape(-1, 6, 6)
    ratios = [solution.evidence["inlier_ratio"] for solution in solved] or [0.0]
    conditionings = [solution.evidence["conditioning"] for solution in solved] or [0.0]
    settings["min_inlier_ratio"] = min(float(np.percentile(ratios, 1)) / _GATE_FACTOR, _LARGEST_MIN_INLIER_RATIO)
    settings["min_conditioning"] = float(np.min(conditionings)) / _GATE_FACTOR**2
    return {
        "solve": settings,
        "gate": {
            "max_position_std_m": _GATE_FACTOR * _usual_std(covariances[:, :3, :3]),
            "max_rotation_std_rad": _GATE_FACTOR * _usual_std(covariances[:, 3:, 3:]),
        },
        "covariance_scale": covariance_scale,
        "metrics": {"part": "val", "frames": len(store), **measure(solutions, store.T_map_camera).summary()},
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


def _deviations(outputs: list[Outputs], store: ImageStore, grid: tuple[int, int]) -> tuple[float, float]:
    """Return the deviation across the ray (rad) and of the logarithm of the range, robustly, at the true poses."""
    angles, stretches = [], []
    for output, camera, T_map_camera in zip(outputs, store.cameras, store.T_map_camera):
        rays = cached_ray_grid(camera, *grid)
        seen = se3.transform_points(se3.inverse(T_map_camera), output["points_map"][0].astype(np.float64))
        depth = np.einsum("ni,ni->n", seen, rays)
        across = np.linalg.norm(seen - depth[:, None] * rays, axis=1)
        before = depth > 0
        angles.append(np.where(before, np.arctan2(across, depth), np.pi))
        stretches.append(np.abs(np.log(depth[before] / output["range_m"][0][before])))
    angle = float(np.median(np.concatenate(angles))) / _RAYLEIGH_MEDIAN
    stretch = float(np.median(np.concatenate(stretches))) / _NORMAL_MEDIAN
    return max(angle, 1e-4), max(stretch, 1e-3)


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
    return float(np.percentile(np.sqrt(np.linalg.eigvalsh(covariances)[:, -1]), 95))
