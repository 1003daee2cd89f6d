"""The time that images live in, also between them."""

from __future__ import annotations

from collections.abc import Callable


class MessageTime:
    """Message time at this moment: the latest image's own time plus what the clock did since it was received.

    Equal to the clock on a robot, and still right when a bag is replayed without simulated time.

    Args:
        clock_ns: the node's clock.
    """

    def __init__(self, clock_ns: Callable[[], int]) -> None:
        self._clock_ns = clock_ns
        self._latest: tuple[int, int] | None = None

    def note(self, stamp_ns: int, received_ns: int) -> None:
        """Keep the stamp of an image and when it was received by the clock."""
        self._latest = stamp_ns, received_ns

    def now_ns(self) -> int | None:
        """Return message time, or None before the first image."""
        if self._latest is None:
            return None
        stamp_ns, received_ns = self._latest
        return stamp_ns + self._clock_ns() - received_ns

    def reset(self) -> None:
        """Forget the image: time begins anew."""
        self._latest = None
