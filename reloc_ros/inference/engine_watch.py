"""Looks for an engine while another back end serves, in a thread of its own; it never builds one."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from threading import Event, Thread

from reloc_ros.errors import BackendError
from reloc_ros.inference.backend import Backend
from reloc_ros.inference.swapping_backend import FAILURES_AT_MOST, SwappingBackend

_log = logging.getLogger(__name__)

Find = Callable[[], Backend]
"""Returns a warmed-up back end, or raises BackendError while there is none."""


class EngineWatch:
    """Offers a better back end as soon as there is one, again after it failed.

    Args:
        target: takes the offers; the watch ends when nobody else holds it any more.
        find: makes the better back end.
        period_s: between two attempts; the first one is made at once.
    """

    def __init__(self, target: SwappingBackend, find: Find, period_s: float) -> None:
        self._target = weakref.ref(target)
        self._find = find
        self._period_s = period_s
        self._missing = "not looked for yet"
        self._stopped = Event()
        self._thread = Thread(target=self._run, name="engine watch", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """Stop looking and return whether the thread ended in time; what it finds afterwards is closed."""
        self._stopped.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def look(self) -> None:
        """Make one attempt."""
        target = self._target()
        if target is None or not target.wants_better:
            return
        try:
            found = self._find()
        except BackendError as error:
            if str(error) != self._missing:
                _log.info("no engine yet: %s", str(error))
            self._missing = str(error)
            return
        if self._stopped.is_set():
            found.close()
        elif target.offer(found):
            self._missing = ""

    @property
    def said(self) -> str:
        """`found`, `waiting: ...` or `failed N of 3 times: ...`, for diagnostics."""
        target = self._target()
        if target is None:
            return "ended"
        failed = (
            f"failed {target.failures} of {FAILURES_AT_MOST} times: {target.last_failure}" if target.failures else ""
        )
        if target.wants_better:
            return "; ".join(part for part in (failed, f"waiting: {self._missing}" if self._missing else "") if part)
        if target.failures >= FAILURES_AT_MOST:
            return f"{failed}; not tried again until the node is configured again"
        return f"found; {failed}" if failed else "found"

    def _run(self) -> None:
        while not self._stopped.is_set() and self._target() is not None:
            try:
                self.look()
            except Exception:  # whatever a library raises, the node goes on without an engine
                _log.exception("the search for an engine failed")
                self._missing = "the search failed; the log says why"
            self._stopped.wait(self._period_s)
