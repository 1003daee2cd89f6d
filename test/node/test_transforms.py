"""The robot's transform tree: map to odom from literals, what is missing, and jumps of the clock."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy (a ROS 2 installation or the ros_from_pip overlay)")

from fake_robot import COVARIANCE, POSES, SECOND_NS, START_NS, FakeRobot, truth_robot
from rclpy.clock import ClockType
from rclpy.parameter import Parameter
from rclpy.time import Time
from rosgraph_msgs.msg import Clock
from tf2_msgs.msg import TFMessage
from tf_messages import stamped

from reloc_ros.geometry import covariance, se3
from reloc_ros.localization.fusion import Belief
from reloc_ros.node.conversions import pose_to_matrix, stamp_to_ns, transform_to_matrix
from reloc_ros.types import Array, Reason

pytestmark = pytest.mark.usefixtures("ros_domain_id")

# The camera looks along the robot's x axis (right is -y, down is -z), 0.2 m ahead of and 1.5 m above the base.
CAMERA_ON_BASE = {"translation": (0.2, 0.0, 1.5), "quat_xyzw": (-0.5, 0.5, -0.5, 0.5)}
T_BASE_CAMERA = np.array([[0.0, 0, 1, 0.2], [-1, 0, 0, 0], [0, -1, 0, 1.5], [0, 0, 0, 1]])
# In odometry the robot stands at (3, 1), turned by 90 degrees.
QUARTER = (0.0, 0.0, np.sqrt(0.5), np.sqrt(0.5))
T_ODOM_BASE = np.array([[0.0, -1, 0, 3], [1, 0, 0, 1], [0, 0, 1, 0], [0, 0, 0, 1]])


def send_tree(robot: FakeRobot, *times_s: float) -> None:
    """Send the camera's mount, and odometry at times relative to the start: x = 3 + time."""
    robot.spin_until(lambda: robot.tf.get_subscription_count() > 1 and robot.tf_static.get_subscription_count() > 0)
    robot.tf_static.publish(TFMessage(transforms=[stamped("base_link", "camera_optical_frame", 0.0, **CAMERA_ON_BASE)]))
    start_s = START_NS * 1e-9
    for time_s in times_s:
        odometry = stamped("odom", "base_link", start_s + time_s, (3.0 + time_s, 1.0, 0.0), QUARTER)
        robot.tf.publish(TFMessage(transforms=[odometry]))
    known = robot.node._relocalizer._transforms._buffer
    last = Time(nanoseconds=START_NS + round(times_s[-1] * 1e9), clock_type=ClockType.ROS_TIME)
    robot.spin_until(lambda: known.can_transform("odom", "camera_optical_frame", last))


def sent(robot: FakeRobot, parent: str) -> list[tuple[int, str, Array]]:
    """Return (stamp, child, T_parent_child) of what was broadcast under a parent."""
    return [
        (stamp_to_ns(message.header.stamp), message.child_frame_id, transform_to_matrix(message.transform))
        for message in robot.transforms
        if message.header.frame_id == parent
    ]


def test_map_to_odom_by_hand() -> None:
    # The robot is at (10, 20) in the map, facing +y; in odometry it is at (3, 1), facing +y as well: a shift of (7, 19).
    T_map_base = np.array([[0.0, -1, 0, 10], [1, 0, 0, 20], [0, 0, 1, 0], [0, 0, 0, 1]])
    expected = np.array([[1.0, 0, 0, 7], [0, 1, 0, 19], [0, 0, 1, 0], [0, 0, 0, 1]])
    fix = Belief(T_map_body=T_map_base, covariance=np.eye(6), T_odom_body=T_ODOM_BASE, stamp_ns=0)
    np.testing.assert_allclose(fix.T_map_odom, expected, atol=1e-12)


