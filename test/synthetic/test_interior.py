"""Interiors differ from seed to seed, hang together, and can be driven through."""

from __future__ import annotations

import numpy as np
import pytest

from reloc_ros.errors import DatasetError
from reloc_ros.synthetic.free_space import free_space
from reloc_ros.synthetic.furniture import Piece
from reloc_ros.synthetic.interior import build_interior
from reloc_ros.synthetic.interior_furnishing import FURNISHINGS, furnish
from reloc_ros.synthetic.interior_plan import HALF_WALL_M, Building, plan_building
from reloc_ros.synthetic.mesh import MeshBuilder
from reloc_ros.synthetic.rooms import Room, connect, draw_walls

SEEDS = range(60)


@pytest.fixture(scope="module")
def buildings() -> list[Building]:
    """Many plans: they cost next to nothing."""
    return [plan_building(np.random.default_rng(seed)) for seed in SEEDS]


def doors(room: Room) -> list[tuple[float, float, float]]:
    """Return the middle (x, y) and the width of each doorway of a room, in the map."""
    found = []
    for side, openings in room.openings.items():
        ox, oy, yaw = room.wall_placement(side)
        for o in openings:
            if o.kind == "door":
                x = (o.left + o.right) / 2
                found.append((ox + x * np.cos(yaw), oy + x * np.sin(yaw), o.right - o.left))
    return found


def test_plans_are_of_every_kind_and_size(buildings: list[Building]) -> None:
    assert {building.style for building in buildings} == {"flat", "corridor", "open"}
    counts = [len(building.rooms) for building in buildings]
    assert min(counts) <= 2
    assert max(counts) >= 7
    uses = {use for building in buildings for use in building.uses.values()}
    assert len(uses) >= 12
    assert uses <= set(FURNISHINGS)
    widths = [width for building in buildings for room in building.rooms.values() for _, _, width in doors(room)]
    assert min(widths) > 0.75
    assert min(widths) < 0.85
    assert max(widths) > 1.5


def test_rooms_do_not_overlap_and_every_doorway_leads_into_another_room(buildings: list[Building]) -> None:
    for building in buildings:
        rooms = list(building.rooms.values())
        for k, a in enumerate(rooms):
            for b in rooms[k + 1 :]:
                assert a.x1 <= b.x0 or b.x1 <= a.x0 or a.y1 <= b.y0 or b.y1 <= a.y0
            others = np.array([door for room in rooms if room is not a for door in doors(room)]).reshape(-1, 3)
            for x, y, width in doors(a):
                apart = np.abs(others - [x, y, width])
                # The doorway's other face, across the partition.
                assert (apart < [2 * HALF_WALL_M + 1e-6, 2 * HALF_WALL_M + 1e-6, 1e-9]).all(axis=1).sum() == 1


def test_windows_look_outside(buildings: list[Building]) -> None:
    windows = 0
    for building in buildings:
        for room in building.rooms.values():
            for side, openings in room.openings.items():
                for o in openings:
                    if o.kind != "window":
                        continue
                    windows += 1
                    ox, oy, yaw = room.wall_placement(side)
                    for x in (o.left, o.right):
                        # Thirty centimetres behind the wall.
                        px, py = ox + x * np.cos(yaw) + 0.3 * np.sin(yaw), oy + x * np.sin(yaw) - 0.3 * np.cos(yaw)
                        assert not any(r.x0 < px < r.x1 and r.y0 < py < r.y1 for r in building.rooms.values())
    assert windows > len(buildings)


def test_same_seed_same_interior_and_another_seed_another_one() -> None:
    first, again, other = build_interior(5), build_interior(5), build_interior(6)
    assert np.array_equal(first.mesh.vertices, again.mesh.vertices)
    assert all(np.array_equal(a, b) for a, b in zip(first.mesh.textures, again.mesh.textures, strict=True))
    assert first.lamps == again.lamps
    assert first.rooms.keys() != other.rooms.keys() or first.rooms != other.rooms
    space = free_space(first.mesh, 0.22, 1.8)
    reached = [space.share_of(area) > 0.05 for area in first.rooms.values()]
    assert np.mean(reached) >= 0.6


def test_too_wide_a_robot_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reloc_ros.synthetic.interior.MAX_ATTEMPTS", 1)
    with pytest.raises(DatasetError, match="radius"):
        build_interior(0, robot_radius_m=3.0)


@pytest.mark.parametrize("use", sorted(FURNISHINGS))
def test_furniture_stays_in_its_room_and_out_of_the_doorway(use: str) -> None:
    room, hall = Room(use, 0.06, 0.06, 4.94, 3.94), Room("hall", 0.06, 4.06, 4.94, 6.0)
    connect(room, "north", hall, "south", 2.2, 0.9)
    before = len(room.taken)
    builder = MeshBuilder(cell_m=2.0)
    furnish(builder, np.random.default_rng(3), room, use)
    assert len(room.taken) > before + 1
    mesh = builder.build()
    # Chairs are pulled out a little beyond the rectangle of their table.
    assert mesh.bounds[0, :2].min() > -0.25
    assert mesh.bounds[1, 0] < 5.25
    assert mesh.bounds[1, 1] < 4.25
    corners = mesh.triangles
    standing = corners[(corners[..., 2].max(axis=1) > 0.06) & (corners[..., 2].min(axis=1) < 1.8)]
    low, high = standing[..., :2].min(axis=1), standing[..., :2].max(axis=1)
    # Half a metre before the doorway nothing stands.
    assert not ((high > [1.9, 3.45]).all(axis=1) & (low < [2.5, 3.94]).all(axis=1)).any()


def test_stretching_a_shape_stretches_it_along_its_own_axes() -> None:
    builder = MeshBuilder()
    piece = Piece(1.0, 1.0, lambda m: m.box((0, 0, 0), (1.0, 2.0, 3.0), m.colour((9, 9, 9))))
    with builder.placed(10.0, 20.0, 1.0, np.pi / 2, stretch=(2.0, 0.5, 3.0)):
        piece.draw(builder)
    # x to the north (2 x 1 m), y to the west (0.5 x 2 m), z up (3 x 3 m).
    np.testing.assert_allclose(builder.build().bounds, [[9.0, 20.0, 1.0], [10.0, 22.0, 10.0]], atol=1e-5)


@pytest.mark.parametrize("sills", [True, False])
def test_doorway_without_a_sill_leaves_the_floor_alone(sills: bool) -> None:
    a, b = Room("a", 0.06, 0.06, 3.94, 2.94), Room("b", 4.06, 0.06, 7.0, 2.94)
    connect(a, "east", b, "west", 1.5, 0.9)
    builder = MeshBuilder()
    colour = np.array([200.0, 190.0, 180.0])
    draw_walls(builder, np.random.default_rng(0), a, colour, colour, ("plain",), sills=sills)
    heights = builder.build().triangles[..., 2]
    assert (heights.max(axis=1) < 1e-6).any() == sills
