"""Several scenes in one model: each pose in its scene's map frame, and an operator's hint about the scene."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

pytest.importorskip("rclpy", reason="needs rclpy (a ROS 2 installation or the ros_from_pip overlay)")

from fake_bundles import write_scenes_bundle
from fake_robot import POSES, START_NS, FakeRobot, TruthModel, fake_robot, truth_robot
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage
from tf_messages import stamped

pytestmark = pytest.mark.usefixtures("ros_domain_id")

KITCHEN, OFFICE, EITHER = range(3)
SCENE_LOGITS = [[5.0, 0.0], [0.0, 5.0], [0.0, 0.0]]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes") / "bundle"
    return write_scenes_bundle(folder, POSES[:3], SCENE_LOGITS).path


@pytest.fixture
def robot(bundle: Path, request: pytest.FixtureRequest) -> Iterator[FakeRobot]:
    """Give a robot that is localizing; the parameter is `tf_mode`."""
    with fake_robot({"bundle": bundle, "threads": 1, "tf_mode": getattr(request, "param", "off")}) as robot:
        robot.bring_up()
        robot.send_camera_info()
        yield robot


def hints(robot: FakeRobot, **qos: object) -> Publisher:
    publisher = robot.driver.create_publisher(String, "scene_hint", QoSProfile(depth=1, **qos))
    robot.spin_until(lambda: publisher.get_subscription_count() > 0)
    return publisher


def localize(robot: FakeRobot, number: int, stamp_ns: int) -> str:
    """Send a good frame and return the map frame of its poses."""
    before = len(robot.poses_with_covariance), len(robot.poses)
    robot.send_image(number, stamp_ns)
    robot.spin_until(lambda: len(robot.poses_with_covariance) > before[0] and len(robot.poses) > before[1])
    assert robot.poses[-1].header.frame_id == robot.poses_with_covariance[-1].header.frame_id
    return str(robot.poses[-1].header.frame_id)


def test_each_pose_is_in_the_map_of_its_scene(robot: FakeRobot) -> None:
    assert localize(robot, KITCHEN, START_NS) == "kitchen_map"
    robot.spin_until(lambda: robot.diagnostics["scene"] == "kitchen")
    assert robot.diagnostics["scene_probability"] == "0.993"
    assert localize(robot, OFFICE, START_NS + 1) == "office_map"
    robot.spin_until(lambda: robot.diagnostics["scene"] == "office")


@pytest.mark.parametrize("durability", [DurabilityPolicy.VOLATILE, DurabilityPolicy.TRANSIENT_LOCAL])
def test_a_hint_decides_where_the_network_cannot(robot: FakeRobot, durability: DurabilityPolicy) -> None:
    robot.send_image(EITHER, START_NS)
    robot.spin_until(lambda: robot.diagnostics["rejected_unsure_scene"] == "1")
    publisher = hints(robot, durability=durability)
    publisher.publish(String(data="beside the grey desks"))
    robot.spin_until(lambda: robot.diagnostics["scene_hint"] == "beside the grey desks")
    assert robot.diagnostics["scene_hint_answer"].startswith("office 95 %")
    assert localize(robot, EITHER, START_NS + 1) == "office_map"
    publisher.publish(String(data="not in the kitchen"))
    robot.spin_until(lambda: robot.diagnostics["scene_hint_answer"].startswith("refused: the hint "))
    assert robot.diagnostics["scene_hint"] == "beside the grey desks"
    publisher.publish(String(data=""))
    robot.spin_until(lambda: robot.diagnostics["scene_hint"] == "")
    robot.send_image(EITHER, START_NS + 2)
    robot.spin_until(lambda: robot.diagnostics["rejected_unsure_scene"] == "2")


def test_a_hint_waits_for_a_model_that_is_being_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reloc_ros.node.relocalizer_node.QUICK_LOAD_S", 0.0)
    model, loaded = TruthModel(), Event()
    model.on_load = lambda: loaded.wait(30.0)  # type: ignore[assignment, return-value]
    with truth_robot(model=model) as robot:
        robot.bring_up()
        hints(robot).publish(String(data="stove"))
        robot.spin_until(lambda: robot.diagnostics["scene_hint_answer"] == "'stove' waits for the model")
        loaded.set()
        robot.spin_until(lambda: robot.diagnostics["scene_hint_answer"].startswith("there is nothing to choose from"))


@pytest.mark.parametrize("robot", ["map_to_odom"], indirect=True)
def test_a_change_of_scene_ends_the_broadcast_under_the_old_map(robot: FakeRobot) -> None:
    robot.spin_until(lambda: robot.tf.get_subscription_count() > 1 and robot.tf_static.get_subscription_count() > 0)
    robot.tf_static.publish(TFMessage(transforms=[stamped("base_link", "camera_optical_frame", 0.0)]))
    for time_s in (0.0, 1.0):
        robot.tf.publish(TFMessage(transforms=[stamped("odom", "base_link", START_NS * 1e-9 + time_s)]))
    known = robot.node._relocalizer._transforms._buffer
    robot.spin_until(lambda: "base_link" in known.all_frames_as_string())

    def parents() -> list[str]:
        return [found.header.frame_id for found in robot.transforms if found.child_frame_id == "odom"]

    localize(robot, KITCHEN, START_NS)
    robot.spin_until(lambda: parents().count("kitchen_map") > 2)
    localize(robot, OFFICE, START_NS + 1)
    robot.spin_until(lambda: parents().count("office_map") > 5)
    changed = parents().index("office_map")
    assert set(parents()[:changed]) == {"kitchen_map"}
    assert set(parents()[changed:]) == {"office_map"}


def test_one_name_for_the_maps_of_several_scenes_is_refused(bundle: Path) -> None:
    with fake_robot({"bundle": bundle, "map_frame": "map"}) as robot:
        assert robot.node.trigger_configure() == TransitionCallbackReturn.FAILURE
        robot.spin_until(lambda: "live in 2 frames (kitchen_map, office_map)" in robot.diagnostics["message"])
