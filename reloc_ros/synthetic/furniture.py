"""Furniture for living, sleeping and working: each piece stands on the floor, its back at -y, its front towards +y.

A piece says how much floor it needs before it is drawn, so that it can be placed. Sizes, colours, patterns and what
lies on it are drawn from the generator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from reloc_ros.synthetic.mesh import MeshBuilder
from reloc_ros.synthetic.pictures import book_spine, painting, screen
from reloc_ros.synthetic.textures import fabric, finish, flat, hsv, rug, wood
from reloc_ros.types import Array


@dataclass(frozen=True)
class Piece:
    """A thing that needs `width` (x) by `depth` (y) metres of floor and draws itself centred on the origin."""

    width: float
    depth: float
    draw: Callable[[MeshBuilder], None]


def between(rng: Generator, low: float, high: float) -> float:
    """Return a number drawn evenly from low..high."""
    return float(low + (high - low) * rng.random())


def any_colour(rng: Generator, value: float = 0.5) -> Array:
    """Return a colour of a hue drawn at random."""
    return hsv(rng.random(), between(rng, 0.3, 0.9), between(rng, value, 1.0))


def wood_texture(m: MeshBuilder, rng: Generator) -> int:
    """Add a wood of a tone of its own: pale, brown, reddish, or painted."""
    if rng.random() < 0.3:
        return m.texture(finish(wood(rng, 96, 160, 0.3 * any_colour(rng) + 150)))
    return m.texture(
        finish(wood(rng, 96, 160, hsv(between(rng, 0.04, 0.11), between(rng, 0.35, 0.7), between(rng, 0.35, 0.85))))
    )


def cloth_texture(m: MeshBuilder, rng: Generator) -> int:
    """Add a patterned cloth."""
    return m.texture(finish(fabric(rng, 128, 160, any_colour(rng, 0.4), any_colour(rng, 0.3))))


def legs(m: MeshBuilder, w: float, d: float, height: float, texture: int, thick: float = 0.05) -> None:
    """Draw four legs at the corners of a w x d rectangle."""
    for x in (-w / 2 + thick, w / 2 - thick):
        for y in (-d / 2 + thick, d / 2 - thick):
            m.box((x - thick / 2, y - thick / 2, 0), (x + thick / 2, y + thick / 2, height), texture)


def books(
    m: MeshBuilder, rng: Generator, left: float, right: float, y: tuple[float, float], z: float, tall: float
) -> None:
    """Draw a row of books, with a few gaps, standing at height z between left and right."""
    x = left
    while x < right - 0.06:
        thick = between(rng, 0.025, 0.06)
        if rng.random() < 0.86:
            spine = m.texture(book_spine(rng))
            m.box((x, y[0], z), (x + thick, y[1] - between(rng, 0.0, 0.05), z + tall * between(rng, 0.65, 0.98)), spine)
        else:
            x += between(rng, 0.02, 0.12)
        x += thick + 0.003


def small_things(m: MeshBuilder, rng: Generator, w: float, d: float, z: float, count: int) -> None:
    """Draw vases, boxes and bowls on a top of w x d metres at height z."""
    for _ in range(count):
        x, y = between(rng, -w / 2 + 0.12, w / 2 - 0.12), between(rng, -d / 2 + 0.1, d / 2 - 0.1)
        texture = m.colour(any_colour(rng, 0.3))
        if rng.random() < 0.5:
            m.cylinder(
                (x, y, z),
                between(rng, 0.03, 0.09),
                between(rng, 0.08, 0.3),
                texture,
                top_radius=between(rng, 0.02, 0.1),
            )
        else:
            s = between(rng, 0.04, 0.1)
            m.box((x - s, y - s * 0.7, z), (x + s, y + s * 0.7, z + between(rng, 0.04, 0.22)), texture)


def bookshelf(rng: Generator) -> Piece:
    """Return an open shelf full of books."""
    w, d, h = between(rng, 0.8, 1.4), 0.32, between(rng, 1.5, 2.15)

    def draw(m: MeshBuilder) -> None:
        board = wood_texture(m, rng)
        back = wood_texture(m, rng)
        m.quad((w / 2, -d / 2 + 0.02, h), (-w, 0, 0), (0, 0, -h), back)
        for x in (-w / 2, w / 2 - 0.03):
            m.box((x, -d / 2, 0), (x + 0.03, d / 2, h), board)
        levels = int(h / 0.36)
        for k in range(levels + 1):
            z = (h - 0.03) * k / levels
            m.box((-w / 2, -d / 2, z), (w / 2, d / 2, z + 0.03), board, bottom=True)
            if k < levels and rng.random() < 0.8:
                books(m, rng, -w / 2 + 0.04, w / 2 - 0.04, (-d / 2 + 0.04, d / 2 - 0.03), z + 0.03, 0.29)
            else:
                with m.placed(0, 0, z + 0.03):
                    small_things(m, rng, w, d, 0.0, 3)

    return Piece(w, d, draw)


def wardrobe(rng: Generator) -> Piece:
    """Return a wardrobe with doors of different colours."""
    w, d, h = between(rng, 1.2, 1.9), 0.58, between(rng, 1.9, 2.2)

    def draw(m: MeshBuilder) -> None:
        body = wood_texture(m, rng)
        m.box((-w / 2, -d / 2, 0), (w / 2, d / 2, h), body)
        doors = int(between(rng, 2, 4.99))
        for k in range(doors):
            x = -w / 2 + w * k / doors
            panel = wood_texture(m, rng) if k % 2 else body
            m.box((x + 0.015, d / 2, 0.06), (x + w / doors - 0.015, d / 2 + 0.02, h - 0.03), panel)
            m.box((x + 0.05, d / 2 + 0.02, 0.9), (x + 0.08, d / 2 + 0.05, 1.15), m.colour((60, 60, 60)))

    return Piece(w, d + 0.06, draw)


def chest(rng: Generator) -> Piece:
    """Return a chest of drawers with things on it."""
    w, d, h = between(rng, 0.8, 1.3), 0.45, between(rng, 0.7, 1.0)

    def draw(m: MeshBuilder) -> None:
        body = wood_texture(m, rng)
        m.box((-w / 2, -d / 2, 0.05), (w / 2, d / 2, h), body)
        rows = int(between(rng, 3, 5.99))
        for k in range(rows):
            z = 0.08 + (h - 0.11) * k / rows
            front = m.colour(any_colour(rng, 0.5)) if rng.random() < 0.35 else body
            m.box((-w / 2 + 0.02, d / 2, z), (w / 2 - 0.02, d / 2 + 0.02, z + (h - 0.11) / rows - 0.02), front)
            m.box((-0.06, d / 2 + 0.02, z + 0.06), (0.06, d / 2 + 0.04, z + 0.08), m.colour((30, 30, 30)))
        small_things(m, rng, w, d, h, 4)

    return Piece(w, d + 0.06, draw)


def bed(rng: Generator) -> Piece:
    """Return a bed with head board, pillows and a patterned blanket."""
    w, d = between(rng, 1.3, 1.7), 2.05

    def draw(m: MeshBuilder) -> None:
        frame, blanket = wood_texture(m, rng), cloth_texture(m, rng)
        sheet = m.texture(finish(flat(32, 32, (236, 233, 226))))
        m.box((-w / 2, -d / 2, 0), (w / 2, -d / 2 + 0.06, between(rng, 0.9, 1.2)), frame)
        m.box((-w / 2, -d / 2, 0.08), (w / 2, d / 2, 0.28), frame)
        m.box((-w / 2 + 0.03, -d / 2 + 0.06, 0.28), (w / 2 - 0.03, d / 2 - 0.03, 0.48), sheet)
        m.box((-w / 2 + 0.01, -d / 2 + 0.65, 0.26), (w / 2 - 0.01, d / 2 - 0.01, 0.52), blanket)
        for x in (-w / 4, w / 4):
            pillow = cloth_texture(m, rng)
            m.box((x - 0.28, -d / 2 + 0.12, 0.48), (x + 0.28, -d / 2 + 0.5, 0.6), pillow)

    return Piece(w, d, draw)


def sofa(rng: Generator) -> Piece:
    """Return a sofa with cushions."""
    w, d = between(rng, 1.7, 2.3), 0.9

    def draw(m: MeshBuilder) -> None:
        cover = cloth_texture(m, rng)
        m.box((-w / 2, -d / 2, 0.06), (w / 2, d / 2, 0.42), cover)
        m.box((-w / 2, -d / 2, 0.06), (w / 2, -d / 2 + 0.22, between(rng, 0.78, 0.9)), cover)
        for x in (-w / 2, w / 2 - 0.18):
            m.box((x, -d / 2, 0.06), (x + 0.18, d / 2, 0.6), cover)
        for k in range(int(between(rng, 2, 5))):
            x = -w / 2 + 0.25 + (w - 0.9) * rng.random()
            cushion = cloth_texture(m, rng)
            with m.placed(x + 0.2, -d / 2 + 0.32 + 0.05 * k, 0.42, between(rng, -0.3, 0.3)):
                m.box((-0.21, -0.07, 0), (0.21, 0.07, 0.38), cushion)

    return Piece(w, d, draw)


def armchair(rng: Generator) -> Piece:
    """Return an armchair."""
    w, d = between(rng, 0.75, 0.9), 0.82

    def draw(m: MeshBuilder) -> None:
        cover = cloth_texture(m, rng)
        m.box((-w / 2, -d / 2, 0.1), (w / 2, d / 2, 0.44), cover)
        m.box((-w / 2, -d / 2, 0.1), (w / 2, -d / 2 + 0.2, between(rng, 0.85, 1.1)), cover)
        for x in (-w / 2, w / 2 - 0.13):
            m.box((x, -d / 2, 0.1), (x + 0.13, d / 2, 0.62), cover)

    return Piece(w, d, draw)


def chair(rng: Generator, texture: int) -> Piece:
    """Return a chair; chairs of one table share their wood."""

    def draw(m: MeshBuilder) -> None:
        seat = m.colour(any_colour(rng, 0.4))
        legs(m, 0.42, 0.42, 0.44, texture, 0.04)
        m.box((-0.21, -0.21, 0.44), (0.21, 0.21, 0.48), seat, bottom=True)
        for x in (-0.2, 0.16):
            m.box((x, -0.21, 0.48), (x + 0.04, -0.17, 0.92), texture)
        for z in (0.62, 0.8):
            m.box((-0.16, -0.205, z), (0.16, -0.18, z + 0.09), texture, bottom=True)

    return Piece(0.46, 0.46, draw)


def table_with_chairs(rng: Generator) -> Piece:
    """Return a dining table, its chairs not quite straight."""
    w, d = between(rng, 1.2, 1.7), between(rng, 0.75, 0.9)

    def draw(m: MeshBuilder) -> None:
        top = wood_texture(m, rng)
        legs(m, w - 0.1, d - 0.1, 0.7, top, 0.07)
        m.box((-w / 2, -d / 2, 0.7), (w / 2, d / 2, 0.74), top, bottom=True)
        m.box((-0.2, -d / 2 - 0.004, 0.742), (0.2, d / 2 + 0.004, 0.746), cloth_texture(m, rng))
        small_things(m, rng, w, d, 0.746, 5)
        wooden = wood_texture(m, rng)
        for side, yaw in ((-1, 0.0), (1, np.pi)):
            for x in (-w / 4, w / 4):
                if rng.random() < 0.85:
                    with m.placed(x, side * (d / 2 + between(rng, 0.02, 0.14)), 0, yaw + between(rng, -0.25, 0.25)):
                        chair(rng, wooden).draw(m)

    return Piece(w + 0.1, d + 0.9, draw)


def coffee_table(rng: Generator) -> Piece:
    """Return a low table on a rug."""
    w, d, h = between(rng, 0.7, 1.0), between(rng, 0.5, 0.6), between(rng, 0.35, 0.45)

    def draw(m: MeshBuilder) -> None:
        top = wood_texture(m, rng)
        legs(m, w, d, h - 0.04, top)
        m.box((-w / 2, -d / 2, h - 0.04), (w / 2, d / 2, h), top, bottom=True)
        small_things(m, rng, w, d, h, 4)

    return Piece(w, d, draw)


def media_unit(rng: Generator) -> Piece:
    """Return a low cabinet with a television set."""
    w, d, h = between(rng, 1.4, 1.8), 0.42, between(rng, 0.42, 0.55)

    def draw(m: MeshBuilder) -> None:
        body = wood_texture(m, rng)
        m.box((-w / 2, -d / 2, 0.06), (w / 2, d / 2, h), body)
        for k in range(3):
            x = -w / 2 + 0.03 + (w - 0.03) * k / 3
            m.box((x, d / 2, 0.1), (x + w / 3 - 0.04, d / 2 + 0.015, h - 0.04), m.colour(any_colour(rng, 0.4)))
        black, wide = m.colour((18, 18, 20)), between(rng, 0.9, 1.2)
        m.box((-wide / 2, -0.1, h + 0.06), (wide / 2, -0.05, h + 0.12 + wide * 0.56), black)
        m.box((-0.15, -0.12, h), (0.15, 0.02, h + 0.06), black)
        show = m.texture(painting(rng, 108, 192))
        m.quad(
            (wide / 2 - 0.03, -0.045, h + 0.09 + wide * 0.56),
            (-wide + 0.06, 0, 0),
            (0, 0, -wide * 0.53),
            show,
            glow=0.6,
        )

    return Piece(w, d + 0.04, draw)


def desk(rng: Generator) -> Piece:
    """Return a desk with a monitor, papers and an office chair."""
    w, d, h = between(rng, 1.2, 1.6), 0.7, 0.74

    def draw(m: MeshBuilder) -> None:
        top, black = wood_texture(m, rng), m.colour((25, 25, 28))
        legs(m, w, d, h - 0.03, top, 0.06)
        m.box((-w / 2, -d / 2, h - 0.03), (w / 2, d / 2, h), top, bottom=True)
        m.box((w / 2 - 0.45, -d / 2, 0.1), (w / 2 - 0.05, d / 2 - 0.05, h - 0.03), wood_texture(m, rng))
        x = between(rng, -0.25, 0.15)
        m.box((x - 0.3, -0.2, h + 0.1), (x + 0.3, -0.17, h + 0.48), black, bottom=True)
        m.box((x - 0.1, -0.25, h), (x + 0.1, -0.1, h + 0.1), black)
        m.quad((x + 0.28, -0.165, h + 0.46), (-0.56, 0, 0), (0, 0, -0.34), m.texture(screen(rng, 136, 224)), glow=0.7)
        m.box((x - 0.22, 0.02, h), (x + 0.22, 0.16, h + 0.02), black)
        books(m, rng, -w / 2 + 0.05, -w / 2 + 0.4, (-d / 2 + 0.03, -d / 2 + 0.2), h, 0.26)
        small_things(m, rng, w, d, h, 3)
        cover = m.colour(any_colour(rng, 0.35))
        with m.placed(x, d / 2 + 0.15, 0, np.pi + between(rng, -0.6, 0.6)):
            m.cylinder((0, 0, 0), 0.26, 0.06, black)
            m.cylinder((0, 0, 0.06), 0.03, 0.4, black)
            m.box((-0.24, -0.22, 0.46), (0.24, 0.24, 0.54), cover, bottom=True)
            m.box((-0.22, -0.25, 0.6), (0.22, -0.2, 1.08), cover, bottom=True)

    return Piece(w, d + 0.5, draw)


def plant(rng: Generator) -> Piece:
    """Return a pot with leaves."""
    h = between(rng, 0.8, 1.6)

    def draw(m: MeshBuilder) -> None:
        m.cylinder((0, 0, 0), 0.14, 0.3, m.colour(any_colour(rng, 0.4)), top_radius=0.19)
        greens = [m.colour(hsv(between(rng, 0.22, 0.42), 0.7, between(rng, 0.25, 0.6))) for _ in range(4)]
        for _ in range(60):
            yaw, tip = between(rng, 0, 2 * np.pi), between(rng, 0.4, h)
            out = np.array([np.cos(yaw), np.sin(yaw), 0]) * between(rng, 0.08, 0.3)
            side = np.array([-np.sin(yaw), np.cos(yaw), 0.2]) * between(rng, 0.03, 0.08)
            root = out * 0.35 + [0, 0, 0.28 + 0.5 * (tip - 0.28)]
            corners = np.array([root - side, root + side, out + np.array([0, 0, tip])])
            uv = np.array([[[0.1, 0.1], [0.8, 0.1], [0.5, 0.9]]])
            m.triangles(corners, np.array([[0, 1, 2]]), uv, greens[int(rng.random() * 4)])

    return Piece(0.5, 0.5, draw)


def floor_lamp(rng: Generator) -> Piece:
    """Return a lamp on a pole."""

    def draw(m: MeshBuilder) -> None:
        metal = m.colour((70, 66, 60))
        shade = m.colour(0.4 * any_colour(rng, 0.7) + 150)
        m.cylinder((0, 0, 0), 0.15, 0.03, metal)
        m.cylinder((0, 0, 0.03), 0.015, 1.35, metal, sides=6)
        m.cylinder((0, 0, 1.36), 0.2, 0.28, shade, top_radius=between(rng, 0.1, 0.18), glow=0.9)

    return Piece(0.42, 0.42, draw)


def flat_rug(rng: Generator, width: float, depth: float) -> Piece:
    """Return a rug that can be driven over."""

    def draw(m: MeshBuilder) -> None:
        image = m.texture(finish(rug(rng, int(depth * 110), int(width * 110))))
        m.box((-width / 2, -depth / 2, 0), (width / 2, depth / 2, 0.008), image)

    return Piece(width, depth, draw)
