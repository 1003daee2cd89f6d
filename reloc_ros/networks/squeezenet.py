"""SqueezeNet 1.1 (Iandola et al. 2016) as a token encoder, with ImageNet weights from a Keras file.

The weights are those of `rcmalli/keras-squeezenet`, converted from the authors' Caffe network, so pixels go in as Caffe
takes them: BGR, 0 to 255, minus the mean. Measured on 150 frames of 7-Scenes RedKitchen: so prepared, every channel of
the last layer responds somewhere; with torch's or TensorFlow's ImageNet preparation 16 % and 33 % never do, and the
most similar frame of another moment is half a metre away instead of 0.38 m.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from reloc_ros.errors import ConfigError
from reloc_ros.networks.patch_grid import patch_grid

_MEAN_BGR = (104.006, 116.669, 122.679)
# Standard deviation of the last layer over the same 150 frames: other encoders give features of about 1.
_FEATURE_STD = 8.7
# The network's strides leave off what does not fill a window. With these borders (pixels at the left and top, at the
# right and bottom), an image of multiples of 16 gives one cell for each 16 x 16 pixels, half a pixel from its middle.
_BORDER_PX = (8, 7)
# Channels of the fire modules: squeezed, and each half of what they expand to.
_FIRES = {2: (16, 64), 3: (16, 64), 4: (32, 128), 5: (32, 128), 6: (48, 192), 7: (48, 192), 8: (64, 256), 9: (64, 256)}
_POOL_AFTER = (3, 5)


class Fire(nn.Module):
    """Squeeze to few channels, expand with 1x1 and 3x3 filters side by side."""

    def __init__(self, inputs: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze1x1 = nn.Conv2d(inputs, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 2 * expanded, H, W) of (B, inputs, H, W)."""
        x = torch.relu(self.squeeze1x1(x))
        return torch.relu(torch.cat([self.expand1x1(x), self.expand3x3(x)], dim=1))


class SqueezeNet(nn.Module):
    """The convolutions of SqueezeNet 1.1: a token for each 16 x 16 pixels, and their mean for the image."""

    patch_px = 16
    channels = 512
    local_channels = channels

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, stride=2)
        inputs = 64
        for number, (squeezed, expanded) in _FIRES.items():
            self.add_module(f"fire{number}", Fire(inputs, squeezed, expanded))
            inputs = 2 * expanded
        self.register_buffer("mean_bgr", torch.tensor(_MEAN_BGR))

    @classmethod
    def from_file(cls, path: str | Path) -> SqueezeNet:
        """Return the network with the weights of a Keras file, in evaluation mode.

        Raises:
            ConfigError: no such file, no HDF5, or weights missing, unknown or of another shape.
        """
        network = cls()
        network.load_state_dict(_read_keras(Path(path), network.state_dict()))
        network.eval()
        return network

    def describe(self) -> dict[str, Any]:
        """Return what makes the network again, besides its weights."""
        return {"kind": "squeezenet"}

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Return rows and columns of the tokens of an image of that size, pixels.

        Raises:
            ConfigError: the patches do not fill the image.
        """
        return patch_grid(self.patch_px, height, width)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Encode images.

        Args:
            images: (B, H, W, 3), 0 to 255 (uint8 or float), RGB; H and W multiples of 16.

        Returns:
            mean token (B, 512) and tokens (B, N, 512), row by row.
        """
        self.grid(*images.shape[1:3])
        # Cast first: TensorRT knows bytes as an input only.
        x = (images.float().flip(-1) - self.mean_bgr).permute(0, 3, 1, 2)
        x = nn.functional.pad(x, (*_BORDER_PX, *_BORDER_PX), mode="replicate")
        x = nn.functional.max_pool2d(torch.relu(self.conv1(x)), 3, 2)
        for number in _FIRES:
            x = self.get_submodule(f"fire{number}")(x)
            if number in _POOL_AFTER:
                x = nn.functional.max_pool2d(x, 3, 2)
        tokens = x.flatten(2).transpose(1, 2) / _FEATURE_STD
        return tokens.mean(1), tokens


def _read_keras(path: Path, expected: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the state of the network: the file's arrays under our names, the rest as it is."""
    if not path.is_file():
        raise ConfigError(f"encoder checkpoint {path} does not exist; give a local file")
    found = _arrays_by_layer(path)
    state = dict(expected)
    wanted = {name.rpartition(".")[0].replace(".", "/") for name in expected if "." in name}
    missing, foreign, reshaped = sorted(wanted - set(found)), sorted(set(found) - wanted), []
    for layer in sorted(wanted & set(found)):
        values = {"bias" if value.ndim == 1 else "weight": value for value in found[layer]}
        for kind in ("weight", "bias"):
            name = f"{layer.replace('/', '.')}.{kind}"
            if kind not in values:
                missing.append(name)
                continue
            value = values[kind]
            if value.ndim == 4:
                # (rows, columns, inputs, outputs) in Keras, (outputs, inputs, rows, columns) in torch.
                value = value.transpose(3, 2, 0, 1)
            state[name] = torch.from_numpy(value.copy())
            if state[name].shape != expected[name].shape:
                reshaped.append(name)
    if missing or foreign or reshaped:
        raise ConfigError(
            f"{path} is no SqueezeNet 1.1 without its classifier: {len(missing)} layers missing {missing[:3]}, "
            f"{len(foreign)} unknown {foreign[:3]}, {len(reshaped)} of another shape {reshaped[:3]}"
        )
    return state


def _arrays_by_layer(path: Path) -> dict[str, list[Any]]:
    """Return the arrays of each layer that has any, in Keras' order of them."""
    try:
        import h5py
    except ImportError as error:
        raise ConfigError(
            f"{path} needs the package h5py, which cannot be imported ({error}); pip install 'reloc_ros[train]'"
        ) from error

    def text(name: bytes | str) -> str:
        return name.decode() if isinstance(name, bytes) else name

    try:
        with h5py.File(path) as file:
            layers = {text(name): file[text(name)] for name in file.attrs["layer_names"]}
            arrays = {
                name: [group[text(key)][()] for key in group.attrs["weight_names"]] for name, group in layers.items()
            }
    except (OSError, KeyError, AttributeError) as error:
        raise ConfigError(f"{path} cannot be read as a Keras weight file ({error}); get the file again") from error
    return {name: values for name, values in arrays.items() if values}
