"""Images of several cameras that belong together, by their stamps.

Behaves as `message_filters.ApproximateTimeSynchronizer` does: an image waits until every other camera has one within
the tolerance; a set goes out once, its images and all older ones are forgotten.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")

_WAITING = 10
"""Images of one camera that wait at most: a second at 10 Hz."""


class ApproximateSync(Generic[T]):
    """Gathers one item of each source with nearly the same stamp. Bounded.

    Args:
        sources: names.
        tolerance_ns: between the stamps of one set.
    """

    def __init__(self, sources: tuple[str, ...], tolerance_ns: int) -> None:
        self._tolerance_ns = tolerance_ns
        self._waiting: dict[str, OrderedDict[int, T]] = {source: OrderedDict() for source in sources}

    def add(self, source: str, stamp_ns: int, item: T) -> dict[str, T] | None:
        """Take an item; return the set that it completes, in the order of the sources, else None."""
        waiting = self._waiting[source]
        waiting[stamp_ns] = item
        if len(waiting) > _WAITING:
            waiting.popitem(last=False)
        chosen: dict[str, int] = {}
        for name, others in self._waiting.items():
            nearest = stamp_ns if name == source else min(others, key=lambda each: abs(each - stamp_ns), default=None)
            if nearest is None or abs(nearest - stamp_ns) > self._tolerance_ns:
                return None
            chosen[name] = nearest
        found = {name: self._waiting[name][stamp] for name, stamp in chosen.items()}
        for name, stamp in chosen.items():
            for old in [each for each in self._waiting[name] if each <= stamp]:
                del self._waiting[name][old]
        return found

    def clear(self) -> None:
        """Forget all that waits."""
        for waiting in self._waiting.values():
            waiting.clear()
