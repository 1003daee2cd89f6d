"""The losses of implicit scene geometry (arXiv 2312.02029): consistency, re-projection and pose.

Each is relative to the size of the scene, so that the weights serve metric and non-metric reconstructions alike, and
each saturates, because a from-scratch network meets many cells it will never explain.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from reloc_ros.networks.dimm import Found
from reloc_ros.networks.ray_fit import Fitted
from reloc_ros.training.config import LossConfig
from reloc_ros.training.differentiable import rotation_angle_rad, weighted_kabsch

# Where the losses of a cell saturate, at the start and at the end of a run: wide while the clouds form, for a saturated
# cell learns nothing, then only cells that nearly agree still pull. Distances are fractions of the scene's scale.
_DISTANCE_LIMITS = (1.0, 0.05)
_ANGLE_LIMITS_RAD = (0.5, 0.005)

# Of the confidences' loss beside that of the rays; they only read errors off.
_CONFIDENCE = 0.02


@dataclass(frozen=True, kw_only=True)
class Labels:
    """What a batch of views is known to show.

    Args:
        rays: (B, N, 3) unit rays of the cells in the camera frame.
        inside: (B, N) 1 where a cell shows the image, else 0.
        R_map_camera: (B, 3, 3).
        position_map_m: (B, 3).
    """

    rays: Tensor
    inside: Tensor
    R_map_camera: Tensor
    position_map_m: Tensor


def total_loss(
    predicted: tuple[Tensor, Tensor, Tensor],
    labels: Labels,
    config: LossConfig,
    *,
    scale_m: float,
    progress: float,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the weighted sum of the losses and each loss by name.

    Args:
        predicted: points_map (B, N, 3) metres, range_m (B, N), weights (B, N).
        labels: truth.
        config: weights.
        scale_m: size of the scene, metres.
        progress: part of the training done, 0 to 1.
    """
    points_map, range_m, weights = predicted
    points_camera = labels.rays * range_m[..., None]
    seen = (points_map - labels.position_map_m[:, None]) @ labels.R_map_camera
    parts = {
        "consistency": consistency(seen, points_camera, labels.inside, scale_m, progress),
        "reprojection": reprojection(seen, labels.rays, labels.inside, progress),
    }
    if progress >= config.pose_from:
        R_map_camera, position_map_m = weighted_kabsch(points_map, points_camera, weights * labels.inside + 1e-6)
        error = (position_map_m - labels.position_map_m) / scale_m
        parts["position"] = 2 * torch.tanh(error.square().sum(1).add(1e-7).sqrt()).mean()
        parts["rotation"] = torch.tanh(rotation_angle_rad(R_map_camera, labels.R_map_camera)).mean()
    total = sum(
        (getattr(config, name) * value for name, value in parts.items()), torch.zeros((), device=range_m.device)
    )
    return total, parts


def consistency(seen: Tensor, points_camera: Tensor, inside: Tensor, scale_m: float, progress: float) -> Tensor:
    """Mean saturating distance between the global cloud, seen from the true pose, and the camera cloud."""
    distance = ((seen - points_camera) / scale_m).square().sum(-1).add(1e-6).sqrt()
    return _mean(_saturate(distance, _DISTANCE_LIMITS, progress), inside)


def reprojection(seen: Tensor, rays: Tensor, inside: Tensor, progress: float) -> Tensor:
    """Mean saturating chord between each cell's ray and the direction of its global point.

    The chord of two unit vectors has a useful gradient at every angle, also behind the camera, where a pixel has none.
    """
    direction = seen / seen.norm(dim=-1, keepdim=True).clamp_min(1e-6)
    chord = (direction - rays).square().sum(-1).add(1e-6).sqrt()
    return _mean(_saturate(chord, _ANGLE_LIMITS_RAD, progress), inside)


