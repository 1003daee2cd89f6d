"""Image encoders that give feature maps at strides 8, 16 and 32.

`MobileNetV3` keeps torchvision's parameter names (`features.0.0.weight`, ...), so its ImageNet checkpoints load;
`PatchConv` is a small residual network that trains from scratch in minutes on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from reloc_ros.errors import ConfigError

STRIDES = (8, 16, 32)
# Of ImageNet, RGB, 0 to 255, so that its checkpoints see what they were trained on; as good as any for our own.
IMAGENET_MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)
IMAGENET_STD = (0.229 * 255, 0.224 * 255, 0.225 * 255)


class Block(NamedTuple):
    """One inverted residual of MobileNetV3 (Howard et al. 2019, tables 1 and 2)."""

    kernel: int
    expanded: int
    out: int
    squeeze: bool
    hard_swish: bool
    stride: int


LARGE = (
    Block(3, 16, 16, False, False, 1),
    Block(3, 64, 24, False, False, 2),
    Block(3, 72, 24, False, False, 1),
    Block(5, 72, 40, True, False, 2),
    Block(5, 120, 40, True, False, 1),
    Block(5, 120, 40, True, False, 1),
    Block(3, 240, 80, False, True, 2),
    Block(3, 200, 80, False, True, 1),
    Block(3, 184, 80, False, True, 1),
    Block(3, 184, 80, False, True, 1),
    Block(3, 480, 112, True, True, 1),
    Block(3, 672, 112, True, True, 1),
    Block(5, 672, 160, True, True, 2),
    Block(5, 960, 160, True, True, 1),
    Block(5, 960, 160, True, True, 1),
)
SMALL = (
    Block(3, 16, 16, True, False, 2),
    Block(3, 72, 24, False, False, 2),
    Block(3, 88, 24, False, False, 1),
    Block(5, 96, 40, True, True, 2),
    Block(5, 240, 40, True, True, 1),
    Block(5, 240, 40, True, True, 1),
    Block(5, 120, 48, True, True, 1),
    Block(5, 144, 48, True, True, 1),
    Block(5, 288, 96, True, True, 2),
    Block(5, 576, 96, True, True, 1),
    Block(5, 576, 96, True, True, 1),
)


def _conv_bn(
    inputs: int, outputs: int, kernel: int, stride: int, groups: int, activation: Callable[..., nn.Module] | None
) -> nn.Sequential:
    # eps is torchvision's for MobileNetV3, whose checkpoints were trained with it; its momentum of 0.01 would leave the
    # statistics of a short run far behind the weights.
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.1),
    ]
    if activation is not None:
        layers.append(activation(inplace=True))
    return nn.Sequential(*layers)


class _SqueezeExcitation(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = max(8, int(channels / 4 + 4) // 8 * 8)
        if squeezed < 0.9 * channels / 4:
            squeezed += 8
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        scale = self.fc2(torch.relu(self.fc1(x.mean((2, 3), keepdim=True))))
        return x * nn.functional.hardsigmoid(scale)


class _InvertedResidual(nn.Module):
    def __init__(self, inputs: int, block: Block) -> None:
        super().__init__()
        activation = nn.Hardswish if block.hard_swish else nn.ReLU
        layers: list[nn.Module] = []
        if block.expanded != inputs:
            layers.append(_conv_bn(inputs, block.expanded, 1, 1, 1, activation))
        layers.append(_conv_bn(block.expanded, block.expanded, block.kernel, block.stride, block.expanded, activation))
        if block.squeeze:
            layers.append(_SqueezeExcitation(block.expanded))
        layers.append(_conv_bn(block.expanded, block.out, 1, 1, 1, None))
        self.block = nn.Sequential(*layers)
        self.residual = block.stride == 1 and inputs == block.out

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x) if self.residual else self.block(x)


class MobileNetV3(nn.Module):
    """MobileNetV3 without its classifier; returns the maps at strides 8, 16 and 32."""

    def __init__(self, blocks: tuple[Block, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = [_conv_bn(3, 16, 3, 2, 1, nn.Hardswish)]
        inputs, stride, last_at_stride, channels_at_stride = 16, 2, {}, {}
        for block in blocks:
            stride *= block.stride
            layers.append(_InvertedResidual(inputs, block))
            inputs = block.out
            last_at_stride[stride], channels_at_stride[stride] = len(layers) - 1, inputs
        layers.append(_conv_bn(inputs, 6 * inputs, 1, 1, 1, nn.Hardswish))
        last_at_stride[stride], channels_at_stride[stride] = len(layers) - 1, 6 * inputs
        self.features = nn.Sequential(*layers)
        self._taps = tuple(last_at_stride[s] for s in STRIDES)
        self.channels = tuple(channels_at_stride[s] for s in STRIDES)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the maps of (B, 3, H, W) normalised images at strides 8, 16, 32."""
        maps = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self._taps:
                maps.append(x)
        return maps


