"""Where on the floor a robot fits."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from reloc_ros.errors import DatasetError
from reloc_ros.synthetic.mesh import TexturedMesh
from reloc_ros.synthetic.ray_caster import RayCaster
from reloc_ros.types import Array

RESOLUTION_M = 0.05
STEP_OVER_M = 0.06
"""Lower things (rugs, thresholds) are driven over."""
MIN_LEVEL_COSINE = 0.98
MIN_FLOOR_SHARE = 0.25
"""Of the ground plan: less horizontal area than that is furniture, not a floor."""


@dataclass(frozen=True)
class FreeSpace:
    """A grid over the floor, row = y, column = x; cell (0, 0) has its corner at `origin`.

    Args:
        origin: (x, y) metres.
        resolution: edge of a cell, metres.
        obstacle: (H, W) cells in which something stands that the robot would hit.
        clearance: (H, W) metres from a cell's centre to the nearest obstacle.
        free: (H, W) cells in which the robot's centre may be; all are connected with each other.
        floor_m: height of the floor.
    """

    origin: tuple[float, float]
    resolution: float
    obstacle: NDArray[np.bool_]
    clearance: Array
    free: NDArray[np.bool_]
    floor_m: float

    def cells(self, xy: Array) -> NDArray[np.intp]:
        """Return (..., 2) (row, column) of (..., 2) points, clipped to the grid."""
        column_row = np.floor((np.asarray(xy) - self.origin) / self.resolution).astype(np.intp)
        return np.clip(column_row[..., ::-1], 0, np.array(self.free.shape) - 1)

    def centres(self, cells: NDArray[np.intp]) -> Array:
        """Return (..., 2) x, y of the centres of (..., 2) cells (row, column)."""
        return np.asarray((cells[..., ::-1] + 0.5) * self.resolution + self.origin, float)

    def is_free(self, xy: Array) -> NDArray[np.bool_]:
        """Tell for (..., 2) points whether the robot's centre may be there."""
        cells = self.cells(xy)
        return np.asarray(self.free[cells[..., 0], cells[..., 1]], bool)

    def inside(self, area: tuple[float, float, float, float]) -> NDArray[np.intp]:
        """Return (N, 2) free cells whose centres lie in a rectangle (x0, y0, x1, y1)."""
        cells = np.argwhere(self.free)
        xy = self.centres(cells)
        keep = (xy[:, 0] > area[0]) & (xy[:, 1] > area[1]) & (xy[:, 0] < area[2]) & (xy[:, 1] < area[3])
        return cells[keep]

    def share_of(self, area: tuple[float, float, float, float]) -> float:
        """Return which share of a rectangle is free."""
        size = (area[2] - area[0]) * (area[3] - area[1])
        return len(self.inside(area)) * self.resolution**2 / size


def free_space(mesh: TexturedMesh, radius_m: float, height_m: float, floor_m: float = 0.0) -> FreeSpace:
    """Return where an upright cylinder of the given size can stand and get to.

    A cell is an obstacle when the footprint of a triangle that reaches between `STEP_OVER_M` and `height_m` above the
    floor touches it, or when there is no ceiling over it: what lies outdoors is not driven to. Where no cell has a
    ceiling, a floor is asked for instead.

    Raises:
        DatasetError: the robot fits nowhere.
    """
    corners = mesh.triangles
    low, high = corners[..., 2].min(axis=1) - floor_m, corners[..., 2].max(axis=1) - floor_m
    standing = corners[(high > STEP_OVER_M) & (low < height_m)][..., :2]
    if not len(standing):
        raise DatasetError(f"nothing stands on the floor at {floor_m:.2f} m; check that the mesh is z up and in metres")
    (x0, y0), (x1, y1) = standing.min(axis=(0, 1)).astype(float), standing.max(axis=(0, 1)).astype(float)
    shape = (int(np.ceil((y1 - y0) / RESOLUTION_M)), int(np.ceil((x1 - x0) / RESOLUTION_M)))
    drawn = np.zeros(shape, np.uint8)
    footprints = (standing - [x0, y0]) * (16.0 / RESOLUTION_M) - 8.0
    for triangle in np.rint(footprints).astype(np.int32):
        cv2.fillConvexPoly(drawn, triangle, 1, cv2.LINE_8, 4)
        cv2.polylines(drawn, [triangle], True, 1, 1, cv2.LINE_8, 4)
    caster, origin = RayCaster(corners), (x0, y0)
    indoors = _sees_something(caster, origin, shape, floor_m + height_m, 1.0)
    if not indoors.any():
        indoors = _sees_something(caster, origin, shape, floor_m + STEP_OVER_M, -1.0)
    obstacle = (drawn > 0) | ~indoors
    # Padded: what lies outside the grid is not free either.
    clearance = ndimage.distance_transform_edt(~np.pad(obstacle, 1, constant_values=True))[1:-1, 1:-1] * RESOLUTION_M
    labels, count = ndimage.label(clearance > radius_m)
    if count == 0:
        raise DatasetError(
            f"a robot of radius {radius_m} m and height {height_m} m fits nowhere (largest clearance "
            f"{clearance.max():.2f} m); use a smaller robot, or check that the mesh is z up and in metres"
        )
    largest = 1 + int(np.argmax(ndimage.sum_labels(np.ones(shape), labels, np.arange(1, count + 1))))
    return FreeSpace(origin, RESOLUTION_M, obstacle, clearance, labels == largest, floor_m)


def floor_height(mesh: TexturedMesh) -> float:
    """Return the height of the floor: the level with the most horizontal area in the lower third of a mesh.

    Where hardly anything is horizontal there (the floor is missing), it is the lowest point.
    """
    corners = mesh.triangles
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area, z = np.linalg.norm(cross, axis=1) / 2, corners[..., 2].mean(axis=1)
    bottom, top = float(mesh.bounds[0, 2]), float(mesh.bounds[1, 2])
    flat = (np.abs(cross[:, 2]) > 2 * MIN_LEVEL_COSINE * area) & (z < bottom + (top - bottom) / 3)
    level = np.rint((z[flat] - bottom) / RESOLUTION_M).astype(np.intp)
    areas = np.bincount(level, weights=area[flat], minlength=1)
    ground = (mesh.bounds[1, :2] - mesh.bounds[0, :2]).prod()
    if areas.max() < MIN_FLOOR_SHARE * ground:
        return bottom
    at_level = level == int(np.argmax(areas))
    return float(np.average(z[flat][at_level], weights=area[flat][at_level]))


def _sees_something(
    caster: RayCaster, origin: tuple[float, float], shape: tuple[int, int], z: float, upwards: float
) -> NDArray[np.bool_]:
    """Return (H, W) whether a vertical ray from the middle of each cell at height z meets the mesh."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    x = origin[0] + (columns.ravel() + 0.5) * RESOLUTION_M
    y = origin[1] + (rows.ravel() + 0.5) * RESOLUTION_M
    start = np.stack([x, y, np.full(rows.size, z)], axis=1).astype(np.float32)
    direction = np.broadcast_to(np.array([0, 0, upwards], np.float32), start.shape)
    return (caster.cast(start, direction).face >= 0).reshape(shape)
