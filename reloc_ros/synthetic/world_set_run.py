"""Renders a set of many worlds with several processes, one world to each."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from queue import Empty
from typing import Any

from reloc_ros.errors import DatasetError
from reloc_ros.synthetic.world_set import WorldSet, WorldSpec
from reloc_ros.synthetic.world_set_manifest import SetManifest
from reloc_ros.synthetic.world_set_render import Stopped, WorldRecord, render_world

POLL_S = 0.2


@dataclass(frozen=True)
class Event:
    """What happened to a world: `light` (value = share), `planned` (images), `image` (how many more) or `done`."""

    kind: str
    world: str
    value: float


def render_set(settings: WorldSet, out: Path, manifest: SetManifest, workers: int) -> Iterator[Event]:
    """Render what is missing of a set and yield what happens; the pictures do not depend on `workers`.

    Raises:
        DatasetError: `workers` is below 1, the disk refuses a file, or a process was killed.
    """
    if workers < 1:
        raise DatasetError(f"{workers} render processes asked for; at least 1 is needed")
    missing = [spec for spec in settings.specs() if spec.name not in manifest.finished]
    if not missing:
        manifest.write()
        return
    # Spawned, not forked: the parent may run threads (progress bars).
    context = get_context("spawn")
    events, stop = context.Queue(), context.Event()
    pool = ProcessPoolExecutor(min(workers, len(missing)), context, _prepare, (events, stop))
    waiting: set[Future[WorldRecord]] = {pool.submit(_render, spec, settings, out) for spec in missing}
    try:
        while waiting:
            try:
                yield events.get(timeout=POLL_S)
                continue
            except Empty:
                pass
            for future in [future for future in waiting if future.done()]:
                waiting.remove(future)
                record = future.result()
                manifest.add(record)
                yield Event("done", record.spec.name, float(sum(s.frames for s in record.sequences)))
    except BrokenProcessPool as error:
        raise DatasetError(
            "a render process was killed, perhaps for want of memory; run the same command with fewer --workers to go on"
        ) from error
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


_events: Any = None
_stop: Any = None
_parent = 0


def _prepare(events: Any, stop: Any) -> None:
    global _events, _stop, _parent
    _events, _stop, _parent = events, stop, os.getppid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops between two images


def _render(spec: WorldSpec, settings: WorldSet, out: Path) -> WorldRecord:
    def report(kind: str, value: float) -> None:
        if _stop.is_set() or os.getppid() != _parent:  # a parent that was killed cannot tell
            raise Stopped
        _events.put(Event(kind, spec.name, value))

    return render_world(spec, settings, out, report)
