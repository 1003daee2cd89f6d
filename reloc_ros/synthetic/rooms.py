"""The shell of a flat: rooms, walls with openings, doors, windows, and finding room for furniture."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.random import Generator

from reloc_ros.synthetic.fixtures import hang_clock, hang_picture, hang_shelf
from reloc_ros.synthetic.furniture import Piece, between, cloth_texture
from reloc_ros.synthetic.mesh import MeshBuilder
from reloc_ros.synthetic.textures import finish, wall, wood
from reloc_ros.types import Array

CEILING_M = 2.5
DOOR_HEIGHT_M = 2.05
REVEAL_M = 0.12
SIDES = ("south", "north", "west", "east")
_YAW_RAD = {"south": 0.0, "north": np.pi, "west": -np.pi / 2, "east": np.pi / 2}


@dataclass(frozen=True)
class Opening:
    """A hole in a wall, in the wall's frame: x from `left` to `right`, z from `bottom` to `top`, metres."""

    left: float
    right: float
    bottom: float
    top: float
    kind: str


@dataclass
class Room:
    """An axis-aligned room; `taken` are the floor rectangles (x0, y0, x1, y1) that are not free any more.

    `tall` are those of them where something reaches up to where pictures hang.
    """

    name: str
    x0: float
    y0: float
    x1: float
    y1: float
    openings: dict[str, list[Opening]] = field(default_factory=lambda: {side: [] for side in SIDES})
    taken: list[tuple[float, float, float, float]] = field(default_factory=list)
    tall: list[tuple[float, float, float, float]] = field(default_factory=list)
    ceiling_m: float = CEILING_M

    @property
    def centre(self) -> tuple[float, float]:
        """Middle of the floor, metres."""
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2

    def wall_length(self, side: str) -> float:
        """Length of a wall, metres."""
        return self.x1 - self.x0 if side in ("south", "north") else self.y1 - self.y0

    def wall_placement(self, side: str) -> tuple[float, float, float]:
        """Return x, y and yaw of the wall's frame: origin mid-wall on the floor, +y into the room."""
        cx, cy = self.centre
        x, y = {"south": (cx, self.y0), "north": (cx, self.y1), "west": (self.x0, cy), "east": (self.x1, cy)}[side]
        return x, y, _YAW_RAD[side]

    def along_wall(self, side: str, coordinate: float) -> float:
        """Return the wall-frame x of a map coordinate (x for south and north walls, y for the others)."""
        cx, cy = self.centre
        return {"south": coordinate - cx, "north": cx - coordinate, "west": cy - coordinate, "east": coordinate - cy}[
            side
        ]

    def cut(self, side: str, coordinate: float, width: float, bottom: float, top: float, kind: str) -> None:
        """Cut an opening centred on a map coordinate; a door also keeps the floor before it free."""
        x = self.along_wall(side, coordinate)
        self.openings[side].append(Opening(x - width / 2, x + width / 2, bottom, top, kind))
        if kind == "door":
            self.taken.append(self.footprint(side, x, width + 0.1, 1.0))

    def footprint(self, side: str, x: float, width: float, depth: float) -> tuple[float, float, float, float]:
        """Return the floor rectangle of a width x depth piece standing against a wall at wall-frame x."""
        ox, oy, yaw = self.wall_placement(side)
        c, s = np.cos(yaw), np.sin(yaw)
        corners = np.array([[x - width / 2, 0.0], [x + width / 2, depth]]) @ np.array([[c, s], [-s, c]]) + [ox, oy]
        low, high = corners.min(axis=0), corners.max(axis=0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])

    def is_free(self, area: tuple[float, float, float, float]) -> bool:
        """Tell whether a floor rectangle lies in the room and off everything placed so far."""
        x0, y0, x1, y1 = area
        inside = x0 > self.x0 - 1e-6 and y0 > self.y0 - 1e-6 and x1 < self.x1 + 1e-6 and y1 < self.y1 + 1e-6
        return inside and not any(_overlap(area, other) for other in self.taken)

    def put_against_wall(self, m: MeshBuilder, rng: Generator, piece: Piece, *, tall: bool = False) -> bool:
        """Stand a piece against some wall, tall ones not before a window; return whether there was room."""
        for _ in range(80):
            side = SIDES[int(rng.random() * 4)]
            slack = self.wall_length(side) / 2 - piece.width / 2 - 0.02
            if slack < 0:
                continue
            x = between(rng, -slack, slack)
            if rng.random() < 0.4:
                x = slack if rng.random() < 0.5 else -slack
            low, high = x - piece.width / 2, x + piece.width / 2
            if tall and any(o.left < high and low < o.right and o.kind == "window" for o in self.openings[side]):
                continue
            area = self.footprint(side, x, piece.width, piece.depth + 0.02)
            if self.is_free(area):
                self.taken.append(area)
                if tall:
                    self.tall.append(area)
                ox, oy, yaw = self.wall_placement(side)
                with m.placed(ox, oy, 0, yaw), m.placed(x, piece.depth / 2 + 0.01):
                    piece.draw(m)
                return True
        return False

    def put_in_the_middle(self, m: MeshBuilder, rng: Generator, piece: Piece) -> bool:
        """Stand a piece near the middle of the room; return whether there was room."""
        for attempt in range(60):
            turned = rng.random() < 0.5
            w, d = (piece.depth, piece.width) if turned else (piece.width, piece.depth)
            spread = 0.1 + 0.02 * attempt
            x, y = (c + between(rng, -spread, spread) for c in self.centre)
            area = (x - w / 2, y - d / 2, x + w / 2, y + d / 2)
            if self.is_free(area):
                self.taken.append(area)
                with m.placed(x, y, 0, (np.pi / 2 if turned else 0.0) + (np.pi if rng.random() < 0.5 else 0.0)):
                    piece.draw(m)
                return True
        return False


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def connect(a: Room, side_a: str, b: Room, side_b: str, coordinate: float, width: float) -> None:
    """Cut a doorway through the wall between two rooms."""
    a.cut(side_a, coordinate, width, 0.0, DOOR_HEIGHT_M, "door")
    b.cut(side_b, coordinate, width, 0.0, DOOR_HEIGHT_M, "door")


