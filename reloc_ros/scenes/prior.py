"""An operator's sentence ("by the lifts, white walls") as a prior over the scenes of a model."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from reloc_ros.errors import ConfigError
from reloc_ros.scenes.token_count import TOKEN_LIMIT, check_sentence, count_words
from reloc_ros.scenes.words import NEGATIONS, STOP_WORDS, idf_weights, raw_words, stems
from reloc_ros.types import Array, Outputs

SCENE_LOGITS = "scene_logits"
STRONGEST = 20.0
"""How much likelier a hint can make one scene than another. A network that is sure (99 to 1) overrules a wrong hint."""

COSINE_SCALE = 0.05
"""Difference of cosine that counts as one unit of log weight: sentences of one language are never far apart."""

_LEAST_PART_OF_NAME = 4  # letters of a word that count when found inside a name such as "redkitchen"
_LOG = logging.getLogger(__name__)


class SentenceEncoder(Protocol):
    """What a text tower does."""

    def embed(self, sentence: str) -> Array:
        """Return the feature (C,) of a sentence."""

    def count_tokens(self, sentence: str) -> int:
        """Return how long a sentence is, start and end mark counted."""


@dataclass(frozen=True, kw_only=True)
class Hint:
    """What a sentence says about the scene.

    Args:
        sentence: as given.
        weights: (K,), sum 1; the largest is at most STRONGEST times the smallest.
        message: what was understood, for people.
    """

    sentence: str
    weights: Array
    message: str


class ScenePrior:
    """Weights over scenes that an operator sets by a sentence; may be set in one thread and applied in another.

    Args:
        names: of the K scenes, in the order of the network's scene logits.
        descriptions: one sentence for each.
        text: text tower; without it words are matched.

    Raises:
        ConfigError: there is no scene, or names and descriptions do not pair up.
    """

    def __init__(self, names: Sequence[str], descriptions: Sequence[str], text: SentenceEncoder | None = None) -> None:
        if not names or len(names) != len(descriptions):
            raise ConfigError(
                f"a scene prior got {len(names)} names and {len(descriptions)} descriptions, expected one description "
                "for each of at least one scene; export the bundle again"
            )
        self._names = tuple(names)
        self._words = [set(stems(name)) | set(stems(text)) for name, text in zip(names, descriptions, strict=True)]
        self._squeezed = ["".join(letter for letter in name.lower() if letter.isalnum()) for name in names]
        self._text = text
        self._count_tokens = count_words if text is None else text.count_tokens
        self._features = None if text is None else np.stack([_unit(text.embed(each)) for each in descriptions])
        # Replaced as a whole and read once in `apply`: a reader sees the old hint or the new one, never half of each.
        self._current: Hint | None = None

    @property
    def current(self) -> Hint | None:
        """The hint in force."""
        return self._current

    def hint(self, sentence: str) -> Hint:
        """Put a sentence in force and return what it says; one that says nothing gives equal weights and says so.

        Raises:
            ConfigError: the sentence is empty, too long, or says where the robot is not.
        """
        text = check_sentence(sentence, "the hint", self._count_tokens, TOKEN_LIMIT)
        negations = [word for word in raw_words(text) if word in NEGATIONS]
        if negations:
            raise ConfigError(f"the hint '{text}' says '{negations[0]}'; say where the robot is, not where it is not")
        hint = self._from_words(text) if self._text is None else self._from_features(text, self._text)
        _LOG.info("scene hint: %s", hint.message)
        self._current = hint
        return hint

    def clear(self) -> None:
        """Forget the hint: all scenes are equally likely again."""
        self._current = None

    def apply(self, outputs: Outputs) -> Outputs:
        """Return the outputs with the hint's log weights added to `scene_logits` (1, K); the given ones stay as they are.

        Raises:
            ConfigError: the outputs have no scene logits, or not one for each scene.
        """
        hint = self._current
        if hint is None:
            return outputs
        logits = outputs.get(SCENE_LOGITS)
        expected = (1, len(self._names))
        if logits is None or logits.shape != expected:
            found = "missing" if logits is None else f"of shape {logits.shape}"
            raise ConfigError(
                f"{SCENE_LOGITS} is {found}, expected {expected}; use a bundle of these scenes, or no hint"
            )
        return {**outputs, SCENE_LOGITS: (logits + np.log(hint.weights)).astype(logits.dtype)}

    def _from_words(self, text: str) -> Hint:
        """Weigh each scene by the share of the sentence's telling words that its name or description has."""
        asked = [word for word in dict.fromkeys(stems(text)) if word not in STOP_WORDS]
        found = {word: [self._has(k, word) for k in range(len(self._names))] for word in asked}
        idf = idf_weights(found)
        total = sum(idf.values())
        if total == 0.0:
            known = [word for word, scenes in found.items() if any(scenes)]
            why = f"'{', '.join(known)}' fits every scene" if known else "no scene is described with these words"
            return self._hint(text, np.zeros(len(self._names)), f"'{text}' tells no scene from another: {why}")
        covered = sum(weight * np.asarray(found[word], dtype=np.float64) for word, weight in idf.items()) / total
        unknown = [word for word, scenes in found.items() if not any(scenes)]
        ignored = f"; unknown: {', '.join(unknown)}" if unknown else ""
        used = ", ".join(word for word, weight in idf.items() if weight > 0.0)
        return self._hint(text, np.log(STRONGEST) * np.asarray(covered), f"by {used}{ignored}")

    def _from_features(self, text: str, tower: SentenceEncoder) -> Hint:
        assert self._features is not None  # noqa: S101 - set together with the tower
        return self._hint(text, self._features @ _unit(tower.embed(text)) / COSINE_SCALE, "by the text tower")

    def _has(self, scene: int, word: str) -> bool:
        inside = len(word) >= _LEAST_PART_OF_NAME and word in self._squeezed[scene]
        return inside or word in self._words[scene]

    def _hint(self, text: str, log_weights: Array, how: str) -> Hint:
        bounded = np.maximum(log_weights - log_weights.max(), -np.log(STRONGEST))
        weights = np.exp(bounded)
        weights /= weights.sum()
        if np.ptp(bounded) > 0.0:
            best = int(np.argmax(weights))
            how = f"{self._names[best]} {100.0 * weights[best]:.0f} % ({how})"
        return Hint(sentence=text, weights=weights, message=how)


def _unit(features: Array) -> Array:
    flat = np.asarray(features, dtype=np.float64).ravel()
    return flat / max(float(np.linalg.norm(flat)), 1e-12)
