"""The callback side of a frame's way: in order, once each, newest first, and nothing heavier than that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

from sensor_msgs.msg import CompressedImage, Image

from reloc_ros.node.conversions import stamp_to_ns
from reloc_ros.node.latest_slot import LatestSlot
from reloc_ros.node.rig_images import RigImages
from reloc_ros.node.statistics import Statistics

# An image this much older than the last one is no late delivery: a bag was started again.
_RESTART_NS = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """An image message as it came in.

    Args:
        message: raw or compressed image, or those of a rig.
        stamp_ns: its stamp.
        received_ns: the node's clock at arrival (message time).
        received_s: `perf_counter` at arrival, for latency.
        epoch: how often time has jumped back so far.
    """

    message: Image | CompressedImage | RigImages
    stamp_ns: int
    received_ns: int
    received_s: float
    epoch: int


class FrameIntake:
    """Puts new images into the slot and keeps repeated and late ones out.

    Args:
        slot: what the worker takes from.
        statistics: counts frames.
        now_ns: the node's clock.
        on_restart: called when image stamps jump back by more than a second.
    """

    def __init__(
        self,
        slot: LatestSlot[Arrival],
        statistics: Statistics,
        *,
        now_ns: Callable[[], int],
        on_restart: Callable[[], None],
    ) -> None:
        self.epoch = 0
        self._slot = slot
        self._statistics = statistics
        self._now_ns = now_ns
        self._on_restart = on_restart
        self._newest_ns = 0

    def offer(self, message: Image | CompressedImage | RigImages) -> None:
        """Take an image, unless its stamp is one that was seen or passed."""
        received_s = perf_counter()
        stamp_ns = stamp_to_ns(message.header.stamp)
        self._statistics.count("in")
        # A stamp of 0 means that the driver sets none; such images go on and are rejected by name.
        if 0 < stamp_ns <= self._newest_ns:
            if stamp_ns > self._newest_ns - _RESTART_NS:
                self._statistics.count("repeated")
                return
            self._on_restart()
        self._newest_ns = max(self._newest_ns, stamp_ns)
        arrival = Arrival(
            message=message,
            stamp_ns=stamp_ns,
            received_ns=self._now_ns(),
            received_s=received_s,
            epoch=self.epoch,
        )
        if self._slot.put(arrival):
            self._statistics.count("dropped")

    def reset(self) -> None:
        """Begin anew: the waiting image is dropped and any stamp is new again."""
        self.epoch += 1
        self._newest_ns = 0
        if self._slot.clear():
            self._statistics.count("dropped")
