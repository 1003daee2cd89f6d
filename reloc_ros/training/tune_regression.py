"""The numbers of the regression solver, from what the network makes of held-out images of every scene."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from reloc_ros.localization.solve.regression import RegressionSettings, solve
from reloc_ros.localization.solve.solution import Failure, Solution
from reloc_ros.training.image_store import ImageStore
from reloc_ros.training.validate import MAXWELL_MEDIAN, measure
from reloc_ros.types import Outputs

# A probability that all but the hundredth of the images in the right scene exceed. A robot meets images that are less
# like the map than held-out ones, so certainty beyond the second number is not asked for.
_SURE_PERCENTILE, _LARGEST_MIN_PROBABILITY = 1, 0.9
# What heads have in common beside their spread; each scene's calibration puts the whole right.
_COMMON_SHARE = 0.5
_SMALLEST_FLOOR = 1e-6


def tune_regression(
    outputs: Sequence[list[Outputs]], stores: Sequence[ImageStore], grid: tuple[int, int]
) -> dict[str, Any]:
    """Return the solver's settings.

    Args:
        outputs: the network's outputs for each image of each scene.
        stores: held-out images of each scene with their true poses.
        grid: rows and columns of cells.
    """
    settings = {
        "rows": grid[0],
        "columns": grid[1],
        "min_scene_probability": _min_scene_probability(outputs),
        "min_position_std_m": _SMALLEST_FLOOR,
        "min_rotation_std_rad": _SMALLEST_FLOOR,
    }
    position_m, turned_rad = [], []
    for index, (of_scene, store) in enumerate(zip(outputs, stores, strict=True)):
        errors = measure(solve_in_scene(of_scene, settings, index), store.T_map_camera)
        position_m.append(float(np.median(errors.position_error_m)))
        turned_rad.append(float(np.radians(np.median(errors.rotation_error_deg))))
    for name, medians in (("min_position_std_m", position_m), ("min_rotation_std_rad", turned_rad)):
        least = min((median for median in medians if np.isfinite(median)), default=0.0)
        settings[name] = max(_COMMON_SHARE * least / MAXWELL_MEDIAN, _SMALLEST_FLOOR)
    return settings


def solve_in_scene(outputs: Sequence[Outputs], settings: dict[str, Any], scene: int) -> list[Solution | Failure]:
    """Return the pose in a known scene of each image."""
    numbers = RegressionSettings(**settings)
    return [solve(output, numbers, scene=scene) for output in outputs]


def predicted_scenes(outputs: Sequence[Outputs]) -> np.ndarray:
    """Return the likeliest scene of each image."""
    return np.array([int(output["scene_logits"].argmax()) for output in outputs])


def _min_scene_probability(outputs: Sequence[list[Outputs]]) -> float:
    """Return the limit that nearly all images pass whose scene is found: what is less sure is more often wrong."""
    sure = []
    for index, of_scene in enumerate(outputs):
        for output in of_scene:
            logits = output["scene_logits"][0].astype(np.float64)
            if int(logits.argmax()) == index:
                sure.append(1 / np.exp(logits - logits.max()).sum())
    if not sure:
        return _LARGEST_MIN_PROBABILITY
    return min(float(np.percentile(sure, _SURE_PERCENTILE)), _LARGEST_MIN_PROBABILITY)
