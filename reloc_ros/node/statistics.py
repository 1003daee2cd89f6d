"""What happened to the frames so far."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from threading import Lock
from time import monotonic

import numpy as np

from reloc_ros.types import Array, Reason

_WINDOW = 1000
_RECENT = 100


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A copy of the statistics at one moment.

    Args:
        counts: frames `in`, `dropped` (a newer one came first), `repeated` (stamp seen or passed), `accepted`.
        rejected: frames rejected, by reason.
        last_rejection: reason and detail of the latest rejection; empty before the first.
        recent_rejected: rejected share of the latest 100 finished frames.
        fix_age_s: age of the latest accepted pose; None before the first.
        latencies_s: arrival to publication of the latest 1000 finished frames.
        overheads_s: the same minus the network's run.
    """

    counts: dict[str, int]
    rejected: dict[Reason, int]
    last_rejection: str
    recent_rejected: float
    fix_age_s: float | None
    latencies_s: Array
    overheads_s: Array


class Statistics:
    """Counts frames; the callbacks and the worker both report here."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: Counter[str] = Counter()
        self._rejected: Counter[Reason] = Counter()
        self._last_rejection = ""
        self._recent: deque[bool] = deque(maxlen=_RECENT)
        self._durations: deque[tuple[float, float]] = deque(maxlen=_WINDOW)
        self._accepted_s: float | None = None

    def count(self, event: str) -> None:
        """Count a frame that came `in`, or was `dropped` or `repeated`."""
        with self._lock:
            self._counts[event] += 1

    def accepted(self, *, latency_s: float, inference_s: float) -> None:
        """Count a frame whose pose was published."""
        with self._lock:
            self._counts["accepted"] += 1
            self._recent.append(False)
            self._durations.append((latency_s, latency_s - inference_s))
            self._accepted_s = monotonic()

    def rejected(self, reason: Reason, detail: str) -> None:
        """Count a frame that gave no pose."""
        with self._lock:
            self._rejected[reason] += 1
            self._recent.append(True)
            self._last_rejection = f"{reason.value}: {detail}"

    def summary(self) -> Summary:
        """Return a copy."""
        with self._lock:
            durations = np.array(self._durations, dtype=np.float64).reshape(-1, 2)
            return Summary(
                counts={event: self._counts[event] for event in ("in", "dropped", "repeated", "accepted")},
                rejected=dict(self._rejected),
                last_rejection=self._last_rejection,
                recent_rejected=sum(self._recent) / len(self._recent) if self._recent else 0.0,
                fix_age_s=None if self._accepted_s is None else monotonic() - self._accepted_s,
                latencies_s=durations[:, 0],
                overheads_s=durations[:, 1],
            )
