"""A rig of pinhole cameras: images that belong together, one panorama of them, and what is said when one is missing."""

from __future__ import annotations

import array
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy (a ROS 2 installation or the ros_from_pip overlay)")

from driving_robot import CAMERA_ON_BASE
from fake_robot import START_NS
from rclpy.publisher import Publisher
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, Image
from sequence_robot import SequenceModel, SequenceRobot, sequence_robot
from tf2_msgs.msg import TFMessage
from tf_messages import stamped

from reloc_ros.errors import ConfigError
from reloc_ros.geometry import rotation, se3
from reloc_ros.node.conversions import ns_to_stamp
from reloc_ros.node.rig_images import rig_topics
from reloc_ros.node.rig_sync import ApproximateSync
from reloc_ros.types import Reason

pytestmark = pytest.mark.usefixtures("ros_domain_id")

SIZE, FOCAL = 24, 9.0
"""Pixels: 106 degrees, so that four cameras see all around."""
NAMES = ("front", "right", "rear", "left")
STEP_NS = 200_000_000


class RigRobot(SequenceRobot):
    """A robot with a rig in place of its camera."""

    def bring_up(self) -> None:
        assert self.configure(), self.node._problem
        self.node.trigger_activate()
        self.rig_images = {name: self.driver.create_publisher(Image, f"{name}/image", 10) for name in NAMES}
        self.infos = {name: self.driver.create_publisher(CameraInfo, f"{name}/camera_info", 10) for name in NAMES}
        self.connected(*self.rig_images.values(), *self.infos.values())
        self.spin_until(lambda: self.node.count_subscribers("/diagnostics") > 0)
        name = f"{self.node.get_fully_qualified_name()}/pose_with_covariance"
        self.spin_until(lambda: self.node.count_subscribers(name) > 0)

    def connected(self, *publishers: Publisher) -> None:
        self.spin_until(lambda: all(publisher.get_subscription_count() > 0 for publisher in publishers))

    def start(self) -> None:
        self.bring_up()
        self.spin_until(lambda: self.tf_static.get_subscription_count() > 0)

    def mount(self, *names: str) -> None:
        """Publish where the rig is on the robot and its cameras on the rig, each turned right by another 90 degrees."""
        transforms = [stamped("base_link", "rig", 0.0, **CAMERA_ON_BASE)]
        for name in names:
            turn = rotation.exp([0.0, np.pi / 2 * NAMES.index(name), 0.0])
            quat_xyzw, _ = se3.to_quat_xyzw_translation(se3.from_rotation_translation(turn, np.zeros(3)))
            transforms.append(stamped("rig", name, 0.0, (0.05, 0.0, 0.0), tuple(float(each) for each in quat_xyzw)))
        self.tf_static.publish(TFMessage(transforms=transforms))
        buffer = self.node._relocalizer._transforms._buffer
        self.spin_until(lambda: all(buffer.can_transform("rig", name, Time()) for name in names))

    def calibrate(self, *names: str) -> None:
        for name in names:
            message = CameraInfo(width=SIZE, height=SIZE, distortion_model="plumb_bob", d=[0.0] * 5)
            message.k = [FOCAL, 0.0, (SIZE - 1) / 2, 0.0, FOCAL, (SIZE - 1) / 2, 0.0, 0.0, 1.0]
            self.infos[name].publish(message)
        cameras = self.node._relocalizer._rig._cameras
        self.spin_until(lambda: all(cameras[f"{name}/image"]._message is not None for name in names))

    def send(self, number: int, stamp_ns: int, names: tuple[str, ...] = NAMES) -> None:
        """Publish one image of each camera, a millisecond apart; the mark of the panorama is before the front one."""
        for index, name in enumerate(names):
            pixels = np.full((SIZE, SIZE, 3), number, np.uint8)
            if name == "front":
                # The canvas's middle column and a half, right of the optical axis.
                pixels[:, SIZE // 2 : SIZE // 2 + 2, 0] = 255
            message = Image(width=SIZE, height=SIZE, encoding="rgb8", step=3 * SIZE)
            message.header.stamp, message.header.frame_id = ns_to_stamp(stamp_ns + index * 1_000_000), name
            message.data = array.array("B", pixels.tobytes())
            self.rig_images[name].publish(message)


@contextmanager
def rig_robot(**parameters: Any) -> Iterator[RigRobot]:
    topics = ",".join(f"{name}/image" for name in NAMES)
    rig = {"rig_cameras": topics, "rig_frame": "rig", "tf_mode": "map_to_camera", "image_reliability": "reliable"}
    with sequence_robot(SequenceModel(), robot=RigRobot, **{**rig, **parameters}) as robot:
        assert isinstance(robot, RigRobot)
        yield robot


def test_images_of_all_cameras_make_one_panorama_with_a_pose() -> None:
    with rig_robot() as robot:
        robot.mount(*NAMES)
        robot.calibrate(*NAMES)
        poses = [se3.from_rotation_translation(np.eye(3), [0.1 * k, 0.0, 0.2 * k]) for k in range(5)]
        robot.model.step.poses = poses
        for number in range(5):
            handled = robot.handled
            robot.send(number, START_NS + number * STEP_NS)
            robot.spin_until(lambda handled=handled: robot.handled > handled)
        robot.stamp_ns = START_NS + 4 * STEP_NS
        frame, T_first_rig, _ = robot.heard()
        assert frame == "spr_origin"
        np.testing.assert_allclose(T_first_rig, se3.inverse(poses[0]) @ poses[4], atol=1e-4)
        assert robot.model.frames is not None
        shown = robot.model.frames.sequence._canvas
        assert (shown.width, shown.height) == (32, 16)


def test_a_camera_that_is_missing_is_named_and_there_is_no_pose() -> None:
    with rig_robot() as robot:
        robot.mount(*NAMES)
        robot.calibrate(*NAMES)
        for number in range(8):
            robot.send(number, START_NS + 2 * number * STEP_NS, ("front", "right", "left"))
        robot.spin_until(lambda: robot.rejected(Reason.INCOMPLETE_RIG) > 0)
        robot.spin_until(lambda: "rear/image has none" in robot.diagnostics["last_rejection"])
        assert robot.poses == []


def test_a_camera_whose_place_nobody_knows_is_named_and_there_is_no_pose() -> None:
    with rig_robot() as robot:
        robot.mount("front", "right", "left")
        robot.calibrate(*NAMES)
        robot.send(0, START_NS)
        robot.spin_until(lambda: robot.rejected(Reason.NO_TRANSFORM) > 0)
        robot.spin_until(lambda: "the place of 'rear' on 'rig'" in robot.diagnostics["last_rejection"])
        assert robot.poses == []


def test_a_camera_without_calibration_is_named_and_there_is_no_pose() -> None:
    with rig_robot() as robot:
        robot.mount(*NAMES)
        robot.calibrate("front", "right", "rear")
        robot.send(0, START_NS)
        robot.spin_until(lambda: robot.rejected(Reason.NO_CAMERA_INFO) > 0)
        robot.spin_until(lambda: "left/image: no camera_info" in robot.diagnostics["last_rejection"])
        assert robot.poses == []


def test_a_rig_needs_a_frame() -> None:
    with pytest.raises(AssertionError, match="rig_frame is empty"), rig_robot(rig_frame='""'):
        pass


def test_a_topic_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="'right image', which is no topic"):
        rig_topics("front/image, right image")


