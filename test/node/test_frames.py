"""What becomes of images: a pose at the image stamp, or a named rejection and no pose."""

from __future__ import annotations

import array
from threading import Event
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy (a ROS 2 installation or the ros_from_pip overlay)")

import fake_robot as fake
from fake_robot import COVARIANCE, POSES, SECOND_NS, START_NS, FakeRobot, TruthModel, truth_robot
from sensor_msgs.msg import CompressedImage, RegionOfInterest

from reloc_ros.node.conversions import pose_to_matrix
from reloc_ros.types import Reason

# After the stamps of every bag used here.
LATER_NS = 2_000_000_000 * SECOND_NS
pytestmark = pytest.mark.usefixtures("ros_domain_id")


def ready(robot: FakeRobot, **calibration: Any) -> FakeRobot:
    robot.bring_up()
    robot.send_camera_info(**calibration)
    return robot


def localize(robot: FakeRobot, number: int, stamp_ns: int) -> None:
    """Send a good frame and wait for its pose."""
    before = len(robot.poses_with_covariance), len(robot.poses)
    robot.send_image(number, stamp_ns)
    robot.spin_until(lambda: len(robot.poses_with_covariance) > before[0] and len(robot.poses) > before[1])


def test_the_pose_carries_the_stamp_the_frame_and_the_exact_covariance() -> None:
    with truth_robot() as robot:
        ready(robot)
        localize(robot, 7, START_NS + 123_456_789)
        pose, certain = robot.poses[-1], robot.poses_with_covariance[-1]
        assert robot.pose_stamps() == [START_NS + 123_456_789]
        assert certain.header == pose.header
        assert pose.header.frame_id == "map"
        np.testing.assert_allclose(pose_to_matrix(pose.pose), POSES[7], atol=1e-12)
        orientation = pose.pose.orientation
        np.testing.assert_allclose(
            [orientation.x, orientation.y, orientation.z, orientation.w], np.array([1, 2, 4, 10]) / 11, atol=1e-12
        )
        assert np.array_equal(certain.pose.covariance.reshape(6, 6), COVARIANCE)
        assert not robot.transforms


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (fake.INFERENCE_FAULT, Reason.INFERENCE_FAILED),
        (fake.SOLVE_FAULT, Reason.SOLVE_FAILED),
        (fake.GATE_FAULT, Reason.GATE_FAILED),
        (fake.DEGENERATE, Reason.DEGENERATE),
        (fake.OUTSIDE, Reason.OUTSIDE_MAP),
        (fake.NOT_A_NUMBER, Reason.SOLVE_FAILED),
    ],
)
def test_a_fault_of_the_localizer_is_named_and_the_next_frame_localizes(number: int, reason: Reason) -> None:
    with truth_robot() as robot:
        ready(robot)
        robot.send_image(number, START_NS)
        robot.spin_until(lambda: robot.diagnostics.get(f"rejected_{reason.value}") == "1")
        assert robot.diagnostics["last_rejection"].startswith(f"{reason.value}: ")
        assert f"last: {reason.value}: " in robot.diagnostics["message"]
        localize(robot, 4, START_NS + 1)
        assert robot.pose_stamps() == [START_NS + 1]


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("reloc_ros.node.frame_path.image_to_rgb", Reason.BAD_IMAGE),
        ("reloc_ros.localization.localizer.prepare", Reason.PREPARE_FAILED),
        ("reloc_ros.node.transforms.Transforms.place", Reason.NO_TRANSFORM),
        ("reloc_ros.node.outputs.Outputs.publish", Reason.OUTPUT_FAILED),
        ("reloc_ros.node.frame_path.FramePath.handle", Reason.OUTPUT_FAILED),
    ],
)
def test_a_planted_fault_of_the_node_is_named_and_the_next_frame_localizes(
    monkeypatch: pytest.MonkeyPatch, target: str, reason: Reason
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("planted")

    with truth_robot() as robot:
        ready(robot)
        with monkeypatch.context() as patch:
            patch.setattr(target, fail)
            robot.send_image(1, START_NS)
            robot.spin_until(lambda: robot.rejected(reason) == 1)
        robot.spin_until(lambda: robot.diagnostics["last_rejection"] == f"{reason.value}: ZeroDivisionError: planted")
        assert robot.poses == []
        localize(robot, 4, START_NS + 1)
        assert robot.pose_stamps() == [START_NS + 1]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"encoding": "rgb9"}, "'rgb9'"),
        ({"step": 17}, "step is 17"),
        ({"height": 97}, "rows of step"),
        ({"data": array.array("B", bytes(30))}, "holds 30 bytes"),
    ],
)
def test_an_image_that_lies_is_rejected_by_name(changes: dict[str, Any], named: str) -> None:
    with truth_robot() as robot:
        ready(robot)
        robot.send_image(1, START_NS, **changes)
        robot.spin_until(lambda: named in robot.diagnostics.get("last_rejection", ""))
        robot.send_image(1, 0)
        robot.spin_until(lambda: robot.rejected(Reason.BAD_IMAGE) == 2)
        localize(robot, 4, START_NS + 1)
        assert robot.pose_stamps() == [START_NS + 1]


