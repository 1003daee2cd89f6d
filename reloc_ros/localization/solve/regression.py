"""Poses as an ensemble of heads regresses them, for several scenes, to the pose in the likeliest scene (MVL-Loc)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from reloc_ros.cameras.camera import Camera
from reloc_ros.errors import DegenerateGeometryError
from reloc_ros.geometry import rotation, se3
from reloc_ros.localization.solve.settings import check_number, read_settings
from reloc_ros.localization.solve.solution import Failure, Solution
from reloc_ros.types import Array, Outputs, Reason

# The covariance leans on its shrinkage target as if that had been seen in as many heads as it has rows.
_TARGET_HEADS = 6


@dataclass(frozen=True, kw_only=True)
class RegressionSettings:
    """Numbers of the solver, as the manifest's `solve` has them.

    Args:
        rows: rows of the grid of image cells that the attention is over.
        columns: columns of it.
        min_scene_probability: least probability of the likeliest scene.
        min_position_std_m: deviation of each coordinate that heads which agree still have in common.
        min_rotation_std_rad: likewise about each axis.
    """

    rows: int
    columns: int
    min_scene_probability: float
    min_position_std_m: float
    min_rotation_std_rad: float

    def __post_init__(self) -> None:
        for name in ("rows", "columns"):
            check_number(name, getattr(self, name), least=1, whole=True)
        check_number("min_scene_probability", self.min_scene_probability, least=0, most=1)
        for name in ("min_position_std_m", "min_rotation_std_rad"):
            check_number(name, getattr(self, name), least=1e-9)


@dataclass(frozen=True, kw_only=True)
class RegressionSolver:
    """The solver of one bundle; see `solve` for its arguments.

    Args:
        numbers: settings.
        scene: index of the scene the robot is known to be in; the network is not asked then.
    """

    numbers: RegressionSettings
    scene: int | None = None

    def __call__(self, outputs: Outputs, camera: Camera) -> Solution | Failure:
        """Return the pose; the camera is part of what the network has learned."""
        del camera
        return solve(outputs, self.numbers, scene=self.scene)


def create(settings: dict[str, Any]) -> RegressionSolver:
    """Return the solver with the manifest's `solve` as its settings.

    Raises:
        BundleError: a key is unknown or missing, or a value out of range.
    """
    return RegressionSolver(numbers=read_settings(RegressionSettings, settings, "regression"))


def solve(outputs: Outputs, numbers: RegressionSettings, *, scene: int | None = None) -> Solution | Failure:
    """Return the mean pose of the heads of the likeliest scene, in that scene's map.

    Args:
        outputs: `scene_logits` (1, K), any prior already added; `positions_m` (1, K, M, 3); `log_quats` (1, K, M, 3),
            half rotation vectors; `attention` (1, K, N) over the cells of the image, row by row.
        numbers: see `RegressionSettings`.
        scene: take this scene, whatever its probability.
    """
    logits = outputs["scene_logits"][0].astype(np.float64)
    if not np.isfinite(logits).all():
        return Failure(reason=Reason.DEGENERATE, detail=f"scene_logits {logits.tolist()} are not finite")
    probabilities = _softmax(logits)
    chosen = int(np.argmax(probabilities)) if scene is None else scene
    probability = float(probabilities[chosen])
    runner_up = float(np.max(np.delete(probabilities, chosen), initial=0.0))
    if scene is None and probability < numbers.min_scene_probability:
        detail = f"scene {chosen} has probability {probability:.2f}, limit {numbers.min_scene_probability:.2f}"
        return Failure(reason=Reason.UNSURE_SCENE, detail=detail)
    positions_m, log_quats, attention = (
        outputs[name][0, chosen].astype(np.float64) for name in ("positions_m", "log_quats", "attention")
    )
    for name, values in (("positions_m", positions_m), ("log_quats", log_quats), ("attention", attention)):
        if not np.isfinite(values).all():
            return Failure(reason=Reason.DEGENERATE, detail=f"{name} of scene {chosen} has values that are not finite")
    quats_xyzw = rotation.exp_log_quat(log_quats)
    try:
        mean_quat_xyzw = rotation.mean_quat_xyzw(quats_xyzw)
    except DegenerateGeometryError as error:
        return Failure(reason=Reason.DEGENERATE, detail=f"heads of scene {chosen} look in opposite ways: {error}")
    R_map_camera, position_m = rotation.from_quat_xyzw(mean_quat_xyzw), positions_m.mean(axis=0)
    # R_head = Exp(dr) R_mean: about the axes of the map, as the covariance is.
    turns_rad = rotation.log(rotation.from_quat_xyzw(quats_xyzw) @ R_map_camera.T)
    offsets_m = positions_m - position_m
    return Solution(
        T_map_camera=se3.from_rotation_translation(R_map_camera, position_m),
        covariance=_covariance(offsets_m, turns_rad, numbers),
        evidence={
            "scene_probability": probability,
            "runner_up_probability": runner_up,
            "position_spread_m": float(np.sqrt(np.mean(np.sum(offsets_m**2, axis=1)))),
            "rotation_spread_rad": float(np.sqrt(np.mean(np.sum(turns_rad**2, axis=1)))),
        },
        scene=chosen,
        cell_weights=attention.reshape(numbers.rows, numbers.columns),
    )


def _covariance(offsets_m: Array, turns_rad: Array, numbers: RegressionSettings) -> Array:
    """Return the (6, 6) covariance of one head, as the spread of all (M, 3) shows it, plus the floor.

    The error of one head and not of their mean: the heads see the same features, so most of their error is common. With
    fewer than seven heads the sample covariance is singular. It is shrunk towards one variance for all three
    coordinates and one for all three axes, which, unlike a diagonal, is the same in every orientation of the map.
    """
    deviations = np.concatenate([offsets_m, turns_rad], axis=1)
    spare = len(deviations) - 1
    sample = deviations.T @ deviations / max(spare, 1)
    target = np.repeat([np.trace(half) / 3 for half in (sample[:3, :3], sample[3:, 3:])], 3)
    floor = np.repeat([numbers.min_position_std_m, numbers.min_rotation_std_rad], 3) ** 2
    trust = spare / (spare + _TARGET_HEADS)
    return np.asarray(trust * sample + np.diag((1.0 - trust) * target + floor))


def _softmax(logits: Array) -> Array:
    shares = np.exp(logits - logits.max())
    return np.asarray(shares / shares.sum())
