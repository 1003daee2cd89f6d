"""What nav2 asks all the time: where is the base in the map, now? Answered without a gap at one image a second."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy (a ROS 2 installation or the ros_from_pip overlay)")

from driving_robot import T_BASE_CAMERA, DrivingRobot, driving_robot
from rclpy.clock import ClockType
from rclpy.time import Time
from tf2_ros import Buffer, TransformException, TransformListener

from reloc_ros.node.conversions import transform_to_matrix
from reloc_ros.types import Array

pytestmark = pytest.mark.usefixtures("ros_domain_id")

RATE_HZ, SECONDS = 50, 4


def test_a_consumer_at_50_hz_never_extrapolates_at_one_image_a_second() -> None:
    with driving_robot(votes_to_accept=1.0, transform_tolerance=0.3) as robot:
        buffer = Buffer()
        listener = TransformListener(buffer, robot.driver, spin_thread=False)
        clock = robot.driver.get_clock()
        errors: list[str] = []
        found: list[Array] = []

        def odometry() -> None:
            robot.stamp_ns = clock.now().nanoseconds
            robot.odometry[robot.stamp_ns] = robot.T_odom_base
            robot.send_odometry()

        def take_image() -> None:
            robot.model.localizer.T_map_camera[robot.stamp_ns] = robot.T_map_base @ T_BASE_CAMERA
            robot.truth[robot.stamp_ns] = robot.T_map_base @ T_BASE_CAMERA
            robot.send_image(1, robot.stamp_ns)

        def ask() -> None:
            # The newest odometry that this consumer has; map to odom must reach as far.
            try:
                newest = buffer.lookup_transform("odom", "base_link", Time()).header.stamp
                stamp = Time.from_msg(newest, clock_type=ClockType.ROS_TIME)
                found.append(transform_to_matrix(buffer.lookup_transform("map", "base_link", stamp).transform))
            except TransformException as error:
                errors.append(str(error))

        robot.driver.create_timer(1.0 / RATE_HZ, odometry)
        robot.spin_until(lambda: len(robot.odometry) > 2)
        take_image()
        robot.driver.create_timer(1.0, take_image)
        robot.spin_until(lambda: buffer.can_transform("map", "base_link", Time()))
        robot.driver.create_timer(1.0 / RATE_HZ, ask)
        robot.spin_until(lambda: len(found) + len(errors) >= RATE_HZ * SECONDS)
        assert errors == []
        assert len(robot.poses) >= 3
        jumps = np.linalg.norm(np.diff(np.array(found)[:, :3, 3], axis=0), axis=1)
        assert np.max(jumps) < 0.01
        listener.unregister()


def test_a_correction_glides_and_a_recovery_jumps() -> None:
    with driving_robot(smoothing_s=0.5, transform_rate_hz=100.0) as robot:
        robot.drive_until_tracking()
        robot.drive(30)
        robot.spin_until(lambda: len(robot.shown) > 2)
        # Odometry drifts by 9 cm on the way: the correction came in small steps.
        assert 0.0 < np.max(steps_m(robot)) < 0.05
        robot.kidnap()
        robot.drive(3)
        robot.drive_until_tracking()
        robot.spin_until(lambda: np.linalg.norm((robot.shown[-1] - robot.T_map_odom)[:3, 3]) < 0.2)
        assert np.sum(steps_m(robot) > 0.05) == 1


def steps_m(robot: DrivingRobot) -> Array:
    """Return how far the base moved in the map from each broadcast of map to odom to the next."""
    T_map_base = np.array(robot.shown) @ robot.T_odom_base
    return np.asarray(np.linalg.norm(np.diff(T_map_base[:, :3, 3], axis=0), axis=1))