def test_without_camera_info_there_is_no_pose() -> None:
    with truth_robot() as robot:
        robot.bring_up()
        robot.send_image(1, START_NS)
        robot.spin_until(lambda: robot.rejected(Reason.NO_CAMERA_INFO) == 1)
        robot.send_camera_info(k=np.zeros(9))
        robot.send_image(1, START_NS + 1)
        robot.spin_until(lambda: robot.rejected(Reason.NO_CAMERA_INFO) == 2)
        robot.spin_until(lambda: "uncalibrated" in robot.diagnostics["last_rejection"])
        assert robot.poses == []


@pytest.mark.parametrize(
    "calibration", [{"width": 640}, {"roi": RegionOfInterest(width=64, height=96)}, {"binning_x": 2}]
)
def test_camera_info_of_another_image_is_a_camera_mismatch(calibration: dict[str, Any]) -> None:
    with truth_robot() as robot:
        ready(robot, **calibration)
        robot.send_image(1, START_NS)
        robot.spin_until(lambda: robot.rejected(Reason.CAMERA_MISMATCH) == 1)
        assert robot.poses == []


def test_a_panorama_bundle_needs_no_camera_info() -> None:
    with truth_robot(model=TruthModel(camera_model="equirectangular")) as robot:
        robot.bring_up()
        robot.send_image(1, START_NS)
        # The frame gets its camera without camera_info; this manifest, made for a pinhole, then refuses the panorama.
        robot.spin_until(lambda: robot.rejected(Reason.CAMERA_MISMATCH) == 1)
        robot.spin_until(lambda: "camera model is equirectangular" in robot.diagnostics["last_rejection"])


def test_the_newest_frame_wins_and_drops_are_counted() -> None:
    model, entered, release = TruthModel(), Event(), Event()

    def hold(number: int) -> None:
        if number == 1:
            entered.set()
            release.wait(30.0)

    model.backend.on_run = hold
    with truth_robot(model=model) as robot:
        ready(robot)
        robot.send_image(1, START_NS + 1)
        robot.spin_until(entered.is_set)
        for number in (2, 3, 4, 5):
            robot.send_image(number, START_NS + number)
            robot.spin_until(lambda number=number: robot.count("in") == number)
        release.set()
        robot.spin_until(lambda: len(robot.poses) == 2)
        assert robot.pose_stamps() == [START_NS + 1, START_NS + 5]
        assert robot.count("dropped") == 3


def test_a_frame_is_used_once_and_a_late_one_not_at_all() -> None:
    with truth_robot() as robot:
        ready(robot)
        localize(robot, 5, START_NS)
        for repeats, stamp_ns in enumerate((START_NS, START_NS - 1000), start=1):
            robot.send_image(6, stamp_ns)
            robot.spin_until(lambda repeats=repeats: robot.count("repeated") == repeats)
        localize(robot, 7, START_NS + 1)
        assert robot.pose_stamps() == [START_NS, START_NS + 1]


def test_a_bag_that_starts_again_starts_again() -> None:
    with truth_robot() as robot:
        ready(robot)
        localize(robot, 5, START_NS)
        localize(robot, 6, START_NS - 20 * SECOND_NS)
        localize(robot, 7, START_NS - 19 * SECOND_NS)
        assert robot.count("repeated") == 0


def test_compressed_images_follow_a_remapped_image_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake, "REMAPS", ["image:=/front/image_raw"])
    with truth_robot() as robot:
        publisher = robot.driver.create_publisher(CompressedImage, "/front/image_raw/compressed", 10)
        assert robot.configure()
        robot.node.trigger_activate()
        robot.spin_until(lambda: publisher.get_subscription_count() * robot.camera_info.get_subscription_count() > 0)
        robot.send_camera_info()
        message = CompressedImage(format="png")
        message.header = fake.image(0, START_NS).header
        picture = np.full((fake.CAMERA.height, fake.CAMERA.width, 3), 9, dtype=np.uint8)
        message.data = array.array("B", cv2.imencode(".png", picture)[1].tobytes())
        publisher.publish(message)
        robot.spin_until(lambda: robot.count("accepted") == 1)


@pytest.mark.parametrize("bag", ["malformed_sqlite3", "malformed_mcap"])
def test_the_images_of_a_malformed_bag_give_no_pose_and_no_crash(shared_data: Any, bag: str) -> None:
    rosbags = pytest.importorskip("rosbags.highlevel", reason="needs rosbags")
    with truth_robot() as robot, rosbags.AnyReader([shared_data / "bags" / bag]) as reader:
        ready(robot)
        compressed = robot.driver.create_publisher(CompressedImage, "image/compressed", 10)
        robot.spin_until(lambda: compressed.get_subscription_count() > 0)
        publishers = {"Image": robot.images, "CompressedImage": compressed}
        sent = 0
        for connection, _, raw in reader.messages():
            publisher = publishers.get(connection.msgtype.rpartition("/")[2])
            if publisher is not None:
                publisher.publish(bytes(raw))
                sent += 1
                robot.spin_until(lambda sent=sent: robot.rejected(Reason.BAD_IMAGE) == sent)
        assert sent > 0
        localize(robot, 4, LATER_NS)
        assert robot.pose_stamps() == [LATER_NS]
