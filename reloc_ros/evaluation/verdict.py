"""What a model may be used for: figures on held-out frames against limits that are written down here, and only here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import beta

from reloc_ros.evaluation.metrics import quantile
from reloc_ros.evaluation.pose_error import FALSE_FIX_DEG, FALSE_FIX_M
from reloc_ros.types import Array

_SURE = 0.95


@dataclass(frozen=True, kw_only=True)
class Use:
    """What one use asks of a model. Shares are of all held-out frames, but for false fixes: of those with a pose.

    Args:
        name: as the verdict says it.
        min_frames: held out, for the figures to mean anything.
        within_m: a good pose is within this distance ...
        within_deg: ... and within this angle.
        min_recall: share of frames with a good pose.
        min_availability: share of frames with any pose.
        max_false_fixes: share of poses off by more than `FALSE_FIX_M` or `FALSE_FIX_DEG`.
        max_p90_m: nine of ten poses are closer than this; None asks nothing.
        max_p90_deg: likewise.
    """

    name: str
    min_frames: int
    within_m: float
    within_deg: float
    min_recall: float
    min_availability: float
    max_false_fixes: float
    max_p90_m: float | None = None
    max_p90_deg: float | None = None


# The node asks several images to agree before it initializes, so every second or third good one is enough, while false
# ones that agree are rare. Continuous localization rests on every pose.
INITIALIZATION = Use(
    name="initialization", min_frames=20, within_m=0.5, within_deg=10.0, min_recall=0.5, min_availability=0.5,
    max_false_fixes=0.1,
)  # fmt: skip
CONTINUOUS = Use(
    name="continuous localization", min_frames=40, within_m=0.25, within_deg=5.0, min_recall=0.8,
    min_availability=0.9, max_false_fixes=0.02, max_p90_m=0.25, max_p90_deg=5.0,
)  # fmt: skip
USES = (INITIALIZATION, CONTINUOUS)


@dataclass(frozen=True, kw_only=True)
class Check:
    """One figure against one limit, as people read it."""

    use: str
    figure: str
    value: str
    limit: str
    met: bool


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a model may be used for.

    Args:
        uses: names of the uses whose every limit is met.
        checks: all of them.
        only_position: orientations were not judged.
        false_fixes: number of them, of `poses`.
        poses: frames with a pose.
        frames: all of them.
        judged_on: what frames they are.
    """

    uses: tuple[str, ...]
    checks: tuple[Check, ...]
    only_position: bool
    false_fixes: int
    poses: int
    frames: int
    judged_on: str = "held-out frames"

    @property
    def usable(self) -> bool:
        """Whether there is any use."""
        return bool(self.uses)

    def headline(self) -> str:
        """Return the verdict in one line."""
        if self.usable:
            return f"usable for: {' and '.join(self.uses)}"
        return f"not usable, because {'; '.join(self.missed(INITIALIZATION.name))}"

    def missed(self, use: str) -> list[str]:
        """Return what a use asks for and does not get."""
        return [
            f"{check.figure} is {check.value}, must be {check.limit}"
            for check in self.checks
            if check.use == use and not check.met
        ]

    def most_false_fixes(self) -> float:
        """Return the share of false fixes that the true one is below with 95 % certainty, frames taken as independent."""
        if self.false_fixes >= self.poses:
            return 1.0
        return float(beta.ppf(_SURE, self.false_fixes + 1, self.poses - self.false_fixes))

    def as_dict(self) -> dict[str, Any]:
        """Return the content of `verdict.json`."""
        return {
            "headline": self.headline(),
            **asdict(self),
            "false_fix_rate_below": self.most_false_fixes(),
            "limits": [asdict(use) for use in USES],
            "false_fix": {"m": FALSE_FIX_M, "deg": FALSE_FIX_DEG},
        }


def judge(
    errors_m: Sequence[float],
    errors_deg: Sequence[float],
    *,
    only_position: bool = False,
    judged_on: str = "held-out frames",
) -> Verdict:
    """Return what a model with these errors on held-out frames may be used for.

    Args:
        errors_m: of each frame; infinite without a pose.
        errors_deg: likewise.
        only_position: leave orientations out, where the reference does not know them.
        judged_on: what frames they are; a model that has learnt from them looks better than it is.
    """
    metres = np.asarray(errors_m, dtype=float)
    has_pose = np.isfinite(metres)
    degrees = np.where(has_pose, 0.0, np.inf) if only_position else np.asarray(errors_deg, dtype=float)
    false_fixes = int(np.sum(has_pose & ((metres > FALSE_FIX_M) | (degrees > FALSE_FIX_DEG))))
    checks = [
        check for use in USES for check in _checks(use, metres, degrees, false_fixes, only_position=only_position)
    ]
    uses = tuple(use.name for use in USES if all(check.met for check in checks if check.use == use.name))
    return Verdict(
        uses=uses,
        checks=tuple(checks),
        only_position=only_position,
        false_fixes=false_fixes,
        poses=int(has_pose.sum()),
        frames=len(metres),
        judged_on=judged_on,
    )


def _checks(use: Use, metres: Array, degrees: Array, false_fixes: int, *, only_position: bool) -> list[Check]:
    frames, has_pose = len(metres), np.isfinite(metres)
    poses = int(has_pose.sum())
    recall = float(np.mean((metres <= use.within_m) & (degrees <= use.within_deg))) if frames else 0.0
    availability = poses / frames if frames else 0.0
    wrong = false_fixes / poses if poses else 1.0

    def check(figure: str, value: str, limit: str, *, met: bool) -> Check:
        return Check(use=use.name, figure=figure, value=value, limit=limit, met=met)

    good = f"{use.within_m:g} m" if only_position else f"{use.within_m:g} m and {use.within_deg:g} deg"
    found = [
        check("number of frames", str(frames), f"at least {use.min_frames}", met=frames >= use.min_frames),
        check("availability", _percent(availability), f"at least {_percent(use.min_availability)}",
              met=availability >= use.min_availability),
        check(f"recall within {good}", _percent(recall), f"at least {_percent(use.min_recall)}",
              met=recall >= use.min_recall),
        check("false-fix rate", _percent(wrong) if poses else "undefined without poses",
              f"at most {_percent(use.max_false_fixes)}", met=wrong <= use.max_false_fixes),
    ]  # fmt: skip
    for part, errors, limit, unit in (
        ("position", metres, use.max_p90_m, "m"),
        ("rotation", degrees, None if only_position else use.max_p90_deg, "deg"),
    ):
        if limit is not None:
            p90 = quantile(list(errors[has_pose]), 0.9) if poses else math.inf
            text = f"{p90:.2f} {unit}" if poses else "undefined without poses"
            found.append(check(f"90 % {part} error of poses", text, f"at most {limit:g} {unit}", met=p90 <= limit))
    return found


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
