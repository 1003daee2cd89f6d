"""Hundreds of malformed messages and parameters through the callbacks of an active node: no crash, no pose."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Semaphore
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy (a ROS 2 installation or the ros_from_pip overlay)")

from fake_robot import START_NS, FakeRobot, camera_info, image, truth_robot
from hostile_poses import hostile
from malformed import hopeless_camera_info, hopeless_image, strange_compressed
from rclpy.parameter import Parameter

from reloc_ros.errors import ConfigError
from reloc_ros.node import parameters
from reloc_ros.node.conversions import ns_to_stamp, usable_pose

pytestmark = pytest.mark.usefixtures("ros_domain_id")
HUNDREDS = 300


class Callbacks:
    """Calls the node's callbacks as the executor does, and waits until the worker is done with an image."""

    def __init__(self, robot: FakeRobot) -> None:
        self.robot, self.relocalizer = robot, robot.node._relocalizer
        self.stamp_ns = START_NS
        self._done, self._path = Semaphore(0), self.relocalizer._path
        self.relocalizer._path = self

    def handle(self, arrival: Any) -> None:
        try:
            self._path.handle(arrival)
        finally:
            self._done.release()

    def offer(self, message: Any) -> None:
        self.relocalizer._on_image(message)
        assert self._done.acquire(timeout=10.0), "the worker is gone"

    def next_stamp_ns(self) -> int:
        self.stamp_ns += 1000
        return self.stamp_ns

    def still_works(self) -> None:
        """Send a good image: the only pose that ever comes is its own."""
        assert self.robot.count("accepted") == 0
        self.relocalizer._cameras.update(camera_info())
        stamp_ns = self.next_stamp_ns()
        self.offer(image(3, stamp_ns))
        self.robot.spin_until(lambda: len(self.robot.poses) > 0)
        assert self.robot.pose_stamps() == [stamp_ns]


@pytest.fixture
def callbacks() -> Iterator[Callbacks]:
    with truth_robot() as robot:
        robot.bring_up()
        assert robot.node._relocalizer.worker.wait_prepared(10.0)
        yield Callbacks(robot)


def test_malformed_images(callbacks: Callbacks) -> None:
    rng = np.random.default_rng(31)
    callbacks.relocalizer._cameras.update(camera_info())
    for _ in range(HUNDREDS):
        callbacks.offer(hopeless_image(rng, callbacks.next_stamp_ns()))
    assert callbacks.robot.count("in") == HUNDREDS
    callbacks.still_works()


def test_malformed_compressed_images_without_a_calibration(callbacks: Callbacks) -> None:
    rng = np.random.default_rng(32)
    for _ in range(HUNDREDS):
        message = strange_compressed(rng)
        message.header.stamp = ns_to_stamp(callbacks.next_stamp_ns())
        callbacks.offer(message)
    callbacks.still_works()


def test_malformed_camera_infos_before_good_images(callbacks: Callbacks) -> None:
    rng = np.random.default_rng(33)
    for _ in range(HUNDREDS):
        callbacks.relocalizer._cameras.update(hopeless_camera_info(rng))
        callbacks.offer(image(2, callbacks.next_stamp_ns()))
    callbacks.still_works()


def test_malformed_poses(callbacks: Callbacks) -> None:
    rng, refused = np.random.default_rng(34), 0
    for _ in range(HUNDREDS):
        message = hostile(rng)
        try:
            usable_pose(message)
        except ConfigError:
            refused += 1
            callbacks.relocalizer._on_initialpose(message)
    assert refused > 50
    callbacks.still_works()


def test_malformed_parameters(callbacks: Callbacks) -> None:
    rng, node, before = np.random.default_rng(35), callbacks.robot.node, callbacks.robot.node._settings
    names = [row.name for row in parameters.TABLE]
    values: list[Any] = [
        True,
        -1,
        0,
        2**63 - 1,
        -(2**63),
        1e308,
        float("nan"),
        float("inf"),
        -0.5,
        "",
        "off",
        "x" * 9999,
    ]
    values += [[b"\0"], [1], [1.5], ["a"], [True]]
    for _ in range(2 * HUNDREDS):
        name, value = names[rng.integers(len(names))], values[rng.integers(len(values))]
        (result,) = node.set_parameters([Parameter(name, value=value)])
        assert result.successful == (parameters.current(node) != before), (name, value)
        if result.successful:
            assert parameters.complaint(name, value) is None
            node.set_parameters([Parameter(name, value=getattr(before, name))])
        assert parameters.current(node) == node._settings == before
    callbacks.still_works()
