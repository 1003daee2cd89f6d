"""What happened to the frames so far."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from threading import Lock
from time import monotonic

import numpy as np

from reloc_ros.types import Array, Estimate, Reason

_WINDOW = 1000
_RECENT = 100
_INFERENCE = "infer"
SCENE_PROBABILITY = "scene_probability"
"""Evidence of the solvers that decide between scenes."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A copy of the statistics at one moment.

    Args:
        counts: frames `in`, `dropped` (a newer one came first), `repeated` (stamp seen or passed), `accepted` (a pose
            was published), `withheld` (there was a pose, which is not trusted).
        rejected: frames rejected, by reason.
        last_rejection: reason and detail of the latest rejection; empty before the first.
        recent_rejected: rejected share of the latest 100 finished frames.
        fix_age_s: age of the latest accepted pose; None before the first.
        latencies_s: arrival to publication, or to rejection, of the latest 1000 frames that reached the localizer.
        overheads_s: the same minus the network's run.
        stages_s: duration of each stage of the localizer, where it ran.
        scene: of the latest accepted pose; empty before the first.
        scene_probability: of that scene; None where the network does not decide between scenes.
        scene_hint: the sentence in force; empty without one.
        scene_hint_answer: what was understood of the latest sentence, or why it was refused.
    """

    counts: dict[str, int]
    rejected: dict[Reason, int]
    last_rejection: str
    recent_rejected: float
    fix_age_s: float | None
    latencies_s: Array
    overheads_s: Array
    stages_s: dict[str, Array]
    scene: str
    scene_probability: float | None
    scene_hint: str
    scene_hint_answer: str


class Statistics:
    """Counts frames; the callbacks and the worker both report here."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: Counter[str] = Counter()
        self._rejected: Counter[Reason] = Counter()
        self._last_rejection = ""
        self._recent: deque[bool] = deque(maxlen=_RECENT)
        self._durations: deque[tuple[float, dict[str, float]]] = deque(maxlen=_WINDOW)
        self._accepted_s: float | None = None
        self._scene = ""
        self._scene_probability: float | None = None
        self._scene_hint = ""
        self._scene_hint_answer = ""

    def count(self, event: str) -> None:
        """Count a frame that came `in`, or was `dropped` or `repeated`."""
        with self._lock:
            self._counts[event] += 1

    def timed(self, *, latency_s: float, stage_seconds: dict[str, float]) -> None:
        """Keep how long a frame took from arrival to its end, and each stage of the localizer."""
        with self._lock:
            self._durations.append((latency_s, dict(stage_seconds)))

    def accepted(self, estimate: Estimate) -> None:
        """Count a frame whose pose was published, and keep its scene."""
        with self._lock:
            self._counts["accepted"] += 1
            self._recent.append(False)
            self._accepted_s = monotonic()
            self._scene = estimate.scene
            self._scene_probability = estimate.evidence.get(SCENE_PROBABILITY)

    def withheld(self) -> None:
        """Count a frame whose pose is not trusted."""
        with self._lock:
            self._counts["withheld"] += 1
            self._recent.append(False)

    def rejected(self, reason: Reason, detail: str) -> None:
        """Count a frame that gave no pose."""
        with self._lock:
            self._rejected[reason] += 1
            self._recent.append(True)
            self._last_rejection = f"{reason.value}: {detail}"

    def hinted(self, hint: str, answer: str) -> None:
        """Keep the sentence that is in force, and what the latest one was answered."""
        with self._lock:
            self._scene_hint = hint
            self._scene_hint_answer = answer

    def summary(self) -> Summary:
        """Return a copy."""
        with self._lock:
            latencies_s = np.array([latency_s for latency_s, _ in self._durations], dtype=np.float64)
            stages = [stage_seconds for _, stage_seconds in self._durations]
            names = dict.fromkeys(name for stage_seconds in stages for name in stage_seconds)
            return Summary(
                counts={event: self._counts[event] for event in ("in", "dropped", "repeated", "accepted", "withheld")},
                rejected=dict(self._rejected),
                last_rejection=self._last_rejection,
                recent_rejected=sum(self._recent) / len(self._recent) if self._recent else 0.0,
                fix_age_s=None if self._accepted_s is None else monotonic() - self._accepted_s,
                latencies_s=latencies_s,
                overheads_s=latencies_s - [stage_seconds.get(_INFERENCE, 0.0) for stage_seconds in stages],
                stages_s={name: np.array([each[name] for each in stages if name in each]) for name in names},
                scene=self._scene,
                scene_probability=self._scene_probability,
                scene_hint=self._scene_hint,
                scene_hint_answer=self._scene_hint_answer,
            )
