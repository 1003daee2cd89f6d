"""A furnished flat of six rooms, another one for every seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from reloc_ros.errors import DatasetError
from reloc_ros.synthetic import fixtures, furniture
from reloc_ros.synthetic.free_space import free_space
from reloc_ros.synthetic.furniture import Piece, between
from reloc_ros.synthetic.lighting import Lamp
from reloc_ros.synthetic.mesh import MeshBuilder, TexturedMesh
from reloc_ros.synthetic.pictures import outdoors, painting
from reloc_ros.synthetic.rooms import (
    CEILING_M,
    DOOR_HEIGHT_M,
    Room,
    connect,
    decorate_walls,
    draw_door_leaf,
    draw_walls,
)
from reloc_ros.synthetic.textures import carpet, checker, finish, hsv, planks, tiles, wood
from reloc_ros.types import Array, Image

MAX_ATTEMPTS = 20


@dataclass(frozen=True)
class Apartment:
    """What the generator returns: geometry, lamps, the view outside and the rooms' rectangles (x0, y0, x1, y1)."""

    mesh: TexturedMesh
    lamps: tuple[Lamp, ...]
    outdoors: Image
    rooms: dict[str, tuple[float, float, float, float]]


def build_apartment(seed: int, robot_radius_m: float = 0.22, robot_height_m: float = 1.2) -> Apartment:
    """Return the flat of a seed: 10.4 x 8.6 m, every room can be reached by the robot.

    Raises:
        DatasetError: no arrangement leaves every room reachable (the robot is too wide).
    """
    for attempt in range(MAX_ATTEMPTS):
        apartment = _arrange(np.random.default_rng([seed, attempt]))
        space = free_space(apartment.mesh, robot_radius_m, robot_height_m)
        if all(space.share_of(area) > 0.12 for area in apartment.rooms.values()):
            return apartment
    raise DatasetError(
        f"no furnishing of seed {seed} leaves every room reachable in {MAX_ATTEMPTS} attempts for a robot of radius "
        f"{robot_radius_m} m; use a radius below 0.3 m or another seed"
    )


def _arrange(rng: Generator) -> Apartment:
    rooms = _plan(rng)
    m = MeshBuilder()
    for room in rooms.values():
        _shell(m, rng, room)
    lamps = tuple(_lamp(m, rng, room, k) for k, room in enumerate(rooms.values()))
    for name, room in rooms.items():
        for side, openings in room.openings.items():
            for o in openings:
                if o.kind == "door" and name != "hall" and o.right - o.left < 1.0:
                    draw_door_leaf(m, rng, room, side, o)
        _FURNISH[name](m, rng, room)
        decorate_walls(m, rng, room)
    areas = {name: (room.x0, room.y0, room.x1, room.y1) for name, room in rooms.items()}
    return Apartment(m.build(), lamps, outdoors(rng), areas)


def _plan(rng: Generator) -> dict[str, Room]:
    """Return six rooms round a hall, their partitions shifted a little, doors and windows cut."""
    w, h, t = 10.4, 8.6, 0.06
    south, north = 3.85 + between(rng, -0.15, 0.15), 5.25 + between(rng, -0.1, 0.1)
    a, b, c = 6.0 + between(rng, -0.3, 0.3), 3.9 + between(rng, -0.2, 0.2), 6.4 + between(rng, -0.15, 0.15)
    rooms = {
        "living": Room("living", t, t, a - t, south - t),
        "kitchen": Room("kitchen", a + t, t, w - t, south - t),
        "hall": Room("hall", t, south + t, w - t, north - t),
        "bedroom": Room("bedroom", t, north + t, b - t, h - t),
        "bath": Room("bath", b + t, north + t, c - t, h - t),
        "study": Room("study", c + t, north + t, w - t, h - t),
    }
    hall, living, kitchen = rooms["hall"], rooms["living"], rooms["kitchen"]
    connect(hall, "south", living, "north", between(rng, 1.6, 2.4), 0.95)
    connect(hall, "south", kitchen, "north", a + between(rng, 1.6, 2.6), 0.95)
    connect(living, "east", kitchen, "west", between(rng, 1.2, 1.8), 1.3)
    for name, low, high in (("bedroom", t, b), ("bath", b, c), ("study", c, w)):
        middle = low + (high - low) * between(rng, 0.35, 0.65)
        connect(hall, "north", rooms[name], "south", middle, 0.9)
    windows = (
        ("living", "south", 1.5, 1.7), ("living", "south", 4.3, 1.1), ("living", "west", 2.0, 1.3),
        ("kitchen", "south", a + 1.5, 1.1), ("kitchen", "south", a + 3.4, 0.8), ("hall", "east", (south + north) / 2, 0.7),
        ("bedroom", "north", 2.1, 1.6), ("bedroom", "west", 7.2, 0.9), ("bath", "north", (b + c) / 2, 0.7),
        ("study", "north", (c + w) / 2, 1.2), ("study", "east", 7.1, 1.4),
    )  # fmt: skip
    for name, side, where, width in windows:
        bottom, top = between(rng, 0.75, 0.95), between(rng, 1.95, 2.15)
        rooms[name].cut(side, where + between(rng, -0.15, 0.15), width * between(rng, 0.9, 1.1), bottom, top, "window")
    return rooms


