"""From a canvas of any camera to one feature vector of fixed layout: what the sequence networks see of a frame."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from reloc_ros.errors import ConfigError
from reloc_ros.networks.token_encoders import encoder_from_description

_OPAQUE = 255.0
# Of a cell's area: what is covered less than this counts for little, and nothing is divided by zero.
_LEAST_COVERAGE = 1e-3


@dataclass(frozen=True, kw_only=True)
class FrameConfig:
    """How the tokens of a canvas become a vector.

    Args:
        rows: of the grid of cells that tokens are pooled on, over the canvas.
        columns: of it.
        channels: that each cell is projected to.
        summary: channels that the whole canvas is summed up in.
    """

    rows: int = 4
    columns: int = 32
    channels: int = 16
    summary: int = 64

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value < 1:
                raise ConfigError(f"frame.{name} is {value}; expected 1 or more")

    @property
    def size(self) -> int:
        """Length F of a feature: cells row by row with their channels, their coverage, the summary."""
        return self.rows * self.columns * (self.channels + 1) + self.summary

    def cells(self, features: Tensor) -> Tensor:
        """Return what features (..., F) say of the cells, (..., rows, columns, channels)."""
        return features[..., : self._coverage_from].unflatten(-1, (self.rows, self.columns, self.channels))

    def coverage(self, features: Tensor) -> Tensor:
        """Return the share of each cell that the camera saw, (..., rows, columns) in 0 to 1."""
        return features[..., self._coverage_from : self._summary_from].unflatten(-1, (self.rows, self.columns))

    def rolled(self, features: Tensor, columns: int) -> Tensor:
        """Return features (..., F) of the canvases rolled to the right by whole columns of cells.

        Exact for encoders that know no azimuth, such as `PanoramaConv`, and what they would nearly see else.
        """
        return torch.cat(
            [
                self.cells(features).roll(columns, dims=-2).flatten(-3),
                self.coverage(features).roll(columns, dims=-1).flatten(-2),
                features[..., self._summary_from :],
            ],
            dim=-1,
        )

    @property
    def _coverage_from(self) -> int:
        return self.rows * self.columns * self.channels

    @property
    def _summary_from(self) -> int:
        return self._coverage_from + self.rows * self.columns


class FrameEncoder(nn.Module):
    """Token encoder, and a projection of its tokens pooled on a grid by how much of them the camera saw.

    Args:
        tokens: a token encoder.
        config: layout of the feature.
    """

    def __init__(self, tokens: nn.Module, config: FrameConfig) -> None:
        super().__init__()
        self.tokens = tokens
        self.config = config
        channels = int(tokens.channels)  # type: ignore[arg-type]
        self.norm = nn.LayerNorm(channels)
        self.project = nn.Linear(channels, config.channels)
        self.summary = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, config.summary))

    def forward(self, canvas: Tensor) -> Tensor:
        """Return the features (B, F).

        Args:
            canvas: (B, H, W, 4) uint8 or 0..255: RGB, and 255 where the camera saw something, else 0.
        """
        # Planes before arithmetic: for colours that lie side by side ONNX Runtime takes ten times as long. But floats
        # before planes: TensorRT moves no bytes.
        planes = canvas.float().permute(0, 3, 1, 2)
        seen = planes[:, 3:] / _OPAQUE
        # The mean colour is zero after normalisation, as the padding of a convolution is.
        shown = planes[:, :3] * seen + self.tokens.mean.view(-1, 1, 1) * (1 - seen)  # type: ignore[operator]
        summary, tokens = self.tokens(shown.permute(0, 2, 3, 1))
        height, width = canvas.shape[1:3]
        rows, columns = self.tokens.grid(height, width)  # type: ignore[operator]
        patch_px = height // rows
        seen = seen.reshape(-1, rows, patch_px, columns, patch_px).mean((2, 4)).flatten(1).unsqueeze(-1)
        pool = torch.kron(_shares(rows, self.config.rows), _shares(columns, self.config.columns)).to(tokens)
        coverage = pool @ seen.to(tokens)
        pooled = pool @ (self.norm(tokens) * seen.to(tokens)) / (coverage + _LEAST_COVERAGE)
        cells = self.project(pooled) * coverage
        return torch.cat([cells.flatten(1), coverage.flatten(1), self.summary(summary)], dim=-1)

    def describe(self) -> dict[str, Any]:
        """Return what `frame_encoder_from` needs besides the weights."""
        return {"tokens": self.tokens.describe(), "frame": asdict(self.config)}  # type: ignore[operator]


def frame_encoder_from(description: dict[str, Any]) -> FrameEncoder:
    """Return the encoder that `describe` described, without its weights."""
    return FrameEncoder(encoder_from_description(description["tokens"]), FrameConfig(**description["frame"]))


def _shares(fine: int, coarse: int) -> Tensor:
    """Return (coarse, fine): the share of each coarse cell that each fine one fills, both of them tiling one length."""
    low, high = torch.arange(fine) / fine, torch.arange(1, fine + 1) / fine
    start, end = torch.arange(coarse)[:, None] / coarse, torch.arange(1, coarse + 1)[:, None] / coarse
    return (torch.minimum(high, end) - torch.maximum(low, start)).clamp_min(0.0) * coarse
