"""Furnished interiors of every kind, to train what must work in buildings it has never seen: another for each seed."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from reloc_ros.errors import DatasetError
from reloc_ros.synthetic.apartment import Apartment
from reloc_ros.synthetic.free_space import free_space
from reloc_ros.synthetic.furniture import between
from reloc_ros.synthetic.interior_furnishing import furnish
from reloc_ros.synthetic.interior_plan import plan_building
from reloc_ros.synthetic.interior_style import Style, draw_shell
from reloc_ros.synthetic.lighting import Lamp
from reloc_ros.synthetic.mesh import MeshBuilder
from reloc_ros.synthetic.pictures import outdoors
from reloc_ros.synthetic.rooms import Room, decorate_walls, draw_door_leaf
from reloc_ros.synthetic.textures import finish
from reloc_ros.types import Image

MAX_ATTEMPTS = 30
MIN_FREE_M2 = 5.0
MIN_REACHED_SHARE = 0.6
"""Of the rooms: what is shut in stays a closed room."""
LIGHT_CELL_M = 0.4
"""Coarser than in the apartment of the demo: half the triangles, half the time for light and pictures."""
LEAF_MAX_M = 1.05


def build_interior(seed: int, robot_radius_m: float = 0.22, robot_height_m: float = 1.8) -> Apartment:
    """Return the building of a seed: its kind, plan, furniture, surfaces, lamps and daylight are all drawn from it.

    Raises:
        DatasetError: no arrangement leaves the robot enough floor.
    """
    for attempt in range(MAX_ATTEMPTS):
        interior = _arrange(np.random.default_rng([seed, attempt]))
        try:
            space = free_space(interior.mesh, robot_radius_m, robot_height_m)
        except DatasetError:
            continue
        reached = [space.share_of(area) > 0.05 for area in interior.rooms.values()]
        if np.mean(reached) >= MIN_REACHED_SHARE and space.free.sum() * space.resolution**2 > MIN_FREE_M2:
            return interior
    raise DatasetError(
        f"no interior of seed {seed} leaves {MIN_FREE_M2:g} m^2 of free floor in {MAX_ATTEMPTS} attempts for a robot of "
        f"radius {robot_radius_m} m; use a radius below 0.3 m or another seed"
    )


def _arrange(rng: Generator) -> Apartment:
    building = plan_building(rng)
    style = Style.random(rng, building.style)
    m = MeshBuilder(cell_m=LIGHT_CELL_M)
    lamps: list[Lamp] = []
    mood = between(rng, 0.0, 1.0)
    spacing = between(rng, 0.3, 3.0)
    for name, room in building.rooms.items():
        use = building.uses[name]
        draw_shell(m, rng, room, use, style)
        lamps += _lamps(m, rng, room, mood, panels=building.style != "flat")
        for side, openings in room.openings.items():
            for o in openings:
                if o.kind == "door" and use != "hall" and o.right - o.left < LEAF_MAX_M and rng.random() < 0.4:
                    draw_door_leaf(m, rng, room, side, o)
        furnish(m, rng, room, use)
        decorate_walls(m, rng, room, spacing)
    m.textures[:] = _faded(m.textures, between(rng, 0.3, 1.0))
    areas = {name: (room.x0, room.y0, room.x1, room.y1) for name, room in building.rooms.items()}
    return Apartment(m.build(), tuple(lamps), _daylight(rng), areas)


def _faded(textures: list[Image], vividness: float) -> list[Image]:
    """Return textures of less saturated colours: some buildings are colourful, others nearly grey."""
    weights = np.array([0.3, 0.59, 0.11])
    return [finish(vividness * t + (1 - vividness) * (t @ weights)[..., None]) for t in textures]


def _lamps(m: MeshBuilder, rng: Generator, room: Room, mood: float, *, panels: bool) -> list[Lamp]:
    """Hang lamps, one every ten square metres or so, a few of them switched off; `mood` 0..1 is cold to warm."""
    w, d = room.x1 - room.x0, room.y1 - room.y0
    columns, rows = max(1, round(w / between(rng, 2.8, 4.5))), max(1, round(d / between(rng, 2.8, 4.5)))
    tint = np.array([1.0, 1.0 - 0.22 * mood, 1.05 - 0.6 * mood])
    power = between(rng, 0.5, 1.1) * np.sqrt(w * d / (rows * columns))
    drop, shade = (0.02, np.array([255.0, 252, 245])) if panels else (between(rng, 0.1, 0.4), 200 + 55 * rng.random(3))
    radius, sides, top = between(rng, 0.12, 0.28), int(between(rng, 4, 16)), between(rng, 0.05, 0.25)
    texture, cord = m.colour(shade), m.colour((40, 40, 40))
    dark = m.colour(shade * 0.6)
    lamps = []
    for x in room.x0 + (np.arange(columns) + 0.5) * w / columns:
        for y in room.y0 + (np.arange(rows) + 0.5) * d / rows:
            on = rng.random() < 0.85
            glow, cover = (1.1, texture) if on else (0.0, dark)
            z = room.ceiling_m - drop
            if panels:
                m.box((x - 0.55, y - 0.2, z - 0.03), (x + 0.55, y + 0.2, z + 0.02), cover, bottom=True, glow=glow)
            else:
                m.cylinder((x, y, z), 0.01, drop, cord, sides=5)
                m.cylinder((x, y, z - 0.14), radius, 0.14, cover, top_radius=top, sides=sides, glow=glow)
            if on:
                red, green, blue = (power * tint).tolist()
                lamps.append(Lamp((float(x), float(y), z - 0.25), (red, green, blue)))
    return lamps


def _daylight(rng: Generator) -> Image:
    """Return the view outside at some hour: from bright day over an overcast one to dusk and night."""
    view = outdoors(rng, 256, 1024).astype(float)
    brightness = between(rng, 0.12, 1.0) ** 0.5
    tint = np.array([1.0, between(rng, 0.9, 1.0), between(rng, 0.8, 1.05)])
    return finish(view * brightness * tint)
