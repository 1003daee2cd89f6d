"""The node with a bundle of a sequence, over real DDS: origin, anchors, carried poses, resets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy (a ROS 2 installation or the ros_from_pip overlay)")

from driving_robot import T_BASE_CAMERA, driving_robot
from fake_robot import START_NS
from sequence_robot import SequenceModel, SequenceRobot, sequence_robot
from std_srvs.srv import Trigger

from reloc_ros.types import Array, Reason

pytestmark = pytest.mark.usefixtures("ros_domain_id")

# Without odometry the sequence tells of the motion.
ALONE = {"tf_mode": "map_to_camera"}


def std_m(covariance: Array) -> float:
    return float(np.sqrt(np.linalg.eigvalsh(covariance[:3, :3])[-1]))


def test_without_an_anchor_poses_are_relative_to_the_first_frame_and_nothing_is_broadcast() -> None:
    with sequence_robot() as robot:
        robot.drive(1)
        first_ns = robot.stamp_ns
        for _ in range(6):
            robot.drive(1)
            frame, T_first_camera, covariance = robot.heard()
            assert frame == "spr_origin"
            np.testing.assert_allclose(T_first_camera, robot.true_first_camera(first_ns), atol=1e-4)
            assert 0.01 < std_m(covariance) < 0.5
        robot.spin_until(lambda: robot.status[1] == "no_anchor" and "sequence_note" in robot.diagnostics)
        assert robot.diagnostics["sequence_anchor"] == ""
        assert "relative to the first frame" in robot.diagnostics["message"]
        assert robot.shown == []
        assert all(pose.header.frame_id == "spr_origin" for pose in robot.poses)


def test_an_initialpose_ties_the_sequence_to_the_map_and_its_doubt_grows_from_there() -> None:
    with sequence_robot() as robot:
        robot.drive(4)
        robot.give_pose(robot.T_map_base)
        robot.spin_until(lambda: "taken" in robot.diagnostics["initialpose"])
        stds_m = []
        for _ in range(8):
            robot.drive(1)
            frame, T_map_camera, covariance = robot.heard()
            assert frame == "map"
            # Odometry, which drifts by 1 %, carried the given pose to the next image.
            np.testing.assert_allclose(T_map_camera, robot.truth[robot.stamp_ns], atol=0.01)
            stds_m.append(std_m(covariance))
        assert np.all(np.diff(stds_m) > 0.0)
        # A click in RViz: half a metre, and 15 degrees that swing the way since.
        assert 0.5 < stds_m[0] < stds_m[-1] < 1.2
        robot.spin_until(lambda: robot.status == ("degraded", "carried"))
        robot.spin_until(lambda: len(robot.shown) > 0 and np.allclose(robot.shown[-1], robot.T_map_odom, atol=0.1))
        robot.spin_until(lambda: robot.diagnostics["sequence_anchor"] == "initialpose")


def test_the_stamp_of_an_initialpose_is_honoured_without_odometry() -> None:
    with sequence_robot(**ALONE) as robot:
        robot.drive(3)
        past, past_ns = robot.T_map_base @ T_BASE_CAMERA, robot.stamp_ns
        robot.drive(4)
        robot.give_pose(past, stamp_ns=past_ns)
        robot.spin_until(lambda: "taken" in robot.diagnostics["initialpose"])
        robot.drive(2)
        frame, T_map_camera, _ = robot.heard()
        assert frame == "map"
        np.testing.assert_allclose(T_map_camera, robot.truth[robot.stamp_ns], atol=1e-4)


def test_an_initialpose_from_before_the_sequence_is_refused_with_the_times() -> None:
    with sequence_robot(**ALONE) as robot:
        robot.drive(3)
        robot.give_pose(robot.T_map_base @ T_BASE_CAMERA, stamp_ns=START_NS - 10**10)
        robot.spin_until(lambda: "taken" in robot.diagnostics["initialpose"])
        robot.drive(2)
        assert robot.heard()[0] == "spr_origin"


def test_an_initialpose_in_another_frame_is_refused() -> None:
    with sequence_robot() as robot:
        robot.drive(3)
        robot.give_pose(robot.T_map_base, frame="spr_origin")
        robot.spin_until(lambda: "refused" in robot.diagnostics["initialpose"])
        assert "expected map" in robot.diagnostics["initialpose"]
        robot.drive(2)
        assert robot.heard()[0] == "spr_origin"


def test_reset_sequence_makes_the_next_image_the_origin_and_unties_the_map() -> None:
    with sequence_robot() as robot:
        robot.drive(3)
        robot.give_pose(robot.T_map_base)
        robot.spin_until(lambda: "taken" in robot.diagnostics["initialpose"])
        robot.drive(3)
        assert robot.heard()[0] == "map"
        success, message = robot.reset_sequence()
        assert success
        assert "next image is the origin" in message
        robot.drive(1)
        frame, T_first_camera, _ = robot.heard()
        assert frame == "spr_origin"
        np.testing.assert_allclose(T_first_camera, np.eye(4), atol=1e-6)
        robot.spin_until(lambda: "asked for by" in robot.diagnostics["sequence_note"])


def test_reset_sequence_says_that_a_bundle_of_single_images_has_none() -> None:
    with driving_robot() as robot:
        client = robot.driver.create_client(Trigger, "relocalizer_node/reset_sequence")
        robot.spin_until(client.service_is_ready)
        robot.drive(1)
        answer = client.call_async(Trigger.Request())
        robot.spin_until(answer.done)
        assert not answer.result().success
        assert "localizes single images" in answer.result().message


def drive_until_tracking(robot: SequenceRobot) -> None:
    for _ in range(40):
        robot.drive(1)
        if robot.heard()[0] == "map":
            robot.spin_until(lambda: robot.status[0] == "tracking")
            return
    raise AssertionError(f"still {robot.status}")


@pytest.mark.parametrize("parameters", [ALONE, {}], ids=["alone", "odometry"])
def test_fixes_of_an_anchor_bundle_tie_it_and_the_sequence_carries_between(parameters: dict[str, str]) -> None:
    with sequence_robot(anchor_bundle="script", degraded_after_s=1.0, **parameters) as robot:
        drive_until_tracking(robot)
        robot.drive(3)
        before = std_m(robot.heard()[2])
        state = robot.model.frames.sequence.state
        assert state is not None
        assert state.anchor is not None
        assert state.anchor.source == "absolute fix"
        stds_m = []
        for _ in range(12):
            robot.drive(1, blind=True)
            frame, T_map_camera, covariance = robot.heard()
            assert frame == "map"
            np.testing.assert_allclose(T_map_camera, robot.truth[robot.stamp_ns], atol=0.05)
            stds_m.append(std_m(covariance))
        assert before < stds_m[0]
        assert np.all(np.diff(stds_m) > 0.0)
        robot.spin_until(lambda: robot.status == ("degraded", "carried"))
        robot.spin_until(lambda: robot.diagnostics["trust_state"] == "degraded")
        assert "since the absolute fix" in robot.diagnostics["trust_detail"]
        robot.drive(6)
        robot.spin_until(lambda: robot.status[0] == "tracking")
        assert std_m(robot.heard()[2]) < stds_m[0]


def test_beyond_the_gate_the_map_is_given_up() -> None:
    model = SequenceModel()
    scene = model.manifest.scenes[0]
    strict = replace(scene, gate=replace(scene.gate, max_position_std_m=0.5))
    model.manifest = replace(model.manifest, scenes=(strict,))
    # Of its own poses the network is sure; it is the way that makes the carried ones uncertain.
    model.step.std_m = dict.fromkeys(range(200), 0.05)
    patient = {"lost_after_s": 600.0, "lost_after_m": 900.0}
    with sequence_robot(model, anchor_bundle="script", **patient, **ALONE) as robot:
        drive_until_tracking(robot)
        silent = robot.count("withheld")
        for _ in range(60):
            robot.drive(1, blind=True)
            if robot.count("withheld") > silent:
                break
        claimed = [
            std_m(np.reshape(each.pose.covariance, (6, 6)))
            for each in robot.poses_with_covariance
            if each.header.frame_id == "map"
        ]
        assert 0.4 < max(claimed) <= 0.5
        published = len(robot.poses_with_covariance)
        robot.drive(2, blind=True)
        robot.spin_until(lambda: robot.count("withheld") == silent + 3)
        assert len(robot.poses_with_covariance) == published


def test_relocalize_is_not_answered_by_what_the_sequence_carries() -> None:
    with sequence_robot(relocalize_timeout_s=0.5) as robot:
        robot.drive(2)
        robot.give_pose(robot.T_map_base)
        robot.spin_until(lambda: "taken" in robot.diagnostics["initialpose"])
        robot.drive(2)
        client = robot.driver.create_client(Trigger, "relocalizer_node/relocalize")
        robot.spin_until(client.service_is_ready)
        answer = client.call_async(Trigger.Request())
        robot.drive(2)
        robot.spin_until(answer.done)
        assert not answer.result().success


def test_a_backward_jump_of_the_clock_begins_anew() -> None:
    with sequence_robot() as robot:
        robot.drive(3)
        robot.give_pose(robot.T_map_base)
        robot.spin_until(lambda: "taken" in robot.diagnostics["initialpose"])
        robot.drive(2)
        robot.stamp_ns -= 60 * 10**9
        # Odometry of the past reaches the node with or after the image that shows that time jumped.
        robot.images.publish(_old_image(robot))
        robot.spin_until(lambda: "images began anew" in robot.diagnostics["sequence_note"] or _is_reset(robot))
        robot.drive(2)
        frame, _, _ = robot.heard()
        assert frame == "spr_origin"


def _old_image(robot: SequenceRobot) -> object:
    from sequence_robot import panorama_message

    return panorama_message(0, robot.stamp_ns)


def _is_reset(robot: SequenceRobot) -> bool:
    return robot.status[1] == "clock_backward"


def test_an_image_that_is_no_panorama_is_refused_with_the_remedy() -> None:
    with sequence_robot() as robot:
        robot.move()
        robot.send_image(3, robot.stamp_ns)
        robot.spin_until(lambda: robot.rejected(Reason.CAMERA_MISMATCH) > 0)
        robot.spin_until(lambda: "set camera_model to pinhole" in robot.diagnostics["last_rejection"])
