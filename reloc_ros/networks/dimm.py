"""DIMM: patch tokens -> one camera ray a patch, in map axes (Zhang and Zhao, ICCV 2025).

Two projections of a patch's token give a semantic and a geometric embedding. Several mappers turn the geometric one into
ray embeddings; attention with the semantic one as the query fuses them; a perceptron reads the ray (unit direction and
moment, Pluecker) and two confidences. Ours where the paper is silent: the Fourier token encodes the *camera's ray*
through the patch instead of its pixel, so that one network serves every lens and panoramas; moments are about the
scene's centre, in units of its size. And a patch is given a *geometric token*, what the rays of all patches make of
what they show: perceptrons cannot work out how a set of rays lies to a set of scene points, a fit can. The pose in
that fit says where each patch's ray is, and what the mappers read is added to it: a pose that was fitted holds where no
image was taken, one that was learnt by heart does not. Without the token patches are trained one by one, as in the paper;
with it images stay whole.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from reloc_ros.errors import ConfigError
from reloc_ros.networks.ray_fit import Fitted, GeometricToken
from reloc_ros.networks.restore import restore
from reloc_ros.networks.token_encoders import create_scratch_encoder, encoder_from_description

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
        geometric_token: show each patch how the rays of the whole image fit what its patches show.
        geometric_values: how many quantities are fitted; the first three are points of the scene.
        frequencies: octaves of the ray token.
        context_dropout: probability that a training image goes without its summary and without the channels of its
            patch tokens that know the whole image, where the encoder keeps them apart. A head that may always lean on
            them learns views by heart.
    """

    embedding: int = 256
    mappers: int = 4
    mapper_depth: int = 2
    attention: bool = True
    summary_token: bool = True
    ray_token: bool = True
    geometric_token: bool = True
    geometric_values: int = 8
    frequencies: int = 6
    context_dropout: float = 0.5

    def __post_init__(self) -> None:
        for name in ("embedding", "mappers", "mapper_depth", "frequencies"):
            if getattr(self, name) < 1:
                raise ConfigError(f"head.{name} is {getattr(self, name)}; expected 1 or more")
        if not 0.0 <= self.context_dropout < 1.0:
            raise ConfigError(f"head.context_dropout is {self.context_dropout}; expected 0 to 1, without 1")
        if self.geometric_values < 3:
            raise ConfigError(
                f"head.geometric_values is {self.geometric_values}; expected 3 or more: points have three"
            )


class Found(NamedTuple):
    """What the head says of each patch, in scene units about the scene's centre.

    Args:
        directions: (B, N, 3) of unit length, in map axes.
        moments: (B, N, 3).
        direction_log: (B, N) logarithm of the direction's confidence.
        moment_log: (B, N) of the moment's.
        fitted: what the geometric token rests on; None without it.
    """

    directions: Tensor
    moments: Tensor
    direction_log: Tensor
    moment_log: Tensor
    fitted: Fitted | None


class RayHead(nn.Module):
    """From patch tokens to rays; without the geometric token every patch by itself."""

    def __init__(self, config: RayHeadConfig, channels: int, local_channels: int) -> None:
        super().__init__()
        self.config = config
        self.local_channels = local_channels
        width, count = config.embedding, config.mappers
        inputs = channels * (1 + config.summary_token) + (3 + 6 * config.frequencies) * config.ray_token
        inputs += 2 * config.geometric_values * config.geometric_token
        self.fit = GeometricToken(channels, width, config.geometric_values) if config.geometric_token else None
        self.semantic = nn.Sequential(nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, width))
        self.geometric = nn.Sequential(nn.Linear(inputs, width), nn.LayerNorm(width), nn.GELU())
        self.mappers = Mappers(count, width, config.mapper_depth)
        self.key = nn.Linear(width, width)
        self.read = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, width), nn.GELU(),
            nn.Linear(width, 8),
        )  # fmt: skip
        if self.fit is not None:
            # The rays of the fit are where training starts from.
            for parameter in self.read[-1].parameters():
                nn.init.zeros_(parameter)

    def forward(self, patches: Tensor, summary: Tensor, rays: Tensor, chosen: Tensor | None = None) -> Found:
        """Return the rays of patches.

        Args:
            patches: (B, N, C) patch tokens; with the geometric token all N of an image.
            summary: (B, 1, C) the summary token of the patches' image.
            rays: (B, N, 3) unit rays of the patches in the camera.
            chosen: (B, M) indices of the patches that are asked for, which saves time in training; None asks for all.
        """
        patches, summary = self._with_or_without_context(patches, summary.expand_as(patches))
        fitted = self.fit(patches, rays) if self.fit is not None else None
        # The fit learns to be right by itself, not to be mended: what mends views that were seen does not mend others.
        start = fitted.ray.detach() if fitted is not None else None
        token = fitted.token if fitted is not None else None
        if chosen is not None:
            patches, summary, rays, token, start = (
                of_patches(values, chosen) for values in (patches, summary, rays, token, start)
            )
        tokens = [patches] if token is None else [patches, token]
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
        ray = out[..., :6] if start is None else out[..., :6] + start
        directions = nn.functional.normalize(ray[..., :3], dim=-1)
        # Far from these limits a confidence says nothing more, and its loss could run away.
        logs = out[..., 6:].clamp(-4.0, 12.0)
        return Found(directions, ray[..., 3:], logs[..., 0], logs[..., 1], fitted)

    def _with_or_without_context(self, patches: Tensor, summary: Tensor) -> tuple[Tensor, Tensor]:
        """Return the tokens with the context of whole images zeroed at random, in training only."""
        if not self.training or self.config.context_dropout == 0.0:
            return patches, summary
        kept = torch.rand(len(patches), 1, 1, device=patches.device) >= self.config.context_dropout
        local, context = patches[..., : self.local_channels], patches[..., self.local_channels :]
        return torch.cat([local, context * kept], dim=-1), summary * kept


def of_patches(values: Tensor | None, chosen: Tensor) -> Tensor | None:
    """Return (B, M, ...) of (B, N, ...) values at (B, M) indices; None of None."""
    if values is None:
        return None
    return values.take_along_dim(chosen.reshape(*chosen.shape, *[1] * (values.dim() - 2)), dim=1)


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
        self.head = RayHead(head, encoder.channels, encoder.local_channels)
        self.register_buffer("centre_m", centre_m.reshape(3).float())
        self.register_buffer("scale_m", torch.tensor(float(scale_m)))

    def forward(
        self, images: Tensor, rays: Tensor, chosen: Tensor | None = None
    ) -> Found | tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return what `OUTPUT_NAMES` says for images (B, H, W, 3) and the unit rays (B, N, 3) of their patches.

        In training mode what the head found of the `chosen` (B, M) ones, in scene units.
        """
        summary, patches = self.encoder(images)
        found: Found = self.head(patches, summary[:, None], rays, chosen)
        if self.training:
            return found
        return found.directions, self.scale_m * found.moments, found.direction_log.exp(), found.moment_log.exp()


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
    return restore(network, content["network"])


def untrained(train_config: dict[str, Any]) -> dict[str, Any]:
    """Return a checkpoint with random weights of the network that a training configuration describes."""
    encoder = create_scratch_encoder(train_config["encoder"]["kind"])
    return describe_network(Dimm(encoder, RayHeadConfig(**train_config["head"]), torch.zeros(3), 1.0))
