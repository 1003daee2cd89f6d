"""Drives on which something goes wrong at drawn moments, and what a localizer makes of them."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from reloc_ros.datasets.images import PosedImage
from reloc_ros.errors import ConfigError
from reloc_ros.evaluation.faults import SPOILS, Spoil, random_bump, turned
from reloc_ros.evaluation.metrics import accuracy, quantile
from reloc_ros.evaluation.replay import FrameResult
from reloc_ros.evaluation.timeline import played_s, wait_for_right_fix_s
from reloc_ros.geometry import se3
from reloc_ros.types import Array, Image

KIDNAP, BUMP = "kidnap", "camera_bump"
FAULTS = (KIDNAP, *SPOILS, BUMP)
"""Names of all faults."""

KIDNAPS = 50
_FRAMES_PER_EVENT = 40
_SHOWN_OF_EVENT = (0.4, 0.6)

Replay = Callable[[Sequence[PosedImage]], list[FrameResult]]


@dataclass(frozen=True)
class Event:
    """Frames `start` to `stop` (exclusive) are spoilt."""

    start: int
    stop: int


@dataclass(frozen=True, kw_only=True)
class FaultRun:
    """What came of one fault.

    Args:
        figures: for the report.
        images: those that were spoilt; none for a kidnap.
        results: of them.
    """

    figures: dict[str, Any]
    images: tuple[PosedImage, ...] = ()
    results: tuple[FrameResult, ...] = ()


def check_faults(names: Sequence[str]) -> None:
    """Refuse names that are no faults.

    Raises:
        ConfigError: a name is unknown.
    """
    for name in names:
        if name not in FAULTS:
            raise ConfigError(f"fault {name!r} is unknown; choose from {', '.join(FAULTS)}")


def run_fault(
    name: str, images: Sequence[PosedImage], clean: Sequence[FrameResult], seed: int, replay: Replay
) -> FaultRun:
    """Return what came of one fault; equal for equal seeds.

    Only spoilt frames are localized again: what a localizer without memory says of the others is known.

    Args:
        name: of `FAULTS`.
        images: of the clean drive.
        clean: what the localizer made of them.
        seed: of the moments and of the images.
        replay: localizes images.

    Returns:
        As figures, those of `accuracy` over the spoilt frames; `events`; `time_to_recover_s` from the first good frame after
        an event (kidnap: from the first frame after it) to a pose that is no false fix: `p50`, `p90`, `max`, infinite
        for an event after which none came before the sequence ended; `not_recovered`, the number of those.

    Raises:
        ConfigError: the name is unknown.
        DatasetError: an image cannot be read.
    """
    check_faults([name])
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    if name == KIDNAP:
        return FaultRun(figures=_kidnaps(clean, rng))
    events = bump_event(len(images)) if name == BUMP else draw_events(len(images), rng)
    if name == BUMP:
        spoilt = _bumped(images, events[0], random_bump(rng))
    else:
        spoilt = _spoilt(images, events, SPOILS[name], (seed, zlib.crc32(name.encode())))
    found = dict(zip(spoilt, replay(list(spoilt.values()))))
    drive = [found.get(i, result) for i, result in enumerate(clean)]
    played = played_s(drive)
    # A camera that was knocked stays knocked: the wait begins with the fault, not after it.
    begins = [event.start if name == BUMP else event.stop for event in events]
    waits = [wait_for_right_fix_s(drive, played, begin) for begin in begins if begin < len(drive)]
    return FaultRun(
        figures={**accuracy(list(found.values())), **_recovery(waits, len(events))},
        images=tuple(spoilt.values()),
        results=tuple(found.values()),
    )


def draw_events(count: int, rng: np.random.Generator) -> list[Event]:
    """Return events that spoil about half of the frames, one in each of equal parts of the drive."""
    number = max(1, min(count // _FRAMES_PER_EVENT, 12))
    edges = np.linspace(0, count, number + 1).astype(int)
    events = []
    for first, last in pairwise(edges.tolist()):
        length = max(1, round(rng.uniform(*_SHOWN_OF_EVENT) * (last - first)))
        start = int(rng.integers(first, max(first + 1, last - length)))
        events.append(Event(start, min(start + length, last)))
    return events


def bump_event(count: int) -> list[Event]:
    """Return the event of a camera that is knocked half-way and stays so."""
    return [Event(count // 2, count)]


def _kidnaps(clean: Sequence[FrameResult], rng: np.random.Generator) -> dict[str, Any]:
    """Return the figures of a robot that is put at drawn frames and drives on from there."""
    played = played_s(clean)
    starts = np.sort(rng.integers(0, len(clean), KIDNAPS))
    waits = [wait_for_right_fix_s(clean, played, int(start)) for start in starts]
    return {**accuracy([clean[start] for start in starts]), **_recovery(waits, KIDNAPS)}


def _recovery(waits_s: Sequence[float], events: int) -> dict[str, Any]:
    return {
        "events": events,
        "not_recovered": sum(not math.isfinite(wait) for wait in waits_s),
        "time_to_recover_s": {
            name: quantile(waits_s, level) if waits_s else None
            for name, level in (("p50", 0.5), ("p90", 0.9), ("max", 1.0))
        },
    }


def _bumped(images: Sequence[PosedImage], event: Event, R_camera_bumped: Array) -> dict[int, PosedImage]:
    """Return what the knocked camera sees, with its true pose."""
    T_camera_bumped = se3.from_rotation_translation(R_camera_bumped, np.zeros(3))
    views: dict[Any, Callable[[Image], Image]] = {}
    bumped = {}
    for i in range(event.start, event.stop):
        image = images[i]
        if image.camera not in views:
            views[image.camera] = turned(image.camera, R_camera_bumped)
        bumped[i] = replace(
            image,
            T_map_camera=image.T_map_camera @ T_camera_bumped,
            load=partial(_seen, image.load, views[image.camera]),
        )
    return bumped


def _spoilt(
    images: Sequence[PosedImage], events: Sequence[Event], spoil: Spoil, seed: tuple[int, int]
) -> dict[int, PosedImage]:
    return {
        i: replace(images[i], load=partial(_spoil, images[i].load, spoil, (*seed, i)))
        for event in events
        for i in range(event.start, event.stop)
    }


def _spoil(load: Callable[[], Image], spoil: Spoil, seed: tuple[int, ...]) -> Image:
    return spoil(load(), np.random.default_rng(seed))


def _seen(load: Callable[[], Image], view: Callable[[Image], Image]) -> Image:
    return view(load())
