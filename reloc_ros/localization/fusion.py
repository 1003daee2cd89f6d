"""Where the robot is believed to be: a pose filter over SE(3), moved by odometry and corrected by fixes.

The filter holds the pose of the *body* (the robot's base, or a hand-held camera) rather than `map -> odom`: the
covariance of a transform whose origin is far away says nothing readable. `T_map_odom` follows from it at any time.
Covariances are those of CONVENTIONS.md: true t = t + dt, true R = Exp(dr) R, along and about the map's axes. In them
a motion known from odometry carries errors over exactly as `covariance.change_body_frame` says.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from reloc_ros.geometry import covariance, rotation, se3
from reloc_ros.geometry.covariance import difference
from reloc_ros.types import Array

NS_PER_S = 1_000_000_000

_NO_TURN = np.eye(3)

_STUDENT_FREEDOMS = 5.0
"""Tail of the fix errors as the filter assumes it. With 5 a fix at the limit of the gate weighs about a third."""


@dataclass(frozen=True, kw_only=True)
class OdometryNoise:
    """How fast trust in odometry fades: a random walk, so that variances add up over any division into steps.

    The defaults are twice the drift of the wheel odometry in the synthetic drives, to leave room for slip.

    Args:
        position_m_per_sqrt_m: position std after one metre.
        rotation_rad_per_sqrt_m: rotation std after one metre.
        rotation_rad_per_sqrt_rad: rotation std after turning one radian.
        position_m_per_sqrt_s: position std after one second, moving or not.
        rotation_rad_per_sqrt_s: rotation std after one second.
    """

    position_m_per_sqrt_m: float = 0.03
    rotation_rad_per_sqrt_m: float = 0.01
    rotation_rad_per_sqrt_rad: float = 0.03
    position_m_per_sqrt_s: float = 0.002
    rotation_rad_per_sqrt_s: float = 0.001

    @classmethod
    def hand_held(cls) -> OdometryNoise:
        """Return the noise of having no odometry (`T_odom_body` is the identity): a person walks and looks round.

        Some 0.13 m and 10 deg between two of five images a second; twice that lets wrong fixes by in the simulation.
        """
        return cls(position_m_per_sqrt_s=0.3, rotation_rad_per_sqrt_s=0.4)

    @classmethod
    def of_sequence(cls) -> OdometryNoise:
        """Return the noise of poses that a network finds along a sequence of images.

        As the small network errs in rooms it never saw: 0.3 m and 2 deg after 2 m, 0.6 m and 9 deg after 7 m with some
        turns (medians).
        """
        return cls(
            position_m_per_sqrt_m=0.15,
            rotation_rad_per_sqrt_m=0.02,
            rotation_rad_per_sqrt_rad=0.05,
            position_m_per_sqrt_s=0.01,
            rotation_rad_per_sqrt_s=0.005,
        )

    def variances(self, *, travel_m: float, turn_rad: float, seconds: float) -> tuple[float, float]:
        """Return the added variance of each position axis (m^2) and of each rotation axis (rad^2)."""
        position = self.position_m_per_sqrt_m**2 * travel_m + self.position_m_per_sqrt_s**2 * seconds
        rotation_variance = (
            self.rotation_rad_per_sqrt_m**2 * travel_m
            + self.rotation_rad_per_sqrt_rad**2 * turn_rad
            + self.rotation_rad_per_sqrt_s**2 * seconds
        )
        return position, rotation_variance


@dataclass(frozen=True, kw_only=True)
class Belief:
    """A pose of the body with its covariance, tied to odometry. A single fix is one, and so is the filter's state.

    Args:
        T_map_body: (4, 4).
        covariance: (6, 6) of it.
        T_odom_body: (4, 4) at the same stamp; the identity without odometry.
        stamp_ns: message time.
    """

    T_map_body: Array
    covariance: Array
    T_odom_body: Array
    stamp_ns: int

    @property
    def T_map_odom(self) -> Array:
        """(4, 4), the transform to broadcast."""
        return self.T_map_body @ se3.inverse(self.T_odom_body)

    @property
    def position_std_m(self) -> float:
        """Standard deviation along the least certain direction."""
        return math.sqrt(float(np.linalg.eigvalsh(self.covariance[:3, :3])[-1]))

    @property
    def rotation_std_rad(self) -> float:
        """Standard deviation about the least certain axis."""
        return math.sqrt(float(np.linalg.eigvalsh(self.covariance[3:, 3:])[-1]))


def predict(belief: Belief, T_odom_body: Array, stamp_ns: int, noise: OdometryNoise) -> Belief:
    """Return the belief carried along by odometry to a new stamp, grown less certain."""
    T_body_next = se3.inverse(belief.T_odom_body) @ T_odom_body
    travel_m, turn_rad = motion(T_body_next)
    seconds = abs(stamp_ns - belief.stamp_ns) / NS_PER_S
    grown = covariance.change_body_frame(belief.covariance, belief.T_map_body, T_body_next)
    position, turned = noise.variances(travel_m=travel_m, turn_rad=turn_rad, seconds=seconds)
    grown = grown + np.diag([position] * 3 + [turned] * 3)
    return Belief(
        T_map_body=belief.T_map_body @ T_body_next, covariance=grown, T_odom_body=T_odom_body, stamp_ns=stamp_ns
    )


def fuse(predicted: Belief, fix: Belief, *, freedoms: int, share: float = 1.0) -> Belief:
    """Return the belief corrected by a fix at the same stamp: a Kalman step with the weight of a Student-t residual.

    Args:
        predicted: the belief at the fix's stamp.
        fix: pose of one image.
        freedoms: 6, or 3 in planar mode.
        share: in 0 to 1, how much of the fix is news. Images from one place err alike; an image that repeats 90 % of
            the view before brings a tenth of the information that its covariance claims.
    """
    correction = difference(predicted.T_map_body, fix.T_map_body)
    squared = squared_mahalanobis(predicted, fix)
    weight = min(1.0, (_STUDENT_FREEDOMS + freedoms) / (_STUDENT_FREEDOMS + squared))
    information = max(share * weight, 1e-6)
    noise = fix.covariance / information
    gain = np.linalg.solve(predicted.covariance + noise, predicted.covariance).T
    step = gain @ correction
    rest = np.eye(6) - gain
    corrected = rest @ predicted.covariance @ rest.T + gain @ noise @ gain.T
    T_map_body = predicted.T_map_body.copy()
    T_map_body[:3, :3] = rotation.exp(step[3:]) @ T_map_body[:3, :3]
    T_map_body[:3, 3] += step[:3]
    return Belief(
        T_map_body=T_map_body,
        covariance=0.5 * (corrected + corrected.T),
        T_odom_body=fix.T_odom_body,
        stamp_ns=fix.stamp_ns,
    )


def approach(T_map_odom_shown: Array, belief: Belief, *, seconds: float, time_constant_s: float) -> Array:
    """Return the `map -> odom` to show next on the way from the one shown last to the believed one.

    Small corrections reach navigation as a glide instead of a step. The glide is one of the body: a small turn about
    a far odometry origin would swing the robot aside. On recovery show `belief.T_map_odom` at once instead.

    Args:
        T_map_odom_shown: (4, 4) broadcast last.
        belief: what is believed now.
        seconds: since the last broadcast.
        time_constant_s: after it 63 % of a correction are shown; 0 shows all at once.
    """
    fraction = 1.0 if time_constant_s <= 0.0 else 1.0 - math.exp(-max(seconds, 0.0) / time_constant_s)
    T_map_body_shown = T_map_odom_shown @ belief.T_odom_body
    T_map_body = se3.interpolate(T_map_body_shown, belief.T_map_body, fraction)
    return T_map_body @ se3.inverse(belief.T_odom_body)


def squared_mahalanobis(one: Belief, other: Belief) -> float:
    """Return d^T (C + C')^-1 d of two independent beliefs at one stamp: chi-square when both covariances are right."""
    d = difference(one.T_map_body, other.T_map_body)
    return float(d @ np.linalg.solve(one.covariance + other.covariance, d))


def motion(T_body_next: Array) -> tuple[float, float]:
    """Return how far (m) and by what angle (rad) a transform moves a body."""
    return float(np.linalg.norm(T_body_next[:3, 3])), turn_between_rad(_NO_TURN, T_body_next[:3, :3])


def turn_between_rad(R_one: Array, R_other: Array) -> float:
    """Return the angle between two rotations from their chord, |R - R'| = 2 sqrt(2) sin(angle / 2).

    It loses digits near pi only, where no limit lies, and is asked for hundreds of times a second.
    """
    return 2.0 * math.asin(min(1.0, float(np.linalg.norm(R_one - R_other)) / math.sqrt(8.0)))