def ray_targets(rays: Tensor, R_map_camera: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
    """Return the directions (B, N, 3) and the moments (B, N, 3) in map axes of a camera's rays.

    Args:
        rays: (B, N, 3) unit rays in the camera.
        R_map_camera: (B, 3, 3).
        position: (B, 3) of the camera, about the point that moments are about.
    """
    directions = rays @ R_map_camera.transpose(-1, -2)
    return directions, torch.linalg.cross(position[:, None].expand_as(directions), directions)


def ray_loss(
    found: Found, rays: Tensor, R_map_camera: Tensor, position: Tensor, inside: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss of predicted rays and its parts by name (DIMM; confidences as in arXiv 2609.25907).

    `c * err^2 - 0.1 * log c` alone makes c so small where errors are large that nothing is learnt from them; so errors
    count by themselves, and confidences learn how large they are without moving the rays.

    Args:
        found: what the head says.
        rays: (B, N, 3) unit rays in the camera.
        R_map_camera: (B, 3, 3).
        position: (B, 3) of the camera, scene units about the centre.
        inside: (B, N) 1 where a patch shows the image, else 0.
    """
    direction_log, moment_log = found.direction_log, found.moment_log
    true_directions, true_moments = ray_targets(rays, R_map_camera, position)
    turned = (found.directions - true_directions).square().sum(-1)
    moved = (found.moments - true_moments).square().sum(-1)
    count = inside.sum().clamp_min(1)

    def mean(values: Tensor) -> Tensor:
        return (values * inside).sum() / count

    parts = {
        "direction": mean((turned + 1e-8).sqrt()),
        "moment": mean((moved + 1e-8).sqrt()),
        "confidence": mean(
            direction_log.exp() * turned.detach()
            + moment_log.exp() * moved.detach()
            - 0.1 * (direction_log + moment_log)
        ),
    }
    return parts["direction"] + parts["moment"] + _CONFIDENCE * parts["confidence"], parts


def fit_loss(fitted: Fitted, rays: Tensor, R_map_camera: Tensor, position: Tensor, inside: Tensor) -> Tensor:
    """Return the mean distance of the rays of a fitted pose from the true ones; arguments as of `ray_loss`."""
    true = torch.cat(ray_targets(rays, R_map_camera, position), dim=-1)
    turned, moved = (fitted.ray - true).square().unflatten(-1, (2, 3)).sum(-1).add(1e-8).sqrt().unbind(-1)
    return _mean(turned + moved, inside)


@dataclass(frozen=True, kw_only=True)
class PoseTargets:
    """Where images were taken, in units and about the centre of their scene.

    Args:
        position: (B, 3).
        log_quat: (B, 3) half rotation vector of the camera in the map, of any sign and turn.
        counts: (B, M) 1 where an image counts for a head of an ensemble, else 0.
    """

    position: Tensor
    log_quat: Tensor
    counts: Tensor


def pose_loss(found: tuple[Tensor, Tensor, Tensor, Tensor], targets: PoseTargets) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss of regressed poses and scenes and its parts by name (MVL-Loc, arXiv 2507.04509).

    Args:
        found: scores of scenes (B, S), the true one first; positions (B, M, 3); log-quaternions (B, M, 3); logarithms of
            the weights (2,) of both, which are learnt as exp(-s) * L + s (Kendall and Cipolla 2017).
        targets: truth.
    """
    scores, positions, log_quats, balance = found
    count = targets.counts.sum().clamp_min(1)
    moved = (positions - targets.position[:, None]).abs().sum(-1)
    parts = {
        "position": (moved * targets.counts).sum() / count,
        "rotation": (log_quat_distance(log_quats, targets.log_quat[:, None]) * targets.counts).sum() / count,
        "scene": -scores.log_softmax(-1)[:, 0].mean(),
    }
    weighed = [torch.exp(-s) * parts[name] + s for name, s in zip(("position", "rotation"), balance, strict=True)]
    return weighed[0] + weighed[1] + parts["scene"], parts


def log_quat_distance(found: Tensor, true: Tensor) -> Tensor:
    """Return (...) sums of absolute differences between log-quaternions (..., 3), whichever sign a quaternion has.

    q and -q are one rotation; the logarithm of -q has the axis turned round and the length pi minus that of q's. Near half
    a turn either is as good, and the nearer one counts.
    """
    length = true.norm(dim=-1, keepdim=True).clamp_min(1e-9)
    other = true * (1 - torch.pi / length)
    return torch.minimum((found - true).abs().sum(-1), (found - other).abs().sum(-1))


def _saturate(error: Tensor, limits: tuple[float, float], progress: float) -> Tensor:
    """Return errors that keep their size up to about a limit, which falls geometrically with the progress."""
    limit = 2 * limits[0] * (limits[1] / limits[0]) ** progress
    return limit * torch.tanh(error / limit)


def _mean(values: Tensor, inside: Tensor) -> Tensor:
    return (values * inside).sum() / inside.sum().clamp_min(1)
