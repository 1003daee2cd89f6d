"""One run of a kidnapped robot, step by step, for a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reloc_ros.evaluation.pose_error import rotation_error_deg, translation_error_m
from reloc_ros.evaluation.recovery_simulation import FALSE_DEG, FALSE_M, RIGHT_DEG, RIGHT_M, decisions
from reloc_ros.evaluation.simulated_drives import Sample
from reloc_ros.localization.decision import State
from reloc_ros.localization.fusion import NS_PER_S, OdometryNoise
from reloc_ros.localization.recovery_settings import RecoverySettings
from reloc_ros.types import Array


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What happened at each image of a run.

    An error is how many times the limit of a false fix it is: the larger of position / 0.5 m and rotation / 10 deg.

    Args:
        times_s: (N,) from the start.
        states: (N,) of the machine.
        fix: (N,) error of the single fix; NaN where there is none.
        trusted: (N,) error of `map -> odom`; NaN where none is trusted.
        published: (N,) error of the published pose; NaN where the robot is silent.
        kidnap_s: when it was carried off; None: never.
        recovered_s: from then, or from the start, to a right `map -> odom`; None: never.
    """

    times_s: Array
    states: tuple[State, ...]
    fix: Array
    trusted: Array
    published: Array
    kidnap_s: float | None
    recovered_s: float | None

    @property
    def false_fixes(self) -> int:
        """Published poses that are wrong."""
        return int(np.sum(self.published > 1.0))


def trace(
    samples: Sequence[Sample], settings: RecoverySettings, noise: OdometryNoise, *, signalled: bool = False
) -> Trace:
    """Return what a machine with these settings makes of a run, step by step; compare `recovery_simulation.replay`."""
    states, errors = [], np.full((len(samples), 3), np.nan)
    start_ns = since_ns = samples[0].stamp_ns
    kidnap_s, recovered_s = None, None
    for index, (sample, decision) in enumerate(decisions(samples, settings, noise, signalled=signalled)):
        if sample.kidnapped:
            since_ns, recovered_s = sample.stamp_ns, None
            kidnap_s = (since_ns - start_ns) / NS_PER_S
        for column, belief in enumerate((sample.fix, decision.trusted, decision.publish)):
            if belief is not None:
                errors[index, column] = _share(belief.T_map_body, sample.T_map_body)
        if recovered_s is None and decision.trusted is not None and _is_right(decision.trusted.T_map_body, sample):
            recovered_s = (sample.stamp_ns - since_ns) / NS_PER_S
        states.append(decision.state)
    return Trace(
        times_s=np.array([(sample.stamp_ns - start_ns) / NS_PER_S for sample in samples]),
        states=tuple(states),
        fix=errors[:, 0],
        trusted=errors[:, 1],
        published=errors[:, 2],
        kidnap_s=kidnap_s,
        recovered_s=recovered_s,
    )


def _share(T_map_body: Array, T_map_body_true: Array) -> float:
    error_m = translation_error_m(T_map_body, T_map_body_true)
    return max(error_m / FALSE_M, rotation_error_deg(T_map_body, T_map_body_true) / FALSE_DEG)


def _is_right(T_map_body: Array, sample: Sample) -> bool:
    return (
        translation_error_m(T_map_body, sample.T_map_body) <= RIGHT_M
        and rotation_error_deg(T_map_body, sample.T_map_body) <= RIGHT_DEG
    )