@pytest.mark.parametrize("names", ["front/image", "a/image,a/image", " , "])
def test_topics_that_are_no_rig_are_refused(names: str) -> None:
    with pytest.raises(ConfigError, match="two cameras or more"):
        rig_topics(names)


def test_topics_are_named_between_commas() -> None:
    found = rig_topics("front/image_raw, /top/image:equirectangular")
    assert list(found.items()) == [("front/image_raw", "pinhole"), ("/top/image", "equirectangular")]
    with pytest.raises(ConfigError, match="model 'fisheye'"):
        rig_topics("a/image:fisheye,b/image")


def test_images_within_the_tolerance_belong_together_once() -> None:
    sync: ApproximateSync[str] = ApproximateSync(("a", "b", "c"), 10)
    assert sync.add("a", 100, "a100") is None
    assert sync.add("b", 103, "b103") is None
    # Too far from a100; c96 completes the set, with the nearest of each.
    assert sync.add("c", 80, "c80") is None
    assert sync.add("c", 96, "c96") == {"a": "a100", "b": "b103", "c": "c96"}
    assert sync.add("c", 98, "c98") is None
    assert sync.add("b", 205, "b205") is None
    assert sync.add("c", 200, "c200") is None
    assert sync.add("a", 201, "a201") == {"a": "a201", "b": "b205", "c": "c200"}


def test_the_nearest_of_several_is_taken_and_older_ones_are_forgotten() -> None:
    sync: ApproximateSync[int] = ApproximateSync(("a", "b"), 50)
    for stamp in (100, 120, 140):
        assert sync.add("a", stamp, stamp) is None
    assert sync.add("b", 118, 118) == {"a": 120, "b": 118}
    assert sync.add("b", 119, 119) == {"a": 140, "b": 119}
    assert sync.add("b", 121, 121) is None


def test_what_waits_is_bounded() -> None:
    sync: ApproximateSync[int] = ApproximateSync(("a", "b"), 5)
    for stamp in range(0, 10_000, 10):
        assert sync.add("a", stamp, stamp) is None
    assert sum(len(waiting) for waiting in sync._waiting.values()) <= 10
    sync.clear()
    assert sync.add("b", 9990, 9990) is None
