"""The stages on the way of an image to a pose: each is timed, and a fault inside one is an answer, not a crash."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import perf_counter
from typing import TypeVar

from reloc_ros.localization.solve.solution import Failure
from reloc_ros.types import Reason

_log = logging.getLogger(__name__)

T = TypeVar("T")

# The stages in order, and what a fault inside each is called.
FAULT_OF_STAGE = {
    "prepare": Reason.PREPARE_FAILED,
    "infer": Reason.INFERENCE_FAILED,
    "solve": Reason.SOLVE_FAILED,
    "gate": Reason.GATE_FAILED,
}


def run_stage(
    stage: str, seconds: dict[str, float], function: Callable[..., T | Failure], *nouns: object
) -> T | Failure:
    """Return what a stage makes of its nouns, or the failure among them. Never raises.

    Args:
        stage: key of `FAULT_OF_STAGE`.
        seconds: its duration is written here, if it runs.
        function: does it; an exception becomes the stage's Failure.
        nouns: results of stages before, each of which may have failed.
    """
    for noun in nouns:
        if isinstance(noun, Failure):
            return noun
    start = perf_counter()
    try:
        return function(*nouns)
    except Exception as error:  # a robot must survive whatever one image does to one stage
        _log.exception("stage %s failed", stage)
        return Failure(reason=FAULT_OF_STAGE[stage], detail=f"{type(error).__name__}: {error}")
    finally:
        seconds[stage] = perf_counter() - start
