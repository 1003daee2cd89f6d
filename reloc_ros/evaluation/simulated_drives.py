"""Drives of a simulated robot: drifting odometry, fixes that err as those of a real single-image relocalizer, faults.

Medians of 17 cm and 3.2 deg, heavy tails, errors alike from image to image, and 6 % of the images plainly wrong, in
runs. No images and no network: a drive of 80 s takes a fraction of a second, and depends on its seed alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from reloc_ros.geometry import rotation, se3
from reloc_ros.localization.fusion import NS_PER_S, Belief
from reloc_ros.types import Array

_AREA_M = np.array([16.0, 10.0])
_TWIN_SHIFT_M = 8.0
"""Two rooms side by side, alike: what is seen at x looks as at x +- this."""


@dataclass(frozen=True, kw_only=True)
class FixErrors:
    """How the simulated relocalizer errs.

    Args:
        position_m, rotation_deg: std of each axis; with the tails they give medians of 17 cm and 3.2 deg.
        tail_freedoms: of the Student-t distribution of the errors.
        correlation_s: time over which errors are alike.
        claim_spread: log std of the claimed over the true std.
        rejected_share: of images without a fix.
        wrong_share: of fixes that are plainly wrong, though they claim to be as certain as others.
        wrong_run_s: mean length of a run of wrong fixes.
        wrong_consistent_share: of those runs in which the wrong fixes move along with the robot.
    """

    position_m: float = 0.0985
    rotation_deg: float = 1.854
    tail_freedoms: float = 5.0
    correlation_s: float = 0.4
    claim_spread: float = 0.3
    rejected_share: float = 0.1
    wrong_share: float = 0.06
    wrong_run_s: float = 0.6
    wrong_consistent_share: float = 0.5


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What happens in a run.

    Args:
        seconds: length of a run.
        rate_hz: of images.
        kidnap_s: the robot is carried elsewhere; infinite: never.
        blackout_s: from when to when there are no fixes.
        unmapped_s: from when to when fixes are random, and look certain.
        twin_share: of fixes, in runs of `twin_run_s`, that lie in the twin room.
        twin_run_s: mean length of such a run.
        bump_s: from then on the camera is turned by `bump_deg` to the side.
        bump_deg: of that turn.
        standing: the robot never moves.
        signalled: something tells the machine of the kidnap.
    """

    seconds: float = 80.0
    rate_hz: float = 5.0
    kidnap_s: float = 25.0
    blackout_s: tuple[float, float] = (math.inf, math.inf)
    unmapped_s: tuple[float, float] = (math.inf, math.inf)
    twin_share: float = 0.0
    twin_run_s: float = 1.0
    bump_s: float = math.inf
    bump_deg: float = 5.0
    standing: bool = False
    signalled: bool = False
    errors: FixErrors = FixErrors()


