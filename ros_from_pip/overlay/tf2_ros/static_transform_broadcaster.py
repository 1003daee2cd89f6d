"""Publishes transforms that never change on `/tf_static`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from geometry_msgs.msg import TransformStamped
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile
from tf2_msgs.msg import TFMessage

if TYPE_CHECKING:
    from rclpy.node import Node


class StaticTransformBroadcaster:
    """Publishes transforms that hold at every time; whoever subscribes later receives them as well.

    As in the original, the topic keeps one message: send all static transforms of a node in one call.
    """

    def __init__(self, node: Node, qos: QoSProfile | int | None = None) -> None:
        if qos is None:
            qos = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL, history=HistoryPolicy.KEEP_LAST)
        self.pub_tf = node.create_publisher(TFMessage, "/tf_static", qos)

    def sendTransform(self, transform: TransformStamped | Iterable[TransformStamped]) -> None:
        """Publish one transform or several, in one message."""
        transforms = [transform] if isinstance(transform, TransformStamped) else list(transform)
        self.pub_tf.publish(TFMessage(transforms=transforms))
