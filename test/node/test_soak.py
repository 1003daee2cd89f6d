"""A short soak: hundreds of random calls, faults and floods, and in the end the node is whole and nothing false was said.

`RELOC_SOAK_ACTIONS` makes it longer.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy (a ROS 2 installation or the ros_from_pip overlay)")

from driving_robot import T_BASE_CAMERA, DrivingRobot, driving_robot
from hostile_poses import hostile
from numpy.random import Generator
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from std_srvs.srv import Empty, Trigger

from reloc_ros.geometry import rotation, se3
from reloc_ros.types import Array

pytestmark = pytest.mark.usefixtures("ros_domain_id")

ACTIONS = int(os.environ.get("RELOC_SOAK_ACTIONS", "100"))
FALSE_M, FALSE_RAD = 0.5, np.radians(10.0)


class Soak:
    """Does random things to a robot."""

    def __init__(self, robot: DrivingRobot, rng: Generator) -> None:
        self.robot = robot
        self.rng = rng
        self.calls: list[object] = []
        driver, name = robot.driver, "relocalizer_node"
        self._relocalize = driver.create_client(Trigger, f"{name}/relocalize")
        self._reinitialize = driver.create_client(Empty, "reinitialize_global_localization")
        robot.spin_until(lambda: self._relocalize.service_is_ready() and self._reinitialize.service_is_ready())
        self.actions: list[tuple[float, Callable[[], None]]] = [
            (60.0, self.drive),
            (8.0, self.see_something_wrong),
            (5.0, lambda: robot.drive(int(rng.integers(1, 5)), blind=True)),
            (4.0, self.break_the_network),
            (4.0, self.flood),
            (3.0, lambda: robot.initialpose.publish(hostile(rng))),
            (3.0, lambda: self.calls.append(self._relocalize.call_async(Trigger.Request()))),
            (2.0, lambda: self.calls.append(self._reinitialize.call_async(Empty.Request()))),
            (2.0, self.set_parameters),
            (2.0, robot.kidnap),
            (1.0, self.pause),
            (1.0, self.send_a_broken_image),
        ]

    def run(self, count: int) -> None:
        weights = np.array([weight for weight, _ in self.actions])
        for index in self.rng.choice(len(self.actions), count, p=weights / weights.sum()):
            self.actions[index][1]()
            self.robot.executor.spin_once(timeout_sec=0.0)

    def drive(self) -> None:
        self.robot.drive(int(self.rng.integers(1, 12)))

    def see_something_wrong(self) -> None:
        """A run of wrong fixes that look as sure as others."""
        offset = se3.from_rotation_translation(rotation.exp(self.rng.normal(0.0, 1.0, 3)), self.rng.normal(0.0, 3.0, 3))
        for _ in range(self.rng.integers(1, 3)):
            self.robot.move()
            self.look(offset @ self.robot.T_map_base @ T_BASE_CAMERA)

    def look(self, T_map_camera: Array) -> None:
        self.robot.model.localizer.T_map_camera[self.robot.stamp_ns] = T_map_camera
        self.robot.look(blind=True)

    def break_the_network(self) -> None:
        self.robot.move()
        self.look("no matrix")  # type: ignore[arg-type]

    def flood(self) -> None:
        """More images at once than any network takes."""
        for _ in range(20):
            self.robot.move()
            self.robot.truth[self.robot.stamp_ns] = self.robot.T_map_base @ T_BASE_CAMERA
            self.robot.model.localizer.T_map_camera[self.robot.stamp_ns] = self.robot.T_map_base @ T_BASE_CAMERA
            self.robot.send_image(1, self.robot.stamp_ns)

    def set_parameters(self) -> None:
        values = {"transform_tolerance": 0.1, "smoothing_s": 0.0, "relocalize_timeout_s": 0.1, "max_fix_age_s": -1.0}
        name = str(self.rng.choice(list(values)))
        self.robot.node.set_parameters([Parameter(name, value=values[name])])

    def pause(self) -> None:
        assert self.robot.node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
        assert self.robot.node.trigger_activate() == TransitionCallbackReturn.SUCCESS

    def send_a_broken_image(self) -> None:
        self.robot.move()
        self.robot.send_image(1, self.robot.stamp_ns, step=17)


def test_random_calls_faults_and_floods_leave_the_node_whole_and_nothing_false_was_said() -> None:
    with driving_robot(relocalize_timeout_s=1.0) as robot:
        soak = Soak(robot, np.random.default_rng(3))
        soak.run(ACTIONS)
        assert robot.node._relocalizer.worker.state == "ready"
        robot.spin_until(lambda: all(call.done() for call in soak.calls))
        robot.drive_until_tracking(limit=200)
        assert robot.count("accepted") > ACTIONS // 2
        metres, radians = robot.worst_error()
        assert metres < FALSE_M
        assert radians < FALSE_RAD