_WALLS: dict[str, tuple[str, ...]] = {
    "living": ("plain", "striped", "blocks", "brick"),
    "kitchen": ("blocks", "dado", "striped", "dotted"),
    "hall": ("dado", "dotted", "striped", "blocks"),
    "bedroom": ("dotted", "blocks", "striped", "dado"),
    "bath": ("tiles",),
    "study": ("blocks", "dotted", "brick", "striped"),
}
_HUE = {"living": 0.10, "kitchen": 0.15, "hall": 0.55, "bedroom": 0.72, "bath": 0.48, "study": 0.33}


def _shell(m: MeshBuilder, rng: Generator, room: Room) -> None:
    """Draw floor, ceiling and walls of one room."""
    w, d = room.x1 - room.x0, room.y1 - room.y0
    floor = m.texture(finish(_floor(rng, room.name, int(d * 110), int(w * 110))))
    t = 0.06
    m.quad((room.x0 - t, room.y1 + t, 0), (w + 2 * t, 0, 0), (0, -d - 2 * t, 0), floor)
    ceiling = m.texture(finish(np.full((32, 32, 3), between(rng, 225, 240))))
    m.quad((room.x0, room.y0, CEILING_M), (w, 0, 0), (0, d, 0), ceiling)
    hue = _HUE[room.name] + between(rng, -0.05, 0.05)
    colour = hsv(hue, between(rng, 0.1, 0.25), between(rng, 0.82, 0.93))
    accent = hsv(hue + between(rng, -0.15, 0.15), between(rng, 0.3, 0.55), between(rng, 0.6, 0.85))
    draw_walls(m, rng, room, colour, accent, _WALLS[room.name])


