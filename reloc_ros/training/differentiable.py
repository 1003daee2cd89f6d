"""Torch twins of the geometry that gradients flow through; a parity test compares them with `reloc_ros.geometry`."""

from __future__ import annotations

import torch
from torch import Tensor


def weighted_kabsch(points_map: Tensor, points_camera: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rotation and translation that best map camera points onto map points.

    Minimises sum_i w_i |p_map_i - (R p_camera_i + t)|^2 (Kabsch 1976; Umeyama 1991 eq. 40-43). The rotation is the
    polar factor of the cross-covariance, got from the eigenvector of Horn's 4x4 matrix (Horn 1987): its gradient
    stays finite when two singular values meet, where that of the SVD does not.

    Args:
        points_map: (B, N, 3) metres.
        points_camera: (B, N, 3) metres.
        weights: (B, N) non-negative.

    Returns:
        R_map_camera (B, 3, 3) and translation_map (B, 3) metres.
    """
    w = (weights / weights.sum(1, keepdim=True).clamp_min(1e-9)).unsqueeze(-1)
    mean_map = (w * points_map).sum(1, keepdim=True)
    mean_camera = (w * points_camera).sum(1, keepdim=True)
    s = (w * (points_camera - mean_camera)).transpose(1, 2) @ (points_map - mean_map)
    s = s / s.flatten(1).norm(dim=1).clamp_min(1e-12)[:, None, None]
    quat_wxyz = torch.linalg.eigh(_horn_matrix(s))[1][..., -1]
    rotation = rotation_from_quat_wxyz(quat_wxyz)
    return rotation, (mean_map - mean_camera @ rotation.transpose(1, 2)).squeeze(1)


def _horn_matrix(s: Tensor) -> Tensor:
    trace = s[:, 0, 0] + s[:, 1, 1] + s[:, 2, 2]
    delta = torch.stack([s[:, 1, 2] - s[:, 2, 1], s[:, 2, 0] - s[:, 0, 2], s[:, 0, 1] - s[:, 1, 0]], dim=1)
    identity = torch.eye(3, dtype=s.dtype, device=s.device)
    lower = s + s.transpose(1, 2) - trace[:, None, None] * identity
    top = torch.cat([trace[:, None], delta], dim=1)[:, None, :]
    return torch.cat([top, torch.cat([delta[:, :, None], lower], dim=2)], dim=1)


def rotation_from_quat_wxyz(quat_wxyz: Tensor) -> Tensor:
    """Return (B, 3, 3) rotations of (B, 4) unit quaternions."""
    w, x, y, z = quat_wxyz.unbind(-1)
    rows = [
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], -1),
        torch.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], -1),
        torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], -1),
    ]
    return torch.stack(rows, -2)


def rotation_angle_rad(rotation_a: Tensor, rotation_b: Tensor) -> Tensor:
    """Return (B,) angles between (B, 3, 3) rotations; smooth everywhere, also at 0 and pi.

    Uses |Ra - Rb|_F = 2 sqrt(2) sin(angle / 2), whose square root is guarded at zero.
    """
    half_sine = (rotation_a - rotation_b).square().sum((1, 2)).add(1e-12).sqrt() / 8**0.5
    return 2 * torch.asin(half_sine.clamp(max=1 - 1e-6))
