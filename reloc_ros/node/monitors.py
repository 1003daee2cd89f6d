"""Listens to what the stack says about itself, and tells when the robot is lost by that."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.lifecycle import LifecycleNode
from std_msgs.msg import Bool

from reloc_ros.localization.tracking_loss import (
    Reading,
    TrackingLoss,
    age_reading,
    covariance_readings,
    flag_reading,
    level_reading,
)
from reloc_ros.node.settings import Settings
from reloc_ros.types import Array

_NO_LIMIT = float("inf")


class Monitors:
    """The subscriptions behind the `monitor_*` parameters.

    Args:
        node: owner of the subscriptions.
        settings: returns the current parameters.
        newest_odometry_ns: returns the stamp of the newest odometry, or None.
    """

    def __init__(
        self, node: LifecycleNode, settings: Callable[[], Settings], newest_odometry_ns: Callable[[], int | None]
    ) -> None:
        self._node = node
        self._settings = settings
        self._newest_odometry_ns = newest_odometry_ns
        self._loss = TrackingLoss(lost_after_s=settings().monitor_lost_after_s)
        self._covariance: Array | None = None
        self._level: int | None = None
        self._flag: bool | None = None
        self._subscriptions = []
        if settings().role == "initializer":
            self._subscriptions.append(
                node.create_subscription(PoseWithCovarianceStamped, "amcl_pose", self._on_pose, 1)
            )
        if settings().monitor_diagnostics:
            self._subscriptions.append(
                node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
            )
        if settings().monitor_topic:
            self._subscriptions.append(node.create_subscription(Bool, settings().monitor_topic, self._on_flag, 1))

    @property
    def detail(self) -> str:
        """Which monitor is beyond its limit, for diagnostics."""
        return self._loss.detail

    def step(self, now_ns: int) -> str | None:
        """Return why the robot is lost, once for each loss; else None."""
        return self._loss.detail if self._loss.step(self._readings(now_ns), now_ns) else None

    def reset(self) -> None:
        """Forget what was heard: time begins anew."""
        self._loss.reset()
        self._covariance = self._level = self._flag = None

    def close(self) -> None:
        """Stop listening."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _readings(self, now_ns: int) -> list[Reading]:
        settings, readings = self._settings(), []
        if settings.role == "initializer":
            readings += covariance_readings(
                self._covariance,
                max_position_std_m=settings.monitor_position_std_m or _NO_LIMIT,
                max_yaw_std_rad=settings.monitor_yaw_std_rad or _NO_LIMIT,
            )
        if settings.monitor_odometry_age_s:
            newest_ns = self._newest_odometry_ns()
            readings.append(age_reading("odometry", newest_ns, now_ns, max_age_s=settings.monitor_odometry_age_s))
        if settings.monitor_diagnostics:
            name, limit = settings.monitor_diagnostics, settings.monitor_diagnostics_level
            readings.append(level_reading(name, self._level, max_level=limit))
        if settings.monitor_topic:
            readings.append(flag_reading(settings.monitor_topic, self._flag))
        return readings

    def _on_pose(self, message: PoseWithCovarianceStamped) -> None:
        self._covariance = np.asarray(message.pose.covariance, dtype=np.float64).reshape(6, 6)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        name = self._settings().monitor_diagnostics
        levels = [int.from_bytes(each.level, "little") for each in message.status if each.name.startswith(name)]
        self._level = max(levels, default=self._level)

    def _on_flag(self, message: Bool) -> None:
        self._flag = bool(message.data)
