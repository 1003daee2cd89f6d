"""People who walk through the picture and hide the room behind them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from reloc_ros.types import Array, Image

_STRIPE_PX = 6


@dataclass(frozen=True, kw_only=True)
class _Person:
    """One who walks past: where in the picture, and in what clothes.

    Args:
        height: of the body over that of the picture.
        feet: of the feet below the upper edge, over the height of the picture.
        start: of the middle at time 0, over the width of the picture.
        speed: widths of the picture a second, negative to the left.
        clothes: (3, 3) RGB of hair or hat, upper and lower garment.
        stripes: how much lighter every other stripe of the upper garment is, grey levels.
    """

    height: float
    feet: float
    start: float
    speed: float
    clothes: Array
    stripes: float


class Crowd:
    """People enough to hide a share of every picture, on average over time.

    Args:
        share: of the pixels, 0 to 0.8.
        rng: draws the people.
    """

    def __init__(self, share: float, rng: Generator) -> None:
        if not 0.0 <= share <= 0.8:
            raise ValueError(f"a crowd covers {share:.2f} of the picture, expected 0 to 0.8")
        self._people: list[_Person] = []
        seconds = np.linspace(0.0, 20.0, 20)
        while self.share_at(seconds, 64, 48) < share:
            self._people.append(_draw_person(rng))

    def share_at(self, seconds: Array, width: int, height: int) -> float:
        """Return which share of the pixels they hide, on average over moments in time."""
        return float(np.mean([self._mask(float(at), width, height) > 0 for at in seconds]))

    def before(self, picture: Image, seconds: float) -> Image:
        """Return the picture (H, W, 3) with the people in front, at a time."""
        painted: Image = picture.copy()
        brightness = float(np.mean(picture)) / 128.0
        for person in self._people:
            _paint(painted, person, seconds, brightness)
        return painted

    def _mask(self, seconds: float, width: int, height: int) -> NDArray[np.uint8]:
        mask = np.zeros((height, width, 3), np.uint8)
        for person in self._people:
            _paint(mask, person, seconds, None)
        hidden: NDArray[np.uint8] = mask[:, :, 0]
        return hidden


def _draw_person(rng: Generator) -> _Person:
    height = float(rng.uniform(0.7, 1.6))
    return _Person(
        height=height,
        feet=float(rng.uniform(0.45, 0.55) + 0.5 * height),
        start=float(rng.uniform(0.0, 1.0)),
        speed=float(rng.choice([-1.0, 1.0]) * rng.uniform(0.05, 0.3)),
        clothes=rng.uniform(15.0, 235.0, (3, 3)),
        stripes=float(rng.choice([0.0, 40.0])),
    )


def _paint(picture: Image, person: _Person, seconds: float, brightness: float | None) -> None:
    """Paint a person; without a brightness in plain white, as a mask."""
    rows, columns = picture.shape[:2]
    tall = person.height * rows
    feet = person.feet * rows
    # They walk in circles: who leaves on the right comes back on the left.
    reach = columns + 0.5 * tall
    middle = (person.start * reach + person.speed * columns * seconds) % reach - 0.25 * tall
    stride = 0.06 * tall * np.sin(2.0 * np.pi * (person.start + 0.9 * seconds))

    def at(x: float, y: float) -> tuple[int, int]:
        return round(middle + x * tall), round(feet - y * tall)

    def colour(part: int, lighter: float = 0.0) -> tuple[float, float, float]:
        if brightness is None:
            return (255.0, 255.0, 255.0)
        red, green, blue = np.clip((person.clothes[part] + lighter) * brightness, 0, 255)
        return float(red), float(green), float(blue)

    for side in (-1.0, 1.0):
        leg = [at(0.07 * side - 0.05, 0.5), at(0.07 * side + 0.05, 0.5), at(0.06 * side + 0.04, 0.0)]
        leg.append(at(0.06 * side - 0.04, 0.0))
        shifted = [(x + round(side * stride * (index > 1)), y) for index, (x, y) in enumerate(leg)]
        cv2.fillPoly(picture, [np.array(shifted, np.int32)], colour(2))
    trunk = np.array([at(-0.12, 0.82), at(0.12, 0.82), at(0.15, 0.45), at(-0.15, 0.45)], np.int32)
    cv2.fillPoly(picture, [trunk], colour(1))
    if person.stripes and brightness is not None:
        left, right = trunk[:, 0].min(), trunk[:, 0].max()
        for row in range(trunk[0, 1], trunk[2, 1], 2 * _STRIPE_PX):
            cv2.rectangle(picture, (left, row), (right, row + _STRIPE_PX), colour(1, person.stripes), -1)
    cv2.ellipse(picture, at(0.0, 0.91), (round(0.06 * tall), round(0.08 * tall)), 0, 0, 360, colour(0), -1)
