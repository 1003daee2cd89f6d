"""What stands in offices, schools, stores and workshops. Same convention as `furniture`."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from reloc_ros.synthetic.furniture import Piece, any_colour, between, chair, legs, small_things, wood_texture
from reloc_ros.synthetic.mesh import MeshBuilder
from reloc_ros.synthetic.pictures import painting, screen
from reloc_ros.synthetic.textures import finish, flat, hsv, noise, shaded


def rack(rng: Generator) -> Piece:
    """Return a metal rack with cartons."""
    w, d, h = between(rng, 0.9, 1.8), between(rng, 0.35, 0.6), between(rng, 1.4, 2.1)

    def draw(m: MeshBuilder) -> None:
        metal = m.colour(hsv(rng.random(), between(rng, 0.0, 0.6), between(rng, 0.3, 0.7)))
        legs(m, w, d, h, metal)
        levels = int(between(rng, 3, 5.99))
        for k in range(levels):
            z = 0.1 + (h - 0.15) * k / (levels - 1)
            m.box((-w / 2, -d / 2, z), (w / 2, d / 2, z + 0.03), metal, bottom=True)
            if k < levels - 1:
                _cartons(m, rng, w, d, z + 0.03, 0.85 * (h - 0.15) / (levels - 1))

    return Piece(w, d, draw)


def _cartons(m: MeshBuilder, rng: Generator, w: float, d: float, z: float, tall: float) -> None:
    x = -w / 2 + 0.03
    while x < w / 2 - 0.2:
        wide = min(between(rng, 0.15, 0.45), w / 2 - x)
        if rng.random() < 0.8:
            m.box(
                (x, -d / 2 + 0.03, z), (x + wide - 0.02, d / 2 - 0.03, z + tall * between(rng, 0.4, 1.0)), _card(m, rng)
            )
        x += wide


def _card(m: MeshBuilder, rng: Generator) -> int:
    """Add the face of a carton with a label on it, or of a coloured plastic box."""
    colour = hsv(0.08, between(rng, 0.3, 0.5), between(rng, 0.5, 0.8)) if rng.random() < 0.6 else any_colour(rng, 0.3)
    image = shaded(flat(48, 64, colour), 0.06 * noise(rng, 48, 64, 4, 2))
    left, top = int(between(rng, 4, 34)), int(between(rng, 6, 24))
    image[top : top + int(between(rng, 6, 20)), left : left + int(between(rng, 8, 28))] = between(rng, 150, 245)
    return m.texture(finish(image))


def crates(rng: Generator) -> Piece:
    """Return a stack of crates and cartons."""
    w, d = between(rng, 0.5, 1.1), between(rng, 0.4, 0.8)

    def draw(m: MeshBuilder) -> None:
        z, wide, deep = 0.0, w, d
        for _ in range(int(between(rng, 1, 4.99))):
            tall = between(rng, 0.25, 0.5)
            with m.placed(0, 0, z, between(rng, -0.08, 0.08)):
                m.box((-wide / 2, -deep / 2, 0), (wide / 2, deep / 2, tall), _card(m, rng), front=_card(m, rng))
            z, wide, deep = z + tall, wide * between(rng, 0.7, 0.98), deep * between(rng, 0.75, 0.98)

    return Piece(w + 0.08, d + 0.08, draw)


def filing_cabinet(rng: Generator) -> Piece:
    """Return a steel cabinet with drawers."""
    w, h = between(rng, 0.42, 0.9), between(rng, 0.7, 1.5)

    def draw(m: MeshBuilder) -> None:
        body = m.colour(hsv(rng.random(), between(rng, 0.0, 0.5), between(rng, 0.35, 0.8)))
        m.box((-w / 2, -0.28, 0), (w / 2, 0.28, h), body)
        drawers = int(between(rng, 2, 5.99))
        for k in range(drawers):
            low, high = 0.04 + (h - 0.06) * k / drawers, 0.02 + (h - 0.06) * (k + 1) / drawers
            m.box((-w / 2 + 0.02, 0.28, low), (w / 2 - 0.02, 0.3, high), body)
            m.box((-0.08, 0.3, high - 0.09), (0.08, 0.33, high - 0.06), m.colour((40, 40, 44)))
            m.box((-0.06, 0.3, high - 0.16), (0.06, 0.302, high - 0.11), m.colour((240, 240, 235)))
        small_things(m, rng, w, 0.5, h, 3)

    return Piece(w, 0.62, draw)


def work_bench(rng: Generator) -> Piece:
    """Return a bench with tools, a perforated board behind it."""
    w, d, h = between(rng, 1.3, 2.4), between(rng, 0.6, 0.8), between(rng, 0.82, 0.95)

    def draw(m: MeshBuilder) -> None:
        top = wood_texture(m, rng)
        legs(m, w, d, h - 0.06, m.colour((60, 70, 80)), 0.09)
        m.box((-w / 2, -d / 2, h - 0.06), (w / 2, d / 2, h), top, bottom=True)
        m.box((-w / 2, -d / 2, h), (w / 2, -d / 2 + 0.03, h + 0.8), m.colour(any_colour(rng, 0.35)))
        for _ in range(int(between(rng, 5, 12))):
            x, z = between(rng, -w / 2 + 0.1, w / 2 - 0.1), h + between(rng, 0.25, 0.6)
            tall = between(rng, 0.08, 0.3)
            m.box(
                (x, -d / 2 + 0.03, z - tall / 2),
                (x + 0.05, -d / 2 + 0.07, z + tall / 2),
                m.colour(any_colour(rng, 0.2)),
            )
        small_things(m, rng, w, d, h, 7)
        for x in (-w / 4, w / 4):
            with m.placed(x, 0, 0.02):
                m.box((-0.2, -0.2, 0), (0.2, 0.2, 0.4), _card(m, rng))

    return Piece(w, d, draw)


def school_desk(rng: Generator) -> Piece:
    """Return a plain table with two chairs behind it, facing +y."""
    w, d = between(rng, 1.1, 1.4), between(rng, 0.5, 0.65)

    def draw(m: MeshBuilder) -> None:
        top = wood_texture(m, rng)
        metal = m.colour((80, 80, 86))
        with m.placed(0, 0.3):
            legs(m, w - 0.08, d - 0.08, 0.7, metal, 0.04)
            m.box((-w / 2, -d / 2, 0.7), (w / 2, d / 2, 0.73), top, bottom=True)
            small_things(m, rng, w, d, 0.73, 2)
        for x in (-w / 4, w / 4):
            if rng.random() < 0.8:
                with m.placed(x, -0.25 - between(rng, 0.0, 0.12), 0, between(rng, -0.3, 0.3)):
                    chair(rng, metal).draw(m)

    return Piece(w, d + 0.75, draw)


def round_table(rng: Generator) -> Piece:
    """Return a round table with chairs about it."""
    radius, seats = between(rng, 0.4, 0.7), int(between(rng, 2, 5.99))

    def draw(m: MeshBuilder) -> None:
        top, wooden = wood_texture(m, rng), wood_texture(m, rng)
        m.cylinder((0, 0, 0), 0.25, 0.04, top)
        m.cylinder((0, 0, 0.04), 0.05, 0.66, top, sides=8)
        m.cylinder((0, 0, 0.7), radius, 0.04, top, sides=20)
        small_things(m, rng, radius, radius, 0.74, 3)
        for k in range(seats):
            angle = 2 * np.pi * k / seats + between(rng, -0.2, 0.2)
            out = radius + between(rng, 0.0, 0.15)
            with m.placed(-out * np.sin(angle), out * np.cos(angle), 0, angle + np.pi):
                chair(rng, wooden).draw(m)

    return Piece(2 * radius + 0.85, 2 * radius + 0.85, draw)


def counter(rng: Generator) -> Piece:
    """Return a counter or kitchen island with panels of its own colour."""
    w, d, h = between(rng, 1.2, 2.6), between(rng, 0.55, 0.9), between(rng, 0.88, 1.1)

    def draw(m: MeshBuilder) -> None:
        panel = wood_texture(m, rng) if rng.random() < 0.5 else m.colour(any_colour(rng, 0.35))
        m.box((-w / 2, -d / 2, 0), (w / 2, d / 2, h - 0.04), panel, front=m.texture(painting(rng, 90, 200)))
        m.box(
            (-w / 2 - 0.03, -d / 2 - 0.03, h - 0.04), (w / 2 + 0.03, d / 2 + 0.03, h), wood_texture(m, rng), bottom=True
        )
        small_things(m, rng, w, d, h, 5)

    return Piece(w + 0.06, d + 0.06, draw)


def partition(rng: Generator) -> Piece:
    """Return a screen on feet, with a poster on each side."""
    w, h = between(rng, 1.0, 1.9), between(rng, 1.3, 1.9)

    def draw(m: MeshBuilder) -> None:
        cloth = m.colour(any_colour(rng, 0.3))
        m.box((-w / 2, -0.025, 0.1), (w / 2, 0.025, h), cloth, bottom=True)
        for x in (-w / 2 + 0.1, w / 2 - 0.15):
            m.box((x, -0.2, 0), (x + 0.05, 0.2, 0.1), m.colour((50, 50, 55)))
        for yaw in (0.0, np.pi):
            with m.placed(0, 0, 0, yaw):
                m.box((-w / 3, 0.025, 0.75), (w / 3, 0.03, h - 0.12), cloth, front=m.texture(painting(rng, 120, 160)))

    return Piece(w, 0.4, draw)


def pillar(rng: Generator) -> Piece:
    """Return a square or round column; stretch it to reach the ceiling."""
    r = between(rng, 0.13, 0.3)

    def draw(m: MeshBuilder) -> None:
        paint = m.texture(finish(shaded(flat(120, 60, any_colour(rng, 0.45)), 0.1 * noise(rng, 120, 60, 5, 4))))
        if rng.random() < 0.5:
            m.cylinder((0, 0, 0), r, 2.3, paint, sides=16)
        else:
            m.box((-r, -r, 0), (r, r, 2.3), paint)

    return Piece(2 * r, 2 * r, draw)


def piano(rng: Generator) -> Piece:
    """Return an upright piano with its stool."""
    w = between(rng, 1.35, 1.5)

    def draw(m: MeshBuilder) -> None:
        body = m.colour(hsv(0.05, 0.6, between(rng, 0.08, 0.4)))
        m.box((-w / 2, -0.3, 0), (w / 2, 0.0, 1.2), body)
        m.box((-w / 2, 0.0, 0.6), (w / 2, 0.25, 0.72), body, bottom=True)
        keys = flat(20, 208, (238, 236, 226))
        for k in range(36):
            if k % 7 not in {2, 6}:
                keys[:12, 6 * k - 2 : 6 * k + 2] = 20
        image = m.texture(finish(keys))
        m.quad((-w / 2 + 0.06, 0.2, 0.722), (w - 0.12, 0, 0), (0, -0.15, 0), image)
        m.box((-0.35, 0.45, 0.4), (0.35, 0.75, 0.5), m.colour(any_colour(rng, 0.2)), bottom=True)
        legs_at = m.colour((40, 35, 30))
        with m.placed(0, 0.6):
            legs(m, 0.66, 0.28, 0.4, legs_at)

    return Piece(w, 1.15, draw)


def hang_board(m: MeshBuilder, rng: Generator, x: float, width: float) -> None:
    """Hang a blackboard, a whiteboard or a large screen on the wall plane y = 0, centred on x."""
    kind, low, high = int(rng.random() * 3), between(rng, 0.85, 1.0), between(rng, 1.85, 2.1)
    if kind == 2:
        surface = screen(rng, 120, 200)
    else:
        ground, ink = ((hsv(0.4, 0.4, 0.28), 225.0), (np.full(3, 238.0), 60.0))[kind]
        image = shaded(flat(100, 220, ground), 0.08 * noise(rng, 100, 220, 6, 3))
        for line in range(int(between(rng, 2, 8))):
            left, top = int(between(rng, 5, 120)), 10 + 11 * line
            image[top : top + 3, left : left + int(between(rng, 15, 90))] = ink
        surface = finish(image)
    m.box((x - width / 2, 0, low), (x + width / 2, 0.03, high), m.colour((140, 130, 115)), front=m.texture(surface))
