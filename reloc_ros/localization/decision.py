"""What the recovery state machine says after each step, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from reloc_ros.localization.fusion import Belief


class State(str, Enum):
    """How far the robot's own idea of where it is can be trusted."""

    INIT = "init"
    LOST = "lost"
    CANDIDATE = "candidate"
    TRACKING = "tracking"
    DEGRADED = "degraded"


class Cause(str, Enum):
    """Why the machine decided as it did: one name for status, diagnostics and README."""

    NO_FIX_YET = "no_fix_yet"
    TOO_FEW_VIEWS = "too_few_views"
    AMBIGUOUS = "ambiguous"
    UNCERTAIN = "uncertain"
    ACCEPTED = "accepted"
    ANCHORED = "anchored"
    AGREES = "agrees"
    RETURNING = "returning"
    CARRIED = "carried"
    NO_ANCHOR = "no_anchor"
    OUTLIER = "outlier"
    OFF_FLOOR = "off_floor"
    NO_FIX = "no_fix"
    CONTRADICTED = "contradicted"
    TIMED_OUT = "timed_out"
    LOSS_SIGNAL = "loss_signal"
    ODOMETRY_JUMP = "odometry_jump"
    CLOCK_BACKWARD = "clock_backward"
    OUT_OF_ORDER = "out_of_order"
    RESET = "reset"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What to do after a step.

    Args:
        state: of the machine.
        cause: why.
        detail: the same in words, with values and limits.
        trusted: base of `map -> odom`; None: broadcast nothing.
        publish: the pose of this very image, to be published; None: stay silent.
        recovered: trust begins with this step; `map -> odom` may jump.
    """

    state: State
    cause: Cause
    detail: str
    trusted: Belief | None = None
    publish: Belief | None = None
    recovered: bool = False
