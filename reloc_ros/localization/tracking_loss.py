"""Is navigation lost? What the stack publishes, judged against limits; and what to do until it has taken our pose.

Monitors are pure: the node feeds them the latest messages as plain values and asks with a stamp.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from reloc_ros.errors import ConfigError
from reloc_ros.geometry.covariance import difference
from reloc_ros.localization.fusion import NS_PER_S
from reloc_ros.types import Array


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One monitored value and its limit.

    Args:
        monitor: name for status and diagnostics.
        value: as observed; None: nothing was observed yet.
        limit: above it tracking counts as lost.
        unit: of both; empty for levels and flags.
    """

    monitor: str
    value: float | None
    limit: float
    unit: str = ""

    @property
    def lost(self) -> bool:
        """Whether this monitor alone says so. A value that is not a number is no sign of health."""
        return self.value is not None and not self.value <= self.limit

    def __str__(self) -> str:
        if self.value is None:
            return f"{self.monitor}: nothing heard yet"
        return (
            f"{self.monitor} is {self.value:.3g} {self.unit}".rstrip() + f", limit {self.limit:g} {self.unit}".rstrip()
        )


def covariance_readings(
    covariance: Array | None, *, max_position_std_m: float, max_yaw_std_rad: float
) -> list[Reading]:
    """Return the position and yaw certainty of a pose such as `amcl_pose`.

    Args:
        covariance: (6, 6), order x, y, z, rotX, rotY, rotZ; None before the first message.
        max_position_std_m: of the least certain direction in the plane.
        max_yaw_std_rad: about the vertical.
    """
    position = yaw = None
    if covariance is not None:
        largest = (
            float(np.linalg.eigvalsh(covariance[:2, :2])[-1]) if np.all(np.isfinite(covariance[:2, :2])) else math.nan
        )
        position, yaw = (math.sqrt(v) if v >= 0.0 else math.nan for v in (largest, float(covariance[5, 5])))
    return [
        Reading(monitor="position std", value=position, limit=max_position_std_m, unit="m"),
        Reading(monitor="yaw std", value=yaw, limit=max_yaw_std_rad, unit="rad"),
    ]


def age_reading(monitor: str, stamp_ns: int | None, now_ns: int, *, max_age_s: float) -> Reading:
    """Return the age of the newest odometry or transform."""
    age = None if stamp_ns is None else (now_ns - stamp_ns) / NS_PER_S
    return Reading(monitor=f"age of {monitor}", value=age, limit=max_age_s, unit="s")


def level_reading(monitor: str, level: int | None, *, max_level: int) -> Reading:
    """Return a diagnostics level: 0 ok, 1 warn, 2 error, 3 stale."""
    return Reading(monitor=f"diagnostics level of {monitor}", value=level, limit=max_level)


def flag_reading(monitor: str, lost: bool | None) -> Reading:  # noqa: FBT001
    """Return a topic that says true when tracking is lost."""
    return Reading(monitor=monitor, value=None if lost is None else float(lost), limit=0.0)


class TrackingLoss:
    """Several monitors at once, with hysteresis: each lost reading counts, and it has to last.

    Args:
        lost_after_s: any monitor beyond its limit for so long: lost.
        found_after_s: all monitors within their limits for so long: no longer lost.
    """

    def __init__(self, *, lost_after_s: float = 1.0, found_after_s: float = 2.0) -> None:
        self._delays_s = {False: lost_after_s, True: found_after_s}
        self.reset()

    def reset(self) -> None:
        """Start anew: not lost, as after a jump of the clock."""
        self.lost = False
        self.detail = "no monitor is beyond its limit"
        self._opposed_ns: int | None = None
        self._last_ns: int | None = None

    def step(self, readings: Sequence[Reading], now_ns: int) -> bool:
        """Return whether the readings make tracking lost *now*: true once for each loss, with `detail` saying why."""
        if self._last_ns is not None and now_ns < self._last_ns:
            self.reset()
        self._last_ns = now_ns
        beyond = [reading for reading in readings if reading.lost]
        if bool(beyond) == self.lost:
            self._opposed_ns = None
        elif self._opposed_ns is None:
            self._opposed_ns = now_ns
        if self.lost and not beyond:
            self.detail = "all monitors are within their limits again"
        elif beyond:
            self.detail = "; ".join(str(reading) for reading in beyond)
        due = self._opposed_ns is not None and (now_ns - self._opposed_ns) / NS_PER_S >= self._delays_s[self.lost]
        if due:
            self.lost, self._opposed_ns = not self.lost, None
        return due and self.lost