class _Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv_bn(inputs, outputs, 3, stride, 1, nn.ReLU), _conv_bn(outputs, outputs, 3, 1, 1, None)
        )
        same = stride == 1 and inputs == outputs
        self.skip = nn.Identity() if same else _conv_bn(inputs, outputs, 1, stride, 1, None)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.skip(x) + self.body(x))


class PatchConv(nn.Module):
    """Small residual encoder of dense 3x3 convolutions, which CPUs run at a far higher rate than depth-wise ones.

    Args:
        widths: channels of the two convolutions of the stem, then of each stage.
        depths: residual blocks of each stage; the first stage ends at stride 8, each further one halves the map.
    """

    def __init__(self, widths: tuple[int, ...], depths: tuple[int, ...]) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            _conv_bn(3, widths[0], 3, 2, 1, nn.ReLU), _conv_bn(widths[0], widths[1], 3, 2, 1, nn.ReLU)
        )
        stages, inputs = [], widths[1]
        for width, depth in zip(widths[2:], depths):
            stages.append(
                nn.Sequential(_Residual(inputs, width, 2), *(_Residual(width, width, 1) for _ in range(depth - 1)))
            )
            inputs = width
        self.stages = nn.ModuleList(stages)
        self.channels = widths[2:]

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the maps of (B, 3, H, W) normalised images after each stage."""
        x = self.stem(x)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


ENCODERS: dict[str, Callable[[], MobileNetV3 | PatchConv]] = {
    "mobilenet_v3_large": lambda: MobileNetV3(LARGE),
    "mobilenet_v3_small": lambda: MobileNetV3(SMALL),
    "patch_conv_tiny": lambda: PatchConv((16, 32, 64, 96, 128), (1, 2, 2)),
    "patch_conv_small": lambda: PatchConv((24, 40, 80, 128, 192), (1, 2, 2)),
    "patch_conv_base": lambda: PatchConv((32, 48, 96, 160, 256), (2, 2, 2)),
}


def create_encoder(name: str, checkpoint: str | None = None) -> MobileNetV3 | PatchConv:
    """Return the encoder called `name`, with the weights of a local checkpoint if one is given.

    Args:
        name: key of ENCODERS.
        checkpoint: path of a `state_dict` in torchvision's names; a classifier in it is left aside.

    Raises:
        ConfigError: unknown name, or a checkpoint that is missing, incomplete or of another network.
    """
    if name not in ENCODERS:
        raise ConfigError(f"encoder {name!r} is unknown; choose one of {', '.join(ENCODERS)}")
    encoder = ENCODERS[name]()
    if checkpoint is not None:
        _load_weights(encoder, name, Path(checkpoint))
    return encoder


def _load_weights(encoder: nn.Module, name: str, path: Path) -> None:
    if not path.is_file():
        raise ConfigError(f"encoder checkpoint {path} does not exist; give a local file or leave the key out")
    try:
        state: Mapping[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever its unpickler met
        raise ConfigError(f"encoder checkpoint {path} cannot be read ({error}); give a torch state_dict") from error
    kept = {key: value for key, value in state.items() if not key.startswith("classifier.")}
    expected = encoder.state_dict()
    missing = sorted(set(expected) - set(kept))
    foreign = sorted(set(kept) - set(expected))
    reshaped = sorted(key for key in set(kept) & set(expected) if kept[key].shape != expected[key].shape)
    if missing or foreign or reshaped:
        raise ConfigError(
            f"{path} is no {name} checkpoint: {len(missing)} parameters missing {missing[:3]}, "
            f"{len(foreign)} unknown {foreign[:3]}, {len(reshaped)} of another shape {reshaped[:3]}"
        )
    encoder.load_state_dict(kept)
