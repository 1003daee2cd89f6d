"""Message time between images."""

from __future__ import annotations

from reloc_ros.node.message_time import MessageTime


def test_time_goes_on_from_the_latest_image_by_the_clock() -> None:
    clock = [7_000]
    time = MessageTime(lambda: clock[0])
    assert time.now_ns() is None
    time.note(1_000_000, 6_400)
    assert time.now_ns() == 1_000_600
    clock[0] = 9_000
    assert time.now_ns() == 1_002_600
    time.note(1_001_000, 9_000)
    assert time.now_ns() == 1_001_000, "a paused bag is where its images are"
    time.reset()
    assert time.now_ns() is None
