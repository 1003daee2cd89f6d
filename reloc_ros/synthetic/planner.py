"""Ways over the free floor that keep away from furniture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

from reloc_ros.synthetic.free_space import FreeSpace
from reloc_ros.types import Array

COMFORT_M = 0.45
"""Up to this clearance a way is the more expensive the nearer it passes something."""
SMOOTHING_M = 0.2


class Planner:
    """Shortest ways between free cells, weighted by clearance."""

    def __init__(self, space: FreeSpace) -> None:
        """Build the graph of the free cells and their eight neighbours."""
        self._space = space
        self._cells = np.argwhere(space.free)
        index = np.full(space.free.shape, -1, np.int64)
        index[space.free] = np.arange(len(self._cells))
        self._index = index
        tight = np.clip(1 - space.clearance / COMFORT_M, 0, 1)
        cost = 1 + 12 * tight**2
        heads, tails, weights = [], [], []
        for row, column in ((0, 1), (1, 0), (1, 1), (1, -1)):
            a, b = _shifted(index, row, column)
            cost_a, cost_b = _shifted(cost, row, column)
            both = (a >= 0) & (b >= 0)
            heads.append(a[both])
            tails.append(b[both])
            weights.append(np.hypot(row, column) * (cost_a + cost_b)[both] / 2)
        size = (len(self._cells), len(self._cells))
        joined = (np.concatenate(weights), (np.concatenate(heads), np.concatenate(tails)))
        self._graph = sparse.csr_matrix(joined, shape=size)

    def plan(self, start_xy: Array, goal_xy: Array) -> Array:
        """Return (N, 2) points about `FreeSpace.resolution` apart from start to goal, smoothed; both must be free."""
        start, goal = (int(self._index[tuple(self._space.cells(xy))]) for xy in (start_xy, goal_xy))
        _, before = sparse.csgraph.dijkstra(self._graph, directed=False, indices=goal, return_predecessors=True)
        way = [start]
        while way[-1] != goal:
            way.append(int(before[way[-1]]))
        points = np.concatenate(
            [np.reshape(start_xy, (1, 2)), self._space.centres(self._cells[way[1:-1]]), np.reshape(goal_xy, (1, 2))]
        )
        smooth = ndimage.gaussian_filter1d(points, SMOOTHING_M / self._space.resolution, axis=0, mode="nearest")
        smooth[0], smooth[-1] = points[0], points[-1]
        # Smoothing may cut a corner: there the original way is kept.
        return np.where(self._space.is_free(smooth)[:, None], smooth, points)


def _shifted(grid: NDArray[Any], row: int, column: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the grid and the same grid moved by (row, column), both cut to where they overlap."""
    height, width = grid.shape
    left, right = max(0, -column), max(0, column)
    return grid[: height - row, left : width - right], grid[row:, right : width - left]
