"""Transitions answer, fail by name and leave the node where it was."""

from __future__ import annotations

import contextlib
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy (a ROS 2 installation or the ros_from_pip overlay)")

from fake_bundles import write_truth_bundle
from fake_robot import POSES, START_NS, FakeRobot, TruthModel, camera_info, fake_robot, image, truth_robot
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image

from reloc_ros.node.lifecycle_client import LifecycleClient, NodeProcess
from reloc_ros.node.recorder import Recorder
from reloc_ros.node.session import spinning_node

pytestmark = pytest.mark.usefixtures("ros_domain_id")
SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


def state(robot: FakeRobot) -> str:
    return str(robot.node._state_machine.current_state[1])


def test_every_transition_and_back_again() -> None:
    with truth_robot() as robot:
        node = robot.node
        for _ in range(2):
            assert (node.trigger_configure(), state(robot)) == (SUCCESS, "inactive")
            assert (node.trigger_activate(), state(robot)) == (SUCCESS, "active")
            assert (node.trigger_deactivate(), state(robot)) == (SUCCESS, "inactive")
            assert (node.trigger_activate(), state(robot)) == (SUCCESS, "active")
            assert (node.trigger_deactivate(), state(robot)) == (SUCCESS, "inactive")
            assert (node.trigger_cleanup(), state(robot)) == (SUCCESS, "unconfigured")
        assert [topic for topic, _ in node.get_topic_names_and_types() if topic.endswith("node/pose")] != []
        node.trigger_configure()
        assert (node.trigger_shutdown(), state(robot)) == (SUCCESS, "finalized")


def test_only_an_active_node_uses_images() -> None:
    with truth_robot() as robot:
        robot.bring_up()
        robot.send_camera_info()
        robot.node.trigger_deactivate()
        robot.send_image(1, START_NS)
        robot.spin_until(lambda: "inactive" in robot.diagnostics.get("message", ""))
        robot.node.trigger_activate()
        robot.send_image(2, START_NS + 1)
        robot.spin_until(lambda: len(robot.poses) > 0)
        assert robot.pose_stamps() == [START_NS + 1]


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"threads": 65}, "parameter threads is 65, expected 0 to 64"),
        ({"transform_rate_hz": 1000.0}, "parameter transform_rate_hz is 1000.0, expected 1 to 100"),
        ({"transform_tolerance": 1}, "parameter transform_tolerance is 1, expected float"),
        ({"tf_mode": "map_to_base"}, "choose one of map_to_odom, map_to_camera, off"),
        ({"tf_modes": "off"}, "parameter 'tf_modes' is unknown"),
        ({"bundle": "''"}, "parameter bundle is empty"),
        ({"role": "initializer"}, "verified poses only; set trust to verified"),
        ({"tf_mode": "map_to_odom", "odom_frame": "''"}, "parameter odom_frame is empty"),
        ({"planar": "true"}, "planar is about a robot's base"),
        ({"trust": "verified", "degraded_after_s": 40.0}, "degraded_after_s is 40.0, expected < lost_after_s"),
    ],
)
def test_a_wrong_parameter_keeps_the_node_unconfigured(parameters: dict[str, Any], named: str) -> None:
    with truth_robot(**parameters) as robot:
        assert (robot.node.trigger_configure(), state(robot)) == (FAILURE, "unconfigured")
        robot.spin_until(lambda: named in robot.diagnostics.get("message", ""))


def test_a_corrected_parameter_lets_the_node_configure() -> None:
    with truth_robot(threads=65) as robot:
        assert robot.node.trigger_configure() == FAILURE
        robot.node.set_parameters([Parameter("threads", value=2)])
        assert robot.node.trigger_configure() == SUCCESS


def test_parameters_are_refused_when_out_of_range_or_fixed() -> None:
    with truth_robot() as robot:
        node = robot.node
        node.trigger_configure()
        fixed, out_of_range, fine = node.set_parameters(
            [
                Parameter("base_frame", value="chassis"),
                Parameter("transform_tolerance", value=11.0),
                Parameter("transform_tolerance", value=0.25),
            ]
        )
        assert not fixed.successful
        assert "base_frame is fixed" in fixed.reason
        assert not out_of_range.successful
        assert fine.successful
        assert node._settings.transform_tolerance == 0.25
        node.trigger_cleanup()
        assert node.set_parameters([Parameter("base_frame", value="chassis")])[0].successful


