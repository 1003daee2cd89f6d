"""A robot that drives an arc and gets fixes as a test plants them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from reloc_ros.geometry import rotation, se3
from reloc_ros.localization.decision import Decision
from reloc_ros.localization.fusion import NS_PER_S, Belief, OdometryNoise
from reloc_ros.localization.recovery import Recovery
from reloc_ros.localization.recovery_settings import RecoverySettings

STD_M, STD_RAD = 0.1, 0.03
COVARIANCE = np.diag([STD_M**2] * 3 + [STD_RAD**2] * 3)


def pose(x: float = 0.0, y: float = 0.0, yaw: float = 0.0, z: float = 0.0, roll: float = 0.0) -> np.ndarray:
    R = rotation.exp([0.0, 0.0, yaw]) @ rotation.exp([roll, 0.0, 0.0])
    return se3.from_rotation_translation(R, [x, y, z])


# Each step of the drive is one whole view.
FIXES_TO_ACCEPT = round(RecoverySettings().votes_to_accept)

T_MAP_ODOM = pose(4.0, -2.0, 0.7)
ELSEWHERE = pose(-6.0, 3.0, -1.9)
FAR_AWAY = pose(9.0, 8.0, 2.6)


@dataclass
class Drive:
    """Steps a machine along an arc: 0.31 m and 0.1 rad, one view, between images half a second apart.

    By default the map counts as one whose places look different from the start.

    `T_map_odom` is where the robot really is; odometry is perfect, so that every disagreement is a planted one.
    """

    settings: RecoverySettings = field(default_factory=lambda: RecoverySettings(votes_at_first=6.0))
    T_map_odom: np.ndarray = field(default_factory=T_MAP_ODOM.copy)
    step_m: float = 0.31
    step_rad: float = 0.1
    step_s: float = 0.5
    stamp_ns: int = 100 * NS_PER_S

    def __post_init__(self) -> None:
        self.recovery = Recovery(self.settings, OdometryNoise())
        self.T_odom_body = pose(1.0, 2.0, 0.3)

    @property
    def T_map_body(self) -> np.ndarray:
        return self.T_map_odom @ self.T_odom_body

    def move(self) -> None:
        self.T_odom_body = self.T_odom_body @ pose(self.step_m, 0.0, self.step_rad)
        self.stamp_ns += round(self.step_s * NS_PER_S)

    def fix(self, T_map_odom: np.ndarray | None = None) -> Belief:
        """Return a fix of the true place, or of another."""
        T_map_body = (self.T_map_odom if T_map_odom is None else T_map_odom) @ self.T_odom_body
        return Belief(
            T_map_body=T_map_body, covariance=COVARIANCE, T_odom_body=self.T_odom_body, stamp_ns=self.stamp_ns
        )

    def step(self, T_map_odom: np.ndarray | None = None) -> Decision:
        self.move()
        return self.recovery.on_fix(self.fix(T_map_odom))

    def steps(self, count: int, T_map_odom: np.ndarray | None = None) -> list[Decision]:
        return [self.step(T_map_odom) for _ in range(count)]

    def reject(self, count: int = 1) -> Decision:
        for _ in range(count):
            self.move()
            decision = self.recovery.on_rejected(self.stamp_ns, self.T_odom_body, "too dark")
        return decision

    def track(self) -> Drive:
        """Drive until trusted."""
        for _ in range(20):
            if self.step().publish is not None:
                return self
        raise AssertionError(self.recovery.state)
