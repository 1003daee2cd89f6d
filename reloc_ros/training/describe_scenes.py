"""Writing scene descriptions from mapping images: CLIP zero-shot where there is a checkpoint, colours where not."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from reloc_ros.datasets.images import PosedImage
from reloc_ros.errors import ConfigError, DatasetError
from reloc_ros.scenes import appearance
from reloc_ros.scenes.compose import LEVELS, SAME_FOR_ALL, choose, compose, label_from_name
from reloc_ros.scenes.descriptions import MachineNote, SceneDescription, SceneDescriptions
from reloc_ros.scenes.sightings import Sighting, place_of, relation_between, sightings_of, stable_objects
from reloc_ros.scenes.token_count import TOKEN_LIMIT, TokenCounter, count_words
from reloc_ros.scenes.vocabulary import MOVABLE, OBJECTS, SCENE_LABELS, TEMPLATES
from reloc_ros.types import Image

IMAGES_OF_A_SCENE = 24
BATCH = 8
CLIP_INPUT_PX = 224

_LOG = logging.getLogger(__name__)

Seen = list[dict[str, Sighting]]


class ImageTower(Protocol):
    """What is needed of CLIP's image tower."""

    channels: int

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Return the rows and columns of patches of an image."""

    def __call__(self, images: Any) -> tuple[Any, Any]:
        """Return class tokens (B, C) and patch tokens (B, N, C) of (B, H, W, 3) images 0..255, projected."""


class TextTower(Protocol):
    """What is needed of CLIP's text tower."""

    def __call__(self, sentences: Sequence[str]) -> Any:
        """Return (V, C) pooled, projected features of V sentences."""


@dataclass(frozen=True, kw_only=True)
class Clip:
    """Both towers of one checkpoint.

    Args:
        image: tower for square images.
        text: tower for sentences, with as many features.
        count_tokens: how long a sentence is to the text tower.
        side_px: of the images that the image tower takes.
    """

    image: ImageTower
    text: TextTower
    count_tokens: TokenCounter = count_words
    side_px: int = CLIP_INPUT_PX


def describe_scenes(
    scenes: Mapping[str, Sequence[PosedImage]],
    *,
    level: str = "detailed",
    clip: Clip | None = None,
    token_limit: int = TOKEN_LIMIT,
) -> SceneDescriptions:
    """Return one description for each scene; the same images give the same sentences.

    Args:
        scenes: mapping images by the name of the scene; about 24 of each are looked at.
        level: `none` (one sentence for all), `label` (the kind of place) or `detailed` (its stable objects, too).
        clip: towers that name patches; without them regions of colour and texture are named.
        token_limit: of a description, start and end marks counted.

    Raises:
        ConfigError: the level is unknown, there is no scene, or the towers do not belong together.
        DatasetError: a scene has no image, or an image cannot be read.
    """
    if level not in LEVELS:
        raise ConfigError(f"description level is '{level}'; use one of {', '.join(LEVELS)}")
    for name, images in scenes.items():
        if not images:
            raise DatasetError(f"scene '{name}' has no image to describe it by; give it a data set with images")
    labels, seen = _look(scenes, level, clip)
    objects = stable_objects(list(seen.values()))
    count_tokens = count_words if clip is None else clip.count_tokens
    descriptions, notes = [], {}
    for name, found in zip(scenes, objects, strict=True):
        sideways = scenes[name][0].camera.model != "equirectangular"
        chosen = choose(found, appearance.colour_of if clip is None else str)
        # Relations are judged under the names that images carry and said under those that sentences use.
        related = [relation_between(seen[name], one.name, chosen[0].name, sideways=sideways) for one in chosen[1:]]
        named = chosen if clip is not None else [appearance.spoken(one) for one in chosen]
        sentence = SAME_FOR_ALL
        if level != "none":
            sentence = compose(
                labels[name],
                named,
                [
                    replace(relation, name=one.name, anchor=named[0].name)
                    for relation, one in zip(related, named[1:], strict=True)
                ],
                place_of(chosen[0], sideways=sideways) if chosen else "",
                fits=lambda text: count_tokens(text) <= token_limit,
            )
        descriptions.append(SceneDescription(name=name, description=sentence))
        notes[name] = MachineNote(sentence=sentence, images=len(seen[name]), objects=tuple(named))
    if level == "detailed":
        _warn_of_twins(descriptions)
    describer = "clip" if clip is not None else "appearance"
    return SceneDescriptions(scenes=tuple(descriptions), describer=describer, level=level, notes=notes)


