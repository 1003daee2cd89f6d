"""What encoders of ours share, that train from scratch: square patches, ImageNet's scale of colours, a kind by name."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from reloc_ros.networks.encoders import IMAGENET_MEAN, IMAGENET_STD
from reloc_ros.networks.patch_grid import patch_grid


class ScratchEncoder(nn.Module):
    """Base of the encoders; see `reloc_ros.networks.token_encoders` for what all token encoders have in common.

    Args:
        kind: name of its shape.
    """

    patch_px: int
    channels: int
    local_channels: int

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN))
        self.register_buffer("std", torch.tensor(IMAGENET_STD))

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Return rows and columns of patches of an image of that size, pixels.

        Raises:
            ConfigError: the patches do not fill the image.
        """
        return patch_grid(self.patch_px, height, width)

    def describe(self) -> dict[str, Any]:
        """Return what `encoder_from_description` needs besides the weights."""
        return {"kind": self.kind}

    def normalised(self, images: Tensor) -> Tensor:
        """Return (B, 3, H, W) of (B, H, W, 3) images, uint8 or 0..255."""
        # Planes before arithmetic: for colours that lie side by side ONNX Runtime takes ten times as long. But floats
        # before planes: TensorRT moves no bytes.
        planes = images.float().permute(0, 3, 1, 2)
        return (planes - self.mean.view(-1, 1, 1)) / self.std.view(-1, 1, 1)
