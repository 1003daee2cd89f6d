"""The hand-over between the subscription and the worker: room for one, and the newest wins."""

from __future__ import annotations

from threading import Condition
from typing import Generic, TypeVar

T = TypeVar("T")


class LatestSlot(Generic[T]):
    """Holds at most one item; `put` replaces it, `take` empties it. Safe between threads."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._item: T | None = None
        self._closed = False

    def put(self, item: T) -> bool:
        """Store the item and return whether it replaced one that nobody took (a drop)."""
        with self._changed:
            dropped = self._item is not None
            self._item = item
            self._changed.notify()
        return dropped

    def take(self) -> T | None:
        """Wait for an item and remove it; None once the slot is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._item is not None)
            if self._closed:
                return None
            item, self._item = self._item, None
        return item

    def clear(self) -> bool:
        """Forget the item that nobody took; return whether there was one."""
        with self._changed:
            dropped = self._item is not None
            self._item = None
        return dropped

    def close(self) -> None:
        """Make every `take`, waiting or to come, return None."""
        with self._changed:
            self._closed = True
            self._item = None
            self._changed.notify_all()
