"""Implicit scene geometry: one image -> map points, ranges and weights on a coarse grid.

Source: "Implicit Learning of Scene Geometry from Poses for Global Localization" (arXiv 2312.02029). The paper predicts
global coordinates, depth and a weight for each cell. Ours differs where it is silent or where a panorama needs it:
depth is the *range* along the unit ray of the cell, so that any camera with rays will do, and a top-down neck joins
the encoder's strides so that each cell sees both its texture and the whole image.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from reloc_ros.errors import ConfigError
from reloc_ros.networks.encoders import IMAGENET_MEAN, IMAGENET_STD, STRIDES, create_encoder
from reloc_ros.networks.restore import restore

OUTPUT_NAMES = ("points_map", "range_m", "weights")
# Both sides of an image are multiples of the encoders' deepest stride.
STEP_PX = STRIDES[-1]
# Columns of a panorama repeated beyond each border: one cell of the deepest map.
_WRAP_PX = 32


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Shape of the network.

    Args:
        encoder: key of `reloc_ros.networks.encoders.ENCODERS`.
        encoder_checkpoint: local file with pre-trained weights, or None to train from scratch.
        stride: pixels in a cell of the output grid, 8 or 16.
        neck_channels: width of the joined feature map.
        head_channels: width of the per-cell perceptron.
        context_dropout: probability that a training image goes without the deepest map, which sees all of the image at
            once. A network that may always lean on it learns views by heart; without it, cells must be known by their
            own look, which holds from new places too.
        wrap: join the left and right border of the image, for panoramas.
    """

    encoder: str = "patch_conv_base"
    encoder_checkpoint: str | None = None
    stride: int = 8
    neck_channels: int = 128
    head_channels: int = 256
    context_dropout: float = 0.5
    wrap: bool = False

    def __post_init__(self) -> None:
        if not 0.0 <= self.context_dropout < 1.0:
            raise ConfigError(f"network.context_dropout is {self.context_dropout}; expected 0 to 1, without 1")
        if self.stride not in STRIDES[:2]:
            raise ConfigError(f"network.stride is {self.stride}; choose one of {STRIDES[:2]}")

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Return rows and columns of the output grid for an image of that size, pixels."""
        return height // self.stride, width // self.stride


class ImplicitGeometry(nn.Module):
    """Encoder, top-down neck and per-cell head.

    Args:
        config: shape of the network.
        centre_m: (3,) metres in the map; where points start from, the middle of what the cameras look at.
        scale_m: metres; how far points spread round the centre.
    """

    def __init__(self, config: NetworkConfig, centre_m: Tensor, scale_m: float) -> None:
        super().__init__()
        self.config = config
        self.encoder = create_encoder(config.encoder, config.encoder_checkpoint)
        # Of the encoder's maps, those at the grid's stride and above.
        self._finest = STRIDES.index(config.stride)
        channels = self.encoder.channels[self._finest :]
        self.laterals = nn.ModuleList(nn.Conv2d(width, config.neck_channels, 1) for width in channels)
        self.smooth = nn.Conv2d(config.neck_channels, config.neck_channels, 3, padding=1)
        self.head = nn.Sequential(
            nn.Conv2d(config.neck_channels, config.head_channels, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(config.head_channels, config.head_channels, 1),
            nn.ReLU(inplace=True),
        )
        self.predict = nn.Conv2d(config.head_channels, 5, 1)
        # Every cell starts at the scene's centre, at a typical range, with weight one half.
        nn.init.normal_(self.predict.weight, std=1e-3)
        nn.init.zeros_(self.predict.bias)
        self.register_buffer("centre_m", centre_m.reshape(3).float())
        self.register_buffer("scale_m", torch.tensor(float(scale_m)))
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).reshape(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).reshape(1, 3, 1, 1))

    def _with_or_without_context(self, deepest: Tensor) -> Tensor:
        """Return the deepest map with whole images of it zeroed at random, in training only."""
        if not self.training or self.config.context_dropout == 0.0:
            return deepest
        kept = torch.rand(len(deepest), 1, 1, 1, device=deepest.device) >= self.config.context_dropout
        return deepest * kept

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Predict the two point clouds.

        Args:
            image: (B, H, W, 3), 0 to 255 (uint8, or float after photometric augmentation), RGB; H and W multiples
                of 32.

        Returns:
            points_map (B, N, 3) metres, range_m (B, N) metres along the cell's unit ray, weights (B, N) in 0 to 1;
            N cells, row by row.
        """
        # Cast first: TensorRT knows bytes as an input only.
        x = (image.float().permute(0, 3, 1, 2) - self.mean) / self.std
        if self.config.wrap:
            x = torch.cat([x[..., -_WRAP_PX:], x, x[..., :_WRAP_PX]], dim=-1)
        maps = self.encoder(x)[self._finest :]
        joined = self._with_or_without_context(self.laterals[-1](maps[-1]))
        for lateral, finer in zip(self.laterals[-2::-1], maps[-2::-1]):
            detail = lateral(finer)
            joined = detail + nn.functional.interpolate(joined, size=detail.shape[2:], mode="nearest")
        features = torch.relu(self.smooth(joined))
        if self.config.wrap:
            cells = _WRAP_PX // self.config.stride
            features = features[..., cells:-cells]
        predicted = self.predict(self.head(features)).float().flatten(2).transpose(1, 2)
        points_map = self.centre_m + self.scale_m * predicted[..., :3]
        # exp keeps the range positive; the clamp keeps early half-precision steps finite.
        range_m = self.scale_m * torch.exp(predicted[..., 3].clamp(-6.0, 4.0))
        return points_map, range_m, torch.sigmoid(predicted[..., 4])


def describe_network(network: ImplicitGeometry) -> dict[str, Any]:
    """Return what `from_checkpoint` needs: the configuration and the weights."""
    return {"config": asdict(network.config), "network": network.state_dict()}


def from_checkpoint(content: dict[str, Any]) -> ImplicitGeometry:
    """Return the network that `describe_network` described, ready to run."""
    # The weights are in the checkpoint; the encoder's own file need not exist any more.
    config = replace(NetworkConfig(**content["config"]), encoder_checkpoint=None)
    network = ImplicitGeometry(config, torch.zeros(3), 1.0)
    return restore(network, content["network"])


def untrained(train_config: dict[str, Any]) -> dict[str, Any]:
    """Return a checkpoint with random weights of the network that a training configuration describes."""
    config = replace(NetworkConfig(**train_config["network"]), encoder_checkpoint=None)
    return describe_network(ImplicitGeometry(config, torch.zeros(3), 1.0))
