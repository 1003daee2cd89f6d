"""The time that passes between evaluated frames, as a robot that drives from one to the next would live it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from reloc_ros.evaluation.replay import FrameResult
from reloc_ros.types import Array

_GAP_FACTOR = 4.0
"""A pause this many times longer than the usual step separates two pieces of the way."""


def is_step(results: Sequence[FrameResult]) -> list[bool]:
    """Return, for each pair of consecutive frames, whether one follows the other without a jump of time or sequence."""
    usual_ns = _usual_step_ns(results)
    return [
        before.sequence == after.sequence and 0 < after.stamp_ns - before.stamp_ns <= _GAP_FACTOR * usual_ns
        for before, after in pairwise(results)
    ]


def played_s(results: Sequence[FrameResult]) -> Array:
    """Return (N,) seconds since the first frame; a jump of time or sequence counts as one usual step.

    Held-out frames are blocks out of a longer drive: the hours between two blocks are nobody's waiting time.
    """
    usual_ns = _usual_step_ns(results)
    steps_ns = [
        after.stamp_ns - before.stamp_ns if follows else usual_ns
        for (before, after), follows in zip(pairwise(results), is_step(results))
    ]
    return np.concatenate([[0.0], np.cumsum(steps_ns)]) / 1e9


def wait_for_right_fix_s(results: Sequence[FrameResult], played: Array, start: int) -> float:
    """Return the seconds from a frame to the first one of its sequence with a right pose; infinite when none comes.

    Args:
        results: of all frames.
        played: of them, `played_s`.
        start: index of the frame that the wait begins at.
    """
    for index in range(start, len(results)):
        if results[index].sequence != results[start].sequence:
            break
        if results[index].is_right_fix:
            return float(played[index] - played[start])
    return math.inf


def _usual_step_ns(results: Sequence[FrameResult]) -> float:
    steps = [
        after.stamp_ns - before.stamp_ns
        for before, after in pairwise(results)
        if before.sequence == after.sequence and after.stamp_ns > before.stamp_ns
    ]
    return float(np.median(steps)) if steps else 1e9