class Handover(str, Enum):
    """How far a verified pose has got on its way to navigation."""

    IDLE = "idle"
    WAITING = "waiting"
    TAKEN = "taken"
    RETRY = "retry"
    GIVEN_UP = "given_up"


@dataclass(frozen=True, kw_only=True)
class HandoverSettings:
    """When navigation counts as having taken an initial pose, and how often it is offered.

    Args:
        near_m, near_rad: `amcl_pose` this near to what was sent means that it was taken.
        wait_s: for that; AMCL answers on its next scan that moved enough, or at once with `nomotion_update`.
        back_off: each wait is so many times the one before, so that a busy stack is not flooded.
        attempts: poses sent before giving up.
    """

    near_m: float = 0.5
    near_rad: float = math.radians(15.0)
    wait_s: float = 3.0
    back_off: float = 2.0
    attempts: int = 5

    def __post_init__(self) -> None:
        for name in ("near_m", "near_rad", "wait_s", "attempts"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"hand-over setting {name} is {getattr(self, name)}, expected more than 0")
        if not self.back_off >= 1.0:
            raise ConfigError(f"hand-over setting back_off is {self.back_off}, expected 1 or more")


class InitialPoseHandover:
    """Watches whether navigation took the pose that was sent, and says when to send a fresh one.

    Args:
        settings: limits.
    """

    def __init__(self, settings: HandoverSettings) -> None:
        self._settings = settings
        self.reset()

    def reset(self) -> None:
        """Begin a new loss with all attempts left."""
        self.state = Handover.IDLE
        self.attempts = 0
        self._T_map_odom_sent: Array = np.eye(4)
        self._sent_ns = 0

    def sent(self, T_map_odom: Array, now_ns: int) -> None:
        """Note that a verified initial pose went out.

        Args:
            T_map_odom: (4, 4) that it implies; the robot may drive on while navigation thinks.
            now_ns: of sending.
        """
        self.attempts += 1
        self.state, self._T_map_odom_sent, self._sent_ns = Handover.WAITING, T_map_odom, now_ns

    def answered(self, T_map_base: Array, T_odom_base: Array, stamp_ns: int) -> None:
        """Compare a pose of navigation with the one sent, carried along by odometry to the same stamp."""
        if self.state is not Handover.WAITING or stamp_ns < self._sent_ns:
            return
        d = difference(self._T_map_odom_sent @ T_odom_base, T_map_base)
        near = np.linalg.norm(d[:3]) <= self._settings.near_m and np.linalg.norm(d[3:]) <= self._settings.near_rad
        if near:
            self.state = Handover.TAKEN

    def step(self, now_ns: int) -> Handover:
        """Return the state as time passes: RETRY asks for a fresh pose, GIVEN_UP for a person."""
        waited_s = (now_ns - self._sent_ns) / NS_PER_S
        if self.state is Handover.WAITING and waited_s >= self.wait_s:
            spent = self.attempts >= self._settings.attempts
            self.state = Handover.GIVEN_UP if spent else Handover.RETRY
        return self.state

    @property
    def wait_s(self) -> float:
        """How long the latest attempt is given."""
        return self._settings.wait_s * self._settings.back_off ** max(self.attempts - 1, 0)
