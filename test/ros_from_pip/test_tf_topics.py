"""Broadcasters, listener and the generated message over real DDS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from rclpy.time import Time
from tf2_ros import Buffer, StaticTransformBroadcaster, TransformBroadcaster, TransformListener
from tf_messages import stamped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rclpy.node import Node

SPINS = 400
# As `ros2 topic info --verbose /tf` prints it on ROS 2 Jazzy; it covers every field of every part of the message.
TYPE_HASH = "e369d0f05a23ae52508854b66f6aa0437f3449d652e8cbf22d5abe85d020f087"


@pytest.fixture
def spin_until(node: Node) -> Iterator[Callable[[Callable[[], bool], Callable[[], object]], None]]:
    """Spin the node until a condition holds; fail with a printed state after about twenty seconds."""
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)

    def spin(condition: Callable[[], bool], state: Callable[[], object]) -> None:
        for _ in range(SPINS):
            if condition():
                return
            executor.spin_once(timeout_sec=0.05)
        pytest.fail(f"still not true: {state()}")

    yield spin
    executor.shutdown()


def test_the_message_has_the_type_hash_of_ros(node: Node):
    TransformBroadcaster(node)
    (end,) = node.get_publishers_info_by_topic("/tf")
    assert end.topic_type == "tf2_msgs/msg/TFMessage"
    assert bytes(end.topic_type_hash.value).hex() == TYPE_HASH


def test_transforms_travel_from_broadcasters_to_a_listener(node: Node, spin_until: Callable[..., None]):
    moving, static = TransformBroadcaster(node), StaticTransformBroadcaster(node)
    # Sent before anybody listens: a static transform must arrive nevertheless.
    static.sendTransform([stamped("base", "camera", 0.0, (0.0, 0.0, 1.5)), stamped("base", "lidar", 0.0, (9.0, 0, 0))])
    buffer = Buffer()
    listener = TransformListener(buffer, node)
    spin_until(lambda: moving.pub_tf.get_subscription_count() == 1, moving.pub_tf.get_subscription_count)

    moving.sendTransform([stamped("odom", "base", 4.0, (1.0, 2.0, 3.0)), stamped("map", "odom", 4.0, (10.0, 0.0, 0.0))])
    moving.sendTransform(stamped("odom", "base", 5.0, (3.0, 2.0, 3.0)))
    wanted = Time(seconds=4)
    spin_until(lambda: buffer.can_transform("map", "camera", wanted), buffer.all_frames_as_string)

    t = buffer.lookup_transform("map", "camera", wanted).transform.translation
    assert (t.x, t.y, t.z) == (11.0, 2.0, 4.5)
    spin_until(lambda: buffer.can_transform("odom", "base", Time(seconds=5)), buffer.all_frames_as_string)
    assert (
        buffer.lookup_transform("odom", "base", Time(seconds=4, nanoseconds=500_000_000)).transform.translation.x == 2.0
    )
    listener.unregister()


def test_quality_of_service_is_that_of_tf2(node: Node):
    TransformBroadcaster(node)
    StaticTransformBroadcaster(node)
    listener = TransformListener(Buffer(), node)
    expected = {"/tf": DurabilityPolicy.VOLATILE, "/tf_static": DurabilityPolicy.TRANSIENT_LOCAL}
    for topic, durability in expected.items():
        ends = (*node.get_publishers_info_by_topic(topic), *node.get_subscriptions_info_by_topic(topic))
        assert {end.qos_profile.durability for end in ends} == {durability}
        assert {end.qos_profile.reliability for end in ends} == {ReliabilityPolicy.RELIABLE}
    listener.unregister()


def test_a_listener_can_spin_in_a_thread_of_its_own(node: Node):
    buffer = Buffer()
    listener = TransformListener(buffer, node, spin_thread=True)
    StaticTransformBroadcaster(node).sendTransform(stamped("base", "camera", 0.0, (0.0, 4.0, 0.0)))
    found = buffer.can_transform("base", "camera", Time(), timeout=Duration(seconds=20))
    listener.unregister()
    assert found, buffer.all_frames_as_string()
