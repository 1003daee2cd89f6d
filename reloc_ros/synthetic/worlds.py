"""Worlds to drive through, by name or from a mesh file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reloc_ros.errors import DatasetError
from reloc_ros.synthetic.apartment import build_apartment
from reloc_ros.synthetic.free_space import floor_height
from reloc_ros.synthetic.interior import build_interior
from reloc_ros.synthetic.lighting import Lamp, Progress, bake, silent
from reloc_ros.synthetic.mesh import TexturedMesh
from reloc_ros.synthetic.mesh_file import MESH_SUFFIXES, read_mesh
from reloc_ros.synthetic.missing_floor import lay_missing_floor
from reloc_ros.synthetic.pictures import outdoors
from reloc_ros.types import Image

MESH_FILE_RAYS = 48
CHEAP_RAYS = 24
"""Enough where many worlds are lit and none is looked at for long."""


@dataclass(frozen=True)
class World:
    """A lit mesh in its map frame (metres, z up).

    Args:
        name: of the procedural world or of the file.
        mesh: geometry, textures, baked light.
        outdoors: equirectangular picture seen through windows.
        rooms: name -> (x0, y0, x1, y1) metres.
        floor_m: height of the floor.
    """

    name: str
    mesh: TexturedMesh
    outdoors: Image
    rooms: dict[str, tuple[float, float, float, float]]
    floor_m: float = 0.0


def _apartment(seed: int, progress: Progress) -> World:
    built = build_apartment(seed)
    lit = bake(built.mesh, built.lamps, built.outdoors, progress=progress)
    return World("apartment", lit, built.outdoors, built.rooms)


def _interior(seed: int, progress: Progress) -> World:
    built = build_interior(seed)
    lit = bake(built.mesh, built.lamps, built.outdoors, rays=CHEAP_RAYS, progress=progress)
    return World("interior", lit, built.outdoors, built.rooms)


WORLDS: dict[str, Callable[[int, Progress], World]] = {"apartment": _apartment, "interior": _interior}


def load_world(name: str, seed: int = 0, progress: Progress = silent, rays: int = MESH_FILE_RAYS) -> World:
    """Return a procedural world of a seed, or the world in a mesh file (z up, metres), lit from its ceiling.

    A mesh file without a floor is given one.

    Args:
        name: of a procedural world, or a mesh file.
        seed: which one.
        progress: told the share of the light that is baked, 0..1.
        rays: directions for each vertex of a mesh file; its light is the smoother the more there are.

    Raises:
        DatasetError: neither a known name nor a readable mesh file.
    """
    if name in WORLDS:
        return WORLDS[name](seed, progress)
    path = Path(name)
    if path.suffix.lower() not in MESH_SUFFIXES:
        raise DatasetError(
            f"no world {name!r}; use one of {sorted(WORLDS)} or a file ending in {sorted(MESH_SUFFIXES)}"
        )
    mesh = read_mesh(path)
    (x0, y0), (x1, y1) = np.percentile(mesh.vertices[:, :2], (2, 98), axis=0)  # a ground plane may reach far out
    floor_m, top_m = floor_height(mesh), float(mesh.bounds[1, 2])
    rng = np.random.default_rng(seed)
    view = outdoors(rng)
    mesh = lay_missing_floor(mesh, (float(x0), float(y0), float(x1), float(y1)), floor_m, rng)
    lamps = _lamps_under_the_ceiling(x0, y0, x1, y1, floor_m + 0.85 * (top_m - floor_m))
    lit = bake(mesh, lamps, view, two_sided=True, rays=rays, progress=progress)
    return World(path.stem, lit, view, {path.stem: (float(x0), float(y0), float(x1), float(y1))}, floor_m)


def _lamps_under_the_ceiling(x0: float, y0: float, x1: float, y1: float, z: float) -> tuple[Lamp, ...]:
    """Return lamps about every three metres."""
    columns, rows = max(1, round((x1 - x0) / 3)), max(1, round((y1 - y0) / 3))
    xs = x0 + (np.arange(columns) + 0.5) * (x1 - x0) / columns
    ys = y0 + (np.arange(rows) + 0.5) * (y1 - y0) / rows
    return tuple(Lamp((float(x), float(y), z), (1.5, 1.45, 1.3)) for x in xs for y in ys)
