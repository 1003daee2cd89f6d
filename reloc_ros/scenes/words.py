"""Words of a sentence in a form that matches: lower case, singular, one word for each thing."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

_SAME = {
    "lift": "elevator",
    "couch": "sofa",
    "settee": "sofa",
    "fridge": "refrigerator",
    "tv": "television",
    "screen": "monitor",
    "display": "monitor",
    "hallway": "corridor",
    "hall": "corridor",
    "passage": "corridor",
    "gray": "grey",
    "stair": "staircase",
    "stairway": "staircase",
    "stairwell": "staircase",
    "restroom": "bathroom",
    "washroom": "bathroom",
    "clinic": "hospital",
    "ward": "hospital",
    "telephone": "phone",
    "cyan": "turquoise",
    "violet": "purple",
    "cupboard": "cabinet",
    "lounge": "living",
    "hob": "stove",
    "cooker": "stove",
    "tap": "faucet",
}
_ENDINGS = (("ies", "y"), ("shelves", "shelf"), ("sses", "ss"), ("xes", "x"), ("ches", "ch"), ("shes", "sh"))
_SHORTEST_PLURAL = 4
_NOT_PLURAL = ("ss", "us", "is")
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_DIGITS = re.compile(r"(?<=[^\W\d])(?=\d)|(?<=\d)(?=[^\W\d])")


def raw_words(text: str) -> list[str]:
    """Return the words of a text in lower case."""
    return _WORD.findall(text.lower().replace("\u2019", "'"))


STOP_WORDS = frozenset(
    raw_words(
        "a an the this that these those i i'm we you it it's its is are am was be been has have in inside at on onto of "
        "to by near next from with and or for into there here where now some one just place scene robot camera left "
        "right above below beside middle top bottom side elsewhere area patch large small"
    )
)
"""Words that do not tell places apart."""

NEGATIONS = frozenset(raw_words("not no never without isn't aren't neither nor"))
"""Words that turn a sentence into its opposite, which matching words cannot follow."""


def stems(text: str) -> list[str]:
    """Return the words of a text in matching form; "room2" is "room" and "2"."""
    parts = [part for word in raw_words(text) for part in _DIGITS.split(word)]
    return [_SAME.get(stem, stem) for stem in map(_singular, parts)]


def idf_weights(found: Mapping[str, Sequence[bool]]) -> dict[str, float]:
    """Return how telling each word is: 0 for one that every scene or no scene has, more for one that few have."""
    weights = {}
    for word, scenes in found.items():
        hits = sum(scenes)
        weights[word] = math.log(len(scenes) / hits) if hits else 0.0
    return weights


def _singular(word: str) -> str:
    for ending, replacement in _ENDINGS:
        if word.endswith(ending) and len(word) > len(ending):
            return word.removesuffix(ending) + replacement
    if len(word) >= _SHORTEST_PLURAL and word.endswith("s") and not word.endswith(_NOT_PLURAL):
        return word[:-1]
    return word