def _floor(rng: Generator, name: str, height: int, width: int) -> Array:
    oak, walnut = hsv(0.09, 0.5, 0.72), hsv(0.06, 0.6, 0.45)
    if name == "living":
        return planks(rng, height, width, oak, height // 16)
    if name == "kitchen":
        return checker(rng, height, width, hsv(0.1, 0.12, 0.85), hsv(0.03, 0.5, 0.55), height // 38, width // 38)
    if name == "hall":
        palette = [hsv(0.08, 0.25, v) for v in (0.45, 0.55, 0.65)] + [hsv(0.55, 0.3, 0.5)]
        return tiles(rng, height, width, palette, height // 44, width // 44, (70, 66, 62))
    if name == "bedroom":
        return carpet(rng, height, width, hsv(0.62, 0.25, 0.55))
    if name == "bath":
        palette = [hsv(0.5, 0.4, v) for v in (0.5, 0.65, 0.8)] + [np.array([225.0, 225, 220])]
        return tiles(rng, height, width, palette, height // 22, width // 22, (205, 205, 200))
    return planks(rng, height, width, walnut, height // 11, 0.3)


def _lamp(m: MeshBuilder, rng: Generator, room: Room, index: int) -> Lamp:
    """Hang a ceiling lamp of a shape of its own and return the light it gives."""
    x, y = room.centre
    shade = m.colour(200 + 55 * rng.random(3))
    drop = between(rng, 0.15, 0.4)
    m.cylinder((x, y, CEILING_M - drop), 0.01, drop, m.colour((40, 40, 40)), sides=5)
    m.cylinder(
        (x, y, CEILING_M - drop - 0.14),
        between(rng, 0.14, 0.26),
        0.14,
        shade,
        top_radius=between(rng, 0.05, 0.2),
        sides=8 + 2 * index,
        glow=1.2,
    )
    warmth = between(rng, 0.75, 1.0)
    size = np.sqrt((room.x1 - room.x0) * (room.y1 - room.y0))
    power = between(rng, 0.55, 0.8) * size
    return Lamp((x, y, CEILING_M - drop - 0.2), (power, power * (0.75 + 0.25 * warmth), power * warmth * 0.95))


def _fill(m: MeshBuilder, rng: Generator, room: Room, tall: tuple[Piece, ...], low: tuple[Piece, ...]) -> None:
    """Stand pieces against the walls, the tall ones first; what finds no place is left out."""
    for piece in tall:
        room.put_against_wall(m, rng, piece, tall=True)
    for piece in low:
        room.put_against_wall(m, rng, piece)


def _living(m: MeshBuilder, rng: Generator, room: Room) -> None:
    rug = furniture.flat_rug(rng, 2.3, 1.6)
    with m.placed(*room.centre):
        rug.draw(m)
    f = furniture
    _fill(m, rng, room, (f.bookshelf(rng), f.media_unit(rng)), (f.sofa(rng), f.armchair(rng), f.chest(rng)))
    room.put_in_the_middle(m, rng, f.coffee_table(rng))
    _fill(m, rng, room, (f.bookshelf(rng), f.plant(rng)), (f.floor_lamp(rng), f.plant(rng)))


def _kitchen(m: MeshBuilder, rng: Generator, room: Room) -> None:
    _fill(m, rng, room, (fixtures.kitchen_row(rng), fixtures.fridge(rng)), ())
    room.put_in_the_middle(m, rng, furniture.table_with_chairs(rng))
    _fill(m, rng, room, (furniture.bookshelf(rng),), (furniture.chest(rng), furniture.plant(rng)))


def _hall(m: MeshBuilder, rng: Generator, room: Room) -> None:
    for x in (2.2, 7.6):
        with m.placed(x + between(rng, -0.4, 0.4), room.centre[1]):
            furniture.flat_rug(rng, between(rng, 1.3, 2.0), 0.7).draw(m)
    x, y, yaw = room.wall_placement("west")
    with m.placed(x, y, 0, yaw):
        leaf = m.texture(finish(wood(rng, 200, 90, hsv(rng.random(), 0.5, 0.45))))
        m.box((-0.45, 0, 0), (0.45, 0.03, DOOR_HEIGHT_M), leaf)
        m.box((-0.25, 0.03, 1.3), (0.25, 0.04, 1.8), m.colour((240, 220, 150)), front=m.texture(painting(rng, 80, 80)))
    room.taken.append(room.footprint("west", 0.0, 1.1, 0.9))
    _fill(m, rng, room, (fixtures.coat_rack(rng),), (fixtures.shoe_cabinet(rng), fixtures.shoe_cabinet(rng)))


def _bedroom(m: MeshBuilder, rng: Generator, room: Room) -> None:
    _fill(m, rng, room, (furniture.wardrobe(rng),), (furniture.bed(rng),))
    with m.placed(*room.centre, 0, between(rng, -0.2, 0.2)):
        furniture.flat_rug(rng, 1.5, 1.1).draw(m)
    _fill(m, rng, room, (), (furniture.chest(rng), furniture.floor_lamp(rng), furniture.armchair(rng)))


def _bath(m: MeshBuilder, rng: Generator, room: Room) -> None:
    _fill(m, rng, room, (), (fixtures.bathtub(rng),))
    _fill(m, rng, room, (fixtures.wash_basin(rng),), (fixtures.toilet(rng),))
    with m.placed(*room.centre, 0, between(rng, 0, 1)):
        furniture.flat_rug(rng, 0.8, 0.55).draw(m)


def _study(m: MeshBuilder, rng: Generator, room: Room) -> None:
    with m.placed(*room.centre, 0, between(rng, -0.3, 0.3)):
        furniture.flat_rug(rng, 1.7, 1.2).draw(m)
    f = furniture
    _fill(
        m, rng, room, (f.bookshelf(rng), f.bookshelf(rng)), (f.desk(rng), f.chest(rng), f.plant(rng), f.armchair(rng))
    )
    x, y, yaw = room.wall_placement("south")
    with m.placed(x, y, 0, yaw):
        fixtures.hang_clock(m, rng, -room.wall_length("south") / 2 + 0.4, 2.1)


_FURNISH = {
    "living": _living,
    "kitchen": _kitchen,
    "hall": _hall,
    "bedroom": _bedroom,
    "bath": _bath,
    "study": _study,
}
