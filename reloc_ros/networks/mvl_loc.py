"""MVL-Loc: image tokens read the description of each scene; which scene, and where in it (arXiv 2507.04509).

A transformer decoder lets the image's tokens look at each other and at the words of a description; the mean of what comes
out gives a score of the scene and, through heads of the scene's own, a pose. Ours where the paper is silent: the scene is
predicted, so the decoder reads the descriptions of all scenes while the image tower runs once; several heads for each
scene, whose spread says how sure the pose is; the words' features are constants of a trained network.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from reloc_ros.errors import ConfigError
from reloc_ros.networks.restore import restore
from reloc_ros.networks.text import TextEncoder
from reloc_ros.networks.token_encoders import create_scratch_encoder, encoder_from_description, positions_2d

OUTPUT_NAMES = ("scene_logits", "positions_m", "log_quats", "attention")

# What a token that is none gets before the softmax; half precision holds it.
_NEVER = -1e4
# Weights of position and rotation are exp(-s); Kendall and Cipolla 2017 start them so.
_BALANCE = (0.0, -3.0)
# A network to measure time with reads so many descriptions of so many words.
_UNTRAINED_SCENES, _UNTRAINED_WORDS = 4, 32


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """Shape of everything after the image encoder.

    Args:
        width: of a token (the paper: 512), a multiple of 4 and of `heads`.
        heads: of each attention (8).
        feedforward: width of the perceptron in each layer (2048).
        layers: of the decoder (4).
        members: pose heads of each scene.
        hidden: width of a pose head.
        kept_patches: share of the patches that a training step shows; hiding some is faster and keeps the network from
            leaning on few. All are shown afterwards.
    """

    width: int = 192
    heads: int = 4
    feedforward: int = 512
    layers: int = 4
    members: int = 4
    hidden: int = 256
    kept_patches: float = 0.5

    def __post_init__(self) -> None:
        for name in ("width", "heads", "feedforward", "layers", "members", "hidden"):
            if getattr(self, name) < 1:
                raise ConfigError(f"decoder.{name} is {getattr(self, name)}; expected 1 or more")
        if self.width % self.heads or self.width % 4:
            raise ConfigError(f"decoder.width is {self.width}; expected a multiple of 4 and of heads, {self.heads}")
        if not 0 < self.kept_patches <= 1:
            raise ConfigError(f"decoder.kept_patches is {self.kept_patches}; expected above 0, at most 1")


class Sentences(nn.Module):
    """Token features of the K descriptions: constants, or of an encoder that trains along.

    Args:
        tokens: (K, L, C) constant features; L is the length of the longest description.
        mask: (K, L) which of them stand for a token.
        content: (K, L) which of them stand for words that tell something.
        encoder: makes the features instead, from `ids`.
        ids: (K, 77) its tokens.
    """

    def __init__(
        self,
        tokens: Tensor,
        mask: Tensor,
        content: Tensor,
        encoder: TextEncoder | None = None,
        ids: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.register_buffer("ids", ids)
        self.register_buffer("tokens", tokens.float())
        self.register_buffer("mask", mask)
        self.register_buffer("content", content.float())

    def forward(self) -> Tensor:
        """Return (K, L, C) features."""
        if self.encoder is None:
            return self.tokens
        used = self.mask.shape[1]
        full = nn.functional.pad(self.mask, (0, self.ids.shape[1] - used))
        features: Tensor = self.encoder(self.ids, full)
        return features[:, :used]


class Attention(nn.Module):
    """Multi-head attention, spelled out: torch's fused one takes longer on a CPU for tokens as few as here."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)

    def forward(self, tokens: Tensor, memory: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return (B, T, W) of what tokens (B, T, W) read from memory (B, L, W), and the shares (B, heads, T, L).

        Args:
            tokens: ask.
            memory: answers.
            bias: (B, 1, 1, L) added before the softmax.
        """
        query, key, value = (
            self._split(linear(x)) for linear, x in ((self.query, tokens), (self.key, memory), (self.value, memory))
        )
        match = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
        shares = (match if bias is None else match + bias).softmax(-1)
        return self.out((shares.to(value) @ value).transpose(1, 2).flatten(2)), shares

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class DecoderLayer(nn.Module):
    """Pre-norm: tokens look at each other, then at the words, then a perceptron."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        width = config.width
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.image, self.words = Attention(width, config.heads), Attention(width, config.heads)
        self.mlp = nn.Sequential(nn.Linear(width, config.feedforward), nn.GELU(), nn.Linear(config.feedforward, width))

    def look(self, tokens: Tensor) -> Tensor:
        """Return image tokens (B, T, W) that have seen each other."""
        normed = self.norms[0](tokens)
        return tokens + self.image(normed, normed)[0]

    def read(self, tokens: Tensor, words: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Return image tokens that have read words (B, L, W), and the shares (B, heads, T, L) they gave them."""
        found, shares = self.words(self.norms[1](tokens), words, bias)
        tokens = tokens + found
        return tokens + self.mlp(self.norms[2](tokens)), shares


class PoseHeads(nn.Module):
    """Perceptrons of each scene and member, run as one batched product: (B, K, W) -> (B, K, M, 6)."""

    def __init__(self, config: DecoderConfig, log_quats: Tensor) -> None:
        super().__init__()
        scenes, members = len(log_quats), config.members
        sizes = (config.width, config.hidden, config.hidden, 6)
        self.weights = nn.ParameterList(
            nn.Parameter(torch.randn(scenes, members, before, after) / math.sqrt(before))
            for before, after in itertools.pairwise(sizes)
        )
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(scenes, members, 1, after)) for after in sizes[1:])
        with torch.no_grad():
            # Every head starts near the mean pose of its scene.
            self.weights[-1].mul_(0.1)
            self.biases[-1][..., 3:] = log_quats[:, None, None].float()

    def forward(self, pooled: Tensor) -> Tensor:
        """Return position in scene units (3) and log-quaternion (3) by all members of each scene."""
        x = pooled.transpose(0, 1).unsqueeze(1)
        for index, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = x @ weight.to(x) + bias.to(x)
            if index + 1 < len(self.weights):
                x = nn.functional.gelu(x)
        return x.permute(2, 0, 1, 3)


@dataclass(frozen=True, kw_only=True)
class ScenePlaces:
    """Where K scenes lie.

    Args:
        centres_m: (K, 3) mean camera position, in each scene's map.
        scales_m: (K,) unit of positions about it.
        log_quats: (K, 3) logarithm of the mean orientation.
    """

    centres_m: Tensor
    scales_m: Tensor
    log_quats: Tensor


class PoseDecoder(nn.Module):
    """From image tokens and descriptions to scenes and poses; all that follows the image encoder."""

    def __init__(self, config: DecoderConfig, channels: int, sentences: Sentences, places: ScenePlaces) -> None:
        super().__init__()
        self.config = config
        self.sentences = sentences
        self.take = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, config.width))
        self.take_words = nn.Sequential(
            nn.LayerNorm(sentences.tokens.shape[-1]), nn.Linear(sentences.tokens.shape[-1], config.width)
        )
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        count = len(places.scales_m)
        # A row for each scene: scenes differ even where their descriptions do not.
        self.score = nn.Parameter(0.02 * torch.randn(count, config.width))
        self.score_bias = nn.Parameter(torch.zeros(count))
        self.heads = PoseHeads(config, places.log_quats)
        self.balance = nn.Parameter(torch.tensor(_BALANCE))
        self.register_buffer("centres_m", places.centres_m.float())
        self.register_buffer("scales_m", places.scales_m.float())

    def forward(
        self, summary: Tensor, patches: Tensor, grid: tuple[int, int], shown: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Return what `OUTPUT_NAMES` says, or what the loss needs.

        Args:
            summary: (B, C) summary token of each image.
            patches: (B, N, C) its patch tokens.
            grid: rows and columns of the patches.
            shown: (B, S) the scenes whose descriptions each image is read with in training, the true one first. Returned
                are then scores (B, S), positions in scene units (B, M, 3) and log-quaternions (B, M, 3) in the true
                scene, and the logarithms of the weights of both (2,).
        """
        tokens = self._image_tokens(summary, patches, grid, hide=shown is not None)
        if shown is None:
            return self._localize(tokens)
        pooled, _ = self._decode(tokens, shown)
        scores = (pooled.float() * self.score[shown]).sum(-1) + self.score_bias[shown]
        true = pooled[:, :1].expand(-1, len(self.scales_m), -1)
        poses = self.heads(true)[torch.arange(len(shown), device=shown.device), shown[:, 0]].float()
        # The weights go out with the rest so that processes that train together share their gradient.
        return scores, poses[..., :3], poses[..., 3:], self.balance.clone()

    def _localize(self, tokens: Tensor) -> tuple[Tensor, ...]:
        count = len(self.scales_m)
        everywhere = torch.arange(count, device=tokens.device).expand(len(tokens), count)
        pooled, shares = self._decode(tokens, everywhere)
        scores = (pooled.float() * self.score).sum(-1) + self.score_bias
        poses = self.heads(pooled).float()
        positions_m = self.centres_m[:, None] + self.scales_m[:, None, None] * poses[..., :3]
        # How much each cell asks the telling words, averaged over the heads of the last layer; 1 is the mean cell.
        asked = (shares.float().mean(1) * self.sentences.content.repeat(len(tokens), 1).unsqueeze(1)).sum(-1)[:, 1:]
        attention = (asked / asked.mean(-1, keepdim=True).clamp_min(1e-9)).unflatten(0, (len(tokens), count))
        return scores, positions_m, poses[..., 3:], attention

    def _image_tokens(self, summary: Tensor, patches: Tensor, grid: tuple[int, int], *, hide: bool) -> Tensor:
        """Return (B, 1 + N, W): the summary and the patches with their places; in training only some patches."""
        places = positions_2d(*grid, self.config.width).to(patches.device)
        cells = self.take(patches) + places
        if hide and self.config.kept_patches < 1:
            kept = max(1, round(self.config.kept_patches * cells.shape[1]))
            chosen = torch.rand(cells.shape[:2], device=cells.device).argsort(dim=1)[:, :kept, None]
            cells = cells.gather(1, chosen.expand(-1, -1, cells.shape[-1]))
        return torch.cat([self.take(summary).unsqueeze(1).to(cells), cells], dim=1)

    def _decode(self, tokens: Tensor, scenes: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is made of images (B, T, W) that read the descriptions of scenes (B, S).

        Returns:
            The mean of the output tokens (B, S, W) and the shares (B * S, heads, T, L) that words got in the last layer.
        """
        each = scenes.flatten()
        words = self.take_words(self.sentences())[each]
        bias = _NEVER * (~self.sentences.mask).float()[each][:, None, None]
        first, *others = self.layers
        # Images look at themselves before they read: once is enough for all descriptions.
        tokens, shares = first.read(first.look(tokens).repeat_interleave(scenes.shape[1], 0), words, bias)
        for layer in others:
            tokens, shares = layer.read(layer.look(tokens), words, bias)
        return self.norm(tokens).mean(1).unflatten(0, tuple(scenes.shape)), shares


class MvlLoc(nn.Module):
    """Image encoder and decoder."""

    def __init__(self, encoder: nn.Module, decoder: PoseDecoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, images: Tensor, shown: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return what `PoseDecoder.forward` does, for images (B, H, W, 3)."""
        summary, patches = self.encoder(images)
        found: tuple[Tensor, ...] = self.decoder(summary, patches, self.encoder.grid(*images.shape[1:3]), shown)
        return found


def describe_network(network: MvlLoc) -> dict[str, Any]:
    """Return what `from_checkpoint` needs; the descriptions become constants, whatever made their features.

    Args:
        network: in evaluation mode.
    """
    sentences = network.decoder.sentences
    made_by = ("decoder.sentences.encoder.", "decoder.sentences.ids")
    state = {name: value for name, value in network.state_dict().items() if not name.startswith(made_by)}
    with torch.no_grad():
        state["decoder.sentences.tokens"] = sentences()
    return {
        "encoder": network.encoder.describe(),
        "decoder": asdict(network.decoder.config),
        "sentences": list(sentences.tokens.shape),
        "network": state,
    }


def from_checkpoint(content: dict[str, Any]) -> MvlLoc:
    """Return the network that `describe_network` described, ready to run."""
    scenes, length, channels = content["sentences"]
    mask = torch.ones(scenes, length, dtype=torch.bool)
    network = create_network(
        encoder_from_description(content["encoder"]),
        DecoderConfig(**content["decoder"]),
        Sentences(torch.zeros(scenes, length, channels), mask, mask),
    )
    return restore(network, content["network"])


def create_network(
    encoder: nn.Module, config: DecoderConfig, sentences: Sentences, places: ScenePlaces | None = None
) -> MvlLoc:
    """Return a network with a new decoder; without places, all scenes lie about their origin."""
    count, channels = len(sentences.mask), int(encoder.channels)  # type: ignore[arg-type]
    if places is None:
        places = ScenePlaces(
            centres_m=torch.zeros(count, 3), scales_m=torch.ones(count), log_quats=torch.zeros(count, 3)
        )
    return MvlLoc(encoder, PoseDecoder(config, channels, sentences, places))


def untrained(train_config: dict[str, Any]) -> dict[str, Any]:
    """Return a checkpoint with random weights of the network that a training configuration describes, of four scenes."""
    encoder = create_scratch_encoder(train_config["encoder"]["kind"])
    tokens = torch.randn(_UNTRAINED_SCENES, _UNTRAINED_WORDS, train_config["text"]["channels"])
    mask = torch.ones(tokens.shape[:2], dtype=torch.bool)
    config = DecoderConfig(**train_config["decoder"])
    return describe_network(create_network(encoder, config, Sentences(tokens, mask, mask)).eval())
