"""Values that depend on the camera alone, computed once and not for each frame."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

from reloc_ros.cameras.camera import Camera, ray_grid
from reloc_ros.types import Array

T = TypeVar("T")


class CameraCache(Generic[T]):
    """The latest values by camera and key.

    A hashable camera is found by value; any other by identity, and the cache keeps it alive so that its identity is
    not given to another object.
    """

    def __init__(self, capacity: int = 8) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[Hashable, tuple[Camera, T]] = OrderedDict()

    def get(self, camera: Camera, key: Hashable, compute: Callable[[], T]) -> T:
        """Return the value of (camera, key), computing it when it is not there."""
        full_key = (_identity(camera), key)
        if full_key not in self._entries:
            self._entries[full_key] = (camera, compute())
            if len(self._entries) > self._capacity:
                self._entries.popitem(last=False)
        return self._entries[full_key][1]


_grids: CameraCache[Array] = CameraCache()


def cached_ray_grid(camera: Camera, rows: int, columns: int) -> Array:
    """Return `ray_grid(camera, rows, columns)`, computed once for each camera; read-only."""

    def compute() -> Array:
        grid = ray_grid(camera, rows, columns)
        grid.flags.writeable = False
        return grid

    return _grids.get(camera, (rows, columns), compute)


def _identity(camera: Any) -> Hashable:
    try:
        hash(camera)
    except TypeError:
        return id(camera)
    return camera  # type: ignore[no-any-return]
