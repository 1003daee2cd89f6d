"""How an interior looks: floors, walls, ceilings and the colours that its rooms share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from reloc_ros.synthetic.furniture import between
from reloc_ros.synthetic.interior_plan import HALF_WALL_M
from reloc_ros.synthetic.mesh import MeshBuilder
from reloc_ros.synthetic.rooms import Room, draw_walls
from reloc_ros.synthetic.textures import carpet, checker, finish, hsv, noise, planks, shaded, tiles
from reloc_ros.types import Array

TEXELS_PER_M = 70
WET = frozenset({"bath", "kitchen"})
WALL_KINDS = ("plain", "striped", "blocks", "brick", "dado", "dotted", "panels", "concrete")
FLOOR_KINDS = ("planks", "planks", "tiles", "checker", "carpet", "concrete")


@dataclass(frozen=True)
class Style:
    """What the rooms of one building have in common.

    Args:
        hue: 0..1, of most walls.
        hue_spread: how far single rooms stray from it.
        saturation: largest of the walls.
        wall_kinds: patterns to choose from.
        floor_kind: of all rooms, or "" where each has its own.
        wood_hue: 0..1, of floors and panels.
        ceiling: "plain", "grid" or "boards".
    """

    hue: float
    hue_spread: float
    saturation: float
    wall_kinds: tuple[str, ...]
    floor_kind: str
    wood_hue: float
    ceiling: str

    @classmethod
    def random(cls, rng: Generator, building_style: str) -> Style:
        """Return a style that suits a kind of building (see `interior_plan`)."""
        kinds = tuple(WALL_KINDS[k] for k in rng.permutation(len(WALL_KINDS))[: int(between(rng, 1, 4.99))])
        ceiling = "plain"
        if rng.random() < 0.35:
            ceiling = "boards" if building_style == "flat" else "grid"
        return cls(
            hue=rng.random(),
            hue_spread=between(rng, 0.0, 0.35),
            saturation=between(rng, 0.04, 0.4),
            wall_kinds=kinds,
            floor_kind=FLOOR_KINDS[int(rng.random() * len(FLOOR_KINDS))] if rng.random() < 0.5 else "",
            wood_hue=between(rng, 0.03, 0.12),
            ceiling=ceiling,
        )


def draw_shell(m: MeshBuilder, rng: Generator, room: Room, use: str, style: Style) -> None:
    """Draw floor, ceiling and walls of one room."""
    w, d, t = room.x1 - room.x0, room.y1 - room.y0, HALF_WALL_M
    floor = m.texture(finish(_floor(rng, style, use, int(d * TEXELS_PER_M), int(w * TEXELS_PER_M))))
    m.quad((room.x0 - t, room.y1 + t, 0), (w + 2 * t, 0, 0), (0, -d - 2 * t, 0), floor)
    ceiling = m.texture(finish(_ceiling(rng, style, w, d)))
    m.quad((room.x0, room.y0, room.ceiling_m), (w, 0, 0), (0, d, 0), ceiling)
    hue = style.hue + style.hue_spread * (2 * rng.random() - 1)
    colour = hsv(hue, between(rng, 0.3, 1.0) * style.saturation, between(rng, 0.62, 0.95))
    accent = hsv(hue + between(rng, -0.25, 0.25), between(rng, 0.15, 0.7), between(rng, 0.35, 0.9))
    kinds = ("tiles",) if use in WET and rng.random() < 0.6 else style.wall_kinds
    mixed = tuple(kinds[k] for k in rng.permutation(len(kinds)))
    draw_walls(m, rng, room, colour, accent, mixed, sills=False)


def _floor(rng: Generator, style: Style, use: str, height: int, width: int) -> Array:
    kind = style.floor_kind or FLOOR_KINDS[int(rng.random() * len(FLOOR_KINDS))]
    if use == "bath":
        kind = "tiles"
    tone = hsv(style.wood_hue, between(rng, 0.25, 0.65), between(rng, 0.35, 0.85))
    if kind == "planks":
        board = int(TEXELS_PER_M * between(rng, 0.09, 0.24))
        if rng.random() < 0.5:
            return planks(rng, height, width, tone, max(2, height // board), between(rng, 0.08, 0.3))
        return np.swapaxes(planks(rng, width, height, tone, max(2, width // board), between(rng, 0.08, 0.3)), 0, 1)
    size = int(TEXELS_PER_M * between(rng, 0.18, 0.7))
    rows, columns = max(2, height // size), max(2, width // size)
    hue = rng.random()
    if kind == "tiles":
        palette = [hsv(hue, between(rng, 0.03, 0.4), between(rng, 0.4, 0.9)) for _ in range(int(between(rng, 1, 4.99)))]
        return tiles(rng, height, width, palette, rows, columns, np.full(3, between(rng, 60, 215)))
    if kind == "checker":
        a, b = hsv(hue, 0.12, between(rng, 0.7, 0.9)), hsv(hue + rng.random(), 0.45, between(rng, 0.25, 0.6))
        return checker(rng, height, width, a, b, rows, columns)
    if kind == "carpet":
        return carpet(rng, height, width, hsv(hue, between(rng, 0.05, 0.5), between(rng, 0.3, 0.75)))
    grey = hsv(hue, between(rng, 0.02, 0.12), between(rng, 0.4, 0.75))
    stained = 0.16 * noise(rng, height, width, 3, 5) + 0.06 * (rng.random((height, width)) - 0.5)
    return shaded(np.broadcast_to(grey, (height, width, 3)), stained)


def _ceiling(rng: Generator, style: Style, width_m: float, depth_m: float) -> Array:
    height, width = int(depth_m * 40), int(width_m * 40)
    white = np.full(3, between(rng, 195, 245))
    if style.ceiling == "grid":
        return tiles(rng, height, width, [white], max(2, height // 24), max(2, width // 24), white * 0.7)
    if style.ceiling == "boards":
        tone = hsv(style.wood_hue, between(rng, 0.2, 0.55), between(rng, 0.5, 0.85))
        return planks(rng, height, width, tone, max(2, height // 7))
    return shaded(np.broadcast_to(white, (height, width, 3)), 0.03 * noise(rng, height, width, 4, 3))
