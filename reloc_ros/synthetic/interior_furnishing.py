"""What stands in a room of each use, how much of it, and where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from reloc_ros.synthetic import equipment as e
from reloc_ros.synthetic import fixtures as x
from reloc_ros.synthetic import furniture as f
from reloc_ros.synthetic.furniture import Piece, between
from reloc_ros.synthetic.mesh import MeshBuilder
from reloc_ros.synthetic.rooms import SIDES, Room

Maker = Callable[[Generator], Piece]
AISLE_M = 0.6
"""Kept free round what stands away from the walls, so that a robot gets past."""


@dataclass(frozen=True)
class Furnishing:
    """What a room is furnished with.

    Args:
        first: pieces without which the room would not be what it is, along the walls.
        tall: pieces along the walls to draw from, not before windows.
        low: pieces along the walls to draw from.
        middle: pieces that stand away from the walls, to draw from.
        rows: `middle` stands in rows facing one side, with a board on that wall.
    """

    first: tuple[Maker, ...]
    tall: tuple[Maker, ...]
    low: tuple[Maker, ...]
    middle: tuple[Maker, ...] = ()
    rows: bool = False


FURNISHINGS: dict[str, Furnishing] = {
    "living": Furnishing(
        (f.sofa, f.media_unit),
        (f.bookshelf, f.wardrobe, e.piano),
        (f.armchair, f.chest, f.plant, f.floor_lamp, e.counter),
        (f.coffee_table, e.round_table, f.coffee_table),
    ),
    "dining": Furnishing(
        (f.chest,), (f.bookshelf, e.piano), (f.plant, f.floor_lamp, f.chest), (f.table_with_chairs, e.round_table)
    ),
    "kitchen": Furnishing(
        (x.kitchen_row, x.fridge),
        (f.bookshelf, e.rack),
        (f.chest, f.plant, x.shoe_cabinet),
        (f.table_with_chairs, e.round_table, e.counter),
    ),
    "bedroom": Furnishing(
        (f.bed, f.wardrobe), (f.bookshelf, f.wardrobe), (f.chest, f.armchair, f.floor_lamp, f.desk, f.plant)
    ),
    "study": Furnishing(
        (f.desk, f.bookshelf), (f.bookshelf, e.filing_cabinet, e.piano), (f.armchair, f.plant, f.chest, f.floor_lamp)
    ),
    "bath": Furnishing((x.wash_basin, x.toilet, x.bathtub), (e.rack,), (f.chest, x.shoe_cabinet)),
    "hall": Furnishing(
        (), (x.coat_rack, f.wardrobe, f.bookshelf), (x.shoe_cabinet, x.shoe_cabinet, f.plant, f.floor_lamp)
    ),
    "office": Furnishing(
        (f.desk,),
        (f.bookshelf, e.filing_cabinet, e.rack),
        (f.desk, f.desk, f.plant, e.filing_cabinet, e.crates),
        (e.partition, f.desk, e.round_table),
    ),
    "meeting": Furnishing(
        (f.chest,), (f.bookshelf, e.filing_cabinet), (f.plant, e.filing_cabinet), (f.table_with_chairs, e.round_table)
    ),
    "library": Furnishing(
        (f.bookshelf, f.bookshelf),
        (f.bookshelf,),
        (f.armchair, f.floor_lamp, f.desk),
        (e.round_table, f.bookshelf, f.table_with_chairs),
    ),
    "classroom": Furnishing(
        (f.desk,), (e.filing_cabinet, f.bookshelf, e.rack), (e.crates, f.plant), (e.school_desk,), rows=True
    ),
    "canteen": Furnishing(
        (x.kitchen_row, x.fridge), (e.rack,), (f.plant, e.counter), (f.table_with_chairs, e.round_table, e.counter)
    ),
    "workshop": Furnishing(
        (e.work_bench, e.work_bench),
        (e.rack, e.filing_cabinet),
        (e.crates, e.work_bench, e.filing_cabinet),
        (e.work_bench, e.crates, e.counter, e.partition),
    ),
    "storage": Furnishing((e.rack, e.rack), (e.rack, f.wardrobe), (e.crates, e.crates, f.chest), (e.rack, e.crates)),
}


def furnish(m: MeshBuilder, rng: Generator, room: Room, use: str) -> None:
    """Stand furniture of random sizes in a room; what finds no place is left out."""
    furnishing = FURNISHINGS[use]
    area = (room.x1 - room.x0) * (room.y1 - room.y0)
    density = between(rng, 0.5, 1.3)
    _rugs(m, rng, room, use)
    for maker in furnishing.first:
        tall = maker in furnishing.tall or maker in {f.wardrobe, x.kitchen_row, x.fridge, e.rack, e.work_bench}
        room.put_against_wall(m, rng, _resized(rng, maker), tall=tall)
    if furnishing.rows:
        _board_and_rows(m, rng, room, furnishing.middle[0])
    elif furnishing.middle and rng.random() < 0.85:
        for _ in range(max(1, int(density * area / 14))):
            _put_somewhere(m, rng, room, _resized(rng, _any(rng, furnishing.middle)))
    for _ in range(int(1 + density * area / 9)):
        room.put_against_wall(m, rng, _resized(rng, _any(rng, furnishing.tall)), tall=True)
    for _ in range(int(1 + density * area / 7)):
        room.put_against_wall(m, rng, _resized(rng, _any(rng, furnishing.low)))
    if area > 30 and rng.random() < 0.4:
        pillar = e.pillar(rng)
        stretched = _stretched(pillar, (1.0, 1.0, room.ceiling_m / 2.3))
        for _ in range(2):
            _put_somewhere(m, rng, room, stretched)


def _any(rng: Generator, makers: tuple[Maker, ...]) -> Maker:
    return makers[int(rng.random() * len(makers))]


def _resized(rng: Generator, maker: Maker) -> Piece:
    """Return a piece somewhat wider or narrower, deeper, higher or lower than usual."""
    return _stretched(maker(rng), (between(rng, 0.85, 1.2), between(rng, 0.9, 1.15), between(rng, 0.88, 1.14)))


def _stretched(piece: Piece, stretch: tuple[float, float, float]) -> Piece:
    def draw(m: MeshBuilder) -> None:
        with m.placed(0, 0, stretch=stretch):
            piece.draw(m)

    return Piece(piece.width * stretch[0], piece.depth * stretch[1], draw)


def _put_somewhere(m: MeshBuilder, rng: Generator, room: Room, piece: Piece) -> bool:
    """Stand a piece away from the walls with an aisle round it; return whether there was room."""
    for _ in range(30):
        turns = int(rng.random() * 4)
        w, d = (piece.depth, piece.width) if turns % 2 else (piece.width, piece.depth)
        free_x, free_y = room.x1 - room.x0 - w - 2 * AISLE_M, room.y1 - room.y0 - d - 2 * AISLE_M
        if free_x < 0 or free_y < 0:
            continue
        x0, y0 = room.x0 + AISLE_M + free_x * rng.random(), room.y0 + AISLE_M + free_y * rng.random()
        if room.is_free((x0 - AISLE_M, y0 - AISLE_M, x0 + w + AISLE_M, y0 + d + AISLE_M)):
            room.taken.append((x0, y0, x0 + w, y0 + d))
            with m.placed(x0 + w / 2, y0 + d / 2, 0, turns * np.pi / 2):
                piece.draw(m)
            return True
    return False


def _board_and_rows(m: MeshBuilder, rng: Generator, room: Room, maker: Maker) -> None:
    """Hang a board and stand tables in rows before it, looking at it."""
    side = SIDES[int(rng.random() * len(SIDES))]
    ox, oy, yaw = room.wall_placement(side)
    length = room.wall_length(side)
    deep = room.wall_length("west" if side in {"south", "north"} else "south")
    wide = between(rng, 1.4, min(3.2, length - 1.0))
    with m.placed(ox, oy, 0, yaw):
        if not any(o.left < wide / 2 and -wide / 2 < o.right for o in room.openings[side]):
            e.hang_board(m, rng, 0.0, wide)
    piece = maker(rng)
    aisle, row_gap = between(rng, 0.6, 0.9), between(rng, 0.25, 0.6)
    columns = int((length - 0.7) / (piece.width + aisle))
    rows = int((deep - 2.4) / (piece.depth + row_gap))
    for row in range(rows):
        for column in range(columns):
            x_m = (column - (columns - 1) / 2) * (piece.width + aisle)
            y_m = 1.9 + row * (piece.depth + row_gap) + piece.depth / 2
            area = room.footprint(side, x_m, piece.width, y_m + piece.depth / 2)
            near = room.footprint(side, x_m, piece.width, y_m - piece.depth / 2)
            if rng.random() > 0.93 or not room.is_free(_beyond(area, near)):
                continue
            room.taken.append(_beyond(area, near))
            with m.placed(ox, oy, 0, yaw), m.placed(x_m, y_m, 0, np.pi):
                maker(rng).draw(m)


def _beyond(
    far: tuple[float, float, float, float], near: tuple[float, float, float, float]
) -> tuple[float, float, float, float]:
    """Return the rectangle `far` without `near`, which lies along one of its edges."""
    x0, y0, x1, y1 = far
    if near[2] - near[0] < x1 - x0 - 1e-9:
        return (near[2], y0, x1, y1) if near[0] <= x0 + 1e-9 else (x0, y0, near[0], y1)
    return (x0, near[3], x1, y1) if near[1] <= y0 + 1e-9 else (x0, y0, x1, near[1])


def _rugs(m: MeshBuilder, rng: Generator, room: Room, use: str) -> None:
    if use in {"classroom", "workshop", "storage", "canteen"} or rng.random() < 0.4:
        return
    w, d = room.x1 - room.x0, room.y1 - room.y0
    x_m, y_m = room.centre
    with m.placed(x_m + between(rng, -0.3, 0.3), y_m + between(rng, -0.3, 0.3), 0, between(rng, -0.2, 0.2)):
        f.flat_rug(rng, min(2.6, between(rng, 0.3, 0.6) * w), min(2.6, between(rng, 0.3, 0.6) * d)).draw(m)
