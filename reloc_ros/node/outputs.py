"""What the node publishes about an accepted pose."""

from __future__ import annotations

from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from reloc_ros.node.conversions import pose_stamped, pose_with_covariance
from reloc_ros.node.transforms import Placed

# As nav2_amcl has it: who starts later still gets the latest pose.
LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Outputs:
    """The pose publishers; they drop silently while the node is not active."""

    def __init__(self, node: LifecycleNode) -> None:
        self._node = node
        self._pose = node.create_lifecycle_publisher(PoseStamped, "~/pose", 10)
        self._pose_with_covariance = node.create_lifecycle_publisher(
            PoseWithCovarianceStamped, "~/pose_with_covariance", LATCHED
        )

    def publish(self, placed: Placed) -> None:
        """Publish a pose with the stamp of its image."""
        T_map_target, map_frame, stamp_ns = placed.T_map_target, placed.map_frame, placed.stamp_ns
        certain = pose_with_covariance(T_map_target, placed.covariance, map_frame=map_frame, stamp_ns=stamp_ns)
        self._pose_with_covariance.publish(certain)
        self._pose.publish(pose_stamped(T_map_target, map_frame=map_frame, stamp_ns=stamp_ns))

    def close(self) -> None:
        """Destroy the publishers."""
        self._node.destroy_lifecycle_publisher(self._pose)
        self._node.destroy_lifecycle_publisher(self._pose_with_covariance)
