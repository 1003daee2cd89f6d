"""How long the stages take."""

from __future__ import annotations

from collections.abc import Sequence

from reloc_ros.evaluation.metrics import quantile
from reloc_ros.evaluation.replay import FrameResult

_LEVELS_PERCENT = (50, 90, 99)


def percentiles_ms(seconds: Sequence[float]) -> dict[str, float]:
    """Return `p50`, `p90` and `p99` of durations in seconds, milliseconds."""
    return {f"p{level}": 1e3 * quantile(seconds, level / 100) for level in _LEVELS_PERCENT}


def latency(results: Sequence[FrameResult]) -> dict[str, dict[str, float]]:
    """Return percentiles for the whole call and for each stage, milliseconds.

    A stage counts over the frames that reached it. The keys are `total` and the stages' names.
    """
    durations: dict[str, list[float]] = {"total": [result.seconds for result in results]}
    for result in results:
        for stage, seconds in result.stage_seconds.items():
            durations.setdefault(stage, []).append(seconds)
    return {stage: percentiles_ms(seconds) for stage, seconds in durations.items()}
