"""The numbers of the points solver that localize held-out images best."""

from __future__ import annotations

from typing import Any

import numpy as np

from reloc_ros.geometry import se3
from reloc_ros.localization.camera_cache import cached_ray_grid
from reloc_ros.training.image_store import ImageStore
from reloc_ros.training.validate import RAYLEIGH_MEDIAN, measure, solve_all, some
from reloc_ros.types import Outputs

# Deviations of the kernel that are tried, as shares of the measured one, and of the logarithm of the range for each
# radian across the ray.
_KERNEL_SHARES = (0.125, 0.25, 0.5, 1.0)
_RANGES_PER_ANGLE = (1.5, 3.0, 6.0, 12.0, 24.0)


def tune_points(outputs: list[Outputs], store: ImageStore, grid: tuple[int, int], scale_m: float) -> dict[str, Any]:
    """Return the solver's settings, still without limits on support and conditioning.

    The median deviation across the rays is that of all cells, good and bad. The kernel does better with that of the good
    ones, and how much a range is worth beside a direction differs from scene to scene: both are tried, in turn.

    Args:
        outputs: the network's outputs for each image of the store.
        store: held-out images with their true poses.
        grid: rows and columns of cells.
        scale_m: size of the scene, metres.
    """
    across_rad = _deviation_across_rad(outputs, store, grid)
    few_outputs, few = some(outputs, store)

    def score(angle_std_rad: float, range_per_angle: float) -> float:
        solutions = solve_all("points", _settings(grid, angle_std_rad, range_per_angle), few_outputs, few)
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


def _deviation_across_rad(outputs: list[Outputs], store: ImageStore, grid: tuple[int, int]) -> float:
    """Return the deviation of the predicted points across their rays, robustly, at the true poses."""
    angles = []
    for output, camera, T_map_camera in zip(outputs, store.cameras, store.T_map_camera, strict=True):
        rays = cached_ray_grid(camera, *grid)
        seen = se3.transform_points(se3.inverse(T_map_camera), output["points_map"][0].astype(np.float64))
        along = np.einsum("ni,ni->n", seen, rays)
        angles.append(np.arctan2(np.linalg.norm(seen - along[:, None] * rays, axis=1), along))
    return max(float(np.median(np.concatenate(angles))) / RAYLEIGH_MEDIAN, 1e-4)
