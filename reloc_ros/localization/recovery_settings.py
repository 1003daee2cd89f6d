"""What decides between trust and silence. Every default says what chose it; units stand in the names."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from itertools import pairwise

from scipy.stats import chi2

from reloc_ros.errors import ConfigError
from reloc_ros.localization import planar as planar_mode

_POSE_FREEDOMS = 6


@dataclass(frozen=True, kw_only=True)
class RecoverySettings:
    """Limits of the recovery state machine.

    "Simulation" is `reloc_ros.evaluation.recovery_simulation`: 50 kidnaps without a signal (seed 1), and 30 to 60
    drives through identical rooms in which 40 % of the fixes lie in the wrong one. A false fix is a published pose off
    by more than 0.5 m or 10 deg; believing each of those fixes would give 1600 in the 50 kidnaps.

    Views (what counts as independent evidence):
        view_travel_m, view_turn_rad: a fix is wholly new evidence once the robot has moved or turned this far. Wrong
            fixes last about as long as the same things fill the image. In the simulation 0.15 m recovers in 5.0 s,
            0.3 m in 8.2 s, 0.5 m in 11.2 s (p50): the middle, because real runs of wrong fixes are not well known.
        view_s: time alone after which a fix counts as new evidence. Infinite with odometry: a standing robot repeats
            its mistake for ever. Finite without odometry, where motion cannot be measured.
        static_view_s: time after which a repeated view may correct a pose by a full fix again. It is no evidence.

    Agreement:
        gate_probability: chi-square level below which two poses agree. Simulation: 0.9 costs 3 % of availability
            (heavy tails are cut off), 0.99 to 0.9999 are alike.
        max_correction_m, max_correction_rad: cap on the same, whatever covariances claim: the limits of a false fix, so
            that a single fix cannot carry a right pose there.

    Trust:
        votes_to_accept: views that must agree, when nothing was known before. Simulation: false fixes in the kidnaps 31
            with 1, 2 with 2, none from 3 on; in identical rooms 50 with 2, none from 4 on. The rest is margin; each
            view costs 0.6 s. It is no proof: of 158 further drives through identical rooms one was wrong with 6, as it
            saw nothing but its twin for three seconds. The apartment's bundle (`reloc bench recovery --bundle`, 2400
            rendered images, 6 % of the fixes wrong): 29 with 1 and 1 with 2 in 50 kidnaps, none with 4 or 6 in 150;
            p50 4.3 s with 4, 6.2 s with 6.
        votes_to_switch: views that must agree on another place when nobody told that the robot was moved: more,
            because continuity speaks against it.
        votes_at_first: views that must agree while the map has not shown that its places look different. A robot that
            begins in the twin of its room, and sees nothing but the twin, hears nobody disagree; only more views help.
            Of 1500 simulated starts between identical rooms 11 ended in the wrong one with 6 views, 4 with 7, 3 with 8,
            1 with 9, none with 10 or 12. The price: in 50 kidnaps after 20 s in the apartment 77 % of the time instead
            of 83 % is covered; the time to recover stays (p50 6.3 s).
        votes_to_prove: trusted views that show it: from then on `votes_to_accept` are enough, so that a kidnapped robot
            recovers as fast as ever. Two votes for a second place, while the first goes on, take the proof back.
        votes_with_prior: views that must agree with a prior (`initialpose`, saved pose).
        min_share: of all votes since the hypothesis was born: N of M.
        votes_per_rival_vote: what each vote for the second best place adds to the votes needed: two places that look
            alike must be told apart clearly. Simulation: with a limit on the ratio of the votes (1 to 5) instead,
            identical rooms gave 26 false fixes; this gives none.
        max_rival_share_tracking: votes of the second best place over those of the trusted one. Above, poses stop and
            `map -> odom` goes on. It halved the false fixes of places that were wrongly accepted.
        max_position_std_m, max_rotation_std_rad: a pose less certain than this is not published: a false fix would lie
            at 2.5 sigma.
        memory_votes, memory_s: older votes are forgotten. 20 votes forget a rival too soon in identical rooms.

    Loss:
        votes_to_doubt: lead over ours, since it appeared, with which another place ends trust (kidnap). Simulation:
            a wrong `map -> odom` lives on for 2.5 s (p50) after a kidnap that nobody signals.
        degraded_after_s: without an agreeing fix: TRACKING -> DEGRADED (poses stop, `map -> odom` goes on).
        fixes_to_return: agreeing fixes in a row: DEGRADED -> TRACKING.
        lost_after_s, lost_after_m, lost_position_std_m, lost_rotation_std_rad: dead reckoning ends: -> LOST. The stds
            keep what is broadcast below a false fix at two sigma; an anchor may start beyond and double.
        max_speed_m_s, max_turn_rate_rad_s: faster odometry is a jump; about four times the demo robot's limits.
        clock_tolerance_s: a stamp further back than this is a clock that jumped; less is an image out of order.

    A robot that cannot move:
        trust_standing: off by default. A model of which 6 % of the fixes are wrong is wrong at 6 % of the places
            where a robot can stand, and no waiting shows it: views from one place are one vote. Give a prior, or turn.
            With it on, trust is given after `standing_s` and `standing_fixes`, when `standing_share` of them agree
            and the pose is twice as certain as otherwise asked for; what such fixes are wrong about stays wrong.

    Mode:
        planar: x, y, yaw of a robot on the floor z = 0, see `planar`; else all six. Simulation: halves the error of the
            yaw and takes a fifth off that of the position.
    """

    view_travel_m: float = 0.3
    view_turn_rad: float = math.radians(25.0)
    view_s: float = math.inf
    static_view_s: float = 10.0

    gate_probability: float = 0.999
    max_correction_m: float = 0.5
    max_correction_rad: float = math.radians(10.0)

    votes_to_accept: float = 6.0
    votes_to_switch: float = 10.0
    votes_at_first: float = 12.0
    votes_to_prove: float = 10.0
    votes_with_prior: float = 2.0
    min_share: float = 0.6
    votes_per_rival_vote: float = 4.0
    max_rival_share_tracking: float = 0.4
    max_position_std_m: float = 0.2
    max_rotation_std_rad: float = math.radians(4.0)
    memory_votes: float = 40.0
    memory_s: float = 60.0

    votes_to_doubt: float = 3.0
    degraded_after_s: float = 2.0
    fixes_to_return: int = 3
    lost_after_s: float = 30.0
    lost_after_m: float = 15.0
    lost_position_std_m: float = 0.25
    lost_rotation_std_rad: float = math.radians(5.0)
    max_speed_m_s: float = 3.0
    max_turn_rate_rad_s: float = 4.0
    clock_tolerance_s: float = 1.0

    trust_standing: bool = False
    standing_s: float = 20.0
    standing_fixes: int = 40
    standing_share: float = 0.95

    planar: bool = False

    def __post_init__(self) -> None:
        for entry in dataclasses.fields(self):
            value = getattr(self, entry.name)
            _require(value >= 0 if isinstance(value, bool) else value > 0, entry.name, value, "greater than 0")
        for name in ("gate_probability", "min_share", "max_rival_share_tracking", "standing_share"):
            _require(getattr(self, name) <= 1.0, name, getattr(self, name), "at most 1")
        _require(self.gate_probability < 1.0, "gate_probability", self.gate_probability, "below 1")
        ladder = ("votes_with_prior", "votes_to_accept", "votes_to_switch", "memory_votes")
        also = (("votes_to_accept", "votes_at_first"), ("votes_at_first", "memory_votes"))
        for low, high in (*pairwise(ladder), *also):
            _require(getattr(self, low) <= getattr(self, high), low, getattr(self, low), f"at most {high}")
        _require(self.degraded_after_s < self.lost_after_s, "degraded_after_s", self.degraded_after_s, "< lost_after_s")

    @classmethod
    def hand_held(cls) -> RecoverySettings:
        """Return settings for a camera without odometry, to go with `OdometryNoise.hand_held()`.

        People move cameras, so each second counts as a view; between two fixes the camera may be a stride away.
        Nothing but other fixes can smooth a fix here: gross errors are kept out (simulation: worst 0.7 m and 21 deg
        instead of anywhere), yet 2 % of what is published is a false fix, nearly all by a heavy tail just beyond 10 deg.
        """
        return cls(
            votes_at_first=6.0,
            view_s=1.0,
            static_view_s=0.5,
            max_correction_m=0.6,
            max_correction_rad=math.radians(30.0),
            lost_after_s=5.0,
            lost_position_std_m=2.0,
            lost_rotation_std_rad=2.0,
        )

    def with_votes(self, votes: float) -> RecoverySettings:
        """Return settings that ask for more or less evidence all round: the other votes keep their proportion."""
        ratio = votes / self.votes_to_accept
        return dataclasses.replace(
            self,
            votes_to_accept=votes,
            votes_to_switch=ratio * self.votes_to_switch,
            votes_at_first=ratio * self.votes_at_first,
            votes_with_prior=min(votes, self.votes_with_prior),
            votes_to_doubt=ratio * self.votes_to_doubt,
            memory_votes=max(self.memory_votes, ratio * self.votes_to_switch, ratio * self.votes_at_first),
        )

    @property
    def freedoms(self) -> int:
        """Of a pose: 6, or 3 in planar mode."""
        return planar_mode.FREEDOMS if self.planar else _POSE_FREEDOMS

    def votes_unknown(self, proof: float) -> float:
        """Return the views that must agree on a place nobody told of.

        Args:
            proof: trusted views without a rival so far.
        """
        share = min(1.0, proof / self.votes_to_prove)
        return self.votes_at_first + share * (self.votes_to_accept - self.votes_at_first)

    def chi2_limit(self, freedoms: int) -> float:
        """Return the squared Mahalanobis distance up to which poses agree."""
        return float(chi2.ppf(self.gate_probability, freedoms))


def _require(good: bool, name: str, value: object, limit: str) -> None:  # noqa: FBT001
    if not good:
        raise ConfigError(f"recovery setting {name} is {value}, expected {limit}; correct the parameter")
