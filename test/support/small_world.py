"""A room of 4 x 3 x 2.5 metres with one coloured wall each way and a table: quick to light, easy to predict."""

from __future__ import annotations

import numpy as np

from reloc_ros.synthetic.lighting import Lamp, bake
from reloc_ros.synthetic.mesh import MeshBuilder, TexturedMesh
from reloc_ros.synthetic.worlds import World

ROOM = (0.0, 0.0, 4.0, 3.0)
WALLS = {"east": (220, 30, 30), "north": (30, 200, 30), "west": (30, 30, 220), "south": (220, 210, 30)}
LAMPS = (Lamp((2.0, 1.5, 2.3), (2.0, 2.0, 2.0)),)
GREY_OUTDOORS = np.full((8, 16, 3), 128, np.uint8)


def unlit_room() -> TexturedMesh:
    """Return the room with a table of 0.8 x 0.6 metres in the corner at (3.4, 2.5)."""
    m = MeshBuilder()
    colour = {name: m.colour(rgb) for name, rgb in WALLS.items()}
    grey = m.colour((150, 150, 150))
    m.quad((0, 3, 0), (4, 0, 0), (0, -3, 0), grey)
    m.quad((0, 0, 2.5), (4, 0, 0), (0, 3, 0), grey)
    m.quad((4, 0, 2.5), (-4, 0, 0), (0, 0, -2.5), colour["south"])
    m.quad((0, 3, 2.5), (4, 0, 0), (0, 0, -2.5), colour["north"])
    m.quad((0, 0, 2.5), (0, 3, 0), (0, 0, -2.5), colour["west"])
    m.quad((4, 3, 2.5), (0, -3, 0), (0, 0, -2.5), colour["east"])
    m.box((3.0, 2.2, 0.0), (3.8, 2.8, 0.7), grey)
    return m.build()


def small_world() -> World:
    """Return the lit room."""
    return World("room", bake(unlit_room(), LAMPS, GREY_OUTDOORS, rays=24), GREY_OUTDOORS, {"room": ROOM})
