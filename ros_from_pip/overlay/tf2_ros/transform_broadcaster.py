"""Publishes moving transforms on `/tf`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from geometry_msgs.msg import TransformStamped
from rclpy.qos import QoSProfile
from tf2_msgs.msg import TFMessage

if TYPE_CHECKING:
    from rclpy.node import Node


class TransformBroadcaster:
    """Publishes transforms of moving frames: reliable, volatile, depth 100 unless told otherwise."""

    def __init__(self, node: Node, qos: QoSProfile | int | None = None) -> None:
        self.pub_tf = node.create_publisher(TFMessage, "/tf", QoSProfile(depth=100) if qos is None else qos)

    def sendTransform(self, transform: TransformStamped | Iterable[TransformStamped]) -> None:
        """Publish one transform or several, in one message."""
        transforms = [transform] if isinstance(transform, TransformStamped) else list(transform)
        self.pub_tf.publish(TFMessage(transforms=transforms))
