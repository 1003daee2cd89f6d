"""`~/debug_image`: nothing is drawn for nobody, and no oftener than asked; poses and rejections both have a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fake_bundles
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy (a ROS 2 installation or the ros_from_pip overlay)")

import fake_robot as fake
from fake_bundles import write_scenes_bundle
from fake_robot import POSES, START_NS, FakeRobot, fake_robot, truth_robot
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from reloc_ros.node import frame_path
from reloc_ros.node.conversions import image_to_rgb, stamp_to_ns
from reloc_ros.node.debug_image import DebugImage
from reloc_ros.node.settings import Settings

pytestmark = pytest.mark.usefixtures("ros_domain_id")

LOSSY = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)


@pytest.fixture
def captions(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Give the captions of what is drawn."""
    drawn: list[Any] = []
    draw = frame_path.annotate

    def annotate(image: Any, caption: Any, *more: Any, **named: Any) -> Any:
        drawn.append(caption)
        return draw(image, caption, *more, **named)

    monkeypatch.setattr(frame_path, "annotate", annotate)
    return drawn


def look(robot: FakeRobot) -> list[Image]:
    """Subscribe and return what comes in."""
    pictures: list[Image] = []
    robot.driver.create_subscription(Image, "relocalizer_node/debug_image", pictures.append, LOSSY)
    publisher = robot.node._relocalizer._debug_image._publisher
    robot.spin_until(lambda: publisher.get_subscription_count() > 0)
    return pictures


def unhurried(robot: FakeRobot) -> None:
    """Lift the limit of the rate: every frame gets a picture."""
    robot.node._relocalizer._debug_image._clock_s = iter(range(1_000_000)).__next__


def ready(robot: FakeRobot) -> FakeRobot:
    robot.bring_up()
    robot.send_camera_info()
    return robot


def test_nothing_is_drawn_until_somebody_looks(captions: list[Any]) -> None:
    with truth_robot() as robot:
        ready(robot)
        unhurried(robot)
        for number in range(3):
            robot.send_image(number, START_NS + number)
            robot.spin_until(lambda number=number: robot.count("accepted") == number + 1)
        assert captions == []
        pictures = look(robot)
        robot.send_image(7, START_NS + 7)
        robot.spin_until(lambda: len(pictures) == 1)
        assert stamp_to_ns(pictures[0].header.stamp) == START_NS + 7
        assert pictures[0].header.frame_id == "camera_optical_frame"
        assert [caption.is_pose for caption in captions] == [True]
        assert captions[0].verdict.startswith("pose x 0.70 y -0.20 z 0.30 m in map, std 0.")
        assert captions[0].notes[0] == "scene room"
        assert captions[0].notes[1] == "tracking (accepted): each image is believed by itself"
        assert captions[0].notes[2].startswith("latency ")


def test_the_picture_shows_the_image_and_where_the_pose_rests(tmp_path: Path) -> None:
    # Frame 1 looks at the second cell of the first row.
    bundle = write_scenes_bundle(tmp_path / "bundle", POSES[:2], [[5.0, 0.0]] * 2)
    with fake_robot({"bundle": bundle.path, "tf_mode": "off", "threads": 1}) as robot:
        ready(robot)
        pictures = look(robot)
        robot.send_image(1, START_NS)
        robot.spin_until(lambda: len(pictures) == 1)
        assert (pictures[0].encoding, pictures[0].width) == ("rgb8", 640)
        seen = image_to_rgb(pictures[0])[:480]
        heat = seen.astype(int).sum(axis=2)
        cell_px = 480 // fake_bundles.ROWS
        row, column = np.unravel_index(np.argmax(heat), heat.shape)
        assert (row // cell_px, column // cell_px) == (0, 1)
        assert (seen[2 * cell_px :] == 1).all(), "cells that count for nothing stay as they are"


@pytest.mark.parametrize(
    ("number", "changes", "named"),
    [
        (fake.DEGENERATE, {}, "rejected: degenerate: planted in solve"),
        (5, {"encoding": "rgb9"}, "rejected: bad_image: "),
        (5, {"width": 64, "step": 192, "data": bytes(192 * 96)}, "rejected: camera_mismatch: "),
    ],
)
def test_a_rejected_frame_has_a_picture_too(
    captions: list[Any], number: int, changes: dict[str, Any], named: str
) -> None:
    with truth_robot() as robot:
        ready(robot)
        pictures = look(robot)
        robot.send_image(number, START_NS, **changes)
        robot.spin_until(lambda: len(pictures) == 1)
        assert captions[0].verdict.startswith(named)
        assert captions[0].notes[0] == "init (no_fix_yet): no image was tried yet"
        assert not captions[0].is_pose
        assert robot.poses == []


def test_a_fault_of_the_drawing_costs_no_pose(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("planted")

    with truth_robot() as robot:
        ready(robot)
        unhurried(robot)
        pictures = look(robot)
        with monkeypatch.context() as patch:
            patch.setattr(frame_path, "annotate", fail)
            robot.send_image(3, START_NS)
            robot.spin_until(lambda: len(robot.poses) == 1)
            robot.send_image(4, START_NS + 1)
            robot.spin_until(lambda: len(robot.poses) == 2)
        robot.send_image(5, START_NS + 2)
        robot.spin_until(lambda: len(pictures) == 1 and len(robot.poses) == 3)
        assert robot.count("accepted") == 3
        assert robot.node.statistics.summary().rejected == {}


def test_the_rate_is_limited_and_can_be_changed() -> None:
    with truth_robot() as robot:
        robot.bring_up()
        now_s = 100.0
        settings = Settings(debug_image_rate_hz=4.0)
        limited = DebugImage(robot.node, lambda: settings, lambda: now_s)
        limited._publisher.on_activate(None)
        robot.driver.create_subscription(Image, "relocalizer_node/debug_image", lambda _: None, LOSSY)
        robot.spin_until(lambda: limited._publisher.get_subscription_count() > 0)
        assert limited.take_turn()
        now_s = 100.24
        assert not limited.take_turn()
        now_s = 100.25
        assert limited.take_turn()
        assert not limited.take_turn()
        limited.close()
        changed = robot.node.set_parameters([Parameter("debug_image_rate_hz", value=1.0)])
        assert changed[0].successful
