"""Run by `launch_testing`: the real launch file, a robot that drives, and a kidnap. Not collected by pytest itself.

Example:
    python -m launch_testing.launch_test test/support/launched_recovery.py folder:=FOLDER

FOLDER is what `write_folder` wrote.
"""

from __future__ import annotations

import sys
import unittest
from pathlib import Path
from typing import Any

import launch_testing
import launch_testing.actions
import launch_testing.asserts
import numpy as np
import yaml
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution

# launch_testing loads this file by its path.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from driving_robot import CAMERA_ON_BASE, DRIFT, STEP_M, STEP_NS, STEP_RAD, T_BASE_CAMERA, T_MAP_ODOM_AT_START
from fake_bundles import make_scene, write_truth_bundle
from fake_robot import START_NS, camera_info, image
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from tf2_msgs.msg import TFMessage
from tf_messages import stamped

from reloc_ros.bundle.manifest import MapBounds
from reloc_ros.geometry import rotation, se3
from reloc_ros.node.conversions import matrix_to_transform
from reloc_ros.node.recorder import Recorder
from reloc_ros.node.session import spinning_node
from reloc_ros.types import Array

LAUNCH_FILE = Path(__file__).resolve().parents[2] / "launch" / "reloc.launch.py"
BEFORE, AFTER = 40, 40
VOTES = 6
NOTICED = 4
"""Images after which a kidnap must be noticed."""
LIMIT_M = 0.1
ELSEWHERE = se3.from_rotation_translation(rotation.exp([0.0, 0.0, 2.0]), [-3.0, 5.0, 0.0])


def step(metres: float) -> Array:
    return se3.from_rotation_translation(rotation.exp([0.0, 0.0, STEP_RAD]), [metres, 0.0, 0.0])


def truth() -> list[Array]:
    """Return T_map_camera of every image: a circle, and from `BEFORE` on one elsewhere."""
    T_map_base, poses = T_MAP_ODOM_AT_START, []
    for number in range(BEFORE + AFTER):
        if number == BEFORE:
            T_map_base = ELSEWHERE @ T_map_base
        poses.append(T_map_base @ T_BASE_CAMERA)
        T_map_base = T_map_base @ step(STEP_M)
    return poses


def write_folder(folder: Path) -> None:
    """Write the bundle of the drive and the parameters."""
    wide = MapBounds(min_m=(-20.0, -20.0, -5.0), max_m=(20.0, 20.0, 5.0))
    write_truth_bundle(folder / "bundle", truth(), scenes=(make_scene(map_bounds=wide),))
    given = {"bundle": str(folder / "bundle"), "threads": 1, "diagnostics_rate_hz": 50.0, "transform_wait_s": 2.0}
    given |= {"image_reliability": "reliable", "initialize_at_saved_pose": False, "save_pose_rate": 0.0}
    given |= {"votes_to_accept": float(VOTES), "votes_at_first": float(VOTES)}
    (folder / "parameters.yaml").write_text(yaml.safe_dump({"/**": {"ros__parameters": given}}))


def generate_test_description() -> LaunchDescription:
    """Return what launch_testing starts before the tests below."""
    parameters = PathJoinSubstitution([LaunchConfiguration("folder"), "parameters.yaml"])
    launched = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(LAUNCH_FILE)), launch_arguments={"params_file": parameters}.items()
    )
    return LaunchDescription([DeclareLaunchArgument("folder"), launched, launch_testing.actions.ReadyToTest()])


class Robot:
    """Drives through the truth, image by image, with odometry that drifts and does not notice a kidnap."""

    def __init__(self, node: Any) -> None:
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.recorder = Recorder(node)
        self._images = node.create_publisher(Image, "image", 10)
        self._infos = node.create_publisher(CameraInfo, "camera_info", 10)
        self._tf = node.create_publisher(TFMessage, "/tf", 10)
        static = node.create_publisher(TFMessage, "/tf_static", latched)
        static.publish(TFMessage(transforms=[stamped("base_link", "camera_optical_frame", 0.0, **CAMERA_ON_BASE)]))
        self._T_odom_base = np.eye(4)
        self.number = 0

    def meet(self) -> None:
        """Wait until the node is active and everybody has found everybody."""
        recorder, publishers = self.recorder, (self._images, self._infos, self._tf)
        recorder.wait(lambda: self.said("state") == "active" and self.said("model") == "ready", timeout_s=60.0)
        recorder.wait(lambda: all(each.get_subscription_count() > 0 for each in publishers), timeout_s=20.0)
        recorder.wait(lambda: recorder.publisher_count > 0, timeout_s=20.0)

    def said(self, key: str) -> str:
        return str(self.recorder.latest_diagnostics.get(key, ""))

    @property
    def handled(self) -> int:
        return sum(int(self.said(f"frames_{outcome}") or 0) for outcome in ("accepted", "withheld", "rejected"))

    def look(self) -> str:
        """Take the next image, wait for what becomes of it, drive on, and return the state."""
        stamp_ns, handled = START_NS + self.number * STEP_NS, self.handled
        odometry = matrix_to_transform(self._T_odom_base, parent="odom", child="base_link", stamp_ns=stamp_ns)
        self._tf.publish(TFMessage(transforms=[odometry]))
        self._infos.publish(camera_info())
        self._images.publish(image(self.number, stamp_ns))
        self.recorder.wait(lambda: self.handled > handled, timeout_s=20.0)
        self._T_odom_base = self._T_odom_base @ step(DRIFT * STEP_M)
        self.number += 1
        return self.said("trust_state")

    def look_until(self, state: str, end: int) -> None:
        """Drive until the node says this state, before image `end`."""
        while self.look() != state:
            assert self.number < end, f"still {self.said('trust_state')}: {self.said('trust_detail')}"


class TestRecovery(unittest.TestCase):
    """start -> silent -> tracking -> kidnap -> silent -> recovered, and no wrong pose on the way."""

    def test_a_kidnapped_robot_finds_itself(self) -> None:
        with spinning_node("driver") as node:
            robot = Robot(node)
            robot.meet()
            for _ in range(VOTES - 1):
                assert robot.look() != "tracking"
            assert robot.recorder.pose_count == 0
            robot.look_until("tracking", BEFORE)
            robot.recorder.wait(lambda: robot.recorder.pose_count > 0, timeout_s=10.0)
            while robot.number < BEFORE:
                assert robot.look() == "tracking"
            while robot.look() == "tracking":
                assert robot.number < BEFORE + NOTICED, "the kidnap is not noticed"
            poses = robot.recorder.pose_count
            robot.look_until("tracking", BEFORE + AFTER)
            robot.recorder.wait(lambda: robot.recorder.pose_count > poses, timeout_s=10.0)
            recording, expected = robot.recorder.recording(), truth()
        for stamp_ns, found in zip(recording.stamps_ns, recording.T_map_camera, strict=True):
            right = expected[(int(stamp_ns) - START_NS) // STEP_NS]
            assert np.linalg.norm(found[:3, 3] - right[:3, 3]) < LIMIT_M, (stamp_ns, found, right)


@launch_testing.post_shutdown_test()
class TestEnd(unittest.TestCase):
    """An interrupt ends the node as it should."""

    def test_exit_code(self, proc_info: Any) -> None:
        launch_testing.asserts.assertExitCodes(proc_info)
