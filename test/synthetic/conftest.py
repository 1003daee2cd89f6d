"""Worlds that several tests share: lighting the apartment takes seconds."""

from __future__ import annotations

import pytest
from small_world import small_world

from reloc_ros.synthetic.renderer import Renderer
from reloc_ros.synthetic.worlds import World, load_world


@pytest.fixture(scope="session")
def room() -> World:
    """One plain room with a table."""
    return small_world()


@pytest.fixture(scope="session")
def room_renderer(room: World) -> Renderer:
    """Renderer of `room`."""
    return Renderer(room.mesh, room.outdoors)


@pytest.fixture(scope="session")
def apartment() -> World:
    """The flat of the demo."""
    return load_world("apartment", 0)
