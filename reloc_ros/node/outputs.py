"""What the node publishes: poses, and what it thinks of them."""

from __future__ import annotations

import json

from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import String

from reloc_ros.node.conversions import pose_stamped, pose_with_covariance
from reloc_ros.node.trust import Judgement
from reloc_ros.types import Array

# As nav2_amcl has it: who starts later still gets the latest pose.
LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Outputs:
    """The publishers of poses and status; they drop silently while the node is not active."""

    def __init__(self, node: LifecycleNode) -> None:
        self._node = node
        self._said = ""
        self._pose = node.create_lifecycle_publisher(PoseStamped, "~/pose", 10)
        self._pose_with_covariance = node.create_lifecycle_publisher(
            PoseWithCovarianceStamped, "~/pose_with_covariance", LATCHED
        )
        self._status = node.create_lifecycle_publisher(String, "~/status", LATCHED)

    def publish(self, T_map_target: Array, covariance: Array, *, map_frame: str, stamp_ns: int) -> None:
        """Publish the pose of camera or base with the stamp of its image."""
        certain = pose_with_covariance(T_map_target, covariance, map_frame=map_frame, stamp_ns=stamp_ns)
        self._pose_with_covariance.publish(certain)
        self._pose.publish(pose_stamped(T_map_target, map_frame=map_frame, stamp_ns=stamp_ns))

    def say(self, judgement: Judgement) -> None:
        """Publish the state and why, as JSON, where it is another than the last."""
        decision = judgement.decision
        words = {
            "state": decision.state.value,
            "cause": decision.cause.value,
            "detail": decision.detail,
            "map_frame": judgement.map_frame,
        }
        said = json.dumps(words)
        # The end of the process ends the context first, and clean-up has a last word to say.
        if said != self._said and self._node.context.ok():
            self._said = said
            self._status.publish(String(data=said))

    def forget_status(self) -> None:
        """Say the status again, even if it is the same: nobody heard it while the node was not active."""
        self._said = ""

    def close(self) -> None:
        """Destroy the publishers."""
        for publisher in (self._pose, self._pose_with_covariance, self._status):
            self._node.destroy_lifecycle_publisher(publisher)
