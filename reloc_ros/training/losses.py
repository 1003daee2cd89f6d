"""The losses of implicit scene geometry (arXiv 2312.02029): consistency, re-projection and pose.

Each is relative to the size of the scene, so that the weights serve metric and non-metric reconstructions alike, and
each saturates, because a from-scratch network meets many cells it will never explain.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from reloc_ros.training.config import LossConfig
from reloc_ros.training.differentiable import rotation_angle_rad, weighted_kabsch

# Distance, as a fraction of the scene's scale, at which the consistency loss is half saturated.
_CONSISTENCY_HALF = 0.25
# Angle at which the re-projection loss saturates, at the start and at the end of a run (3 and 0.3 degrees): wide while
# the cloud forms, then only cells that nearly agree still pull (the schedule of ACE, Brachmann et al. 2023).
_ANGLE_START_RAD, _ANGLE_END_RAD = 0.055, 0.005


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
    only_position: bool = False,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the weighted sum of the losses and each loss by name.

    Args:
        predicted: points_map (B, N, 3) metres, range_m (B, N), weights (B, N).
        labels: truth.
        config: weights.
        scale_m: size of the scene, metres.
        progress: part of the training done, 0 to 1.
        only_position: use nothing of the labels but the positions.
    """
    points_map, range_m, weights = predicted
    points_camera = labels.rays * range_m[..., None]
    parts: dict[str, Tensor] = {}
    if not only_position:
        seen = (points_map - labels.position_map_m[:, None]) @ labels.R_map_camera
        parts["consistency"] = consistency(seen, points_camera, labels.inside, scale_m)
        parts["reprojection"] = reprojection(seen, labels.rays, labels.inside, progress)
    if only_position or progress >= config.pose_from:
        R_map_camera, position_map_m = weighted_kabsch(points_map, points_camera, weights * labels.inside + 1e-6)
        error = (position_map_m - labels.position_map_m) / scale_m
        parts["position"] = 2 * torch.tanh(error.square().sum(1).add(1e-7).sqrt()).mean()
        if not only_position:
            parts["rotation"] = torch.tanh(rotation_angle_rad(R_map_camera, labels.R_map_camera)).mean()
    total = sum((getattr(config, name) * value for name, value in parts.items()), torch.zeros((), device=range_m.device))
    return total, parts


def consistency(seen: Tensor, points_camera: Tensor, inside: Tensor, scale_m: float) -> Tensor:
    """Mean saturating distance between the global cloud, seen from the true pose, and the camera cloud."""
    distance = (seen - points_camera).square().sum(-1).add(1e-5 * scale_m**2).sqrt()
    return _mean(distance / (distance + _CONSISTENCY_HALF * scale_m), inside)


def reprojection(seen: Tensor, rays: Tensor, inside: Tensor, progress: float) -> Tensor:
    """Mean saturating chord between each cell's ray and the direction of its global point.

    The chord of two unit vectors has a useful gradient at every angle, also behind the camera, where a pixel has none.
    """
    direction = seen / seen.norm(dim=-1, keepdim=True).clamp_min(1e-6)
    chord = (direction - rays).square().sum(-1).add(1e-6).sqrt()
    limit = _ANGLE_END_RAD + (_ANGLE_START_RAD - _ANGLE_END_RAD) * math.sqrt(max(1 - progress**2, 0.0))
    return _mean(2 * limit * torch.tanh(chord / (2 * limit)), inside)


def _mean(values: Tensor, inside: Tensor) -> Tensor:
    return (values * inside).sum() / inside.sum().clamp_min(1)
