"""How well a sequence network follows held-out sequences, and what a robot needs to know of it besides the weights."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from reloc_ros.geometry import rotation, se3
from reloc_ros.geometry.covariance import difference
from reloc_ros.localization.calibration import calibrated
from reloc_ros.training.config import SprMambaTrainConfig
from reloc_ros.training.fit_covariance import fit_covariance
from reloc_ros.training.sequence_config import FIELDS_OF_VIEW_DEG
from reloc_ros.training.sequence_features import FrameView
from reloc_ros.training.sequence_material import SequenceMaterial, keyframes
from reloc_ros.training.task import Verdict
from reloc_ros.training.walks import seen, stacked
from reloc_ros.types import Array

SCENE = "spr_origin"
"""Name of the only scene of a sequence bundle: its first frame."""

# A score weighs a radian like so many metres.
_ROTATION_M = 2.0
_FAR_M = 10.0
_BATCH = 16
# More frames than these do not change a calibration, and take long to fit.
_FITTED_FRAMES = 1500
# What is this much less certain than anything held out has lost its way.
_GATE_MARGIN = 2.0
_BOUNDS_MARGIN = 0.5


def judge_walks(
    network: nn.Module,
    material: SequenceMaterial,
    features: NDArray[np.float16],
    config: SprMambaTrainConfig,
    device: torch.device,
) -> Verdict:
    """Follow held-out sequences from their first frames in each field of view; calibrate the scales on what was missed.

    Args:
        network: features to poses, in evaluation mode.
        material: sequences.
        features: (M, views, F) of their frames.
        config: of the run.
        device: of the network.
    """
    followed = {
        fov_deg: _follow(network, material, features, config, fov_deg, device) for fov_deg in FIELDS_OF_VIEW_DEG
    }
    figures = {f"{fov_deg:.0f}deg": _figures(walk) for fov_deg, walk in followed.items()}
    full = figures[f"{FIELDS_OF_VIEW_DEG[0]:.0f}deg"]
    together = _Followed.joined(list(followed.values()))
    far = "" if full["far_error_m"] is None else f", beyond {_FAR_M:g} m {full['far_error_m']:.2f} m"
    return Verdict(
        headline=(
            f"{full['median_translation_error_m']:.2f} m / {full['median_rotation_error_deg']:.1f} deg "
            f"(chained {full['chained_error_m']:.2f} m, standing still {full['still_error_m']:.2f} m){far}"
        ),
        summary={**full, "fields_of_view": figures},
        score=float(np.mean([_score(of_field) for of_field in figures.values()])),
        serving={
            "solve": {},
            "sequence": _trained_range(material, config),
            "scenes": [_scene(together, material)],
            "assumption": {"model": "equirectangular", "horizontal_fov_deg_min": 0.0, "horizontal_fov_deg_max": 360.0},
            "metrics": {"part": "val", "sequences": len(material.val), **full, "fields_of_view": figures},
        },
    )


class _Followed:
    """Frames after the first ones: poses (N, 4, 4) true, found and chained, distances (N,) and scales (N, 2)."""

    def __init__(self, true: Array, found: Array, chained: Array, travelled_m: Array, log_scale: Array) -> None:
        self.true, self.found, self.chained = true, found, chained
        self.travelled_m, self.log_scale = travelled_m, log_scale

    @staticmethod
    def joined(parts: list[_Followed]) -> _Followed:
        names = ("true", "found", "chained", "travelled_m", "log_scale")
        return _Followed(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _follow(
    network: nn.Module,
    material: SequenceMaterial,
    features: NDArray[np.float16],
    config: SprMambaTrainConfig,
    fov_deg: float,
    device: torch.device,
) -> _Followed:
    walks = config.walks
    view = FrameView(fov_deg=fov_deg, mirrored=False)
    chosen = [
        keyframes(
            sequence.T_first_camera,
            walks.keyframe_translation_m,
            float(np.radians(walks.keyframe_rotation_deg)),
            most=walks.frames,
        )
        for sequence in material.val
    ]
    parts = []
    for start in range(0, len(chosen), _BATCH):
        pairs = list(zip(material.val[start : start + _BATCH], chosen[start : start + _BATCH], strict=True))
        ways = [seen(sequence, frames, features, view) for sequence, frames in pairs]
        batch = stacked(ways).to(device)
        with torch.inference_mode():
            poses = network(batch.features, batch.mask)
        found = _transforms(poses.rotation, poses.translation)
        steps = _transforms(poses.inter_rotation, poses.inter_translation)
        for index, (sequence, frames) in enumerate(pairs):
            length = len(frames)
            parts.append(
                _Followed(
                    true=ways[index][1][1:],
                    found=found[index, 1:length],
                    chained=_product(steps[index, 1:length]),
                    travelled_m=sequence.travelled_m[frames][1:],
                    log_scale=poses.log_scale[index, 1:length].double().cpu().numpy(),
                )
            )
    return _Followed.joined(parts)


def _figures(walk: _Followed) -> dict[str, Any]:
    error_m = np.linalg.norm(walk.found[:, :3, 3] - walk.true[:, :3, 3], axis=1)
    error_deg = np.degrees(rotation.angle_between_rad(walk.found[:, :3, :3], walk.true[:, :3, :3]))
    chained_m = np.linalg.norm(walk.chained[:, :3, 3] - walk.true[:, :3, 3], axis=1)
    still_m = np.linalg.norm(walk.true[:, :3, 3], axis=1)
    far = walk.travelled_m >= _FAR_M

    def of_far(errors: Array) -> float | None:
        return float(np.median(errors[far])) if far.any() else None

    return {
        "frames": len(error_m),
        "median_translation_error_m": float(np.median(error_m)),
        "median_rotation_error_deg": float(np.median(error_deg)),
        "mean_translation_error_m": float(np.mean(error_m)),
        "mean_rotation_error_deg": float(np.mean(error_deg)),
        "chained_error_m": float(np.median(chained_m)),
        "still_error_m": float(np.median(still_m)),
        "far_error_m": of_far(error_m),
        "far_chained_error_m": of_far(chained_m),
        "far_still_error_m": of_far(still_m),
    }


def _score(figures: dict[str, Any]) -> float:
    # Means, which ways that go wrong move.
    turned_m = _ROTATION_M * float(np.radians(figures["mean_rotation_error_deg"]))
    return float(figures["mean_translation_error_m"]) + turned_m


def _trained_range(material: SequenceMaterial, config: SprMambaTrainConfig) -> dict[str, Any]:
    walks = config.walks
    return {
        "keyframe_translation_m": walks.keyframe_translation_m,
        "keyframe_rotation_rad": float(np.radians(walks.keyframe_rotation_deg)),
        "trained_distance_m": material.provenance["distance_m"],
        "trained_frames": walks.frames,
        "heights_m": material.provenance["heights_m"],
    }


def _scene(walk: _Followed, material: SequenceMaterial) -> dict[str, Any]:
    """Return the scene's entry in the manifest: everything round a first frame, and scales turned into covariances."""
    chosen = np.unique(np.linspace(0, len(walk.found) - 1, min(_FITTED_FRAMES, len(walk.found))).astype(int))
    errors = np.array([difference(walk.found[i], walk.true[i]) for i in chosen])
    # Twice the square of its scale is the variance of a Laplace distribution.
    variances = np.repeat(2.0 * np.exp(2.0 * walk.log_scale[chosen]), 3, axis=1)
    covariances = np.einsum("ni,ij->nij", variances, np.eye(6))
    spec = fit_covariance(errors, covariances)
    largest = np.sqrt(np.diagonal(calibrated(covariances, spec), axis1=1, axis2=2).max(0))
    reach_m = material.provenance["distance_m"]
    return {
        "name": SCENE,
        "map_bounds": {"min_m": [-reach_m] * 3, "max_m": [reach_m] * 3},
        "gate": {
            "max_position_std_m": _GATE_MARGIN * float(largest[:3].max()),
            "max_rotation_std_rad": _GATE_MARGIN * float(largest[3:].max()),
            "bounds_margin_m": _BOUNDS_MARGIN * reach_m,
        },
        "covariance": asdict(spec),
        "description": "",
    }


def _transforms(turn: torch.Tensor, translation: torch.Tensor) -> Array:
    """Return (..., 4, 4) of rotations and translations that the network rounded."""
    turns = rotation.from_quat_xyzw(rotation.to_quat_xyzw(turn.double().cpu().numpy()))
    return se3.from_rotation_translation(turns, translation.double().cpu().numpy())


def _product(steps: Array) -> Array:
    """Return the products (T, 4, 4) of all steps up to each."""
    poses = []
    T = np.eye(4)
    for step in steps:
        T = T @ step
        poses.append(T)
    return np.array(poses).reshape(-1, 4, 4)
