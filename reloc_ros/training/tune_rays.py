"""The numbers of the rays solver that localize held-out images best."""

from __future__ import annotations

from typing import Any

import numpy as np

from reloc_ros.localization.camera_cache import cached_ray_grid
from reloc_ros.training.image_store import ImageStore
from reloc_ros.training.validate import MAXWELL_MEDIAN, RAYLEIGH_MEDIAN, measure, solve_all, some
from reloc_ros.types import Array, Outputs

_HYPOTHESES = 64
# What a moment is worth beside a direction is tried, round what each one's own deviation says.
_SHARES = (0.25, 1.0, 4.0)


def tune_rays(outputs: list[Outputs], store: ImageStore, grid: tuple[int, int], centre_m: Array) -> dict[str, Any]:
    """Return the solver's settings, still without a limit on support.

    Args:
        outputs: the network's outputs for each image of the store.
        store: held-out images with their true poses.
        grid: rows and columns of cells.
        centre_m: (3,) the point that moments are about, in the map.
    """
    angles, lengths = [], []
    for output, camera, T_map_camera in zip(outputs, store.cameras, store.T_map_camera, strict=True):
        directions = cached_ray_grid(camera, *grid) @ T_map_camera[:3, :3].T
        found = output["directions_map"][0].astype(np.float64)
        found /= np.linalg.norm(found, axis=1, keepdims=True)
        angles.append(2 * np.arcsin(np.clip(np.linalg.norm(found - directions, axis=1) / 2, 0, 1)))
        moments = np.cross(T_map_camera[:3, 3] - centre_m, directions)
        lengths.append(np.linalg.norm(output["moments_m"][0] - moments, axis=1))
    direction_std_rad = max(float(np.median(np.concatenate(angles))) / RAYLEIGH_MEDIAN, 1e-4)
    moment_std_m = max(float(np.median(np.concatenate(lengths))) / MAXWELL_MEDIAN, 1e-6)
    few_outputs, few = some(outputs, store)

    def settings(share: float) -> dict[str, Any]:
        return {
            "rows": grid[0],
            "columns": grid[1],
            **{f"centre_{axis}_m": float(value) for axis, value in zip("xyz", centre_m, strict=True)},
            "direction_std_rad": direction_std_rad,
            "moment_std_m": share * moment_std_m,
            "hypotheses": _HYPOTHESES,
            "seed": 0,
            "min_inlier_ratio": 0.0,
        }

    def score(share: float) -> float:
        solutions = solve_all("rays", settings(share), few_outputs, few)
        return measure(solutions, few.T_map_camera).score(moment_std_m / direction_std_rad)

    return settings(min(_SHARES, key=score))