def _look(
    scenes: Mapping[str, Sequence[PosedImage]], level: str, clip: Clip | None
) -> tuple[dict[str, str], dict[str, Seen]]:
    """Return the kind of place and the sightings in each image, as far as the level needs them, by scene."""
    labels = {name: label_from_name(name) for name in scenes}
    seen: dict[str, Seen] = {name: [] for name in scenes}
    if level == "none" or (level == "label" and clip is None):
        return labels, seen
    namer = None if clip is None else _PatchNamer(clip)
    for name, posed in scenes.items():
        images = [image.frame().image for image in _evenly(posed, IMAGES_OF_A_SCENE)]
        if namer is None:
            cells = [appearance.name_cells(image) for image in images]
            seen[name] = [sightings_of(one, appearance.NAMES) for one in cells]
            continue
        labels[name], patches = namer.name(images)
        if level == "detailed":
            seen[name] = [sightings_of(one, OBJECTS) for one in patches]
    return labels, seen


def _evenly(images: Sequence[PosedImage], count: int) -> list[PosedImage]:
    """Return at most `count` images, evenly spread."""
    return [images[i] for i in np.unique(np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(int))]


class _PatchNamer:
    """Names each patch by the most similar word of the vocabulary, and a scene by its class tokens."""

    def __init__(self, clip: Clip) -> None:
        self._image = clip.image
        self._objects = _features_of((*OBJECTS, *MOVABLE), clip)
        self._scenes = _features_of(SCENE_LABELS, clip)
        self._side_px = clip.side_px

    def name(self, images: Sequence[Image]) -> tuple[str, list[NDArray[np.int64]]]:
        """Return the kind of place, and for each image (rows, columns) indices into OBJECTS, -1 for movable things."""
        side = self._side_px
        rows, columns = self._image.grid(side, side)
        resized = np.stack([cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA) for image in images])
        named: list[NDArray[np.int64]] = []
        place = torch.zeros(len(SCENE_LABELS))
        with torch.inference_mode():
            for start in range(0, len(resized), BATCH):
                whole, patches = self._image(torch.from_numpy(resized[start : start + BATCH]))
                best = (_unit(patches) @ self._objects.T).argmax(dim=-1).reshape(-1, rows, columns).numpy()
                named += list(np.where(best < len(OBJECTS), best, -1))
                place += (_unit(whole) @ self._scenes.T).sum(dim=0)
        return SCENE_LABELS[int(place.argmax())], named


def _features_of(nouns: Sequence[str], clip: Clip) -> Any:
    """Return (V, C) unit features of nouns, averaged over the templates.

    Raises:
        ConfigError: the towers' features are not of one length.
    """
    with torch.inference_mode():
        features = torch.stack([_unit(clip.text([template.format(noun) for noun in nouns])) for template in TEMPLATES])
    if features.shape[-1] != clip.image.channels:
        raise ConfigError(
            f"the text tower gives {features.shape[-1]} features and the image tower {clip.image.channels}, expected "
            "the same; take both from one CLIP checkpoint"
        )
    return _unit(features.mean(dim=0))


def _unit(features: Any) -> Any:
    return torch.nn.functional.normalize(features.float(), dim=-1)


def _warn_of_twins(descriptions: Sequence[SceneDescription]) -> None:
    by_sentence: dict[str, list[str]] = {}
    for scene in descriptions:
        by_sentence.setdefault(scene.description, []).append(scene.name)
    for sentence, names in by_sentence.items():
        if len(names) > 1:
            _LOG.warning("scenes %s are described alike: '%s'; edit one of them", ", ".join(names), sentence)
