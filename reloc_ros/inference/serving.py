"""The network of a running node: loaded, warmed up, and with `auto` on the lookout for an engine."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from reloc_ros.bundle.load import Bundle
from reloc_ros.inference.backend import AUTO, DEFAULT_BACKEND, Backend, create_backend, warm_up
from reloc_ros.inference.engine_watch import EngineWatch
from reloc_ros.inference.swapping_backend import SwappingBackend
from reloc_ros.inference.tensorrt_library import is_installed

_log = logging.getLogger(__name__)

_STOP_S = 0.3
"""How long closing waits for a search under way; what that finds later is closed by its own thread."""


@dataclass(frozen=True, kw_only=True)
class Serving:
    """A loaded network.

    Args:
        backend: runs it; with `auto` another one inside from one frame to the next.
        engine: says how the search for an engine stands; empty where none is searched for.
        close: frees all of it.
    """

    backend: Backend
    engine: Callable[[], str]
    close: Callable[[], None]


def serve(bundle: Bundle, name: str, threads: int, search_period_s: float) -> Serving:
    """Load a bundle's network.

    Args:
        bundle: verified bundle.
        name: of a back end, or `auto`: ONNX Runtime at once, TensorRT as soon as an engine is in the cache.
        threads: of the CPU for the heavy layers; 0 lets the back end choose.
        search_period_s: how often `auto` looks for an engine.

    Raises:
        BackendError: the back end named, or with `auto` ONNX Runtime, cannot be used.
    """
    start = _warmed(bundle, DEFAULT_BACKEND if name == AUTO else name, threads)
    if name != AUTO:
        return Serving(backend=start, engine=lambda: "", close=start.close)
    if not is_installed():
        return Serving(backend=start, engine=lambda: "none: TensorRT is not installed", close=start.close)
    backend = SwappingBackend(start)
    watch = EngineWatch(backend, partial(_warmed, bundle, "tensorrt", threads), search_period_s)
    watch.start()

    def close() -> None:
        if not watch.stop(_STOP_S):
            _log.warning("an engine is still being loaded; it is freed when that ends")
        backend.close()

    return Serving(backend=backend, engine=lambda: watch.said, close=close)


def _warmed(bundle: Bundle, name: str, threads: int) -> Backend:
    backend = create_backend(name, bundle, threads)
    try:
        warm_up(backend, bundle.manifest)
    except Exception:
        backend.close()
        raise
    return backend
