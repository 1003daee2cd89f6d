"""Procedural surfaces: floors, walls, wood, fabric. Every call with another state of the generator looks different."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.random import Generator

from reloc_ros.types import Array, Image

Colour = Sequence[float] | Array


def hsv(hue: float, saturation: float, value: float) -> Array:
    """Return RGB 0..255 of a colour given as hue, saturation, value, each 0..1."""
    h = (hue % 1.0) * 6.0
    k = np.mod(np.array([5.0, 3.0, 1.0]) + h, 6.0)
    return 255.0 * (value - value * saturation * np.clip(np.minimum(k, 4.0 - k), 0.0, 1.0))


def noise(rng: Generator, height: int, width: int, cells: int, octaves: int = 3) -> Array:
    """Return (height, width) smooth noise about 0, most of it within [-1, 1]."""
    total = np.zeros((height, width))
    for octave in range(octaves):
        n = cells * 2**octave
        coarse = rng.random((max(2, n * height // max(width, 1) + 1), n + 1)) * 2 - 1
        total += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) * 0.6**octave
    return total


def finish(image: Array) -> Image:
    """Return the image rounded to uint8."""
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def flat(height: int, width: int, colour: Colour) -> Array:
    """Return a plain float image."""
    image: Array = np.broadcast_to(np.asarray(colour, float), (height, width, 3)).copy()
    return image


def shaded(image: Array, relief: Array) -> Array:
    """Return the (H, W, 3) image made brighter where relief (H, W) is above 0, by that share, and darker below."""
    return np.asarray(image * (1 + relief)[..., None], float)


def wood(rng: Generator, height: int, width: int, colour: Colour) -> Array:
    """Return wood whose grain runs along the width."""
    stretched = noise(rng, height, max(width // 12, 4), 3, 3)
    grain = cv2.resize(stretched, (width, height), interpolation=cv2.INTER_CUBIC)
    rings = np.sin(grain * 7.0 + np.linspace(0, 14, height)[:, None])
    knots = noise(rng, height, width, 6, 2)
    return shaded(flat(height, width, colour), 0.09 * rings + 0.09 * grain + 0.05 * knots)


def planks(rng: Generator, height: int, width: int, colour: Colour, rows: int, contrast: float = 0.16) -> Array:
    """Return floor boards along the width, each of its own shade."""
    image = np.empty((height, width, 3))
    edges = np.linspace(0, height, rows + 1).astype(int)
    for top, bottom in pairwise(edges):
        cuts = [0, *sorted((rng.random(max(1, width // 190)) * width).astype(int).tolist()), width]
        for left, right in pairwise(cuts):
            if right - left < 2:
                image[top:bottom, left:right] = colour
                continue
            board = wood(rng, bottom - top, right - left, np.asarray(colour) * (1 + contrast * (2 * rng.random() - 1)))
            board[:, -1] *= 0.55
            board[-1, :] *= 0.55
            image[top:bottom, left:right] = board
    return image


def tiles(
    rng: Generator, height: int, width: int, colours: Sequence[Colour], rows: int, columns: int, joint: Colour
) -> Array:
    """Return tiles whose colours are drawn from `colours`, with joints and a speckle of their own."""
    pick = (rng.random((rows, columns)) * len(colours)).astype(int)
    shade = 1 + 0.1 * (2 * rng.random((rows, columns, 1)) - 1)
    table: Array = np.asarray(colours, float)[pick] * shade
    image = cv2.resize(table, (width, height), interpolation=cv2.INTER_NEAREST)
    image = shaded(image, 0.05 * noise(rng, height, width, 24, 2))
    for v in np.linspace(0, height, rows + 1):
        cv2.line(image, (0, int(v)), (width, int(v)), tuple(float(c) for c in joint), 2)
    for u in np.linspace(0, width, columns + 1):
        cv2.line(image, (int(u), 0), (int(u), height), tuple(float(c) for c in joint), 2)
    return image


def checker(rng: Generator, height: int, width: int, a: Colour, b: Colour, rows: int, columns: int) -> Array:
    """Return two-coloured tiles like a chess board, a few of them changed so that no two places look the same."""
    board = (np.add.outer(np.arange(rows), np.arange(columns)) % 2).astype(float)
    table = np.where(board[..., None] > 0, np.asarray(a, float), np.asarray(b, float))
    table *= 1 + 0.14 * (2 * rng.random((rows, columns, 1)) - 1)
    image = cv2.resize(table, (width, height), interpolation=cv2.INTER_NEAREST)
    return shaded(image, 0.05 * noise(rng, height, width, 20, 2))


def fabric(rng: Generator, height: int, width: int, colour: Colour, accent: Colour) -> Array:
    """Return woven cloth in one of five patterns."""
    image = flat(height, width, colour)
    kind = int(rng.random() * 5)
    u, v = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    period = 4 + 8 * rng.random()
    if kind == 0:
        mask = np.sin(u * np.pi * 2 * period) > 0.4
    elif kind == 1:
        mask = (np.sin(u * np.pi * 2 * period) > 0.5) ^ (np.sin(v * np.pi * 2 * period) > 0.5)
    elif kind == 2:
        mask = np.hypot((u * period) % 1 - 0.5, (v * period) % 1 - 0.5) < 0.22
    elif kind == 3:
        mask = np.abs((v * period + 0.4 * np.abs((u * period * 2) % 2 - 1)) % 1 - 0.5) < 0.17
    else:
        mask = noise(rng, height, width, 7, 2) > 0.45
    image[mask] = accent
    weave = 0.05 * (rng.random((height, width)) - 0.5) + 0.07 * noise(rng, height, width, 5, 2)
    return shaded(image, weave)


def carpet(rng: Generator, height: int, width: int, colour: Colour) -> Array:
    """Return a soft, mottled floor covering with worn places."""
    image = flat(height, width, colour)
    mottle = 0.16 * noise(rng, height, width, 9, 4) + 0.14 * (rng.random((height, width)) - 0.5)
    return shaded(image, mottle)


def wall(rng: Generator, height: int, width: int, colour: Colour, accent: Colour, kind: str) -> Array:
    """Return a wall, 0.01 m per pixel or so: `plain`, `striped`, `dado`, `dotted`, `blocks`, `brick`, `tiles`,
    `panels` or `concrete`.
    """
    image = flat(height, width, colour)
    u, v = np.meshgrid(np.arange(width, dtype=float), np.arange(height, dtype=float))
    if kind == "striped":
        phase = rng.random() * 40
        image[((u + phase) % 46) < 19] = accent
    elif kind == "dado":
        image[v > height * 0.62] = accent
        _frieze(rng, image, int(height * 0.6), accent)
    elif kind == "dotted":
        for _ in range(width * height // 900):
            centre = (int(rng.random() * width), int(rng.random() * height))
            shade = np.asarray(accent) * (0.8 + 0.4 * rng.random())
            cv2.circle(image, centre, int(4 + rng.random() * 9), tuple(shade.tolist()), -1, cv2.LINE_AA)
    elif kind == "blocks":
        for _ in range(5):
            corner = rng.random(2) * (width, height)
            size = (0.2 + 0.5 * rng.random(2)) * (height, height)
            shade = 0.6 * np.asarray(colour) + 0.4 * np.asarray(accent) * (0.7 + 0.6 * rng.random())
            image[int(corner[1]) : int(corner[1] + size[1]), int(corner[0]) : int(corner[0] + size[0])] = shade
    elif kind in _BUILT_WALLS:
        image = _BUILT_WALLS[kind](rng, height, width, colour, accent)
    elif kind == "tiles":
        band = height // 3
        image[band:] = tiles(rng, height - band, width, [colour, colour, accent], 10, width // 14, (215, 215, 210))
    plaster = 0.045 * noise(rng, height, width, 6, 4) + 0.03 * (rng.random((height, width)) - 0.5)
    return shaded(image, plaster)


def _frieze(rng: Generator, image: Array, middle: int, accent: Colour) -> None:
    """Paint a band of stencilled squares, discs and diamonds along a wall, no stretch of it like another."""
    width = image.shape[1]
    cv2.rectangle(image, (0, middle - 11), (width, middle + 11), (235.0, 232.0, 225.0), -1)
    left = int(12 * rng.random())
    while left < width:
        size = int(4 + 6 * rng.random())
        shade = np.clip(np.asarray(accent) * (0.35 + 0.5 * rng.random(3)), 0, 255)
        colour, centre, kind = tuple(shade.tolist()), (left + size, middle), int(rng.random() * 3)
        if kind == 0:
            cv2.rectangle(image, (left, middle - size), (left + 2 * size, middle + size), colour, -1)
        elif kind == 1:
            cv2.circle(image, centre, size, colour, -1, cv2.LINE_AA)
        else:
            corners = np.array([[0, -size], [size, 0], [0, size], [-size, 0]]) + centre
            cv2.fillConvexPoly(image, corners.astype(np.int32), colour, cv2.LINE_AA)
        left += 2 * size + int(3 + 14 * rng.random())


def _bricks(rng: Generator, height: int, width: int, colour: Colour, joint: Colour) -> Array:
    """Return a brick wall, each brick with a shade of its own."""
    image = flat(height, width, joint)
    for row, top in enumerate(range(0, height, 9)):
        for left in range(-(row % 2) * 12, width, 24):
            shade = np.asarray(colour) * (0.75 + 0.5 * rng.random())
            image[top + 1 : top + 9, max(left + 1, 0) : max(left + 24, 0)] = shade
    return image


def _boards(rng: Generator, height: int, width: int, colour: Colour, accent: Colour) -> Array:
    """Return upright boards, each with a shade between the two colours or so."""
    board = int(12 + 28 * rng.random())
    shade = 0.3 * np.asarray(colour) + 0.7 * np.asarray(accent)
    lying = planks(rng, width, height, shade, max(2, width // board), 0.2)
    return np.swapaxes(lying, 0, 1)


def _concrete(rng: Generator, height: int, width: int, colour: Colour, joint: Colour) -> Array:
    """Return stained slabs with joints between them."""
    image = shaded(flat(height, width, colour), 0.14 * noise(rng, height, width, 3, 5))
    for left in range(int(60 + 60 * rng.random()), width, 120):
        image[:, left : left + 2] = 0.5 * np.asarray(joint)
    return image


_BUILT_WALLS = {"brick": _bricks, "panels": _boards, "concrete": _concrete}


def rug(rng: Generator, height: int, width: int) -> Array:
    """Return a rug: borders, a central motif and a field, all drawn by chance."""
    hue = rng.random()
    palette = [
        hsv(hue + 0.37 * k + 0.1 * rng.random(), 0.35 + 0.5 * rng.random(), 0.35 + 0.6 * rng.random()) for k in range(5)
    ]
    u, v = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    border = np.maximum(np.abs(u), np.abs(v))
    rings = int(4 + rng.random() * 5)
    metric = [np.hypot(u, v), np.abs(u) + np.abs(v), border][int(rng.random() * 3)]
    swirl = metric + 0.12 * np.sin(np.arctan2(v, u) * int(3 + rng.random() * 9))
    image = np.asarray(palette)[(np.clip(swirl, 0, 3) * rings).astype(int) % 3]
    image[border > 0.82] = palette[3]
    stripes = (border > 0.82) & (np.sin((u + 1.3 * v) * 40) > 0.2)
    image[stripes] = palette[4]
    return shaded(image, 0.12 * (rng.random((height, width)) - 0.5))
