"""Plays a bag over DDS at its own pace."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from threading import Condition
from typing import Any

from rclpy.duration import Duration
from rclpy.node import Node
from rosgraph_msgs.msg import Clock

from reloc_ros.errors import DatasetError, ProcessError
from reloc_ros.node.bag_messages import BagMessages
from reloc_ros.node.conversions import ns_to_stamp

CLOCK_NS = 10_000_000
"""Between two messages on /clock, in bag time."""

_LOOK_S = 0.05
_DELIVERY_S = 2.0
# A best-effort reader that does not know us yet drops what we send; it hears of us about when we hear of it.
_SETTLE_S = 0.5


class Pacer:
    """Waits until moments of bag time are due.

    Args:
        rate: bag seconds in a second.
        now_s: clock of this computer.
        wait_s: waits on it.
    """

    def __init__(
        self,
        rate: float,
        *,
        now_s: Callable[[], float] = time.perf_counter,
        wait_s: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate = rate
        self._now_s = now_s
        self._wait_s = wait_s
        self._start_ns = 0
        self._start_s = 0.0

    def start(self, bag_ns: int) -> None:
        """Let this moment of bag time be now."""
        self._start_ns, self._start_s = bag_ns, self._now_s()

    def wait_until(self, bag_ns: int) -> None:
        """Return when a moment of bag time is due; at once when it is over."""
        due_s = self._start_s + (bag_ns - self._start_ns) * 1e-9 / self._rate
        remaining_s = due_s - self._now_s()
        if remaining_s > 0.0:
            self._wait_s(remaining_s)


class BagPlayer:
    """Publishes the messages of a bag.

    Args:
        node: owner of the publishers; spun by someone else, or not at all.
        bag: what to play.
        pacer: sets the pace.
        remaps: {recorded topic: topic to publish on}.
        clock: also publish bag time on /clock.

    Raises:
        DatasetError: a topic to remap is not in the bag.
    """

    def __init__(
        self,
        node: Node,
        bag: BagMessages,
        pacer: Pacer,
        *,
        remaps: Mapping[str, str] | None = None,
        clock: bool = False,
    ) -> None:
        remaps = remaps or {}
        unknown = sorted(set(remaps) - set(bag.topics))
        if unknown:
            raise DatasetError(f"cannot remap {', '.join(unknown)}: played are {', '.join(sorted(bag.topics))}")
        self._bag = bag
        self._pacer = pacer
        self._publishers: dict[str, Any] = {
            topic.name: node.create_publisher(topic.message_class, remaps.get(topic.name, topic.name), topic.qos)
            for topic in bag.topics.values()
        }
        self._clock = node.create_publisher(Clock, "/clock", 10) if clock else None

    def wait_for_subscribers(self, topics: Collection[str], timeout_s: float) -> None:
        """Wait until each of the topics, as recorded, is subscribed to; without topics until any one is.

        Raises:
            DatasetError: a topic is not played.
            ProcessError: nobody subscribed in time.
        """
        unknown = sorted(set(topics) - set(self._publishers))
        if unknown:
            raise DatasetError(
                f"cannot wait for {', '.join(unknown)}: played are {', '.join(sorted(self._publishers))}"
            )
        wanted = {name: self._publishers[name] for name in topics or self._publishers}
        enough = all if topics else any
        tick, deadline = Condition(), time.monotonic() + timeout_s
        while not enough(publisher.get_subscription_count() > 0 for publisher in wanted.values()):
            if time.monotonic() > deadline:
                names = ", ".join(publisher.topic_name for publisher in wanted.values())
                raise ProcessError(f"nobody subscribed to {names} within {timeout_s:g} s; start the subscriber first")
            with tick:
                tick.wait(_LOOK_S)  # rclpy tells nobody when a subscriber appears
        with tick:
            tick.wait(_SETTLE_S)

    def play(self, on_progress: Callable[[float], None] = lambda _: None) -> int:
        """Publish the bag once and return the number of messages.

        Args:
            on_progress: told the bag time played, seconds from the start, at each message.

        Raises:
            DatasetError: the bag is damaged.
        """
        count, clock_ns = 0, self._bag.start_ns
        self._pacer.start(self._bag.start_ns)
        for topic, time_ns, serialized in self._bag.messages():
            if self._clock is not None:
                clock_ns = self._run_clock(clock_ns, time_ns)
            self._pacer.wait_until(time_ns)
            self._publishers[topic].publish(serialized)
            count += 1
            on_progress((time_ns - self._bag.start_ns) * 1e-9)
        for publisher in self._publishers.values():
            publisher.wait_for_all_acked(Duration(seconds=_DELIVERY_S))
        return count

    def _run_clock(self, clock_ns: int, until_ns: int) -> int:
        """Publish /clock at its moments up to one, and return the next moment."""
        while self._clock is not None and clock_ns <= until_ns:
            self._pacer.wait_until(clock_ns)
            self._clock.publish(Clock(clock=ns_to_stamp(clock_ns)))
            clock_ns += CLOCK_NS
        return clock_ns
