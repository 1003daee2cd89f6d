"""Free space: the table blocks, its clearance is right, islands and the outside are not free."""

from __future__ import annotations

import numpy as np
import pytest

from reloc_ros.errors import DatasetError
from reloc_ros.synthetic.free_space import free_space
from reloc_ros.synthetic.planner import Planner
from reloc_ros.synthetic.worlds import World


def test_table_blocks_and_walls_keep_the_radius(room: World) -> None:
    space = free_space(room.mesh, 0.3, 1.0)
    xy = np.array([[3.4, 2.5], [1.0, 1.0], [0.2, 1.5], [0.45, 1.5], [3.4, 2.05], [3.4, 1.8], [9.0, 9.0]])
    assert space.is_free(xy).tolist() == [False, True, False, True, False, True, False]
    row, column = space.cells(np.array([1.0, 1.5]))
    assert space.clearance[row, column] == pytest.approx(1.0, abs=0.1)


def test_a_low_robot_does_not_pass_through_a_closed_box_either(room: World) -> None:
    assert not free_space(room.mesh, 0.1, 0.3).is_free(np.array([3.4, 2.5]))


def test_cells_and_centres_are_inverse(room: World) -> None:
    space = free_space(room.mesh, 0.2, 1.0)
    cells = np.argwhere(space.free)
    assert np.array_equal(space.cells(space.centres(cells)), cells)


def test_robot_that_fits_nowhere_is_an_error(room: World) -> None:
    with pytest.raises(DatasetError, match="largest clearance"):
        free_space(room.mesh, 2.0, 1.0)


def test_way_goes_round_the_table_and_stays_free(room: World) -> None:
    space = free_space(room.mesh, 0.12, 1.0)
    start, goal = np.array([2.75, 2.75]), np.array([3.9 - 0.05, 1.9])
    way = Planner(space).plan(start, goal)
    np.testing.assert_allclose(way[[0, -1]], [start, goal])
    assert space.is_free(way).all()
    length = np.linalg.norm(np.diff(way, axis=0), axis=1).sum()
    assert np.linalg.norm(goal - start) * 0.99 < length < 2.5 * np.linalg.norm(goal - start)
