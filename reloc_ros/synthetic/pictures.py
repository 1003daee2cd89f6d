"""Things to look at: paintings, book spines, screens and the view out of the windows."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
from numpy.random import Generator

from reloc_ros.synthetic.textures import finish, flat, hsv, noise
from reloc_ros.types import Array, Image


def _tuple(colour: Array) -> tuple[float, ...]:
    return tuple(float(c) for c in colour)


def _any_colour(rng: Generator, value: float = 0.4) -> tuple[float, ...]:
    return _tuple(hsv(rng.random(), 0.3 + 0.7 * rng.random(), value + (1 - value) * rng.random()))


def painting(rng: Generator, height: int, width: int) -> Image:
    """Return a framed picture, one of six kinds, never the same twice."""
    kind = int(rng.random() * 6)
    image = (_landscape, _circles, _grid, _flower, _poster, _rays)[kind](rng, height, width)
    frame = max(3, min(height, width) // 22)
    mat = frame * 3 if rng.random() < 0.5 else frame
    cv2.rectangle(image, (0, 0), (width - 1, height - 1), (238.0, 234.0, 226.0), mat * 2)
    cv2.rectangle(image, (0, 0), (width - 1, height - 1), _any_colour(rng, 0.1), frame * 2)
    return finish(image)


def _landscape(rng: Generator, height: int, width: int) -> Array:
    hue = rng.random()
    fade = np.linspace(0, 1, height)[:, None, None]
    image = (1 - fade) * hsv(hue, 0.6, 0.95) + fade * hsv(hue + 0.12, 0.4, 1.0) + np.zeros((height, width, 3))
    sun = (int(width * rng.random()), int(height * (0.1 + 0.3 * rng.random())))
    cv2.circle(image, sun, int(height * (0.06 + 0.08 * rng.random())), _any_colour(rng, 0.9), -1, cv2.LINE_AA)
    for layer in range(4):
        ridge = height * (0.4 + 0.14 * layer) + height * 0.13 * noise(rng, 1, width, 4, 3)[0]
        below = np.arange(height)[:, None] > ridge[None, :]
        image[below] = hsv(hue + 0.3 + 0.06 * layer, 0.5, 0.75 - 0.16 * layer)
    return image


def _circles(rng: Generator, height: int, width: int) -> Array:
    image = flat(height, width, _any_colour(rng, 0.7))
    for _ in range(int(6 + 9 * rng.random())):
        centre = (int(width * rng.random()), int(height * rng.random()))
        radius = int(height * (0.05 + 0.2 * rng.random()))
        for ring in range(3):
            cv2.circle(image, centre, max(1, radius * (3 - ring) // 3), _any_colour(rng), -1, cv2.LINE_AA)
    return image


def _grid(rng: Generator, height: int, width: int) -> Array:
    image = flat(height, width, (240, 238, 230))
    x = [0, *sorted((rng.random(4) * width).astype(int).tolist()), width]
    y = [0, *sorted((rng.random(4) * height).astype(int).tolist()), height]
    for left, right in pairwise(x):
        for top, bottom in pairwise(y):
            if rng.random() < 0.55:
                cv2.rectangle(image, (left, top), (right, bottom), _any_colour(rng, 0.5), -1)
            cv2.rectangle(image, (left, top), (right, bottom), (20.0, 20.0, 25.0), 4)
    return image


def _flower(rng: Generator, height: int, width: int) -> Array:
    image = flat(height, width, _any_colour(rng, 0.6))
    for _ in range(int(1 + 4 * rng.random())):
        centre = np.array([width, height]) * (0.2 + 0.6 * rng.random(2))
        petals, reach, colour = int(5 + 6 * rng.random()), height * (0.1 + 0.15 * rng.random()), _any_colour(rng, 0.6)
        foot = (int(width * (0.3 + 0.4 * rng.random())), height)
        cv2.line(image, (int(centre[0]), int(centre[1])), foot, (40.0, 110.0, 50.0), 4)
        for angle in np.arange(petals) * 2 * np.pi / petals:
            tip = centre + reach * 0.6 * np.array([np.cos(angle), np.sin(angle)])
            axes = (int(reach * 0.6), int(reach * 0.25))
            cv2.ellipse(image, (int(tip[0]), int(tip[1])), axes, np.degrees(angle), 0, 360, colour, -1, cv2.LINE_AA)
        cv2.circle(image, (int(centre[0]), int(centre[1])), int(reach * 0.3), _any_colour(rng, 0.8), -1, cv2.LINE_AA)
    return image


def _poster(rng: Generator, height: int, width: int) -> Array:
    image = flat(height, width, _any_colour(rng, 0.5))
    ink = _any_colour(rng, 0.05)
    letters = "".join(chr(ord("A") + int(26 * c)) for c in rng.random(8))
    for row, word in enumerate((letters[:2], letters[2:5], letters[5:])):
        where = (int(width * 0.1), int(height * (0.35 + 0.28 * row)))
        cv2.putText(image, word, where, cv2.FONT_HERSHEY_DUPLEX, height / 95.0, ink, max(2, height // 50), cv2.LINE_AA)
    cv2.rectangle(image, (0, int(height * 0.92)), (width, height), _any_colour(rng), -1)
    return image


def _rays(rng: Generator, height: int, width: int) -> Array:
    v, u = np.mgrid[0:height, 0:width]
    centre = rng.random(2) * (width, height)
    angle = np.arctan2(v - centre[1], u - centre[0]) / (2 * np.pi)
    count = int(5 + 8 * rng.random())
    palette = np.array([_any_colour(rng, 0.3) for _ in range(count)])
    return np.asarray(palette[(angle * count * int(1 + 2 * rng.random())).astype(int) % count], float)


def book_spine(rng: Generator) -> Image:
    """Return the back of one book."""
    image = flat(48, 12, _any_colour(rng, 0.25))
    for _ in range(int(1 + 3 * rng.random())):
        top = int(4 + 38 * rng.random())
        cv2.rectangle(image, (0, top), (12, top + int(1 + 5 * rng.random())), _any_colour(rng, 0.3), -1)
    return finish(image)


def screen(rng: Generator, height: int, width: int) -> Image:
    """Return a desktop with a few windows, as on a monitor."""
    image = _landscape(rng, height, width)
    for _ in range(3):
        x, y = (rng.random(2) * (0.6 * width, 0.6 * height)).astype(int)
        w, h = ((0.2 + 0.3 * rng.random(2)) * (width, height)).astype(int)
        cv2.rectangle(image, (x, y), (x + w, y + h), (245.0, 245.0, 245.0), -1)
        cv2.rectangle(image, (x, y), (x + w, y + 5), _any_colour(rng), -1)
        for line in range(y + 10, y + h - 3, 5):
            cv2.line(image, (x + 3, line), (x + 3 + int((w - 6) * rng.random()), line), (90.0, 90.0, 95.0), 1)
    return finish(image)


def outdoors(rng: Generator, height: int = 512, width: int = 2048) -> Image:
    """Return what is seen out of the windows all round: an equirectangular picture of sky, hills and houses.

    Row 0 is the zenith, the last row the nadir; column 0 is map direction +x and the azimuth grows to +y.
    """
    fade = np.linspace(0, 1, height)[:, None, None]
    image = (1 - fade) * hsv(0.58, 0.6, 0.85) + fade * hsv(0.56, 0.12, 1.0) + np.zeros((height, width, 3))
    clouds = np.clip(noise(rng, height, width, 10, 4) - 0.25, 0, 1)[..., None] * (fade < 0.5)
    image = image * (1 - clouds) + 250 * clouds
    horizon = height // 2
    hills = horizon - height * 0.03 * (1 + noise(rng, 1, width, 9, 3)[0])
    image[np.arange(height)[:, None] > hills[None, :]] = hsv(0.33, 0.25, 0.6)
    image[horizon:] = (
        flat(height - horizon, width, hsv(0.28, 0.45, 0.45))
        * (1 + 0.25 * noise(rng, height - horizon, width, 60, 3))[..., None]
    )
    left = 0.0
    while left < width:
        span = 20 + 70 * rng.random()
        if rng.random() < 0.75:
            _house(rng, image, int(left), int(left + span), horizon, horizon - height * (0.02 + 0.13 * rng.random()))
        else:
            for _ in range(5):
                crown = (int(left + span * rng.random()), int(horizon - 6 - 22 * rng.random()))
                leaf = _tuple(hsv(0.22 + 0.16 * rng.random(), 0.6, 0.25 + 0.4 * rng.random()))
                cv2.circle(image, crown, int(7 + 12 * rng.random()), leaf, -1, cv2.LINE_AA)
        left += span
    return finish(image)


def _house(rng: Generator, image: Array, left: int, right: int, horizon: int, roof: float) -> None:
    plaster = _tuple(hsv(rng.random(), 0.1 + 0.35 * rng.random(), 0.5 + 0.45 * rng.random()))
    cv2.rectangle(image, (left, int(roof)), (right, horizon + 12), plaster, -1)
    if rng.random() < 0.6:
        tip = [(left + right) // 2, int(roof - 4 - 16 * rng.random())]
        corners = np.array([[left - 2, int(roof)], tip, [right + 2, int(roof)]])
        cv2.fillPoly(
            image, [corners.astype(np.int32)], _tuple(hsv(0.03 * rng.random(), 0.55, 0.4 + 0.3 * rng.random()))
        )
    pane = _tuple(hsv(0.6, 0.4, 0.2 + 0.4 * rng.random()))
    for x in range(left + 4, right - 5, int(8 + 5 * rng.random())):
        for y in range(int(roof) + 4, horizon - 2, 10):
            cv2.rectangle(image, (x, y), (x + 3, y + 5), pane, -1)
