"""A node with nav2_amcl's interface: believes what `initialpose` says, carries it along by odometry, can lose itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_srvs.srv import Empty

from reloc_ros.geometry import rotation, se3
from reloc_ros.node.conversions import pose_to_matrix, pose_with_covariance, stamp_to_ns
from reloc_ros.types import Array

SURE = np.diag([0.02, 0.02, 0.0, 0.0, 0.0, 0.01])
SPREAD = np.diag([9.0, 4.0, 0.0, 0.0, 0.0, 2.0])


class AmclStandIn(Node):
    """Plays AMCL.

    Args:
        odometry: returns T_odom_base at a stamp.
        deaf_to: so many initial poses are ignored.
    """

    def __init__(self, odometry: Callable[[int], Array], *, deaf_to: int = 0, **node_arguments: Any) -> None:
        super().__init__("amcl", **node_arguments)
        self.T_map_odom = np.eye(4)
        self.covariance = SPREAD
        self.given: list[PoseWithCovarianceStamped] = []
        self._odometry = odometry
        self._deaf_to = deaf_to
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._pose = self.create_publisher(PoseWithCovarianceStamped, "amcl_pose", latched)
        self.create_subscription(PoseWithCovarianceStamped, "initialpose", self._on_initialpose, 1)
        self.create_service(Empty, "reinitialize_global_localization", self._on_reinitialize)

    @property
    def is_heard(self) -> bool:
        """Whether somebody listens."""
        return self._pose.get_subscription_count() > 0

    def scan(self, stamp_ns: int) -> None:
        """Publish what is believed, as after a laser scan."""
        T_map_base = self.T_map_odom @ self._odometry(stamp_ns)
        self._pose.publish(pose_with_covariance(T_map_base, self.covariance, map_frame="map", stamp_ns=stamp_ns))

    def lose_itself(self) -> None:
        """Be somewhere else, and know that it is not sure."""
        T_map_map = se3.from_rotation_translation(rotation.exp([0.0, 0.0, 1.0]), [7.0, 1.0, 0.0])
        self.T_map_odom, self.covariance = T_map_map @ self.T_map_odom, SPREAD

    def _on_initialpose(self, message: PoseWithCovarianceStamped) -> None:
        self.given.append(message)
        if len(self.given) <= self._deaf_to:
            return
        T_odom_base = self._odometry(stamp_to_ns(message.header.stamp))
        self.T_map_odom = pose_to_matrix(message.pose.pose) @ se3.inverse(T_odom_base)
        self.covariance = SURE

    def _on_reinitialize(self, _: Empty.Request, response: Empty.Response) -> Empty.Response:
        self.lose_itself()
        return response
