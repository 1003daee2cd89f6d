"""Small convolutional token encoder for panoramas that trains from scratch on a CPU.

The circle of azimuth has no seam and no marked place: convolutions wrap round it and nothing tells a column which one it
is, so a panorama rolled by a patch gives the same tokens rolled by one. A turn of the camera is then a roll of the
tokens, which is what the networks behind it compare. Elevation does end, at the poles, and is padded with zeros.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from reloc_ros.networks.scratch_encoder import ScratchEncoder


@dataclass(frozen=True, kw_only=True)
class PanoramaConvShape:
    """Widths and depths of a `PanoramaConv`.

    Args:
        stem: channels at strides 2 and 4.
        channels: of a token, at stride 8.
        dilations: of the residual blocks at stride 8, one block each; they widen what a token has seen.
    """

    stem: tuple[int, int]
    channels: int
    dilations: tuple[int, ...]


PANORAMA_CONVS = {
    "panorama_conv_tiny": PanoramaConvShape(stem=(12, 24), channels=48, dilations=(1, 2)),
    "panorama_conv_small": PanoramaConvShape(stem=(16, 32), channels=64, dilations=(1, 2, 4)),
}


class PanoramaConv(ScratchEncoder):
    """One token for 8 x 8 pixels of a panorama; see `reloc_ros.networks.token_encoders` for what token encoders share.

    The summary is read from the mean token: it does not change when the camera turns about its vertical by whole patches.
    """

    patch_px = 8

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        shape = PANORAMA_CONVS[kind]
        self.channels = self.local_channels = shape.channels
        first, second = shape.stem
        self.stem = nn.Sequential(_conv(3, first, stride=2), nn.ReLU(), _conv(first, second, stride=2), nn.ReLU())
        widths = (second, *(shape.channels for _ in shape.dilations))
        self.blocks = nn.Sequential(
            *(
                _Residual(inputs, shape.channels, stride=2 if index == 0 else 1, dilation=dilation)
                for index, (inputs, dilation) in enumerate(zip(widths, shape.dilations))
            )
        )
        self.summary = nn.Sequential(nn.Linear(shape.channels, shape.channels), nn.GELU())

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the summary (B, C) and the tokens (B, N, C) of (B, H, W, 3) panoramas, uint8 or 0..255."""
        tokens = self.blocks(self.stem(self.normalised(images))).flatten(2).transpose(1, 2)
        return self.summary(tokens.mean(1)), tokens


class _Wrap(nn.Module):
    """Pad (B, C, H, W) maps: columns continue on the other side, rows end in zeros."""

    def __init__(self, margin: int) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, x: Tensor) -> Tensor:
        m = self.margin
        return nn.functional.pad(torch.cat([x[..., -m:], x, x[..., :m]], dim=-1), (0, 0, m, m))


def _conv(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(
        _Wrap(dilation),
        nn.Conv2d(inputs, outputs, 3, stride, dilation=dilation, bias=False),
        nn.BatchNorm2d(outputs),
    )


class _Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, dilation: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv(inputs, outputs, stride, dilation), nn.ReLU(), _conv(outputs, outputs, 1, dilation)
        )
        same = stride == 1 and inputs == outputs
        self.skip = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.skip(x) + self.body(x))
