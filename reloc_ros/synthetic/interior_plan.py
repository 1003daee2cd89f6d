"""Ground plans of many kinds of buildings: rooms of every size, doorways between them, windows to the outside."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations

from numpy.random import Generator

from reloc_ros.synthetic.furniture import between
from reloc_ros.synthetic.rooms import Room, connect

HALF_WALL_M = 0.06
"""Half the thickness of a partition: the rectangles of the plan share edges, the rooms keep off them by this."""
MIN_SIDE_M = 2.0
MIN_SHARED_M = 1.3
TOUCH_M = 1e-6

Rectangle = tuple[float, float, float, float]


@dataclass
class Building:
    """Rooms by name, and what each is used for."""

    style: str
    rooms: dict[str, Room] = field(default_factory=dict)
    uses: dict[str, str] = field(default_factory=dict)


def plan_building(rng: Generator) -> Building:
    """Return an unfurnished building: a flat of small rooms, rooms along a corridor, or one or two large rooms."""
    style = _choice(rng, ("flat", "flat", "corridor", "open"))
    rectangles = {"flat": _flat, "corridor": _corridor, "open": _open}[style](rng)
    ceiling_m = between(rng, 2.35, 2.8) if style == "flat" else between(rng, 2.45, 3.6)
    building = Building(style)
    for use, (x0, y0, x1, y1) in zip(_uses(rng, style, rectangles), rectangles):
        name = f"{use}_{len(building.rooms)}"
        t = HALF_WALL_M
        building.rooms[name] = Room(name, x0 + t, y0 + t, x1 - t, y1 - t, ceiling_m=ceiling_m)
        building.uses[name] = use
    _cut_doors(rng, list(building.rooms.values()))
    for name, room in building.rooms.items():
        others = [other for other in building.rooms.values() if other is not room]
        _cut_windows(rng, room, others, 0.35 if building.uses[name] in {"bath", "storage"} else 0.8)
    return building


def _choice(rng: Generator, names: tuple[str, ...]) -> str:
    return names[int(rng.random() * len(names))]


def _flat(rng: Generator) -> list[Rectangle]:
    """Halve a rectangle until every part has the size of a room; now and then a part is left out of the building."""
    whole = (0.0, 0.0, between(rng, 5.5, 12.5), between(rng, 4.8, 10.5))
    wanted_m2 = between(rng, 9.0, 20.0)
    todo, done = [whole], []
    while todo:
        x0, y0, x1, y1 = todo.pop()
        w, d = x1 - x0, y1 - y0
        fraction, longer = between(rng, 0.33, 0.67), max(w, d)
        cut = min(fraction, 1 - fraction) * longer
        if (w * d < wanted_m2 and longer < 2.4 * min(w, d)) or cut < MIN_SIDE_M + 2 * HALF_WALL_M:
            done.append((x0, y0, x1, y1))
        elif w > d:
            todo += [(x0, y0, x0 + fraction * w, y1), (x0 + fraction * w, y0, x1, y1)]
        else:
            todo += [(x0, y0, x1, y0 + fraction * d), (x0, y0 + fraction * d, x1, y1)]
    if len(done) > 3 and rng.random() < 0.4:
        done.pop(int(rng.random() * len(done)))
    return done


def _corridor(rng: Generator) -> list[Rectangle]:
    """Return a corridor, first, with rooms on one side or both."""
    length, wide = between(rng, 8.0, 15.0), between(rng, 1.5, 2.4)
    south, north = between(rng, 3.0, 5.0), between(rng, 3.0, 5.5)
    rectangles = [(0.0, south, length, south + wide)]
    sides = [(0.0, south), (south + wide, south + wide + north)]
    if rng.random() < 0.25:
        sides.pop(int(rng.random() * 2))
    for y0, y1 in sides:
        x, typical = 0.0, between(rng, 2.8, 5.0)
        while length - x > MIN_SIDE_M + 0.6:
            x1 = x + typical * between(rng, 0.75, 1.35)
            if length - x1 < MIN_SIDE_M + 0.6:
                x1 = length
            rectangles.append((x, y0, x1, y1))
            x = x1
    return rectangles


def _open(rng: Generator) -> list[Rectangle]:
    """Return one large room, with a smaller one beside it as often as not."""
    w, d = between(rng, 5.5, 11.0), between(rng, 5.0, 8.5)
    rectangles = [(0.0, 0.0, w, d)]
    if rng.random() < 0.6:
        deep = between(rng, 2.5, d)
        start = (d - deep) * rng.random()
        rectangles.append((w, start, w + between(rng, 2.3, 4.5), start + deep))
    return rectangles


def _uses(rng: Generator, style: str, rectangles: list[Rectangle]) -> list[str]:
    """Say what each room is used for: by size in a flat, by chance elsewhere."""
    if style == "open":
        large = ("classroom", "library", "workshop", "living", "office", "canteen", "storage")
        return [_choice(rng, large), *(_choice(rng, ("storage", "office", "hall", "kitchen")) for _ in rectangles[1:])]
    if style == "corridor":
        rooms = ("office", "office", "meeting", "library", "workshop", "storage", "kitchen", "bath", "bedroom")
        return ["hall", *(_choice(rng, rooms) for _ in rectangles[1:])]
    by_size = sorted(range(len(rectangles)), key=lambda k: _area(rectangles[k]))
    uses = [_choice(rng, ("bedroom", "study", "dining", "bedroom", "hall", "library")) for _ in rectangles]
    if len(rectangles) > 2:
        uses[by_size[0]] = "bath" if rng.random() < 0.8 else "storage"
        uses[by_size[-2]] = "kitchen"
    uses[by_size[-1]] = "living" if rng.random() < 0.75 else "dining"
    return uses


def _area(r: Rectangle) -> float:
    return (r[2] - r[0]) * (r[3] - r[1])


def _cut_doors(rng: Generator, rooms: list[Room]) -> None:
    """Connect all rooms that can be connected, by a random tree and a few doorways more."""
    shared = [(a, b, *place) for a, b in combinations(range(len(rooms)), 2) if (place := _border(rooms[a], rooms[b]))]
    group = list(range(len(rooms)))
    for k in rng.permutation(len(shared)):
        a, b, side_a, side_b, low, high = shared[k]
        joined = group[a] == group[b]
        if joined and rng.random() < 0.75:
            continue
        group = [group[a] if g == group[b] else g for g in group]
        widest = min(high - low - 0.35, 2.4)
        width = between(rng, 0.78, min(1.05, widest))
        if rng.random() < 0.3:
            width = between(rng, min(1.1, widest), widest)
        middle = between(rng, low + width / 2 + 0.12, high - width / 2 - 0.12)
        connect(rooms[a], side_a, rooms[b], side_b, middle, width)


def _border(a: Room, b: Room) -> tuple[str, str, float, float] | None:
    """Return the sides at which two rooms touch and from where to where, or None."""
    gap = 2 * HALF_WALL_M + TOUCH_M
    for side_a, side_b, distance in (
        ("east", "west", b.x0 - a.x1),
        ("west", "east", a.x0 - b.x1),
        ("north", "south", b.y0 - a.y1),
        ("south", "north", a.y0 - b.y1),
    ):
        if not 0 <= distance <= gap:
            continue
        low, high = (
            (max(a.y0, b.y0), min(a.y1, b.y1)) if side_a in {"east", "west"} else (max(a.x0, b.x0), min(a.x1, b.x1))
        )
        if high - low > MIN_SHARED_M:
            return side_a, side_b, low, high
    return None


def _cut_windows(rng: Generator, room: Room, others: list[Room], share: float) -> None:
    """Cut windows, large or small, into the sides of a room behind which there is no other room."""
    tall = rng.random() < 0.2
    for side in ("south", "north", "west", "east"):
        if any(_beyond(room, side, other) for other in others) or rng.random() > share:
            continue
        length = room.wall_length(side)
        count = max(1, int(length / between(rng, 1.8, 4.5)))
        bottom = 0.12 if tall else between(rng, 0.7, 1.1)
        top = min(between(rng, 1.9, 2.3), room.ceiling_m - 0.2)
        low = room.x0 if side in {"south", "north"} else room.y0
        pitch = length / count
        width = min(between(rng, 0.6, 2.2), pitch - 0.5)
        for k in range(count):
            if rng.random() < 0.85:
                room.cut(side, low + (k + 0.5) * pitch, width, bottom, top, "window")


def _beyond(room: Room, side: str, other: Room) -> bool:
    """Tell whether another room touches a side of this one anywhere."""
    reach = 4 * HALF_WALL_M
    x0, y0, x1, y1 = {
        "south": (room.x0, room.y0 - reach, room.x1, room.y0),
        "north": (room.x0, room.y1, room.x1, room.y1 + reach),
        "west": (room.x0 - reach, room.y0, room.x0, room.y1),
        "east": (room.x1, room.y0, room.x1 + reach, room.y1),
    }[side]
    return x0 < other.x1 and other.x0 < x1 and y0 < other.y1 and other.y0 < y1
