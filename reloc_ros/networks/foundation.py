"""Image towers of CLIP and DINOv2 as token encoders, from local folders in Hugging Face's layout.

`transformers` builds the blocks and reads the checkpoints. What comes before the blocks is taken apart when the encoder
is built: the position embedding is interpolated to the grid of one image size, so that the exported graph holds it as a
constant, and the class token and the registers become one block of parameters in front of the patches.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from reloc_ros.errors import ConfigError
from reloc_ros.networks.hf_folder import build_untrained, load_pretrained, read_config, require_model_type
from reloc_ros.networks.patch_grid import patch_grid


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What an image tower consists of, in the order an image passes through it.

    Args:
        patches: (B, 3, H, W) -> (B, width, rows, columns).
        prefix: (1, P, width) tokens in front of the patches: the class token, then registers.
        positions: (1, rows * columns, width), added to the patches.
        before: from the tokens to what the blocks take.
        blocks: the transformer.
        after: from what the blocks give to features.
        channels: of the features.
    """

    patches: nn.Module
    prefix: Tensor
    positions: Tensor
    before: nn.Module
    blocks: nn.Module
    after: nn.Module
    channels: int


class FoundationEncoder(nn.Module):
    """A vision transformer that gives a class token and patch tokens for images of one size.

    Made by `from_folder` or `from_config` of a family; both need the size of the images in pixels.
    """

    # Name in a training configuration.
    KIND: ClassVar[str]
    # What config.json may say under model_type, and the class of transformers that reads it.
    MODEL_TYPES: ClassVar[dict[str, str]]
    # Weights of such checkpoints that an image tower has no use for.
    LEFT_ASIDE: ClassVar[tuple[str, ...]]
    # Of the images the family was trained on, RGB, 0 to 1.
    MEAN: ClassVar[tuple[float, float, float]]
    STD: ClassVar[tuple[float, float, float]]

    def __init__(self, model: Any, height: int, width: int) -> None:
        super().__init__()
        self.tower_config = model.config
        self.patch_px = int(model.config.patch_size)
        self.height, self.width = height, width
        self.grid(height, width)
        with torch.no_grad():
            parts = self.take_apart(model, height, width)
        self.channels = self.local_channels = parts.channels
        self.patches = parts.patches
        self.prefix = nn.Parameter(parts.prefix.clone())
        self.positions = nn.Parameter(parts.positions.clone())
        self.before, self.blocks, self.after = parts.before, parts.blocks, parts.after
        self.register_buffer("mean", 255 * torch.tensor(self.MEAN))
        self.register_buffer("std", 255 * torch.tensor(self.STD))

    @staticmethod
    def take_apart(model: Any, height: int, width: int) -> Parts:
        """Return the parts of the family's model for images of that size, pixels."""
        raise NotImplementedError

    @classmethod
    def from_folder(cls, folder: str | Path, height: int, width: int) -> FoundationEncoder:
        """Return the encoder with the weights of a local checkpoint, in evaluation mode.

        Args:
            folder: with `config.json` and `model.safetensors`.
            height: of the images to come, pixels; a multiple of the patch size.
            width: of them, likewise.

        Raises:
            ConfigError: no such folder, another family, a file that cannot be read, parameters missing, unknown or of
                another shape, or an image size that the patches do not divide.
        """
        found = require_model_type(folder, tuple(cls.MODEL_TYPES))
        model = load_pretrained(folder, cls.MODEL_TYPES[found], cls.LEFT_ASIDE)
        encoder: FoundationEncoder = cls(model, height, width).eval()
        return encoder

    @classmethod
    def from_config(cls, description: dict[str, Any]) -> FoundationEncoder:
        """Return the encoder that `describe` described; its weights come with `load_state_dict`.

        Raises:
            ConfigError: the description is of another encoder or incomplete.
        """
        try:
            config = description["config"]
            class_name = cls.MODEL_TYPES[config["model_type"]]
            size = int(description["height"]), int(description["width"])
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"{error!r} in the description of a {cls.__name__}; train the method again") from error
        encoder: FoundationEncoder = cls(build_untrained(class_name, config), *size).eval()
        return encoder

    def describe(self) -> dict[str, Any]:
        """Return what `from_config` needs, in plain values."""
        return {"kind": self.KIND, "config": self.tower_config.to_dict(), "height": self.height, "width": self.width}

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Return rows and columns of the patches of an image of that size, pixels.

        Raises:
            ConfigError: the patches do not fill the image.
        """
        return patch_grid(self.patch_px, height, width)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Encode images.

        Args:
            images: (B, H, W, 3), 0 to 255 (uint8 or float), RGB, of the size the encoder was built for.

        Returns:
            class token (B, C) and patch tokens (B, N, C), row by row.

        Raises:
            ConfigError: images of another size.
        """
        if tuple(images.shape[1:]) != (self.height, self.width, 3):
            raise ConfigError(
                f"images are {tuple(images.shape[1:])}; this encoder was built for ({self.height}, {self.width}, 3): "
                "resize them or build another one"
            )
        # Cast first: TensorRT knows bytes as an input only.
        x = ((images.float() - self.mean) / self.std).permute(0, 3, 1, 2)
        cells = self.patches(x).flatten(2).transpose(1, 2) + self.positions
        tokens = self.before(torch.cat([self.prefix.expand(len(cells), -1, -1), cells], dim=1))
        tokens = self.after(self.blocks(tokens).last_hidden_state)
        return tokens[:, 0], tokens[:, self.prefix.shape[1] :]


