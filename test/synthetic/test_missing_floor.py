"""A mesh without a floor is given one at the right height; one that has a floor is left as it is."""

from __future__ import annotations

import numpy as np
import pytest
from small_world import ROOM, unlit_room

from reloc_ros.synthetic.mesh import MeshBuilder
from reloc_ros.synthetic.missing_floor import lay_missing_floor
from reloc_ros.synthetic.ray_caster import RayCaster


def test_mesh_with_a_floor_is_left_as_it_is() -> None:
    room = unlit_room()
    assert lay_missing_floor(room, ROOM, 0.0, np.random.default_rng(0)) is room


def test_missing_floor_is_laid_under_what_stands_on_it() -> None:
    m = MeshBuilder()
    red = m.colour((200, 20, 20))
    m.box((1.0, 1.0, 0.7), (1.6, 2.0, 1.4), red)
    m.box((3.7, 2.4, 0.7), (3.8, 2.5, 1.6), red)
    table = m.build()
    whole = lay_missing_floor(table, ROOM, 0.7, np.random.default_rng(0))
    np.testing.assert_array_equal(whole.vertices[: len(table.vertices)], table.vertices)
    np.testing.assert_allclose(whole.bounds, [[1.0, 1.0, 0.7], [3.8, 2.5, 1.6]], atol=0.01)
    start = np.array([[3.5, 1.2, 2.0], [1.3, 1.5, 2.0]], np.float32)
    hits = RayCaster(whole.triangles).cast(start, np.tile(np.array([0, 0, -1], np.float32), (2, 1)))
    assert hits.distance == pytest.approx([1.3, 0.6], abs=0.01)
    # The boards bring their own picture.
    assert whole.face_texture[hits.face].tolist() == [1, 0]
    assert len(whole.textures) == 2
