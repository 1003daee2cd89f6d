"""A back end that gives way to a better one between two frames, and takes over again when that one fails."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from threading import Lock
from typing import Any

from numpy.typing import NDArray

from reloc_ros.inference.backend import Backend
from reloc_ros.types import Outputs

_log = logging.getLogger(__name__)

FAILURES_AT_MOST = 3
"""After so many failures no better back end is taken any more: a card that fails again and again costs frames' time."""


class SwappingBackend:
    """Runs on the back end it starts with until a better one is offered, from then on on that.

    One thread runs frames, another one may offer. A frame on which the better one fails is run once more on the first
    one, so none is lost; the first one stays loaded for that.

    Args:
        start: back end that always works; closed with this one.
    """

    def __init__(self, start: Backend) -> None:
        self._start = start
        self._lock = Lock()
        self._offered: Backend | None = None
        self._better: Backend | None = None
        self._closed = False
        self.failures = 0
        """How often a better one failed."""
        self.last_failure = ""
        """What the latest of them said."""

    @property
    def name(self) -> str:
        """Name of the back end that runs the next frame."""
        return self._serving.name

    @property
    def device(self) -> str:
        """Device of the same."""
        return self._serving.device

    @property
    def precision(self) -> str:
        """Precision of the same."""
        return self._serving.precision

    @property
    def verdict(self) -> str:
        """Verdict on the same."""
        return self._serving.verdict

    @property
    def wants_better(self) -> bool:
        """Whether an offer would be taken."""
        with self._lock:
            return self._takes_offers()

    def offer(self, better: Backend) -> bool:
        """Have a back end serve from the next frame on; it should be warmed up.

        Returns:
            Whether it was taken; one that is not needed is closed at once.
        """
        with self._lock:
            taken = self._takes_offers()
            if taken:
                self._offered = better
        if not taken:
            better.close()
        return taken

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Outputs:
        """Return the network's outputs by name; see `Backend.run`."""
        self._swap()
        better = self._better
        if better is None:
            return self._start.run(inputs)
        try:
            return better.run(inputs)
        except Exception as error:  # libraries on a GPU raise their own classes; the frame counts, not the class
            self._give_up(better, error)
            return self._start.run(inputs)

    def close(self) -> None:
        """Free whatever is loaded; `run` is an error from then on."""
        with self._lock:
            self._closed = True
            loaded = [backend for backend in (self._offered, self._better) if backend is not None]
            self._offered = self._better = None
        for backend in loaded:
            backend.close()
        self._start.close()

    @property
    def _serving(self) -> Backend:
        with self._lock:
            return self._offered or self._better or self._start

    def _takes_offers(self) -> bool:
        is_free = self._offered is None and self._better is None
        return is_free and not self._closed and self.failures < FAILURES_AT_MOST

    def _swap(self) -> None:
        with self._lock:
            if self._offered is None:
                return
            self._better, self._offered = self._offered, None
            better = self._better
        _log.info("%s (%s, %s) runs the network from here on", better.name, better.device, better.precision)

    def _give_up(self, better: Backend, error: Exception) -> None:
        with self._lock:
            self._better = None
            self.failures += 1
            self.last_failure = str(error)
        _log.error("%s failed (%s); %s runs the network again", better.name, self.last_failure, self._start.name)
        better.close()
