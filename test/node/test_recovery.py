"""A lost robot finds itself, over DDS: silent until images agree, right again after a kidnap, never wrong between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy (a ROS 2 installation or the ros_from_pip overlay)")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from driving_robot import T_BASE_CAMERA, driving_robot
from rclpy.lifecycle import TransitionCallbackReturn
from std_msgs.msg import Bool

from reloc_ros.geometry import se3
from reloc_ros.node.conversions import stamp_to_ns

pytestmark = pytest.mark.usefixtures("ros_domain_id")

VOTES = 6


def test_silent_until_six_views_agree_then_right() -> None:
    with driving_robot(smoothing_s=0.0) as robot:
        robot.drive(VOTES - 1)
        robot.spin_until(lambda: bool(robot.statuses) and "5.0 of 6 views agree" in robot.statuses[-1]["detail"])
        assert robot.status == ("candidate", "too_few_views")
        assert (robot.poses, robot.shown, robot.count("withheld")) == ([], [], VOTES - 1)
        robot.drive(1)
        robot.spin_until(lambda: len(robot.shown) > 0 and len(robot.poses_with_covariance) == 1)
        robot.spin_until(lambda: robot.diagnostics["trust_state"] == "tracking")
        assert robot.diagnostics["trust_cause"] == "accepted"
        np.testing.assert_allclose(robot.shown[-1], robot.T_map_odom, atol=0.05)
        assert robot.pose_stamps() == [robot.stamp_ns]
        assert max(robot.worst_error()) < 0.05
        # The pose of six fixes is surer than that of one.
        assert 0.0 < robot.poses_with_covariance[0].pose.covariance[0] < 0.05**2


def test_a_kidnapped_robot_falls_silent_and_is_right_again() -> None:
    with driving_robot() as robot:
        robot.drive_until_tracking()
        robot.kidnap()
        published = len(robot.poses)
        robot.drive(4)
        robot.spin_until(lambda: robot.status == ("lost", "contradicted") or robot.status[0] == "candidate")
        assert len(robot.poses) == published
        robot.transforms.clear()
        assert robot.drive_until_tracking() <= 8
        robot.spin_until(lambda: len(robot.shown) > 0)
        np.testing.assert_allclose(robot.shown[0], robot.T_map_odom, atol=0.1)
        assert max(robot.worst_error()) < 0.1


def test_blind_images_end_poses_and_dead_reckoning_goes_on() -> None:
    with driving_robot(degraded_after_s=0.5, lost_after_s=2.0) as robot:
        robot.drive_until_tracking()
        robot.drive(4, blind=True)
        robot.spin_until(lambda: robot.status == ("degraded", "no_fix"))
        assert "degenerate: nothing to see" in robot.statuses[-1]["detail"]
        robot.transforms.clear()
        robot.spin_until(lambda: len(robot.shown) > 1)
        robot.drive(8, blind=True)
        robot.spin_until(lambda: robot.status[0] == "lost")
        assert any(said["cause"] == "timed_out" and "limit 2)" in said["detail"] for said in robot.statuses)
        robot.transforms.clear()
        robot.diagnostics.clear()
        robot.spin_until(lambda: robot.diagnostics["trust_state"] == "lost")
        assert len(robot.shown) <= 1, "only what was under way"


def test_no_image_at_all_is_noticed() -> None:
    with driving_robot(degraded_after_s=0.3, lost_after_s=0.6) as robot:
        robot.drive_until_tracking()
        robot.spin_until(lambda: robot.status[0] == "lost")
        assert "no image for" in robot.statuses[-1]["detail"]


def test_the_camera_by_itself_needs_views_in_time_only() -> None:
    with driving_robot(tf_mode="map_to_camera", votes_to_accept=2.0) as robot:
        images = robot.drive_until_tracking()
        assert images > 4, "a second for each view"
        robot.spin_until(lambda: len(robot.transforms) > 0)
        ours = [each for each in robot.transforms if each.header.frame_id == "map"]
        assert {each.child_frame_id for each in ours} == {"camera_optical_frame"}
        assert stamp_to_ns(ours[0].header.stamp) == robot.stamp_ns


def test_the_pose_of_the_base_is_that_of_the_camera_less_its_mount() -> None:
    with driving_robot(pose_of="base") as robot:
        robot.drive_until_tracking()
        T_map_base = robot.truth[robot.stamp_ns] @ se3.inverse(T_BASE_CAMERA)
        position = robot.poses[0].pose.position
        np.testing.assert_allclose([position.x, position.y, position.z], T_map_base[:3, 3], atol=0.05)


def test_a_pose_given_by_a_person_holds_at_once_and_where_the_robot_was_then() -> None:
    with driving_robot() as robot:
        robot.drive(2)
        then_ns, T_map_base_then = robot.stamp_ns, robot.T_map_base
        robot.drive(1)
        robot.give_pose(T_map_base_then, stamp_ns=then_ns)
        robot.spin_until(lambda: robot.status == ("degraded", "anchored"))
        robot.spin_until(lambda: len(robot.shown) > 0)
        np.testing.assert_allclose(robot.shown[0], robot.T_map_odom, atol=0.02)
        assert robot.poses == []
        assert robot.drive_until_tracking() == 3
        robot.spin_until(lambda: robot.diagnostics["initialpose"] == "initialpose taken")


@pytest.mark.parametrize(
    ("frame", "stamp_ns", "named"),
    [("odom", 0, "refused: its frame is 'odom', expected map"), ("map", 17, "refused: there is no odometry at its")],
)
def test_a_given_pose_that_cannot_be_used_is_refused_by_name(frame: str, stamp_ns: int, named: str) -> None:
    with driving_robot() as robot:
        robot.drive(1)
        robot.give_pose(robot.T_map_base, frame=frame, stamp_ns=stamp_ns)
        robot.spin_until(lambda: named in robot.diagnostics["initialpose"])
        assert robot.status[0] == "init"


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"monitor_odometry_age_s": 0.5}, "age of odometry is "),
        (
            {"monitor_diagnostics": "drive", "monitor_diagnostics_level": 1},
            "diagnostics level of drive is 2, limit 1",
        ),
    ],
)
def test_what_the_stack_says_about_itself_ends_trust(parameters: dict[str, Any], named: str) -> None:
    with driving_robot(monitor_lost_after_s=0.0, **parameters) as robot:
        robot.drive_until_tracking()
        publisher = robot.driver.create_publisher(DiagnosticArray, "/diagnostics", 1)
        robot.spin_until(lambda: publisher.get_subscription_count() > 1 or "monitor_diagnostics" not in parameters)
        statuses = [DiagnosticStatus(name="drive: left", level=DiagnosticStatus.ERROR)]
        statuses.append(DiagnosticStatus(name="other", level=DiagnosticStatus.STALE))
        publisher.publish(DiagnosticArray(status=statuses))
        robot.spin_until(lambda: robot.status == ("lost", "loss_signal"))
        assert named in robot.statuses[-1]["detail"]


def test_a_monitor_ends_trust() -> None:
    with driving_robot(monitor_topic="wheels_off", monitor_lost_after_s=0.0) as robot:
        publisher = robot.driver.create_publisher(Bool, "wheels_off", 1)
        robot.drive_until_tracking()
        robot.spin_until(lambda: publisher.get_subscription_count() > 0)
        publisher.publish(Bool(data=True))
        robot.spin_until(lambda: robot.status == ("lost", "loss_signal"))
        assert "wheels_off is 1" in robot.statuses[-1]["detail"]
        assert robot.drive_until_tracking() == VOTES


def test_the_saved_pose_shortens_the_next_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_HOME", str(tmp_path))
    with driving_robot(save_pose_rate=5.0) as robot:
        robot.drive_until_tracking()
        there = robot.T_map_base
    saved = {"initialize_at_saved_pose": True}
    with driving_robot(**saved) as robot:
        robot.T_map_base = there
        robot.move()
        robot.spin_until(lambda: robot.diagnostics["initialpose"] == "saved pose taken")
        assert robot.drive_until_tracking() <= 3
    with driving_robot(fingerprint="another", **saved) as robot:
        robot.spin_until(lambda: "was found with another bundle" in robot.diagnostics["initialpose"])


def test_time_that_jumps_back_begins_anew() -> None:
    with driving_robot(transform_wait_s=0.2) as robot:
        robot.drive_until_tracking()
        robot.stamp_ns -= 20_000_000_000
        robot.look(blind=True)
        robot.spin_until(lambda: robot.status[0] == "init")
        robot.transforms.clear()
        assert robot.drive_until_tracking() == VOTES


def test_rounds_of_transitions_leave_nothing_behind() -> None:
    with driving_robot() as robot:
        node = robot.node

        def entities() -> list[int]:
            kinds = (node.publishers, node.subscriptions, node.services, node.timers, node.clients)
            return [len(list(kind)) for kind in kinds]

        node.trigger_deactivate()
        node.trigger_cleanup()
        before = entities()
        for _ in range(10):
            for transition in ("configure", "activate", "deactivate", "cleanup"):
                assert getattr(node, f"trigger_{transition}")() == TransitionCallbackReturn.SUCCESS
        assert entities() == before