class ClipImageEncoder(FoundationEncoder):
    """CLIP's image tower (Radford et al. 2021): tokens after the last normalisation and the projection.

    CLIP itself projects the class token alone; the patches pass the same way, so that they live in the space of its
    texts (512 channels for ViT-B/32).
    """

    KIND = "clip"
    MODEL_TYPES: ClassVar[dict[str, str]] = {
        "clip": "CLIPVisionModelWithProjection",
        "clip_vision_model": "CLIPVisionModelWithProjection",
    }
    LEFT_ASIDE = ("text_model.", "text_projection.", "logit_scale", "vision_model.embeddings.position_ids")
    MEAN = (0.48145466, 0.4578275, 0.40821073)
    STD = (0.26862954, 0.26130258, 0.27577711)

    @staticmethod
    def take_apart(model: Any, height: int, width: int) -> Parts:
        """Return the parts of a `CLIPVisionModelWithProjection` for images of that size, pixels."""
        tower = model.vision_model
        embeddings = tower.embeddings
        positions = _positions(embeddings, embeddings.position_embedding.embedding_dim, height, width)
        return Parts(
            patches=embeddings.patch_embedding,
            prefix=embeddings.class_embedding[None, None] + positions[:, :1],
            positions=positions[:, 1:],
            before=tower.pre_layrnorm,
            blocks=tower.encoder,
            after=nn.Sequential(tower.post_layernorm, model.visual_projection),
            channels=model.visual_projection.out_features,
        )


class DinoV2Encoder(FoundationEncoder):
    """DINOv2 (Oquab et al. 2023), with or without registers (Darcet et al. 2023), which are dropped at the end."""

    KIND = "dinov2"
    MODEL_TYPES: ClassVar[dict[str, str]] = {
        "dinov2": "Dinov2Model",
        "dinov2_with_registers": "Dinov2WithRegistersModel",
    }
    LEFT_ASIDE = ("classifier.",)
    MEAN = (0.485, 0.456, 0.406)
    STD = (0.229, 0.224, 0.225)

    @staticmethod
    def take_apart(model: Any, height: int, width: int) -> Parts:
        """Return the parts of a `Dinov2Model` or `Dinov2WithRegistersModel` for images of that size, pixels."""
        embeddings = model.embeddings
        channels = embeddings.cls_token.shape[-1]
        positions = _positions(embeddings, channels, height, width)
        prefix = [embeddings.cls_token + positions[:, :1]]
        if hasattr(embeddings, "register_tokens"):
            prefix.append(embeddings.register_tokens)
        return Parts(
            patches=embeddings.patch_embeddings.projection,
            prefix=torch.cat(prefix, dim=1),
            positions=positions[:, 1:],
            before=nn.Identity(),
            blocks=model.encoder,
            after=model.layernorm,
            channels=channels,
        )


def _positions(embeddings: Any, channels: int, height: int, width: int) -> Tensor:
    """Return the (1, 1 + N, C) position embedding for images of that size, interpolated as the family does it."""
    patch_px = int(embeddings.patch_size)
    tokens = torch.zeros(1, 1 + (height // patch_px) * (width // patch_px), channels)
    positions: Tensor = embeddings.interpolate_pos_encoding(tokens, height, width)
    return positions


def patch_px_of(folder: str | Path) -> int:
    """Return the side of the patches of a checkpoint in a Hugging Face folder, pixels.

    Raises:
        ConfigError: the folder's `config.json` is missing or does not say.
    """
    config = read_config(folder)
    patch_px = config.get("patch_size", config.get("vision_config", {}).get("patch_size"))
    if not isinstance(patch_px, int) or patch_px < 1:
        raise ConfigError(f"{folder}/config.json names no patch_size; give the folder of a vision transformer")
    return patch_px
