"""`~/relocalize` and `reinitialize_global_localization`: an answer means what it says, and nobody waits for ever."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy (a ROS 2 installation or the ros_from_pip overlay)")

from driving_robot import DrivingRobot, driving_robot
from fake_bundles import write_truth_bundle
from fake_robot import POSES
from rclpy.client import Client
from std_srvs.srv import Empty, Trigger

from reloc_ros.node.lifecycle_client import LifecycleClient, NodeProcess
from reloc_ros.node.session import spinning_node

pytestmark = pytest.mark.usefixtures("ros_domain_id")


def relocalize(robot: DrivingRobot) -> Client:
    client = robot.driver.create_client(Trigger, "relocalizer_node/relocalize")
    robot.spin_until(client.service_is_ready)
    return client


def waiting(robot: DrivingRobot) -> int:
    return len(robot.node._requests._requests)


def test_relocalize_answers_with_a_verified_pose_and_not_before() -> None:
    with driving_robot() as robot:
        client = relocalize(robot)
        answers = [client.call_async(Trigger.Request()), client.call_async(Trigger.Request())]
        robot.spin_until(lambda: waiting(robot) == 2)
        robot.drive(5)
        assert not any(answer.done() for answer in answers), "five views are not enough, and the executor goes on"
        robot.drive(1)
        robot.spin_until(lambda: all(answer.done() for answer in answers))
        for answer in answers:
            assert answer.result().success
            words = json.loads(answer.result().message)
            assert (words["map_frame"], words["method"], words["attempts"]) == ("map", "scripted", 6)
            np.testing.assert_allclose(words["position_m"], robot.truth[robot.stamp_ns][:3, 3], atol=0.05)
            assert np.reshape(words["covariance"], (6, 6))[0, 0] > 0.0
            assert words["stamp_s"] == pytest.approx(robot.stamp_ns * 1e-9, abs=1e-6)


def test_relocalize_says_why_there_was_no_pose_in_time() -> None:
    with driving_robot(relocalize_timeout_s=0.5) as robot:
        client = relocalize(robot)
        answer = client.call_async(Trigger.Request())
        robot.spin_until(lambda: waiting(robot) == 1)
        robot.drive(2, blind=True)
        robot.spin_until(answer.done)
        assert not answer.result().success
        assert answer.result().message.startswith("no verified pose within 0.5 s (2 images tried): init: no_fix: ")


def test_relocalize_is_refused_without_waiting_where_nothing_can_come() -> None:
    with driving_robot() as robot:
        client = relocalize(robot)
        held = client.call_async(Trigger.Request())
        robot.spin_until(lambda: waiting(robot) == 1)
        robot.node.trigger_deactivate()
        robot.spin_until(held.done)
        assert held.result().message == "the node was deactivated (0 images tried)"
        late = client.call_async(Trigger.Request())
        robot.spin_until(late.done)
        assert (late.result().success, late.result().message) == (False, "the node is not active")


def test_a_shutdown_while_somebody_waits_answers_and_goes_on() -> None:
    with driving_robot() as robot:
        answer = relocalize(robot).call_async(Trigger.Request())
        robot.spin_until(lambda: waiting(robot) == 1)
        robot.node.trigger_shutdown()
        robot.spin_until(lambda: answer.done() and robot.diagnostics["state"] == "finalized")
        assert not answer.result().success


def test_reinitialize_forgets_and_finds_again() -> None:
    with driving_robot() as robot:
        robot.drive_until_tracking()
        client = robot.driver.create_client(Empty, "reinitialize_global_localization")
        robot.spin_until(client.service_is_ready)
        answer = client.call_async(Empty.Request())
        robot.spin_until(lambda: answer.done() and robot.status == ("lost", "loss_signal"))
        robot.transforms.clear()
        robot.drive(5)
        assert len(robot.poses) == 1
        robot.drive(1)
        robot.spin_until(lambda: len(robot.poses) == 2 and robot.status == ("tracking", "accepted"))


def test_the_process_ends_cleanly_while_somebody_waits(tmp_path: Path) -> None:
    write_truth_bundle(tmp_path / "bundle", POSES)
    parameters = {"bundle": str(tmp_path / "bundle"), "threads": 1, "save_pose_rate": 0.0}
    with spinning_node("driver") as node, NodeProcess(parameters, log=tmp_path / "log") as process:
        LifecycleClient(node, process=process).bring_up()
        client = node.create_client(Trigger, "/relocalizer_node/relocalize")
        assert client.wait_for_service(timeout_sec=10.0)
        answer = client.call_async(Trigger.Request())
        assert LifecycleClient(node, process=process).state() == "active", "the executor goes on"
        assert not answer.done()
        assert process.stop() == 0, process.log_tail()
