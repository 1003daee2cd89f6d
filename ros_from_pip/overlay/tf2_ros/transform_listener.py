"""Fills a buffer from `/tf` and `/tf_static`."""

from __future__ import annotations

from threading import Thread
from typing import TYPE_CHECKING

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile
from tf2_msgs.msg import TFMessage

if TYPE_CHECKING:
    from tf2_py import BufferCore

DEFAULT_TF_TOPIC = "/tf"
DEFAULT_STATIC_TF_TOPIC = "/tf_static"


class TransformListener:
    """Subscribes to both transform topics and puts what arrives into a buffer.

    Args:
        buffer: receives the transforms.
        node: whose subscriptions they are; None makes a node of its own.
        spin_thread: spin the node in a thread of its own.
        qos: for moving transforms; volatile, depth 100 unless told otherwise.
        static_qos: for static transforms; transient local, depth 100 unless told otherwise.
        tf_topic: topic of moving transforms.
        tf_static_topic: topic of static transforms.
        static_only: do not subscribe to moving transforms.
    """

    def __init__(
        self,
        buffer: BufferCore,
        node: Node | None,
        *,
        spin_thread: bool = False,
        qos: QoSProfile | int | None = None,
        static_qos: QoSProfile | int | None = None,
        tf_topic: str = DEFAULT_TF_TOPIC,
        tf_static_topic: str = DEFAULT_STATIC_TF_TOPIC,
        static_only: bool = False,
    ) -> None:
        self.buffer = buffer
        self.node = _own_node(id(self)) if node is None else node
        if qos is None:
            qos = QoSProfile(depth=100, durability=DurabilityPolicy.VOLATILE, history=HistoryPolicy.KEEP_LAST)
        if static_qos is None:
            static_qos = QoSProfile(
                depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL, history=HistoryPolicy.KEEP_LAST
            )
        # Reentrant, so that a callback of the node that waits for a transform does not keep it from arriving.
        self.group = ReentrantCallbackGroup()
        self.subscriptions = [
            self.node.create_subscription(
                TFMessage, tf_static_topic, self.static_callback, static_qos, callback_group=self.group
            )
        ]
        if not static_only:
            self.subscriptions.append(
                self.node.create_subscription(TFMessage, tf_topic, self.callback, qos, callback_group=self.group)
            )
        self.executor: SingleThreadedExecutor | None = None
        if spin_thread:
            self.executor = SingleThreadedExecutor(context=self.node.context)
            self.executor.add_node(self.node)
            self.dedicated_listener_thread = Thread(target=_spin, args=(self.executor,), daemon=True)
            self.dedicated_listener_thread.start()

    def unregister(self) -> None:
        """Stop listening."""
        if self.executor is not None:
            self.executor.shutdown()
            self.dedicated_listener_thread.join()
            self.executor = None
        for subscription in self.subscriptions:
            self.node.destroy_subscription(subscription)
        self.subscriptions.clear()

    def callback(self, data: TFMessage) -> None:
        """Put moving transforms into the buffer."""
        for transform in data.transforms:
            self.buffer.set_transform(transform, "default_authority")

    def static_callback(self, data: TFMessage) -> None:
        """Put static transforms into the buffer."""
        for transform in data.transforms:
            self.buffer.set_transform_static(transform, "default_authority")


def _own_node(number: int) -> Node:
    return Node(
        f"transform_listener_impl_{number:x}",
        enable_rosout=False,
        start_parameter_services=False,
        parameter_overrides=[Parameter("use_sim_time", value=False)],
    )


def _spin(executor: SingleThreadedExecutor) -> None:
    try:
        executor.spin()
    except ExternalShutdownException:
        return
