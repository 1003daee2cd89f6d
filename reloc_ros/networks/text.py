"""Sentences as token features: CLIP's text tower, or a small encoder of ours that trains along with the method."""

from __future__ import annotations

import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from reloc_ros.errors import ConfigError
from reloc_ros.networks.hf_folder import load_pretrained, quiet, require_model_type, transformers_module

TOKENS = 77
"""Positions of a sentence, start and end marks counted: what CLIP's text tower has."""

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_SHOWN = 60  # letters of a text that an error quotes


class TextEncoder(nn.Module, ABC):
    """Turns sentences into one feature for each token; `channels` of them."""

    channels: int

    @abstractmethod
    def token_ids(self, text: str) -> list[int]:
        """Return the tokens of a text of any length, with its start and end mark."""

    @abstractmethod
    def beyond(self, text: str) -> str:
        """Return what is left of a too long text where the limit is reached."""

    @abstractmethod
    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return (K, 77, C) features of (K, 77) tokens; zeros where the mask (K, 77) is false."""

    @abstractmethod
    def pool(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Return one feature (K, C) for each sentence of `forward`'s."""

    def count_tokens(self, text: str) -> int:
        """Return how long a text is, start and end mark counted."""
        return len(self.token_ids(text))

    def tokenize(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return tokens (K, 77) and a mask (K, 77), true where there is one.

        Raises:
            ConfigError: a text without a word, or of more than 77 tokens.
        """
        ids = torch.zeros(len(texts), TOKENS, dtype=torch.long)
        mask = torch.zeros(len(texts), TOKENS, dtype=torch.bool)
        for row, text in enumerate(texts):
            found = self._checked_ids(text)
            ids[row, : len(found)] = torch.tensor(found)
            mask[row, : len(found)] = True
        return ids, mask

    def tokens(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return the features (K, 77, C) of sentences and the mask (K, 77) of those that stand for a token.

        Raises:
            ConfigError: a text without a word, or of more than 77 tokens.
        """
        device = next(self.parameters()).device
        ids, mask = (values.to(device) for values in self.tokenize(texts))
        return self(ids, mask), mask

    def pooled(self, texts: Sequence[str]) -> Tensor:
        """Return one feature (K, C) for each sentence.

        Raises:
            ConfigError: a text without a word, or of more than 77 tokens.
        """
        return self.pool(*self.tokens(texts))

    def _checked_ids(self, text: str) -> list[int]:
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
        if not _WORD.search(text):
            raise ConfigError(f"the text {shown!r} holds no word; say in a sentence what is seen there")
        ids = self.token_ids(text)
        if len(ids) > TOKENS:
            raise ConfigError(
                f"the text {shown!r} is {len(ids)} tokens long, the limit is {TOKENS} with start and end marks; shorten "
                f"it by {len(ids) - TOKENS}: it is full before {self.beyond(text)[:_SHOWN]!r}"
            )
        return ids


class ClipText(TextEncoder):
    """CLIP's text tower (Radford et al. 2021), frozen: features after the last normalisation and the projection.

    CLIP itself projects the end mark alone, which `pool` gives: it lives in the space of `ClipImageEncoder`'s tokens.

    Args:
        folder: Hugging Face layout: `config.json`, the weights, and `vocab.json` with `merges.txt` or `tokenizer.json`.

    Raises:
        ConfigError: no such folder, another family, files missing or broken, parameters missing or of another shape, or
            a vocabulary that the tower does not know.
    """

    def __init__(self, folder: str | Path) -> None:
        super().__init__()
        path = Path(folder)
        require_model_type(path, ("clip", "clip_text_model"))
        self._tokenizer = _clip_tokenizer(path)
        unused = ("vision_model.", "visual_projection.", "logit_scale", "text_model.embeddings.position_ids")
        self.model = load_pretrained(path, "CLIPTextModelWithProjection", unused).requires_grad_(False)
        config = self.model.config
        if config.max_position_embeddings != TOKENS or len(self._tokenizer) > config.vocab_size:
            raise ConfigError(
                f"the text tower in {path} takes {config.max_position_embeddings} of {config.vocab_size} tokens; "
                f"expected {TOKENS} of the tokenizer's {len(self._tokenizer)}: give a folder of one checkpoint"
            )
        self.channels = int(self.model.text_projection.out_features)

    def token_ids(self, text: str) -> list[int]:
        """Return CLIP's tokens of a text of any length, with its start and end mark."""
        return [int(token) for token in self._tokenizer(text)["input_ids"]]

    def beyond(self, text: str) -> str:
        """Return what is left of a too long text where the limit is reached."""
        return str(self._tokenizer.decode(self.token_ids(text)[TOKENS - 1 : -1]))

    def save_tokenizer(self, path: Path) -> None:
        """Write the tokenizer as one file, which the package `tokenizers` reads."""
        self._tokenizer.backend_tokenizer.save(str(path))

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return (K, 77, C) features of (K, 77) tokens; zeros where the mask (K, 77) is false."""
        # Each token sees only those before it: what stands after the end mark changes nothing.
        tokens: Tensor = self.model.text_projection(self.model.text_model(input_ids=ids).last_hidden_state)
        return tokens * mask[..., None]

    def pool(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Return the feature of the end mark (K, C)."""
        return tokens[torch.arange(len(tokens), device=tokens.device), mask.sum(1) - 1]


@dataclass(frozen=True, kw_only=True)
class WordTextShape:
    """Widths of a `WordText`.

    Args:
        channels: of a feature; a multiple of `heads`.
        buckets: rows of the table of words. Two words share a row with probability 1 / buckets.
        layers: of the transformer.
        heads: of its attention.
    """

    channels: int = 128
    buckets: int = 4096
    layers: int = 1
    heads: int = 4

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value < 1:
                raise ConfigError(f"text.{name} is {value}; expected 1 or more")
        if self.channels % self.heads:
            raise ConfigError(f"text.channels is {self.channels}, not a multiple of text.heads, {self.heads}")


class WordText(TextEncoder):
    """Small text encoder that trains from scratch: a table of words, their places, and a transformer over them.

    A word's row is a hash of its letters, so there is no vocabulary to keep, and a word never met in training has a row
    of its own (which says nothing).
    """

    PAD, START, END = range(3)

    def __init__(self, shape: WordTextShape | None = None) -> None:
        super().__init__()
        self.shape = shape or WordTextShape()
        self.channels = self.shape.channels
        self.words = nn.Embedding(self.END + 1 + self.shape.buckets, self.channels)
        self.places = nn.Parameter(torch.empty(TOKENS, self.channels))
        nn.init.normal_(self.words.weight, std=0.02)
        nn.init.normal_(self.places, std=0.02)
        layer = nn.TransformerEncoderLayer(
            self.channels,
            self.shape.heads,
            2 * self.channels,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.layers = nn.TransformerEncoder(
            layer, self.shape.layers, norm=nn.LayerNorm(self.channels), enable_nested_tensor=False
        )

    @classmethod
    def from_config(cls, description: dict[str, Any]) -> WordText:
        """Return the encoder that `describe` described; its weights come with `load_state_dict`."""
        try:
            shape = WordTextShape(**description)
        except TypeError as error:
            raise ConfigError(f"the description of a WordText cannot be read ({error}); train again") from error
        return cls(shape)

    def describe(self) -> dict[str, Any]:
        """Return what `from_config` needs, in plain values."""
        return asdict(self.shape)

    def token_ids(self, text: str) -> list[int]:
        """Return the rows of a text's words, with its start and end mark."""
        rows = [self.END + 1 + zlib.crc32(word.encode()) % self.shape.buckets for word in _words(text)]
        return [self.START, *rows, self.END]

    def beyond(self, text: str) -> str:
        """Return what is left of a too long text where the limit is reached."""
        return " ".join(_words(text)[TOKENS - 2 :])

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return (K, 77, C) features of (K, 77) tokens; zeros where the mask (K, 77) is false."""
        tokens: Tensor = self.layers(self.words(ids) + self.places, src_key_padding_mask=~mask)
        return tokens * mask[..., None]

    def pool(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Return the mean over a sentence's tokens (K, C)."""
        return tokens.sum(1) / mask.sum(1, keepdim=True)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _clip_tokenizer(path: Path) -> Any:
    """Return CLIP's tokenizer with the vocabulary in a folder."""
    if not (path / "tokenizer.json").is_file():
        missing = [name for name in ("vocab.json", "merges.txt") if not (path / name).is_file()]
        if missing:
            raise ConfigError(f"{path} lacks {' and '.join(missing)} of CLIP's tokenizer; fetch the checkpoint again")
    try:
        with quiet():
            return transformers_module().CLIPTokenizer.from_pretrained(path, local_files_only=True)
    except Exception as error:  # whatever its reader met
        raise ConfigError(f"CLIP's tokenizer in {path} cannot be read ({error}); fetch it again") from error
