"""What is known about one frame: its parent and its transform over time, or once and for all."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import NamedTuple

from tf2_py.exceptions import ExtrapolationException
from tf2_py.rigid import Rigid, interpolate

LATEST_NS = 0


class Link(NamedTuple):
    """A frame's parent and T_parent_frame."""

    parent: str
    T_parent_frame: Rigid


class FrameHistory:
    """Transforms of one moving frame, sorted by stamp, not older than `cache_ns` before the newest."""

    def __init__(self, cache_ns: int) -> None:
        self._cache_ns = cache_ns
        self._stamps_ns: list[int] = []
        self._links: list[Link] = []

    def insert(self, stamp_ns: int, link: Link) -> bool:
        """Add a transform; return False when it is older than the cache reaches."""
        if self._stamps_ns and stamp_ns < self._stamps_ns[-1] - self._cache_ns:
            return False
        index = bisect_right(self._stamps_ns, stamp_ns)
        first = bisect_left(self._stamps_ns, stamp_ns)
        if link in self._links[first:index]:
            return True
        self._stamps_ns.insert(index, stamp_ns)
        self._links.insert(index, link)
        expired = bisect_left(self._stamps_ns, self._stamps_ns[-1] - self._cache_ns)
        del self._stamps_ns[:expired]
        del self._links[:expired]
        return True

    def at(self, stamp_ns: int) -> Link:
        """Return the link at a time (0 is the latest), interpolated between its two neighbours.

        Raises:
            ExtrapolationException: the time lies outside of what is stored; the text names both times.
        """
        if not self._stamps_ns:
            raise ExtrapolationException(
                f"Lookup would require extrapolation at time {seconds(stamp_ns)}, but the buffer is empty"
            )
        if stamp_ns == LATEST_NS:
            return self._links[-1]
        earliest_ns, latest_ns = self._stamps_ns[0], self._stamps_ns[-1]
        if len(self._stamps_ns) == 1 and stamp_ns != latest_ns:
            raise ExtrapolationException(
                f"Lookup would require extrapolation at time {seconds(stamp_ns)}, "
                f"but only time {seconds(latest_ns)} is in the buffer"
            )
        if stamp_ns > latest_ns:
            raise ExtrapolationException(
                f"Lookup would require extrapolation into the future.  Requested time {seconds(stamp_ns)} "
                f"but the latest data is at time {seconds(latest_ns)}"
            )
        if stamp_ns < earliest_ns:
            raise ExtrapolationException(
                f"Lookup would require extrapolation into the past.  Requested time {seconds(stamp_ns)} "
                f"but the earliest data is at time {seconds(earliest_ns)}"
            )
        index = bisect_right(self._stamps_ns, stamp_ns) - 1
        older, older_ns = self._links[index], self._stamps_ns[index]
        if older_ns == stamp_ns:
            return older
        newer, newer_ns = self._links[index + 1], self._stamps_ns[index + 1]
        # A frame that changed its parent in between keeps the old one until the new one's stamp.
        if newer.parent != older.parent:
            return older
        fraction = (stamp_ns - older_ns) / (newer_ns - older_ns)
        return Link(older.parent, interpolate(older.T_parent_frame, newer.T_parent_frame, fraction))

    def latest(self) -> tuple[int, str] | None:
        """Return the newest stamp and parent, or None when nothing is stored."""
        return (self._stamps_ns[-1], self._links[-1].parent) if self._stamps_ns else None

    def clear(self) -> None:
        """Forget everything."""
        self._stamps_ns.clear()
        self._links.clear()


class StaticFrame:
    """A frame that never moves: its one transform holds at every time."""

    def __init__(self) -> None:
        self._link: Link | None = None

    def insert(self, stamp_ns: int, link: Link) -> bool:
        """Replace the transform; the stamp has no meaning."""
        del stamp_ns
        self._link = link
        return True

    def at(self, stamp_ns: int) -> Link:
        """Return the link, which holds at every time."""
        del stamp_ns
        if self._link is None:
            raise ExtrapolationException("Lookup would require a static transform that was never set")
        return self._link

    def latest(self) -> tuple[int, str] | None:
        """Return (0, parent): a static transform does not limit the latest common time."""
        return (LATEST_NS, self._link.parent) if self._link else None

    def clear(self) -> None:
        """Keep the transform: it is published once and would not come again."""


def seconds(stamp_ns: int) -> str:
    """Return a stamp as tf2 prints it."""
    return f"{stamp_ns * 1e-9:.6f}"
