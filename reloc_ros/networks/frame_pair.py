"""What two frames of one camera say of its motion between them.

SPR-Mamba's local branch takes the differences of adjacent frames' features through linear layers (arXiv 2503.19543).
Ours adds how each column of the one frame looks like those beside it in the other: a turn moves all columns alike and a
step moves them by where they look, which differences of features can only hint at. One perceptron reads every column, so
that what was learnt of motion in one direction holds in all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from reloc_ros.errors import ConfigError
from reloc_ros.networks.frame_encoder import FrameConfig
from reloc_ros.networks.pose_head import PoseHead

# Of squared cell features: cells that saw nothing are like none.
_BLANK = 1e-2


@dataclass(frozen=True, kw_only=True)
class PairConfig:
    """Shape of the comparison of two frames.

    Args:
        shifts: columns to either side that a column is sought in; 0 leaves the search out, as in the paper.
        column: channels that each column is reduced to.
        hidden: width of the perceptron that reads the columns.
        embedding: channels of the result.
    """

    shifts: int = 8
    column: int = 24
    hidden: int = 192
    embedding: int = 128

    def __post_init__(self) -> None:
        if self.shifts < 0:
            raise ConfigError(f"pair.shifts is {self.shifts}; expected 0 or more")
        for name in ("column", "hidden", "embedding"):
            if getattr(self, name) < 1:
                raise ConfigError(f"pair.{name} is {getattr(self, name)}; expected 1 or more")


class FramePair(nn.Module):
    """Embedding of what changed from one frame to another.

    Args:
        frame: layout of the features.
        config: shape.
    """

    def __init__(self, frame: FrameConfig, config: PairConfig) -> None:
        super().__init__()
        self.frame = frame
        width = 2 * min(config.shifts, (frame.columns - 1) // 2) + 1
        self.sought = config.shifts > 0
        inputs = frame.rows * (2 * (frame.channels + 1) + (width if self.sought else 0))
        self.column = nn.Sequential(nn.Linear(inputs, 2 * config.column), nn.GELU())
        self.narrow = nn.Linear(2 * config.column, config.column)
        self.read = nn.Sequential(
            nn.LayerNorm(frame.columns * config.column),
            nn.Linear(frame.columns * config.column, config.hidden),
            nn.GELU(),
            nn.Linear(config.hidden, config.embedding),
        )
        steps = torch.arange(width) - width // 2
        beside = (torch.arange(frame.columns)[:, None] + steps) % frame.columns
        self.register_buffer("beside", beside, persistent=False)

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        """Return the embedding (..., E) of features before (..., F) and after (..., F)."""
        frame = self.frame
        shape = before.shape[:-1]
        first = torch.cat([frame.cells(before), frame.coverage(before).unsqueeze(-1)], dim=-1)
        second = torch.cat([frame.cells(after), frame.coverage(after).unsqueeze(-1)], dim=-1)
        columns = [_by_column(second - first), _by_column(second)]
        if self.sought:
            alike = _directions(frame.cells(after)) @ _directions(frame.cells(before)).transpose(-1, -2)
            # Several times as fast to train as an index into the flattened columns.
            columns.append(_by_column(alike.gather(-1, self.beside.expand(*alike.shape[:-1], -1))))
        reduced = self.narrow(self.column(torch.cat(columns, dim=-1)))
        return self.read(reduced.reshape(*shape, -1))


class LocalBranch(nn.Module):
    """The local branch: what changed since the frame before, and the inter-frame pose that it shows.

    Args:
        frame: layout of the features.
        config: shape.
    """

    def __init__(self, frame: FrameConfig, config: PairConfig) -> None:
        super().__init__()
        self.pair = FramePair(frame, config)
        self.head = PoseHead(config.embedding)

    def forward(self, before: Tensor, after: Tensor) -> LocalMotion:
        """Return the motion from features before (..., F) to features after (..., F)."""
        embedding = self.pair(before, after)
        translation, rotation = self.head(embedding)
        return LocalMotion(embedding, translation, rotation)


class LocalMotion(NamedTuple):
    """Motion of a camera between two frames.

    Args:
        embedding: (..., E).
        translation: (..., 3) metres, position of the camera after in the axes of the camera before.
        rotation: (..., 3, 3), R_before_after.
    """

    embedding: Tensor
    translation: Tensor
    rotation: Tensor


def _by_column(cells: Tensor) -> Tensor:
    """Return (..., columns, rows * C) of (..., rows, columns, C)."""
    return cells.transpose(-3, -2).flatten(-2)


def _directions(cells: Tensor) -> Tensor:
    """Return cells (..., C) of about unit length; those that saw little stay short."""
    return cells / (cells.square().sum(-1, keepdim=True) + _BLANK).sqrt()
