"""The newest wins, once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from reloc_ros.node.latest_slot import LatestSlot


@given(st.lists(st.one_of(st.none(), st.integers())))
def test_whatever_is_put_comes_out_at_most_once_and_only_the_newest(actions: list[int | None]) -> None:
    slot: LatestSlot[int] = LatestSlot()
    waiting: int | None = None
    for action in actions:
        if action is not None:
            assert slot.put(action) is (waiting is not None)
            waiting = action
        elif waiting is not None:
            assert slot.take() == waiting
            waiting = None
    assert slot.clear() is (waiting is not None)
    assert slot.clear() is False


def test_a_waiting_taker_gets_the_next_item_and_none_after_close() -> None:
    slot: LatestSlot[str] = LatestSlot()
    with ThreadPoolExecutor(1) as pool:
        taker = pool.submit(slot.take)
        slot.put("frame")
        assert taker.result(10) == "frame"
        taker = pool.submit(slot.take)
        slot.close()
        assert taker.result(10) is None
    slot.put("late")
    assert slot.take() is None
