"""The worker outlives every fault and ends when told to."""

from __future__ import annotations

from queue import Queue
from threading import Event

from reloc_ros.node.latest_slot import LatestSlot
from reloc_ros.node.worker import Worker


def test_a_fault_in_one_item_or_in_its_report_does_not_end_the_worker() -> None:
    slot: LatestSlot[int] = LatestSlot()
    handled: Queue[int] = Queue()
    faults: Queue[tuple[int, str]] = Queue()

    def handle(item: int) -> None:
        if item < 2:
            raise ValueError(f"item {item}")
        handled.put(item)

    def on_fault(item: int, error: Exception) -> None:
        faults.put((item, str(error)))
        if item == 1:
            raise KeyError("report")

    worker = Worker(slot, prepare=lambda: None, handle=handle, on_fault=on_fault)
    worker.start()
    slot.put(0)
    assert faults.get(timeout=10) == (0, "item 0")
    slot.put(1)
    assert faults.get(timeout=10) == (1, "item 1")
    slot.put(2)
    assert handled.get(timeout=10) == 2
    assert worker.state == "ready"
    assert worker.stop(10)
    assert worker.state == "ended"


def test_items_wait_until_the_worker_is_prepared() -> None:
    slot: LatestSlot[int] = LatestSlot()
    prepared, handled = Event(), Queue()
    worker = Worker(slot, prepare=lambda: prepared.wait(10) and None, handle=handled.put, on_fault=lambda *_: None)
    worker.start()
    slot.put(1)
    slot.put(2)
    assert worker.state == "loading"
    assert not worker.wait_prepared(0)
    prepared.set()
    assert handled.get(timeout=10) == 2
    assert worker.wait_prepared(10)
    assert worker.stop(10)
    assert handled.empty()


def test_a_preparation_that_fails_is_kept_for_diagnostics() -> None:
    def prepare() -> None:
        raise RuntimeError("no network")

    worker: Worker[int] = Worker(LatestSlot(), prepare=prepare, handle=lambda _: None, on_fault=lambda *_: None)
    worker.start()
    assert worker.wait_prepared(10)
    assert worker.state == "failed"
    assert str(worker.error) == "no network"
