"""How long a sentence is, where no tokenizer is at hand."""

from __future__ import annotations

import re
from collections.abc import Callable

from reloc_ros.errors import ConfigError

TOKEN_LIMIT = 77
"""Tokens that CLIP's text tower takes, start and end marks counted."""

TokenCounter = Callable[[str], int]

_WORD_OR_MARK = re.compile(r"[^\W\d_]+|\d|[^\s\w]|_")
_LETTERS_OF_A_TOKEN = 12  # CLIP's vocabulary holds most English words whole; longer ones are cut


def count_words(text: str) -> int:
    """Return about how many tokens CLIP would cut a text into: words, digits, marks, and a start and an end."""
    return 2 + sum(1 + (len(found) - 1) // _LETTERS_OF_A_TOKEN for found in _WORD_OR_MARK.findall(text))


def check_sentence(text: object, where: str, count_tokens: TokenCounter, limit: int = TOKEN_LIMIT) -> str:
    """Return the text without spare blanks.

    Raises:
        ConfigError: it is no text, it is empty, or it is longer than the limit; `where` says which text it is.
    """
    if not isinstance(text, str):
        raise ConfigError(f"{where} is {type(text).__name__} {text!r}, expected a sentence; put it in quotes")
    sentence = " ".join(text.split())
    if not any(letter.isalnum() for letter in sentence):
        raise ConfigError(f"{where} is empty ({text!r}); say in a sentence what is seen there")
    tokens = count_tokens(sentence)
    if tokens > limit:
        raise ConfigError(
            f"{where} is {tokens} tokens long, the limit is {limit} with start and end marks; shorten "
            f"'{sentence if len(sentence) <= 60 else sentence[:60] + '...'}'"
        )
    return sentence