SCENARIOS = {
    "kidnap": Scenario(),
    "signalled_kidnap": Scenario(signalled=True),
    "blackout": Scenario(kidnap_s=math.inf, blackout_s=(25.0, 35.0)),
    "aliasing": Scenario(kidnap_s=math.inf, twin_share=0.4),
    "unmapped": Scenario(kidnap_s=math.inf, unmapped_s=(25.0, 60.0)),
    "crowd": Scenario(errors=FixErrors(rejected_share=0.3, wrong_share=0.15)),
    "dark": Scenario(errors=FixErrors(rejected_share=0.7, position_m=0.15, rotation_deg=2.8)),
    "bumped": Scenario(kidnap_s=math.inf, bump_s=25.0),
    "standing": Scenario(kidnap_s=math.inf, standing=True),
}


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One image of a run: the truth, odometry, and the fix if there is one."""

    stamp_ns: int
    T_map_body: Array
    T_odom_body: Array
    fix: Belief | None
    kidnapped: bool


class _Spells:
    """A condition that comes and goes: true for a share of the time, in spells of a mean length."""

    def __init__(self, rng: np.random.Generator, *, share: float, spell_s: float, step_s: float) -> None:
        self._rng = rng
        self._end = min(1.0, step_s / spell_s)
        self._begin = self._end * share / (1.0 - share)
        self.on = False
        self.began = False

    def step(self) -> bool:
        was = self.on
        self.on = bool(self._rng.random() >= self._end) if was else bool(self._rng.random() < self._begin)
        self.began = self.on and not was
        return self.on


def draw_run(scenario: Scenario, rng: np.random.Generator) -> list[Sample]:
    """Return the images of one run in order of time."""
    step_s = 1.0 / scenario.rate_hz
    fixes = _Fixes(scenario, rng, step_s)
    T_map_body, T_odom_body = _placed(_somewhere(rng), rng), np.eye(4)
    goal, pause_s, bias = _somewhere(rng), 0.0, rng.normal(0.0, 0.01, 2)
    samples: list[Sample] = []
    for index in range(round(scenario.seconds * scenario.rate_hz)):
        now_s = index * step_s
        kidnapped = now_s - step_s < scenario.kidnap_s <= now_s
        if kidnapped:
            T_map_body = _elsewhere(T_map_body, rng)
        elif not scenario.standing and pause_s <= 0.0:
            if float(np.linalg.norm(goal - T_map_body[:2, 3])) < 0.4:
                goal, pause_s = _somewhere(rng), rng.choice([0.0, 3.0], p=[0.7, 0.3])
            forward, turn = _towards(T_map_body, goal, step_s)
            T_map_body = T_map_body @ _planar(forward, 0.0, turn)
            noise = rng.normal(0.0, [0.01, 0.01]) * np.sqrt([forward, abs(turn) + 0.1 * forward])
            drift = (forward * bias[0] + noise[0], turn * bias[1] + noise[1])
            T_odom_body = T_odom_body @ _planar(forward + drift[0], 0.0, turn + drift[1])
        pause_s -= step_s
        stamp_ns = round((100.0 + now_s) * NS_PER_S)
        fix = fixes.fix(T_map_body, T_odom_body, stamp_ns, now_s)
        samples.append(
            Sample(stamp_ns=stamp_ns, T_map_body=T_map_body, T_odom_body=T_odom_body, fix=fix, kidnapped=kidnapped)
        )
    return samples


class _Fixes:
    """Draws the fixes of one run."""

    def __init__(self, scenario: Scenario, rng: np.random.Generator, step_s: float) -> None:
        errors = scenario.errors
        self._scenario, self._rng = scenario, rng
        self._wrong = _Spells(rng, share=errors.wrong_share, spell_s=errors.wrong_run_s, step_s=step_s)
        self._twin = _Spells(rng, share=scenario.twin_share, spell_s=scenario.twin_run_s, step_s=step_s)
        self._keep = math.exp(-step_s / errors.correlation_s)
        self._normal = rng.normal(size=6)
        self._tail = 1.0
        self._T_wrong, self._consistent = np.eye(4), False

    def fix(self, T_map_body: Array, T_odom_body: Array, stamp_ns: int, now_s: float) -> Belief | None:
        scenario, rng, errors = self._scenario, self._rng, self._scenario.errors
        T_seen = self._seen(T_map_body, now_s)
        if now_s >= scenario.bump_s:
            T_seen = T_seen @ _planar(0.0, 0.0, math.radians(scenario.bump_deg))
        std = np.repeat([errors.position_m, math.radians(errors.rotation_deg)], 3)
        self._normal = self._keep * self._normal + math.sqrt(1.0 - self._keep**2) * rng.normal(size=6)
        if rng.random() > self._keep:
            self._tail = math.sqrt(errors.tail_freedoms / rng.chisquare(errors.tail_freedoms))
        error = std * self._normal * self._tail
        claimed = std * math.exp(rng.normal(0.0, errors.claim_spread))
        if rng.random() < errors.rejected_share or scenario.blackout_s[0] <= now_s < scenario.blackout_s[1]:
            return None
        T_fix = se3.from_rotation_translation(rotation.exp(error[3:]) @ T_seen[:3, :3], T_seen[:3, 3] + error[:3])
        return Belief(T_map_body=T_fix, covariance=np.diag(claimed**2), T_odom_body=T_odom_body, stamp_ns=stamp_ns)

    def _seen(self, T_map_body: Array, now_s: float) -> Array:
        """Return where the relocalizer takes the robot to be, up to noise."""
        if self._scenario.unmapped_s[0] <= now_s < self._scenario.unmapped_s[1]:
            return _placed(_somewhere(self._rng), self._rng)
        if self._scenario.twin_share > 0.0 and self._twin.step():
            T_twin: Array = T_map_body.copy()
            T_twin[0, 3] += _TWIN_SHIFT_M if T_map_body[0, 3] < _AREA_M[0] / 2 else -_TWIN_SHIFT_M
            return T_twin
        if not self._wrong.step():
            return T_map_body
        if self._wrong.began:
            self._consistent = bool(self._rng.random() < self._scenario.errors.wrong_consistent_share)
            there = _placed(_somewhere(self._rng), self._rng)
            self._T_wrong = se3.inverse(T_map_body) @ there if self._consistent else there
        return np.asarray(T_map_body @ self._T_wrong) if self._consistent else self._T_wrong


def _somewhere(rng: np.random.Generator) -> Array:
    return np.asarray(rng.uniform(0.5, _AREA_M - 0.5))


def _elsewhere(T_map_body: Array, rng: np.random.Generator) -> Array:
    """Return a pose at least 2 m away: a shorter carry is a slip, which tracking itself takes care of."""
    while True:
        there = _placed(_somewhere(rng), rng)
        if np.linalg.norm(there[:2, 3] - T_map_body[:2, 3]) >= 2.0:
            return there


def _towards(T_map_body: Array, goal: Array, step_s: float) -> tuple[float, float]:
    """Return forward metres and radians of one step: turn to the goal first, then drive."""
    bearing = se3.transform_points(se3.inverse(T_map_body), np.array([[*goal, 0.0]]))[0]
    angle = math.atan2(bearing[1], bearing[0])
    turn = float(np.clip(angle, -0.8 * step_s, 0.8 * step_s))
    return (0.5 * step_s if abs(angle) < 0.5 else 0.0), turn


def _placed(position: Array, rng: np.random.Generator) -> Array:
    return _planar(float(position[0]), float(position[1]), rng.uniform(-math.pi, math.pi))


def _planar(x: float, y: float, yaw: float) -> Array:
    return se3.from_rotation_translation(rotation.exp([0.0, 0.0, yaw]), [x, y, 0.0])
