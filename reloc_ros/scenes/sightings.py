"""From named cells of single images to the stable objects of a scene, and where they lie to each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from reloc_ros.scenes.vocabulary import ABOVE, BELOW, BESIDE, IN_THE_MIDDLE, LEFT, RIGHT

SMALLEST_SHARE = 0.02  # of the image: one patch of a 7 x 7 grid
FULL_SHARE = 0.05  # of the image: a larger region counts as fully seen
SEEN_IN_IMAGES = 0.25  # share of a scene's images that a stable object is seen in
LEAST_IMAGES = 2
BESIDE_WITHIN = 0.1  # of half the image
AGREEING = 0.7  # share of the images in which a relation must hold to be stated
OFF_CENTRE = 0.35  # of half the image


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """The largest connected region of one name in one image.

    Args:
        name: of the object.
        x: of the centre, -1 (left border) to 1.
        y: of the centre, -1 (top border) to 1.
        share: of the image that it covers, (0, 1].
    """

    name: str
    x: float
    y: float
    share: float


@dataclass(frozen=True, kw_only=True)
class SceneObject:
    """An object that many images of one scene show.

    Args:
        name: of the object.
        score: how frequent it is here and how rare in the other scenes of the run, >= 0.
        images: number of images that show it.
        x: mean place in the image, -1 (left) to 1.
        y: mean place in the image, -1 (top) to 1.
        share: mean share of the image it covers where it is seen.
    """

    name: str
    score: float
    images: int
    x: float
    y: float
    share: float


@dataclass(frozen=True, kw_only=True)
class Relation:
    """`name` lies `relation` `anchor` in most of the images that show both; None where no image does."""

    name: str
    relation: str | None
    anchor: str


def sightings_of(labels: NDArray[np.integer], names: Sequence[str]) -> dict[str, Sighting]:
    """Return by name the largest connected region of each name in an image.

    Args:
        labels: (rows, columns), index into `names`; negative where nothing is known.
        names: of the labels.
    """
    rows, columns = labels.shape
    found: dict[str, Sighting] = {}
    for label in np.unique(labels[labels >= 0]):
        mask = (labels == label).astype(np.uint8)
        _, _, statistics, centres = cv2.connectedComponentsWithStats(mask, connectivity=8)
        areas = statistics[1:, cv2.CC_STAT_AREA]
        largest = int(np.argmax(areas))
        share = float(areas[largest]) / (rows * columns)
        if share >= SMALLEST_SHARE:
            column, row = centres[1 + largest]
            x, y = 2.0 * (column + 0.5) / columns - 1.0, 2.0 * (row + 0.5) / rows - 1.0
            found[names[label]] = Sighting(name=names[label], x=float(x), y=float(y), share=share)
    return found


def stable_objects(scenes: Sequence[Sequence[dict[str, Sighting]]]) -> list[list[SceneObject]]:
    """Return for each scene its stable objects, best first.

    The score is that of a word in a text (tf-idf): how much of the scene's images show the object, times the
    logarithm of how much more often this scene shows it than all scenes do.

    Args:
        scenes: for each scene, the sightings by name in each of its images.
    """
    frequencies = [_frequencies(images) for images in scenes]
    totals: dict[str, float] = {}
    for frequency in frequencies:
        for name, value in frequency.items():
            totals[name] = totals.get(name, 0.0) + value
    return [
        _stable(images, {name: tf * math.log1p(len(scenes) * tf / totals[name]) for name, tf in frequency.items()})
        for images, frequency in zip(scenes, frequencies, strict=True)
    ]


def relation_between(
    images: Sequence[dict[str, Sighting]], name: str, anchor: str, *, sideways: bool = True
) -> Relation:
    """Return where `name` lies from `anchor`, judged within single images, so that the camera's motion cancels.

    Args:
        images: sightings by name in each image.
        name: the object to place.
        anchor: the object it is placed by.
        sideways: False for panoramas, where left and right depend on the heading.
    """
    both = [(image[name], image[anchor]) for image in images if name in image and anchor in image]
    if not both:
        return Relation(name=name, relation=None, anchor=anchor)
    offsets = np.array([(one.x - other.x, one.y - other.y) for one, other in both])
    dx, dy = np.median(offsets, axis=0)
    axis = 0 if sideways and abs(dx) > abs(dy) else 1
    offset = dx if axis == 0 else dy
    agreeing = float(np.mean(np.sign(offsets[:, axis]) == np.sign(offset)))
    words = ((LEFT, RIGHT), (ABOVE, BELOW))[axis]
    stated = abs(offset) >= BESIDE_WITHIN and agreeing >= AGREEING
    return Relation(name=name, relation=words[int(offset > 0)] if stated else BESIDE, anchor=anchor)


def place_of(seen: SceneObject, *, sideways: bool = True) -> str:
    """Return where in the image an object mostly lies."""
    if sideways and abs(seen.x) >= max(OFF_CENTRE, abs(seen.y)):
        return "on the left" if seen.x < 0 else "on the right"
    if abs(seen.y) >= OFF_CENTRE:
        return "at the top" if seen.y < 0 else "at the bottom"
    return IN_THE_MIDDLE


def _frequencies(images: Sequence[dict[str, Sighting]]) -> dict[str, float]:
    """Return by name how much of the images show it; a region counts in full from FULL_SHARE of the image on."""
    sums: dict[str, float] = {}
    for image in images:
        for sighting in image.values():
            sums[sighting.name] = sums.get(sighting.name, 0.0) + min(1.0, sighting.share / FULL_SHARE)
    return {name: total / len(images) for name, total in sums.items()}


def _stable(images: Sequence[dict[str, Sighting]], scores: dict[str, float]) -> list[SceneObject]:
    least = min(len(images), max(LEAST_IMAGES, math.ceil(SEEN_IN_IMAGES * len(images))))
    found = []
    for name, score in scores.items():
        seen = [image[name] for image in images if name in image]
        if len(seen) >= least:
            x, y, share = np.mean([(one.x, one.y, one.share) for one in seen], axis=0).round(3).tolist()
            found.append(SceneObject(name=name, score=round(score, 4), images=len(seen), x=x, y=y, share=share))
    return sorted(found, key=lambda one: (-one.score, one.name))
