"""The node starts on ONNX Runtime, goes over to an engine that appears, and back when that fails; every frame counts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy (a ROS 2 installation or the ros_from_pip overlay)")

from fake_bundles import write_truth_bundle
from fake_machine import Machine
from fake_robot import POSES, START_NS, FakeRobot, fake_robot

from reloc_ros.bundle.load import Bundle
from reloc_ros.inference import backend, serving

pytestmark = pytest.mark.usefixtures("ros_domain_id")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine(tmp_path)
    monkeypatch.setattr(serving, "is_installed", lambda: True)
    monkeypatch.setitem(backend.BACKENDS, "tensorrt", lambda bundle, threads: machine.backend(bundle))
    return machine


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_truth_bundle(tmp_path / "bundle", POSES)


@pytest.fixture
def robot(bundle: Bundle, machine: Machine) -> Iterator[FakeRobot]:
    parameters = {"bundle": bundle.path, "threads": 1, "tf_mode": "off", "engine_search_period_s": 0.1}
    with fake_robot(parameters) as robot:
        robot.bring_up()
        robot.send_camera_info()
        yield robot
        robot.node.trigger_deactivate()
        robot.node.trigger_cleanup()
        assert machine.runtime.leaks() == []


def localize(robot: FakeRobot, number: int) -> None:
    """Send one frame and check that its own pose comes."""
    before, stamp_ns = len(robot.poses), START_NS + len(robot.poses)
    robot.send_image(number, stamp_ns)
    robot.spin_until(lambda: len(robot.poses) > before)
    assert robot.pose_stamps()[-1] == stamp_ns
    position = robot.poses[-1].pose.position
    np.testing.assert_allclose((position.x, position.y, position.z), POSES[number][:3, 3], atol=1e-4)


def says(robot: FakeRobot, **expected: str) -> None:
    robot.spin_until(lambda: all(robot.diagnostics[key].startswith(value) for key, value in expected.items()))


def test_no_frame_is_lost_when_an_engine_comes_and_goes(robot: FakeRobot, machine: Machine, bundle: Bundle) -> None:
    localize(robot, 0)
    says(robot, backend="onnxruntime", precision="fp32", pose_verdict="", engine="waiting: ")
    machine.add_engine(bundle, "fp16", "passed: 0.2 mm and 0.01 deg")
    says(robot, backend="tensorrt", precision="fp16", device="cuda", pose_verdict="passed: 0.2 mm", engine="found")
    for number in (1, 2):
        localize(robot, number)
    enqueued = machine.runtime.log.count("cudaGraphLaunch")
    assert enqueued >= 2
    machine.runtime.fails.add("cudaGraphLaunch")
    localize(robot, 0)
    says(robot, backend="onnxruntime", engine="failed 1 of 3 times: cudaGraphLaunch failed")
    assert "on onnxruntime because the engine failed" in robot.diagnostics["message"]
    localize(robot, 1)
    machine.runtime.fails.clear()
    says(robot, backend="tensorrt", engine="found; failed 1 of 3")
    localize(robot, 2)
    assert robot.count("accepted") == robot.count("in") == 6
