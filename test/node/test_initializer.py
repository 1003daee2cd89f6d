"""The role `initializer` against a stand-in for AMCL: on start-up, on loss and on request, until navigation took it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy (a ROS 2 installation or the ros_from_pip overlay)")

from amcl_stand_in import AmclStandIn
from driving_robot import DrivingRobot, driving_robot
from fake_robot import SECOND_NS
from std_srvs.srv import Trigger

from reloc_ros.node.conversions import stamp_to_ns

pytestmark = pytest.mark.usefixtures("ros_domain_id")


@contextmanager
def robot_with_amcl(*, deaf_to: int = 0, **parameters: Any) -> Iterator[tuple[DrivingRobot, AmclStandIn]]:
    """Give a robot whose navigation has its own localization."""
    settings = {"role": "initializer", "monitor_lost_after_s": 0.0, **parameters}
    with driving_robot(**settings) as robot:
        amcl = AmclStandIn(
            lambda stamp_ns: robot.odometry[stamp_ns],
            deaf_to=deaf_to,
            context=robot.driver.context,
            use_global_arguments=False,
        )
        robot.executor.add_node(amcl)
        robot.spin_until(lambda: amcl.is_heard and robot.node.count_subscribers("/initialpose") > 0)
        robot.spin_until(
            lambda: robot.node._relocalizer.navigation._initializer._publisher.get_subscription_count() > 0
        )
        yield robot, amcl
        robot.executor.remove_node(amcl)
        amcl.destroy_node()


def drive_until_taken(robot: DrivingRobot, amcl: AmclStandIn) -> None:
    """Drive with scans until our node has heard that navigation follows its pose."""

    def is_taken() -> bool:
        amcl.scan(robot.stamp_ns)
        return bool(robot.node._relocalizer.navigation._initializer.state.startswith("taken"))

    robot.move()
    robot.drive_until(is_taken)


def test_amcl_gets_a_verified_pose_at_the_image_stamp_on_start_up_and_confirms() -> None:
    with robot_with_amcl() as (robot, amcl):
        robot.drive(5)
        assert amcl.given == []
        robot.drive(1)
        robot.spin_until(lambda: len(amcl.given) == 1)
        assert stamp_to_ns(amcl.given[0].header.stamp) == robot.stamp_ns
        np.testing.assert_allclose(amcl.T_map_odom, robot.T_map_odom, atol=0.15)
        drive_until_taken(robot, amcl)
        assert len(amcl.given) == 1
        assert robot.shown == [], "map to odom is AMCL's"


def test_amcl_that_loses_itself_is_initialized_again() -> None:
    with robot_with_amcl() as (robot, amcl):
        drive_until_taken(robot, amcl)
        healthy_ns = robot.stamp_ns + 3 * SECOND_NS
        robot.drive_until(
            lambda: robot.stamp_ns > healthy_ns and not robot.node._relocalizer.navigation._monitors._loss.lost
        )
        before = len(amcl.given)
        amcl.lose_itself()
        amcl.scan(robot.stamp_ns)
        robot.spin_until(lambda: robot.status == ("lost", "loss_signal"))
        assert "position std is 3 m, limit 1 m" in robot.statuses[-1]["detail"]
        drive_until_taken(robot, amcl)
        assert len(amcl.given) == before + 1
        np.testing.assert_allclose(amcl.T_map_odom, robot.T_map_odom, atol=0.15)


def test_a_pose_that_is_not_taken_is_sent_again() -> None:
    with robot_with_amcl(deaf_to=1, handover_wait_s=0.3) as (robot, amcl):
        drive_until_taken(robot, amcl)
        assert len(amcl.given) == 2
        np.testing.assert_allclose(amcl.T_map_odom, robot.T_map_odom, atol=0.15)


def test_navigation_that_takes_nothing_is_an_error() -> None:
    with robot_with_amcl(deaf_to=99, handover_wait_s=0.1) as (robot, amcl):
        robot.drive_until_tracking()
        robot.drive_until(lambda: "given_up, attempt 5" in robot.diagnostics["handover"], limit=2000)
        assert "navigation took no initial pose" in robot.diagnostics["message"]
        robot.spin_until(lambda: len(amcl.given) == 5)


def test_a_request_gives_amcl_a_pose_too() -> None:
    with robot_with_amcl() as (robot, amcl):
        drive_until_taken(robot, amcl)
        client = robot.driver.create_client(Trigger, "relocalizer_node/relocalize")
        robot.spin_until(client.service_is_ready)
        answer = client.call_async(Trigger.Request())
        robot.spin_until(lambda: robot.diagnostics["handover"] == "wanted: asked for")
        robot.drive(1)
        robot.spin_until(lambda: answer.done() and len(amcl.given) == 2)
        assert answer.result().success