def draw_walls(
    m: MeshBuilder,
    rng: Generator,
    room: Room,
    colour: Array,
    accent: Array,
    kinds: tuple[str, ...],
    *,
    sills: bool = True,
) -> None:
    """Draw the four walls of a room with their openings, skirting, window bars and curtains.

    `sills` are boards in the doorways, at the height of the floor: leave them out where the floor reaches through.
    """
    skirting = m.colour((225, 222, 214) if rng.random() < 0.6 else accent * 0.5)
    for k, side in enumerate(SIDES):
        length = room.wall_length(side)
        paper = wall(rng, int(room.ceiling_m * 80), int(length * 80), colour, accent, kinds[k % len(kinds)])
        texture = m.texture(finish(paper))
        with m.placed(*_as_place(room.wall_placement(side))):
            _wall_pieces(m, (length, room.ceiling_m), room.openings[side], texture, skirting)
            for opening in room.openings[side]:
                if opening.kind == "window":
                    _window(m, rng, opening)
                else:
                    _door_frame(m, rng, opening, sill=sills)


def _as_place(placement: tuple[float, float, float]) -> tuple[float, float, float, float]:
    return placement[0], placement[1], 0.0, placement[2]


def _wall_pieces(
    m: MeshBuilder, size: tuple[float, float], openings: list[Opening], texture: int, skirting: int
) -> None:
    """Cut a wall of size (length, height) along the edges of its openings and draw what is left."""
    length, height = size
    xs = sorted({-length / 2, length / 2, *(o.left for o in openings), *(o.right for o in openings)})
    zs = sorted({0.0, height, *(o.bottom for o in openings), *(o.top for o in openings)})
    for left, right in pairwise(xs):
        for bottom, top in pairwise(zs):
            x, z = (left + right) / 2, (bottom + top) / 2
            if any(o.left < x < o.right and o.bottom < z < o.top for o in openings):
                continue
            u0, u1 = 0.5 - right / length, 0.5 - left / length
            v0, v1 = 1 - top / height, 1 - bottom / height
            m.quad((right, 0, top), (left - right, 0, 0), (0, 0, bottom - top), texture, (u0, v0, u1, v1))
            if bottom == 0.0:
                m.box((left, 0, 0), (right, 0.014, 0.09), skirting)


def _reveal(m: MeshBuilder, o: Opening, depth: float, texture: int, *, sill: bool = True) -> None:
    """Draw the inner sides of an opening, the lower one only with `sill`; the wall is `depth` thick."""
    width, height = o.right - o.left, o.top - o.bottom
    m.quad((o.left, 0, o.top), (0, -depth, 0), (0, 0, -height), texture)
    m.quad((o.right, -depth, o.top), (0, depth, 0), (0, 0, -height), texture)
    m.quad((o.left, 0, o.top), (width, 0, 0), (0, -depth, 0), texture)
    if sill:
        m.quad((o.left, -depth, o.bottom), (width, 0, 0), (0, depth, 0), texture)