@pytest.mark.parametrize("damage", ["missing", "truncated", "tampered", "newer"])
def test_a_bad_bundle_keeps_the_node_unconfigured(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "bundle"
    named = {"missing": "is not a folder", "newer": "schema_version is 99"}.get(damage, "truncated or was changed")
    if damage != "missing":
        write_truth_bundle(folder, POSES)
        model, manifest = folder / "model.onnx", folder / "manifest.yaml"
        if damage == "truncated":
            model.write_bytes(model.read_bytes()[:-100])
        elif damage == "tampered":
            model.write_bytes(bytes([model.read_bytes()[0] ^ 1]) + model.read_bytes()[1:])
        else:
            manifest.write_text(manifest.read_text().replace("schema_version: 1", "schema_version: 99"))
    with fake_robot({"bundle": folder}) as robot:
        assert (robot.node.trigger_configure(), state(robot)) == (FAILURE, "unconfigured")
        robot.spin_until(lambda: named in robot.diagnostics.get("message", ""))
        assert robot.node.trigger_configure() == FAILURE


def test_a_model_that_cannot_be_loaded_is_a_failed_configure() -> None:
    model = TruthModel()

    def refuse() -> None:
        raise RuntimeError("no such provider")

    model.on_load = refuse
    with truth_robot(model=model) as robot:
        assert (robot.node.trigger_configure(), state(robot)) == (FAILURE, "unconfigured")
        robot.spin_until(lambda: "no such provider" in robot.diagnostics.get("message", ""))
        model.on_load = lambda: None
        assert robot.node.trigger_configure() == SUCCESS


def test_a_slow_model_does_not_hold_transitions_and_takes_the_newest_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reloc_ros.node.relocalizer_node.QUICK_LOAD_S", 0.0)
    model, loaded = TruthModel(), Event()
    model.on_load = lambda: loaded.wait(30.0)  # type: ignore[assignment, return-value]
    with truth_robot(model=model) as robot:
        robot.bring_up()
        robot.send_camera_info()
        robot.spin_until(lambda: robot.diagnostics.get("model") == "loading")
        for number in range(3):
            robot.send_image(number, START_NS + number)
            robot.spin_until(lambda number=number: robot.count("in") == number + 1)
        loaded.set()
        robot.spin_until(lambda: len(robot.poses) > 0)
        assert robot.pose_stamps() == [START_NS + 2]
        assert robot.count("dropped") == 2
        robot.spin_until(lambda: robot.diagnostics.get("model") == "ready")
        assert robot.diagnostics["backend"] == "truth"


def test_the_node_process_is_configured_and_localizes_with_a_real_bundle(tmp_path: Path, ros_domain_id: int) -> None:
    write_truth_bundle(tmp_path / "bundle", POSES)
    parameters = {"bundle": str(tmp_path / "bundle"), "tf_mode": "off", "trust": "single", "threads": 1}
    parameters["diagnostics_rate_hz"] = 20.0
    with spinning_node("driver") as node, NodeProcess(parameters, log=tmp_path / "log") as process:
        client, recorder = LifecycleClient(node, process=process), Recorder(node)
        assert client.state() == "unconfigured"
        with pytest.raises(TimeoutError, match=r"(?s)/nobody/get_state does not appear.*its log ends with"):
            LifecycleClient(node, "/nobody", process=process).state(0.1)
        client.bring_up()
        images, infos = node.create_publisher(Image, "image", 10), node.create_publisher(CameraInfo, "camera_info", 10)
        recorder.wait(lambda: recorder.publisher_count > 0, timeout_s=10.0)
        recorder.wait(lambda: images.get_subscription_count() * infos.get_subscription_count() > 0, timeout_s=10.0)
        # Both topics are best effort: a camera_info may be lost, or come after its image.
        for number in range(20):
            infos.publish(camera_info())
            images.publish(image(3, START_NS + number))
            with contextlib.suppress(TimeoutError):
                recorder.wait(lambda: len(recorder.recording().stamps_ns) > 0, timeout_s=1.0)
                break
        assert recorder.recording().stamps_ns[-1] == START_NS + number, process.log_tail()
        np.testing.assert_allclose(recorder.recording().T_map_camera[-1], POSES[3], atol=1e-5)
        assert process.stop() == 0, process.log_tail()
