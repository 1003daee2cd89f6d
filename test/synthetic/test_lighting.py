"""Light falls where lamps reach and not behind things."""

from __future__ import annotations

import numpy as np
from small_world import GREY_OUTDOORS, LAMPS, unlit_room

from reloc_ros.synthetic.lighting import bake, look_up_outdoors
from reloc_ros.synthetic.worlds import World


def brightness_near(world: World, x: float, y: float, z: float) -> float:
    """Return the mean light at the ten vertices nearest to a point."""
    distance = np.linalg.norm(world.mesh.vertices - np.array([x, y, z]), axis=1)
    return float(world.mesh.light[np.argsort(distance)[:10]].mean())


def test_floor_under_the_lamp_is_brightest_and_the_shadow_of_the_table_dark(room: World) -> None:
    # The table's shadow lies behind it, seen from the lamp, in the corner.
    assert brightness_near(room, 3.97, 2.97, 0.0) < 0.5 * brightness_near(room, 2.0, 1.5, 0.0)
    assert brightness_near(room, 0.5, 0.5, 0.0) < brightness_near(room, 2.0, 1.5, 0.0)


def test_walls_throw_their_colour_back() -> None:
    lit = bake(unlit_room(), LAMPS, GREY_OUTDOORS, rays=24)
    floor = (lit.vertices[:, 2] < 1e-3) & (lit.vertices[:, 1] > 0.8) & (lit.vertices[:, 1] < 1.6)
    east = lit.light[floor & (lit.vertices[:, 0] > 3.8)].mean(axis=0)
    west = lit.light[floor & (lit.vertices[:, 0] < 0.2)].mean(axis=0)
    # The east wall is red, the west wall blue.
    assert east[0] / east[2] > 1.1 * west[0] / west[2]


def test_outdoors_is_looked_up_by_azimuth_and_height() -> None:
    picture = np.zeros((4, 8, 3), np.uint8)
    picture[0] = (255, 0, 0)
    picture[2, 2] = (0, 255, 0)
    up_east_north = np.array([[0, 0, 1.0], [1.0, 0, 0], [0.02, 1.0, -0.1]], np.float32)
    colours = look_up_outdoors(picture, up_east_north / np.linalg.norm(up_east_north, axis=1, keepdims=True))
    assert colours[0, 0] > 1
    assert colours[1].max() == 0
    # Azimuth +y is a quarter of the way round: column 2 of 8 begins there; look a bit to its right.
    left = look_up_outdoors(picture, np.array([[-0.1, 0.99, -0.1]], np.float32))
    assert left[0, 1] > 1
