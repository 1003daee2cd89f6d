"""A convolutional encoder of ours with one token for 8 x 8 pixels, for places where exactness counts.

The maps at strides 8 and 16 make the half of a token that knows its surroundings alone, the map at stride 32, which sees
most of the image, makes the other half. Without attention between patches it learns a place from few images: a point of
the scene looks much the same from everywhere, a whole view does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from reloc_ros.networks.encoders import PatchConv
from reloc_ros.networks.scratch_encoder import ScratchEncoder


@dataclass(frozen=True, kw_only=True)
class PatchPyramidShape:
    """Widths and depths of a `PatchPyramid`, and how its tokens are divided."""

    convolutions: tuple[int, int, int, int, int]
    residuals: tuple[int, int, int]
    local_channels: int
    context_channels: int


PATCH_PYRAMIDS = {
    "patch_pyramid_tiny": PatchPyramidShape(
        convolutions=(8, 16, 24, 32, 48), residuals=(1, 1, 1), local_channels=32, context_channels=32
    ),
    "patch_pyramid_small": PatchPyramidShape(
        convolutions=(24, 40, 80, 128, 192), residuals=(1, 2, 2), local_channels=96, context_channels=96
    ),
    "patch_pyramid_base": PatchPyramidShape(
        convolutions=(32, 48, 96, 160, 256), residuals=(2, 2, 2), local_channels=128, context_channels=128
    ),
}


class PatchPyramid(ScratchEncoder):
    """Convolutions at strides 8, 16 and 32, joined at stride 8 from the deepest map down."""

    patch_px = 8

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        shape = PATCH_PYRAMIDS[kind]
        self.local_channels = shape.local_channels
        self.channels = shape.local_channels + shape.context_channels
        self.convolutions = PatchConv(shape.convolutions, shape.residuals)
        fine, middle, deep = self.convolutions.channels
        self.fine = nn.Conv2d(fine, shape.local_channels, 1)
        self.middle = nn.Conv2d(middle, shape.local_channels, 1)
        self.local = nn.Conv2d(shape.local_channels, shape.local_channels, 3, padding=1)
        self.deep = nn.Conv2d(deep, shape.context_channels, 1)
        self.context = nn.Conv2d(shape.context_channels, shape.context_channels, 3, padding=1)
        self.summary = nn.Linear(deep, self.channels)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the summary (B, C) and the patch tokens (B, N, C) of (B, H, W, 3) images, uint8 or 0..255."""
        fine, middle, deep = self.convolutions(self.normalised(images))
        size = fine.shape[2:]
        local = self.fine(fine) + _enlarged(self.middle(middle), size)
        tokens = torch.cat([self.local(local).relu(), self.context(_enlarged(self.deep(deep), size)).relu()], dim=1)
        return self.summary(deep.mean((2, 3))), tokens.flatten(2).transpose(1, 2)


def _enlarged(maps: Tensor, size: torch.Size) -> Tensor:
    return nn.functional.interpolate(maps, size=size, mode="nearest")