def test_map_to_odom_uses_the_odometry_at_the_image_stamp() -> None:
    with truth_robot(tf_mode="map_to_odom", transform_rate_hz=50.0, transform_tolerance=0.25) as robot:
        robot.bring_up()
        robot.send_camera_info()
        send_tree(robot, 0.0, 1.0, 2.0)
        assert sent(robot, "map") == []
        # Half way between two odometry messages the robot is at x = 3.5.
        robot.send_image(5, START_NS + SECOND_NS // 2)
        robot.spin_until(lambda: len(robot.poses) == 1 and len(sent(robot, "map")) >= 4)
        T_odom_base = T_ODOM_BASE.copy()
        T_odom_base[0, 3] = 3.5
        expected = POSES[5] @ se3.inverse(T_BASE_CAMERA) @ se3.inverse(T_odom_base)
        broadcast = sent(robot, "map")
        for _, child, T_map_odom in broadcast:
            assert child == "odom"
            np.testing.assert_allclose(T_map_odom, expected, atol=1e-9)
        stamps = [stamp_ns for stamp_ns, _, _ in broadcast]
        assert stamps == sorted(set(stamps)), "each broadcast is newer than the one before"
        assert stamps[0] >= START_NS + SECOND_NS // 2 + SECOND_NS // 4
        assert stamps[-1] < START_NS + 20 * SECOND_NS, "dated in the time of the images, not of this computer"


def test_nothing_is_broadcast_after_deactivation() -> None:
    with truth_robot(tf_mode="map_to_odom", transform_rate_hz=100.0) as robot:
        robot.bring_up()
        robot.send_camera_info()
        send_tree(robot, 0.0, 1.0)
        robot.send_image(5, START_NS)
        robot.spin_until(lambda: len(sent(robot, "map")) > 1)
        robot.node.trigger_deactivate()
        robot.transforms.clear()
        robot.node.trigger_activate()
        robot.diagnostics.clear()
        robot.spin_until(lambda: robot.diagnostics["state"] == "active")
        assert len(sent(robot, "map")) <= 1, "only what was under way"


@pytest.mark.parametrize("odometry", [(), (0.0, 1.0)])
def test_a_missing_transform_is_named_and_gives_no_pose(odometry: tuple[float, ...]) -> None:
    with truth_robot(tf_mode="map_to_odom", transform_wait_s=0.0) as robot:
        robot.bring_up()
        robot.send_camera_info()
        if odometry:
            send_tree(robot, *odometry)
        robot.send_image(5, START_NS + 5 * SECOND_NS)
        robot.spin_until(lambda: robot.diagnostics["rejected_no_transform"] == "1")
        assert "at the image stamp 1700000005.000 s" in robot.diagnostics["last_rejection"]
        assert robot.poses == []
        assert sent(robot, "map") == []
        send_tree(robot, 6.0, 7.0)
        robot.send_image(6, START_NS + 6 * SECOND_NS)
        robot.spin_until(lambda: len(robot.poses) == 1)


def test_odometry_that_comes_after_the_image_is_waited_for() -> None:
    with truth_robot(tf_mode="map_to_odom", transform_wait_s=2.0) as robot:
        robot.bring_up()
        robot.send_camera_info()
        send_tree(robot, 0.0, 1.0)
        robot.send_image(5, START_NS + 2 * SECOND_NS)
        robot.spin_until(lambda: robot.count("in") == 1)
        send_tree(robot, 2.0, 3.0)
        robot.spin_until(lambda: len(robot.poses) == 1)


def test_map_to_camera_needs_no_odometry() -> None:
    with truth_robot(tf_mode="map_to_camera", map_frame="floor2") as robot:
        robot.bring_up()
        robot.send_camera_info()
        robot.send_image(5, START_NS)
        robot.spin_until(lambda: len(sent(robot, "floor2")) == 1)
        stamp_ns, child, T_map_camera = sent(robot, "floor2")[0]
        assert (stamp_ns, child) == (START_NS, "camera_optical_frame")
        np.testing.assert_allclose(T_map_camera, POSES[5], atol=1e-12)


def test_the_pose_of_the_base_with_its_covariance() -> None:
    with truth_robot(pose_of="base") as robot:
        robot.bring_up()
        robot.send_camera_info()
        send_tree(robot, 0.0, 1.0)
        robot.send_image(5, START_NS)
        robot.spin_until(lambda: len(robot.poses_with_covariance) == 1)
        pose = robot.poses_with_covariance[0].pose
        T_camera_base = se3.inverse(T_BASE_CAMERA)
        np.testing.assert_allclose(pose_to_matrix(pose.pose), POSES[5] @ T_camera_base, atol=1e-12)
        expected = covariance.change_body_frame(COVARIANCE, POSES[5], T_camera_base)
        np.testing.assert_allclose(pose.covariance.reshape(6, 6), expected, atol=1e-15)


def test_a_backward_jump_of_the_clock_forgets_the_fix_and_the_odometry() -> None:
    with truth_robot(tf_mode="map_to_odom", transform_rate_hz=100.0) as robot:
        clock = robot.driver.create_publisher(Clock, "/clock", 10)
        robot.node.set_parameters([Parameter("use_sim_time", value=True)])
        robot.bring_up()
        robot.spin_until(lambda: clock.get_subscription_count() > 0)

        def tick(time_s: float) -> None:
            stamp = stamped("", "", START_NS * 1e-9 + time_s).header.stamp
            clock.publish(Clock(clock=stamp))
            goal_ns = stamp_to_ns(stamp)
            robot.spin_until(lambda: robot.node.get_clock().now().nanoseconds == goal_ns)

        tick(1.0)
        robot.send_camera_info()
        send_tree(robot, 0.0, 1.0)
        robot.send_image(5, START_NS + SECOND_NS)
        robot.spin_until(lambda: len(robot.poses) == 1 and len(sent(robot, "map")) >= 1)
        tick(0.5)
        transforms = robot.node._relocalizer._transforms
        assert robot.node._relocalizer.navigation.broadcast._believed is None
        assert not transforms._buffer.can_transform("odom", "base_link", Time(nanoseconds=START_NS))
        send_tree(robot, 0.0, 0.5)
        robot.send_image(6, START_NS + SECOND_NS // 2)
        robot.spin_until(lambda: len(robot.poses) == 2)
        assert robot.rejected(Reason.NO_TRANSFORM) == 0
