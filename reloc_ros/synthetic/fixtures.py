"""What is built in: kitchen, bathroom, hall, and what hangs on walls. Same convention as `furniture`."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from reloc_ros.synthetic.furniture import Piece, any_colour, between, books, cloth_texture, small_things, wood_texture
from reloc_ros.synthetic.mesh import MeshBuilder
from reloc_ros.synthetic.pictures import painting
from reloc_ros.synthetic.textures import Colour, finish, hsv, noise, tiles
from reloc_ros.types import Array


def kitchen_row(rng: Generator) -> Piece:
    """Return base units with sink and hob, tiles behind them and cupboards above."""
    w, d = between(rng, 2.2, 2.7), 0.62

    def draw(m: MeshBuilder) -> None:
        front_colour, steel = any_colour(rng, 0.5), m.colour((150, 152, 158))
        stone = m.texture(finish(_stone(rng)))
        m.box((-w / 2, -d / 2, 0.1), (w / 2, d / 2 - 0.03, 0.86), m.colour((225, 222, 215)))
        m.box((-w / 2, -d / 2, 0.86), (w / 2, d / 2, 0.9), stone, bottom=True)
        palette: list[Colour] = [any_colour(rng, 0.5), any_colour(rng, 0.6), (235, 235, 230)]
        splash = m.texture(finish(tiles(rng, 60, 260, palette, 5, int(w / 0.12), (240, 240, 240))))
        m.quad((w / 2, -d / 2 + 0.006, 1.5), (-w, 0, 0), (0, 0, -0.6), splash)
        units = int(w / 0.55)
        for k in range(units):
            x0, x1 = -w / 2 + w * k / units + 0.01, -w / 2 + w * (k + 1) / units - 0.01
            shade = m.colour(front_colour * between(rng, 0.75, 1.0))
            m.box((x0, d / 2 - 0.03, 0.12), (x1, d / 2 - 0.01, 0.84), shade)
            m.box((x0 + 0.1, d / 2 - 0.01, 0.76), (x1 - 0.1, d / 2 + 0.01, 0.79), steel)
            if rng.random() < 0.8:
                lower = between(rng, 1.48, 1.56)
                m.box((x0, -d / 2, lower), (x1, -d / 2 + 0.34, 2.15), shade, bottom=True)
        m.box((-w / 2 + 0.4, -0.2, 0.901), (-w / 2 + 0.95, 0.2, 0.906), steel)
        m.cylinder((-w / 2 + 0.67, -0.24, 0.9), 0.02, 0.28, steel, sides=8)
        black = m.colour((20, 20, 22))
        m.box((w / 2 - 0.9, -0.24, 0.901), (w / 2 - 0.35, 0.22, 0.908), black)
        for x in (w / 2 - 0.76, w / 2 - 0.5):
            m.cylinder((x, between(rng, -0.1, 0.1), 0.908), 0.09, 0.12, m.colour(any_colour(rng, 0.4)))
        small_things(m, rng, w, d - 0.1, 0.9, 7)

    return Piece(w, d, draw)


def _stone(rng: Generator) -> Array:
    base = hsv(rng.random(), 0.1, between(rng, 0.3, 0.75))
    return base * (1 + 0.25 * noise(rng, 64, 160, 30, 3))[..., None]


def fridge(rng: Generator) -> Piece:
    """Return a fridge with notes and magnets on its door."""

    def draw(m: MeshBuilder) -> None:
        body = m.colour(0.35 * any_colour(rng) + 140)
        m.box((-0.31, -0.32, 0), (0.31, 0.3, 1.8), body)
        m.box((-0.3, 0.3, 0.62), (0.3, 0.33, 1.79), body)
        m.box((-0.3, 0.3, 0.02), (0.3, 0.33, 0.6), body)
        m.box((-0.27, 0.33, 0.8), (-0.24, 0.36, 1.4), m.colour((90, 90, 95)))
        for _ in range(9):
            x, z, s = between(rng, -0.15, 0.2), between(rng, 0.75, 1.65), between(rng, 0.03, 0.08)
            m.box((x - s, 0.33, z), (x + s, 0.335, z + s * 2), m.texture(painting(rng, 48, 48)))

    return Piece(0.64, 0.68, draw)


def bathtub(rng: Generator) -> Piece:
    """Return a bath tub with a shower curtain at one end."""
    w, d = between(rng, 1.5, 1.7), 0.75

    def draw(m: MeshBuilder) -> None:
        white, water = m.colour((240, 240, 238)), m.colour((150, 190, 200))
        panel = m.texture(finish(tiles(rng, 50, 150, [any_colour(rng, 0.6), (240, 240, 240)], 4, 12, (220, 220, 220))))
        m.box((-w / 2, -d / 2, 0), (w / 2, d / 2, 0.54), panel, top=water)
        for y in (-d / 2, d / 2 - 0.08):
            m.box((-w / 2, y, 0.5), (w / 2, y + 0.08, 0.58), white)
        for x in (-w / 2, w / 2 - 0.08):
            m.box((x, -d / 2, 0.5), (x + 0.08, d / 2, 0.58), white)
        curtain = cloth_texture(m, rng)
        m.box((-w / 2, d / 2 - 0.05, 0.45), (-w / 2 + 0.5, d / 2 - 0.02, 2.0), curtain, bottom=True)

    return Piece(w, d, draw)


def wash_basin(rng: Generator) -> Piece:
    """Return a basin on a cabinet with a round mirror-like disc above."""
    w = between(rng, 0.6, 0.85)

    def draw(m: MeshBuilder) -> None:
        m.box((-w / 2, -0.24, 0.15), (w / 2, 0.2, 0.78), wood_texture(m, rng))
        m.box((-w / 2 - 0.02, -0.24, 0.78), (w / 2 + 0.02, 0.24, 0.88), m.colour((244, 244, 242)))
        m.cylinder((0, -0.18, 0.88), 0.02, 0.18, m.colour((150, 150, 155)), sides=8)
        m.box(
            (-w / 2 + 0.05, -0.24, 1.15),
            (w / 2 - 0.05, -0.22, 1.85),
            m.colour((70, 80, 90)),
            front=m.texture(finish(130 + 60 * noise(rng, 60, 60, 2, 1)[..., None] * np.array([0.8, 1.0, 1.1]))),
        )
        small_things(m, rng, w, 0.4, 0.88, 3)

    return Piece(w + 0.04, 0.48, draw)


def toilet(rng: Generator) -> Piece:
    """Return a toilet with a coloured lid."""

    def draw(m: MeshBuilder) -> None:
        white = m.colour((242, 242, 240))
        m.box((-0.19, -0.33, 0.4), (0.19, -0.15, 0.82), white)
        m.cylinder((0, 0.05, 0), 0.14, 0.38, white, top_radius=0.2)
        m.cylinder((0, 0.05, 0.38), 0.21, 0.04, m.colour(any_colour(rng, 0.4)))

    return Piece(0.42, 0.68, draw)


def coat_rack(rng: Generator) -> Piece:
    """Return a board with coats above a bench for shoes."""
    w = between(rng, 0.9, 1.3)

    def draw(m: MeshBuilder) -> None:
        board = wood_texture(m, rng)
        m.box((-w / 2, -0.17, 1.55), (w / 2, -0.14, 1.72), board, bottom=True)
        m.box((-w / 2, -0.17, 0.34), (w / 2, 0.15, 0.38), board, bottom=True)
        for x in (-w / 2, w / 2 - 0.03):
            m.box((x, -0.17, 0), (x + 0.03, 0.15, 0.34), board)
        for k in range(int(w / 0.3)):
            x = -w / 2 + 0.06 + 0.29 * k
            if rng.random() < 0.85:
                m.box((x, -0.14, between(rng, 0.6, 0.9)), (x + 0.23, -0.02, 1.6), cloth_texture(m, rng), bottom=True)
            m.box((x, -0.12, 0), (x + 0.1, 0.12, 0.09), m.colour(any_colour(rng, 0.2)))
            m.box((x + 0.12, -0.12, 0), (x + 0.22, 0.12, 0.09), m.colour(any_colour(rng, 0.2)))

    return Piece(w, 0.34, draw)


def shoe_cabinet(rng: Generator) -> Piece:
    """Return a shallow cabinet with a bowl on it."""
    w, h = between(rng, 0.7, 1.0), between(rng, 0.85, 1.1)

    def draw(m: MeshBuilder) -> None:
        body = wood_texture(m, rng)
        m.box((-w / 2, -0.12, 0.05), (w / 2, 0.1, h), body)
        for k in range(2):
            z = 0.08 + (h - 0.1) * k / 2
            m.box((-w / 2 + 0.02, 0.1, z), (w / 2 - 0.02, 0.12, z + (h - 0.14) / 2), m.colour(any_colour(rng, 0.4)))
        small_things(m, rng, w, 0.2, h, 3)

    return Piece(w, 0.24, draw)


def hang_picture(m: MeshBuilder, rng: Generator, x: float, z: float, width: float, height: float) -> None:
    """Hang a painting with its centre at (x, z) on the wall plane y = 0, seen from +y."""
    art = m.texture(painting(rng, int(200 * height / max(width, height)), int(200 * width / max(width, height))))
    rim = m.colour((60, 50, 40))
    m.box((x - width / 2, 0, z - height / 2), (x + width / 2, 0.025, z + height / 2), rim, front=art, bottom=True)


def hang_shelf(m: MeshBuilder, rng: Generator, x: float, z: float, width: float) -> None:
    """Hang a board with books and things on the wall plane y = 0."""
    m.box((x - width / 2, 0, z), (x + width / 2, 0.22, z + 0.03), wood_texture(m, rng), bottom=True)
    middle = x + between(rng, -0.2, 0.2) * width
    books(m, rng, x - width / 2 + 0.02, middle, (0.02, 0.2), z + 0.03, 0.28)
    with m.placed((middle + x + width / 2) / 2, 0.11, z + 0.03):
        small_things(m, rng, (x + width / 2 - middle) + 0.1, 0.24, 0.0, 3)


def hang_clock(m: MeshBuilder, rng: Generator, x: float, z: float) -> None:
    """Hang a round clock on the wall plane y = 0."""
    radius = between(rng, 0.14, 0.22)
    angle = np.linspace(0, 2 * np.pi, 25)
    face = m.texture(finish(_clock_face(rng)))
    rim = np.stack([x - radius * np.cos(angle), np.full(25, 0.03), z + radius * np.sin(angle)], axis=1)
    vertices = np.concatenate([[[x, 0.03, z]], rim])
    k = np.arange(1, 25)
    fan = np.stack([np.zeros_like(k), k, k + 1], axis=1)
    uv = np.concatenate([[[0.5, 0.5]], np.stack([0.5 + 0.49 * np.cos(angle), 0.5 - 0.49 * np.sin(angle)], axis=1)])
    m.triangles(vertices, fan, uv[fan], face)


def _clock_face(rng: Generator) -> Array:
    v, u = np.mgrid[-1:1:64j, -1:1:64j]
    radius, angle = np.hypot(u, v), np.arctan2(v, u)
    image = np.full((64, 64, 3), 240.0)
    image[radius > 0.86] = any_colour(rng, 0.2)
    image[(np.abs(np.mod(angle * 6 / np.pi + 0.5, 1) - 0.5) < 0.09) & (radius > 0.66) & (radius < 0.82)] = 20
    for length, thickness in ((0.5, 0.06), (0.7, 0.04)):
        turn = between(rng, 0, 2 * np.pi)
        along, across = u * np.cos(turn) + v * np.sin(turn), -u * np.sin(turn) + v * np.cos(turn)
        image[(along > 0) & (along < length) & (np.abs(across) < thickness)] = 25
    return image
