"""The thread that loads the model and then localizes, so that callbacks and transitions wait for neither."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event, Thread
from typing import Generic, TypeVar

from reloc_ros.node.latest_slot import LatestSlot

_log = logging.getLogger(__name__)

T = TypeVar("T")


class Worker(Generic[T]):
    """Prepares once, then takes items from a slot and handles one after the other until it is stopped.

    Items put while it prepares wait in the slot, where the newest wins. An exception from one item is logged and
    given to `on_fault`; the next item is handled as if nothing had happened.

    Args:
        slot: where items come from; closed by `stop`.
        prepare: work before the first item; when it raises, no item is ever taken and `error` says why.
        handle: work on one item.
        on_fault: told about an item whose handling raised.
    """

    def __init__(
        self,
        slot: LatestSlot[T],
        *,
        prepare: Callable[[], None],
        handle: Callable[[T], None],
        on_fault: Callable[[T, Exception], None],
    ) -> None:
        self.error: Exception | None = None
        self._slot = slot
        self._prepare = prepare
        self._handle = handle
        self._on_fault = on_fault
        self._prepared = Event()
        self._thread = Thread(target=self._run, name="relocalizer worker", daemon=True)

    def start(self) -> None:
        """Begin to prepare."""
        self._thread.start()

    def wait_prepared(self, timeout_s: float) -> bool:
        """Wait for the end of the preparation, good or bad; return whether it came in time."""
        return self._prepared.wait(timeout_s)

    def stop(self, timeout_s: float) -> bool:
        """Close the slot and wait for the item at hand; return whether the thread ended in time."""
        self._slot.close()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def state(self) -> str:
        """`loading`, `ready`, `failed` (the preparation raised) or `ended`."""
        if self.error is not None:
            return "failed"
        if not self._prepared.is_set():
            return "loading"
        return "ready" if self._thread.is_alive() else "ended"

    def _run(self) -> None:
        try:
            self._prepare()
        except Exception as error:  # whatever goes wrong in a back end is said, never lost with the thread
            _log.error("the model cannot be loaded: %s: %s", type(error).__name__, error)
            self.error = error
            return
        finally:
            self._prepared.set()
        while (item := self._slot.take()) is not None:
            try:
                self._handle(item)
            except Exception as error:  # the worker must outlive whatever one frame does to it
                _log.exception("a frame could not be handled")
                self._report(item, error)

    def _report(self, item: T, error: Exception) -> None:
        try:
            self._on_fault(item, error)
        except Exception:
            _log.exception("a fault could not be reported")
