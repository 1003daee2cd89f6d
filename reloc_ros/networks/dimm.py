"""DIMM: patch tokens -> one camera ray a patch, in map axes (Zhang and Zhao, ICCV 2025).

Two projections of a patch's token give a semantic and a geometric embedding. Several mappers turn the geometric one into
ray embeddings; attention with the semantic one as the query fuses them; a perceptron reads the ray (unit direction and
moment, Pluecker) and two confidences. Ours where the paper is silent: the Fourier token encodes the *camera's ray*
through the patch instead of its pixel, so that one network serves every lens and panoramas; moments are about the
scene's centre, in units of its size.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from reloc_ros.errors import ConfigError
from reloc_ros.networks.token_encoders import PATCH_TRANSFORMERS, PatchTransformer, encoder_from_description

OUTPUT_NAMES = ("directions_map", "moments_m", "direction_confidence", "moment_confidence")


@dataclass(frozen=True, kw_only=True)
class RayHeadConfig:
    """Shape of the head.

    Args:
        embedding: width of the semantic, geometric and ray embeddings.
        mappers: number of independent mappers.
        mapper_depth: hidden layers of each.
        attention: fuse the mappers by semantic attention; else by their mean.
        summary_token: show each patch the summary of the whole image.
        ray_token: show each patch its ray in the camera (the paper's XY token).
        frequencies: octaves of the ray token.
    """

    embedding: int = 256
    mappers: int = 4
    mapper_depth: int = 2
    attention: bool = True
    summary_token: bool = True
    ray_token: bool = True
    frequencies: int = 6

    def __post_init__(self) -> None:
        for name in ("embedding", "mappers", "mapper_depth", "frequencies"):
            if getattr(self, name) < 1:
                raise ConfigError(f"head.{name} is {getattr(self, name)}; expected 1 or more")


class RayHead(nn.Module):
    """From patch tokens to rays; every patch by itself, so that it trains on patches of many images at once."""

    def __init__(self, config: RayHeadConfig, channels: int) -> None:
        super().__init__()
        self.config = config
        width, count = config.embedding, config.mappers
        inputs = channels * (1 + config.summary_token) + (3 + 6 * config.frequencies) * config.ray_token
        self.semantic = nn.Sequential(nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, width))
        self.geometric = nn.Sequential(nn.Linear(inputs, width), nn.LayerNorm(width), nn.GELU())
        self.mappers = Mappers(count, width, config.mapper_depth)
        self.key = nn.Linear(width, width)
        self.read = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, width), nn.GELU(),
            nn.Linear(width, 8),
        )  # fmt: skip

    def forward(self, patches: Tensor, summary: Tensor, rays: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return directions (..., 3) of unit length, moments (..., 3) in scene units, and logs of two confidences (...).

        Args:
            patches: (..., C) patch tokens.
            summary: (..., C) the summary token of each patch's image.
            rays: (..., 3) unit rays of the patches in the camera.
        """
        tokens = [patches]
        if self.config.summary_token:
            tokens.append(summary)
        if self.config.ray_token:
            tokens.append(encode_rays(rays, self.config.frequencies))
        x = torch.cat([token.to(patches) for token in tokens], dim=-1)
        geometric = self.geometric(x)
        embeddings = self.mappers(geometric)
        if self.config.attention:
            match = (self.key(embeddings) * self.semantic(x).unsqueeze(-2)).sum(-1) / math.sqrt(embeddings.shape[-1])
            fused = (match.softmax(-1).unsqueeze(-1) * embeddings).sum(-2)
        else:
            fused = embeddings.mean(-2)
        out = self.read(geometric + fused).float()
        directions = nn.functional.normalize(out[..., :3], dim=-1)
        # Far from these limits a confidence says nothing more, and its loss could run away.
        return directions, out[..., 3:6], out[..., 6].clamp(-4.0, 12.0), out[..., 7].clamp(-4.0, 12.0)


def encode_rays(rays: Tensor, frequencies: int) -> Tensor:
    """Return (..., 3 + 6 * frequencies): unit rays (..., 3) with the sines and cosines of their octaves."""
    octaves = math.pi * 2.0 ** torch.arange(frequencies, device=rays.device)
    angles = (rays[..., None, :] * octaves[:, None]).flatten(-2)
    return torch.cat([rays, angles.sin(), angles.cos()], dim=-1)


class Mappers(nn.Module):
    """Independent perceptrons of one shape, run as one batched product."""

    def __init__(self, count: int, width: int, depth: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(width)
        self.weights = nn.ParameterList(
            nn.Parameter(torch.empty(count, width, width).uniform_(-bound, bound)) for _ in range(depth + 1)
        )
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(count, 1, width)) for _ in range(depth + 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., K, E) embeddings of (..., E) inputs."""
        flat = x.reshape(1, -1, x.shape[-1]).expand(len(self.weights[0]), -1, -1)
        for index, (weight, bias) in enumerate(zip(self.weights, self.biases)):
            flat = torch.baddbmm(bias.to(flat), flat, weight.to(flat))
            if index + 1 < len(self.weights):
                flat = nn.functional.gelu(flat)
        return flat.transpose(0, 1).reshape(*x.shape[:-1], len(flat), x.shape[-1])


class Dimm(nn.Module):
    """Encoder and head.

    Args:
        encoder: gives the tokens.
        head: configuration of the head.
        centre_m: (3,) metres in the map; moments are about it.
        scale_m: metres; unit of the moments.
    """

    def __init__(self, encoder: nn.Module, head: RayHeadConfig, centre_m: Tensor, scale_m: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = RayHead(head, encoder.channels)
        self.register_buffer("centre_m", centre_m.reshape(3).float())
        self.register_buffer("scale_m", torch.tensor(float(scale_m)))

    def forward(self, images: Tensor, rays: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return what `OUTPUT_NAMES` says for images (B, H, W, 3) and the unit rays (B, N, 3) of their patches."""
        summary, patches = self.encoder(images)
        directions, moments, direction_log, moment_log = self.head(
            patches, summary.unsqueeze(1).expand_as(patches), rays
        )
        return directions, self.scale_m * moments, direction_log.exp(), moment_log.exp()


def describe_network(network: Dimm) -> dict[str, Any]:
    """Return what `from_checkpoint` needs: both configurations and the weights."""
    return {
        "encoder": network.encoder.describe(),
        "head": asdict(network.head.config),
        "network": network.state_dict(),
    }


def from_checkpoint(content: dict[str, Any]) -> Dimm:
    """Return the network that `describe_network` described, ready to run."""
    encoder = encoder_from_description(content["encoder"])
    network = Dimm(encoder, RayHeadConfig(**content["head"]), torch.zeros(3), 1.0)
    try:
        network.load_state_dict(content["network"])
    except RuntimeError as error:
        raise ConfigError(f"the checkpoint's weights do not fit its own configuration: {error}") from error
    network.eval()
    return network


def untrained(train_config: dict[str, Any]) -> dict[str, Any]:
    """Return a checkpoint with random weights of the network that a training configuration describes."""
    kind = train_config["encoder"]["kind"]
    if kind not in PATCH_TRANSFORMERS:
        raise ConfigError(f"encoder {kind} has no random form here; measure it from its checkpoint")
    return describe_network(Dimm(PatchTransformer(kind), RayHeadConfig(**train_config["head"]), torch.zeros(3), 1.0))
