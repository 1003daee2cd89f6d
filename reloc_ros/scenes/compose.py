"""Composing the sentence that describes a scene."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from reloc_ros.errors import ConfigError
from reloc_ros.scenes.sightings import Relation, SceneObject

LEVELS = ("none", "label", "detailed")
"""How much a description says: the same sentence for every scene, the kind of place, or its stable objects, too."""

SAME_FOR_ALL = "a place."
LEAST_OBJECTS, MOST_OBJECTS = 3, 5
TELLING = 0.4
"""Score, relative to the best object's, from which a fourth or fifth object is worth naming."""


def compose(
    label: str,
    objects: Sequence[SceneObject],
    relations: Sequence[Relation],
    place: str,
    *,
    fits: Callable[[str], bool],
) -> str:
    """Return a sentence of the kind of place and its objects, the first of which is what the others are placed by.

    Args:
        label: kind of place, such as "kitchen".
        objects: best first; as many are named as fit.
        relations: of the second and later objects to the first, in the same order.
        place: of the first object in the image.
        fits: whether a sentence is short enough.

    Raises:
        ConfigError: not even the kind of place fits.
    """
    phrases = [f"{with_article(objects[0].name)} {place}"] if objects else []
    phrases += [_related(relation) for relation in relations]
    for count in range(len(phrases), -1, -1):
        sentence = f"{with_article(label)} with {_listed(phrases[:count])}." if count else f"{with_article(label)}."
        if fits(sentence):
            return sentence
    raise ConfigError(
        f"the scene label '{label}' alone is longer than a description may be; give the scene a short name"
    )


def choose(objects: Sequence[SceneObject], kind_of: Callable[[str], str]) -> list[SceneObject]:
    """Return the 3-5 objects that a sentence should name, best first; fewer where there are no more.

    Args:
        objects: best first.
        kind_of: what makes two names much the same: one of each kind is chosen.
    """
    chosen: list[SceneObject] = []
    for one in objects:
        another = all(kind_of(other.name) != kind_of(one.name) for other in chosen)
        worth = len(chosen) < LEAST_OBJECTS or one.score >= TELLING * objects[0].score
        if another and worth and len(chosen) < MOST_OBJECTS:
            chosen.append(one)
    return chosen


def label_from_name(name: str) -> str:
    """Return a scene's name as a person would say it: `phone_desk` is "phone desk"."""
    return " ".join(name.replace("_", " ").replace("-", " ").replace("/", " ").split()).lower() or "place"


def with_article(noun: str) -> str:
    """Return the noun with "a" or "an"."""
    return f"{'an' if noun[:1] in 'aeiou' else 'a'} {noun}"


def _related(relation: Relation) -> str:
    noun = with_article(relation.name)
    return f"{noun} elsewhere" if relation.relation is None else f"{noun} {relation.relation} the {relation.anchor}"


def _listed(phrases: Sequence[str]) -> str:
    return phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"
