"""Encoders that turn an image into one token a patch and a summary token: DINOv2, CLIP, SqueezeNet, and ours.

All see the same interface, so a method does not know which it was given:
`forward(images (B, H, W, 3), uint8 or 0..255) -> (summary (B, C), patches (B, N, C))`, N row by row.
Of a patch token the first `local_channels` know the patch alone; all `channels` do where an encoder does not keep them
apart. `grid(height, width)` says how the patches of `patch_px` lie, `describe()` what makes the encoder again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from reloc_ros.errors import ConfigError
from reloc_ros.networks.encoders import PatchConv
from reloc_ros.networks.panorama_conv import PANORAMA_CONVS, PanoramaConv
from reloc_ros.networks.patch_grid import patch_grid
from reloc_ros.networks.patch_pyramid import PATCH_PYRAMIDS, PatchPyramid
from reloc_ros.networks.restore import restore
from reloc_ros.networks.scratch_encoder import ScratchEncoder


@dataclass(frozen=True, kw_only=True)
class PatchTransformerShape:
    """Widths and depths of a `PatchTransformer`."""

    convolutions: tuple[int, int, int, int]
    residuals: tuple[int, int]
    channels: int
    blocks: int
    heads: int


PATCH_TRANSFORMERS = {
    "patch_transformer_tiny": PatchTransformerShape(
        convolutions=(16, 32, 48, 64), residuals=(1, 1), channels=64, blocks=1, heads=2
    ),
    "patch_transformer_small": PatchTransformerShape(
        convolutions=(24, 40, 80, 128), residuals=(2, 2), channels=192, blocks=3, heads=4
    ),
    "patch_transformer_base": PatchTransformerShape(
        convolutions=(32, 48, 96, 160), residuals=(2, 3), channels=256, blocks=3, heads=4
    ),
}


# Those that can start without a checkpoint.
SCRATCH = (*PATCH_TRANSFORMERS, *PATCH_PYRAMIDS, *PANORAMA_CONVS)
KINDS = (*SCRATCH, "dinov2", "clip", "squeezenet")


@dataclass(frozen=True, kw_only=True)
class TokenEncoderConfig:
    """Which encoder, and what becomes of it.

    Args:
        kind: one of `SCRATCH`, or `dinov2`, `clip` or `squeezenet`.
        weights: where its weights come from: for ours a run folder of `reloc train encoder`, for `dinov2` and `clip` a
            folder in Hugging Face's layout, for `squeezenet` a Keras file; None starts ours from scratch.
        frozen: leave the weights as they are; features are then computed once and kept.
    """

    kind: str = "patch_pyramid_base"
    weights: str | None = None
    frozen: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"encoder.kind is {self.kind!r}; choose one of {', '.join(KINDS)}")
        if self.weights is None and self.kind not in SCRATCH:
            raise ConfigError(
                f"encoder.kind is {self.kind} without encoder.weights; give the local checkpoint "
                "(`reloc weights fetch` downloads official ones)"
            )
        if self.frozen and self.weights is None:
            raise ConfigError(
                "encoder.frozen without encoder.weights would keep random weights; give a run folder of "
                "`reloc train encoder` or another checkpoint, or set frozen to false"
            )


class PatchTransformer(ScratchEncoder):
    """Small encoder that trains from scratch: convolutions to one token for 16 x 16 pixels, then attention over all.

    Half of a patch token is what the patch itself looks like, half is what the whole image makes of it: a scene's point
    is known by the first from wherever it is seen, a camera's ray only by the second.
    """

    patch_px = 16

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        shape = PATCH_TRANSFORMERS[kind]
        self.channels = shape.channels
        half = shape.channels // 2
        self.local_channels = half
        first, second, third, fourth = shape.convolutions
        # The widest stage of the convolutional encoder gives way to attention.
        self.convolutions = PatchConv((first, second, third, fourth), shape.residuals)
        self.local = nn.Linear(fourth, half)
        self.widen = nn.Linear(fourth, shape.channels)
        self.summary = nn.Parameter(torch.zeros(1, 1, shape.channels))
        nn.init.normal_(self.summary, std=0.02)
        self.blocks = nn.ModuleList(Block(shape.channels, shape.heads) for _ in range(shape.blocks))
        self.norm = nn.LayerNorm(shape.channels)
        self.context = nn.Linear(shape.channels, half)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the summary (B, C) and the patch tokens (B, N, C) of (B, H, W, 3) images, uint8 or 0..255."""
        maps = self.convolutions(self.normalised(images))[-1]
        rows, columns = maps.shape[2:]
        cells = maps.flatten(2).transpose(1, 2)
        tokens = self.widen(cells) + positions_2d(rows, columns, self.channels).to(cells)
        tokens = torch.cat([self.summary.expand(len(tokens), -1, -1).to(tokens), tokens], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.norm(tokens)
        return tokens[:, 0], torch.cat([self.local(cells), self.context(tokens[:, 1:])], dim=-1)


class Block(nn.Module):
    """Pre-norm transformer block: self-attention, then a perceptron (Vaswani et al. 2017; Xiong et al. 2020)."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.heads = heads
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        self.mlp = nn.Sequential(nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels))

    def forward(self, tokens: Tensor) -> Tensor:
        """Return (B, T, C) tokens that have seen each other."""
        batch, count, channels = tokens.shape
        split = self.qkv(self.norm1(tokens)).reshape(batch, count, 3, self.heads, channels // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        # Spelled out: torch's fused attention takes twice as long to train as this on a CPU, for tokens as few as here.
        mixed = (query @ key.transpose(-1, -2) * key.shape[-1] ** -0.5).softmax(-1) @ value
        tokens = tokens + self.out(mixed.transpose(1, 2).reshape(batch, count, channels))
        return tokens + self.mlp(self.norm2(tokens))


def positions_2d(rows: int, columns: int, channels: int) -> Tensor:
    """Return (rows * columns, channels) sine-cosine embedding of the cells' centres, each axis over 0 to 1.

    Relative to the image's size, so that an encoder trained at one resolution means the same at another.
    """
    frequencies = math.pi * torch.exp(torch.linspace(0.0, math.log(32.0), channels // 4))
    y = (torch.arange(rows) + 0.5) / rows
    x = (torch.arange(columns) + 0.5) / columns
    along_y = (y[:, None] * frequencies).repeat_interleave(columns, 0)
    along_x = (x[:, None] * frequencies).repeat(rows, 1)
    return torch.cat([along_y.sin(), along_y.cos(), along_x.sin(), along_x.cos()], dim=1)


def create_token_encoder(config: TokenEncoderConfig, height: int, width: int) -> nn.Module:
    """Return an encoder for images of one size, with its weights if the configuration names some.

    Raises:
        ConfigError: the weights are missing, incomplete or another network's, or the patches do not fill the image.
    """
    if config.kind in SCRATCH:
        encoder = create_scratch_encoder(config.kind)
        encoder.grid(height, width)
        if config.weights is not None:
            _load_pretrained(encoder, Path(config.weights))
        return encoder
    from reloc_ros.networks.foundation import ClipImageEncoder, DinoV2Encoder
    from reloc_ros.networks.squeezenet import SqueezeNet

    if config.kind == "squeezenet":
        patch_grid(SqueezeNet.patch_px, height, width)
        return SqueezeNet.from_file(Path(str(config.weights)))
    family = DinoV2Encoder if config.kind == "dinov2" else ClipImageEncoder
    return family.from_folder(Path(str(config.weights)), height, width)


def step_px(config: TokenEncoderConfig) -> int:
    """Return what the sides of an encoder's images must be multiples of.

    Raises:
        ConfigError: the encoder's folder does not say.
    """
    if config.kind in SCRATCH:
        return _scratch_family(config.kind).patch_px
    if config.kind == "squeezenet":
        from reloc_ros.networks.squeezenet import SqueezeNet

        return SqueezeNet.patch_px
    from reloc_ros.networks.foundation import patch_px_of

    return patch_px_of(Path(str(config.weights)))


def create_scratch_encoder(kind: str) -> ScratchEncoder:
    """Return an encoder of ours with random weights.

    Args:
        kind: one of `SCRATCH`.

    Raises:
        ConfigError: it is another one, which has no weights without a checkpoint.
    """
    if kind not in SCRATCH:
        raise ConfigError(f"encoder {kind} has no random weights; give its checkpoint, or one of {', '.join(SCRATCH)}")
    return _scratch_family(kind)(kind)


def _scratch_family(kind: str) -> type[ScratchEncoder]:
    if kind in PANORAMA_CONVS:
        return PanoramaConv
    return PatchPyramid if kind in PATCH_PYRAMIDS else PatchTransformer


def encoder_from_description(description: dict[str, Any]) -> nn.Module:
    """Return the encoder that `describe` described, without its weights."""
    if description["kind"] in SCRATCH:
        return create_scratch_encoder(description["kind"])
    from reloc_ros.networks.foundation import ClipImageEncoder, DinoV2Encoder
    from reloc_ros.networks.squeezenet import SqueezeNet

    if description["kind"] == "squeezenet":
        return SqueezeNet()
    family = DinoV2Encoder if description["kind"] == "dinov2" else ClipImageEncoder
    return family.from_config(description)


def _load_pretrained(encoder: ScratchEncoder, run: Path) -> None:
    path = run / "best.pt" if run.is_dir() else run
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        kind, weights = content["encoder"]["kind"], content["encoder_weights"]
    except Exception as error:  # torch raises whatever its unpickler met
        raise ConfigError(
            f"encoder.weights {path} cannot be read as a pre-trained encoder ({type(error).__name__}: {error}); "
            "give the run folder of `reloc train encoder`"
        ) from error
    if kind != encoder.kind:
        raise ConfigError(f"encoder.weights {path} holds a {kind}, encoder.kind is {encoder.kind}; make them agree")
    restore(encoder, weights)
