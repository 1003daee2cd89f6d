"""Poses from embeddings, and chains of them, in torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PoseHead(nn.Module):
    """Translation in metres and rotation of an embedding; the identity before any training."""

    def __init__(self, inputs: int, hidden: int = 128) -> None:
        super().__init__()
        self.read = nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, 9))
        for parameter in self.read[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return translations (..., 3) and rotations (..., 3, 3) of embeddings (..., C), in single precision or better."""
        out = self.read(x)
        out = out.to(torch.promote_types(out.dtype, torch.float32))
        return out[..., :3], rotation_from_6d(out[..., 3:])


def rotation_from_6d(turn: Tensor) -> Tensor:
    """Return rotations (..., 3, 3) whose first two rows follow (..., 6), counted from those of the identity.

    The continuous representation of Zhou et al. (CVPR 2019, eq. 15): Gram-Schmidt of two vectors.
    """
    x = nn.functional.normalize(turn[..., :3] + turn.new_tensor([1.0, 0.0, 0.0]), dim=-1)
    y = turn[..., 3:] + turn.new_tensor([0.0, 1.0, 0.0])
    y = nn.functional.normalize(y - (x * y).sum(-1, keepdim=True) * x, dim=-1)
    return torch.stack([x, y, _cross(x, y)], dim=-2)


def compose(
    translation: Tensor, rotation: Tensor, step_translation: Tensor, step_rotation: Tensor
) -> tuple[Tensor, Tensor]:
    """Return T_a_c = T_a_b @ T_b_c as translation (..., 3) and rotation (..., 3, 3).

    The rotation is pulled back to the nearest orthogonal matrix by one step of Newton's iteration (Higham 1986), so that
    chains of any length stay rotations.
    """
    moved = translation + (rotation @ step_translation.unsqueeze(-1)).squeeze(-1)
    turned = rotation @ step_rotation
    return moved, 1.5 * turned - 0.5 * turned @ (turned.transpose(-1, -2) @ turned)


def _cross(a: Tensor, b: Tensor) -> Tensor:
    (ax, ay, az), (bx, by, bz) = a.unbind(-1), b.unbind(-1)
    return torch.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], dim=-1)