def _door_frame(m: MeshBuilder, rng: Generator, o: Opening, *, sill: bool) -> None:
    frame = m.texture(finish(wood(rng, 32, 160, np.array([200, 190, 170]) * between(rng, 0.4, 1.15))))
    _reveal(m, o, REVEAL_M / 2, frame, sill=sill)
    for x in (o.left - 0.07, o.right):
        m.box((x, 0, 0), (x + 0.07, 0.02, o.top + 0.07), frame)
    m.box((o.left - 0.07, 0, o.top), (o.right + 0.07, 0.02, o.top + 0.07), frame, bottom=True)


def draw_door_leaf(m: MeshBuilder, rng: Generator, room: Room, side: str, o: Opening) -> None:
    """Draw the open door of a doorway, swung into the room, and keep its place free of furniture."""
    leaf = m.texture(finish(wood(rng, 160, 80, 0.4 * np.array([190, 150, 110]) + 130 * rng.random(3))))
    pane = m.colour(255 * (0.3 + 0.6 * rng.random(3)))
    at_right, width = rng.random() < 0.5, o.right - o.left
    hinge = o.right if at_right else o.left
    swing = np.pi / 2 + (-1 if at_right else 1) * between(rng, 0.05, 0.25)
    with m.placed(*_as_place(room.wall_placement(side))), m.placed(hinge, 0.02, 0, swing):
        m.box((0, -0.02, 0.01), (width - 0.03, 0.02, DOOR_HEIGHT_M - 0.03), leaf)
        m.box((0.2, -0.024, 1.15), (width - 0.2, 0.024, 1.8), pane, bottom=True)
        m.box((width - 0.16, -0.07, 1.0), (width - 0.06, 0.07, 1.03), m.colour((90, 90, 90)))
    room.taken.append(room.footprint(side, hinge + (0.12 if at_right else -0.12), 0.36, width))


def _window(m: MeshBuilder, rng: Generator, o: Opening) -> None:
    white = m.colour((232, 230, 225))
    _reveal(m, o, 0.22, white)
    bar = 0.035
    panes = int(between(rng, 2, 3.99))
    for k in range(panes + 1):
        x = o.left + (o.right - o.left - bar) * k / panes
        m.box((x, -0.2, o.bottom), (x + bar, -0.16, o.top), white)
    for z in (o.bottom, o.top - bar, o.bottom + (o.top - o.bottom) * between(rng, 0.55, 0.75)):
        m.box((o.left, -0.2, z), (o.right, -0.16, z + bar), white, bottom=True)
    m.box((o.left - 0.06, 0, o.bottom - 0.04), (o.right + 0.06, 0.08, o.bottom), white, bottom=True)
    curtain, length = cloth_texture(m, rng), between(rng, 0.35, 0.75)
    for x, w in ((o.left - 0.28, between(rng, 0.25, 0.42)), (o.right - 0.1, between(rng, 0.25, 0.42))):
        m.box((x, 0.03, length), (x + w, 0.09, o.top + 0.16), curtain, bottom=True)
    m.box((o.left - 0.35, 0.04, o.top + 0.15), (o.right + 0.4, 0.06, o.top + 0.18), m.colour((70, 60, 50)), bottom=True)


def decorate_walls(m: MeshBuilder, rng: Generator, room: Room, spacing: float = 0.55) -> None:
    """Hang paintings, shelves and clocks on every free stretch of wall, no two alike, above the robot's head."""
    for side in SIDES:
        half = room.wall_length(side) / 2
        x = -half + between(rng, 0.35, 0.6)
        with m.placed(*_as_place(room.wall_placement(side))):
            while x < half - 0.3:
                kind = rng.random()
                w, h = between(rng, 0.32, 0.75), between(rng, 0.3, 0.65)
                if kind < 0.25:
                    w, h = between(rng, 0.5, 0.9), 0.4
                low, high = x - w / 2 - 0.2, x + w / 2 + 0.2
                blocked = any(o.left < high and low < o.right for o in room.openings[side])
                area = room.footprint(side, x, w, 0.2)
                blocked = blocked or any(_overlap(area, other) for other in room.tall)
                if not blocked and abs(x) + w / 2 < half:
                    if kind < 0.25:
                        hang_shelf(m, rng, x, between(rng, 1.35, 1.6), w)
                    elif kind < 0.3:
                        hang_clock(m, rng, x, between(rng, 1.6, 2.0))
                    else:
                        hang_picture(m, rng, x, between(rng, 1.45, 1.75), w, h)
                x += w / 2 + 0.3 + spacing * rng.random()
