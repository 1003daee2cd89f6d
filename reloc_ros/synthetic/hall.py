"""A furnished hall that holds a given path: a world for a recorded trajectory that has no camera."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from reloc_ros.errors import DatasetError
from reloc_ros.synthetic import furniture as f
from reloc_ros.synthetic.interior_style import Style, draw_shell
from reloc_ros.synthetic.lighting import Lamp, Progress, bake, silent
from reloc_ros.synthetic.mesh import MeshBuilder
from reloc_ros.synthetic.pictures import outdoors
from reloc_ros.synthetic.rooms import Room, decorate_walls
from reloc_ros.synthetic.worlds import CHEAP_RAYS, World
from reloc_ros.types import Array

MARGIN_M = 1.5
"""Between the path and the walls, for furniture to stand along them."""
CLEARANCE_M = 0.45
MAX_SIDE_M = 60.0
LIGHT_CELL_M = 0.4
_PATH_STEP_M = 0.2
_FLOOR_PER_PIECE_M2 = 4.0
_ALONG_WALLS = (f.bookshelf, f.wardrobe, f.chest, f.media_unit, f.desk, f.sofa, f.plant)
_ANYWHERE = (f.bookshelf, f.table_with_chairs, f.armchair, f.plant, f.chest, f.coffee_table, f.floor_lamp)


def hall_around(path_xy: Array, seed: int, progress: Progress = silent) -> World:
    """Return a lit hall in the frame of a path, with nothing standing nearer to it than `CLEARANCE_M`.

    Args:
        path_xy: (N, 2) metres.
        seed: of furniture and surfaces.
        progress: told the share of the light that is baked, 0..1.

    Raises:
        DatasetError: the path is too long for one hall.
    """
    low, high = path_xy.min(axis=0) - MARGIN_M, path_xy.max(axis=0) + MARGIN_M
    if max(high - low) > MAX_SIDE_M:
        raise DatasetError(
            f"the path spans {' x '.join(f'{side:.0f}' for side in high - low)} m, a hall has {MAX_SIDE_M:g} m at most; "
            "give a mesh file that holds it"
        )
    rng = np.random.default_rng(seed)
    room = Room("hall", float(low[0]), float(low[1]), float(high[0]), float(high[1]), ceiling_m=3.0)
    room.taken += _kept_free(path_xy)
    m = MeshBuilder(cell_m=LIGHT_CELL_M)
    draw_shell(m, rng, room, "hall", Style.random(rng, "flat"))
    area = float(np.prod(high - low))
    for _ in range(round(area / _FLOOR_PER_PIECE_M2)):
        room.put_against_wall(m, rng, _ALONG_WALLS[int(rng.integers(len(_ALONG_WALLS)))](rng))
        _put_anywhere(m, rng, room, _ANYWHERE[int(rng.integers(len(_ANYWHERE)))](rng))
    decorate_walls(m, rng, room)
    view = outdoors(rng)
    lit = bake(m.build(), _lamps(room), view, rays=CHEAP_RAYS, progress=progress)
    return World("hall", lit, view, {"hall": (room.x0, room.y0, room.x1, room.y1)})


def _kept_free(path_xy: Array) -> list[tuple[float, float, float, float]]:
    """Return floor rectangles round points of the path."""
    kept: list[Array] = []
    for point in path_xy:
        if not kept or np.linalg.norm(point - kept[-1]) > _PATH_STEP_M:
            kept.append(point)
    return [(x - CLEARANCE_M, y - CLEARANCE_M, x + CLEARANCE_M, y + CLEARANCE_M) for x, y in np.array(kept).tolist()]


def _put_anywhere(m: MeshBuilder, rng: Generator, room: Room, piece: f.Piece) -> None:
    """Stand a piece somewhere free, turned by any angle; leave it out where there is no room."""
    reach = 0.5 * float(np.hypot(piece.width, piece.depth))
    for _ in range(40):
        x, y = f.between(rng, room.x0 + reach, room.x1 - reach), f.between(rng, room.y0 + reach, room.y1 - reach)
        area = (x - reach, y - reach, x + reach, y + reach)
        if room.is_free(area):
            room.taken.append(area)
            with m.placed(x, y, 0, f.between(rng, 0, 2 * np.pi)):
                piece.draw(m)
            return


def _lamps(room: Room) -> tuple[Lamp, ...]:
    """Return lamps under the ceiling, one every four metres or so."""
    w, d = room.x1 - room.x0, room.y1 - room.y0
    columns, rows = max(1, round(w / 4)), max(1, round(d / 4))
    return tuple(
        Lamp((room.x0 + (i + 0.5) * w / columns, room.y0 + (j + 0.5) * d / rows, room.ceiling_m - 0.3), (3.0, 2.9, 2.6))
        for i in range(columns)
        for j in range(rows)
    )
