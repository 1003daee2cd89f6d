"""CLIP's text tower of a bundle: reads an operator's sentence on the robot, without torch.

Optional: a bundle has it where `reloc export --text-tower` put it. Without, sentences are matched word by word.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from reloc_ros.bundle.load import Bundle
from reloc_ros.errors import BackendError

TEXT_MODEL = "text.onnx"
TOKENIZER = "tokenizer.json"
TOKENS = 77
"""Positions of a sentence, start and end marks counted."""


def has_text_tower(bundle: Bundle) -> bool:
    """Return whether a bundle brings its text tower along."""
    return {TEXT_MODEL, TOKENIZER} <= set(bundle.manifest.files)


class TextTower:
    """Turns sentences into features of the space in which scenes are described.

    Args:
        bundle: verified bundle with a text tower.

    Raises:
        BackendError: the package `tokenizers` is missing, or one of the two files cannot be used.
    """

    def __init__(self, bundle: Bundle) -> None:
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise BackendError(
                f"bundle {bundle.path} has a text tower, and the package tokenizers that it needs cannot be imported "
                f"({error}); pip install tokenizers, or export the bundle without --text-tower"
            ) from error
        try:
            self._tokenizer: Any = Tokenizer.from_file(str(bundle.path / TOKENIZER))
            self._session = onnxruntime.InferenceSession(
                str(bundle.path / TEXT_MODEL), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # both raise bare exceptions of their own
            raise BackendError(
                f"the text tower of bundle {bundle.path} cannot be loaded ({error}); export it again"
            ) from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def count_tokens(self, sentence: str) -> int:
        """Return how long a sentence is, start and end mark counted."""
        return len(self._tokenizer.encode(sentence).ids)

    def embed(self, sentence: str) -> NDArray[np.float64]:
        """Return the feature (C,) of a sentence.

        Raises:
            BackendError: the sentence has more than 77 tokens, or the tower cannot be run.
        """
        found = self._tokenizer.encode(sentence).ids
        if len(found) > TOKENS:
            raise BackendError(f"the sentence has {len(found)} tokens, the limit is {TOKENS}; shorten it")
        ids, mask = np.zeros((1, TOKENS), np.int64), np.zeros((1, TOKENS), bool)
        ids[0, : len(found)], mask[0, : len(found)] = found, True
        try:
            (feature,) = self._session.run(None, {"ids": ids, "mask": mask})
        except Exception as error:  # ONNX Runtime raises its own unrelated classes
            raise BackendError(f"the text tower could not be run: {error}") from error
        return np.asarray(feature[0], dtype=np.float64)
