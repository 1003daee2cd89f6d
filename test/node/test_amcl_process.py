"""AMCL's place in three processes: the stand-in, our node as initializer, and the robot."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy (a ROS 2 installation or the ros_from_pip overlay)")

from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_srvs.srv import Empty

from reloc_ros.geometry import rotation, se3
from reloc_ros.node.conversions import pose_to_matrix
from reloc_ros.node.lifecycle_client import LifecycleClient, NodeProcess
from reloc_ros.node.lockstep import PARAMETERS, Look, Player
from reloc_ros.node.oracle_image import CAMERA, write
from reloc_ros.node.recorder import Recorder
from reloc_ros.node.session import spinning_node
from reloc_ros.node.soak import MODULE, T_BASE_CAMERA
from reloc_ros.node.staged_robot import StagedRobot

pytestmark = pytest.mark.usefixtures("ros_domain_id")

SCRIPT = Path(__file__).resolve().parents[1] / "support" / "amcl_process.py"
STEP_S = 0.2


@contextmanager
def amcl() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, str(SCRIPT)])
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=10.0)


class Robot:
    """Drives in a circle; odometry is off by where it began."""

    def __init__(self, player: Player, recorder: Recorder) -> None:
        self.player, self.recorder = player, recorder
        self.T_map_odom = se3.from_rotation_translation(rotation.exp([0.0, 0.0, 0.7]), [4.0, -2.0, 0.0])
        self.T_odom_base = np.eye(4)
        self.time_s = 0.0

    @property
    def T_map_base(self) -> np.ndarray:
        return self.T_map_odom @ self.T_odom_base

    def step(self) -> None:
        self.time_s += STEP_S
        self.T_odom_base = self.T_odom_base @ se3.from_rotation_translation(rotation.exp([0, 0, 0.1]), [0.3, 0, 0])
        image = write(self.T_map_base @ T_BASE_CAMERA)
        self.player.show(Look(time_s=self.time_s, T_odom_base=self.T_odom_base, image=image))

    def step_until(self, said: str, limit: int = 150) -> None:
        for _ in range(limit):
            self.step()
            if self.recorder.latest_diagnostics["handover"].startswith(said):
                return
        raise AssertionError(f"{limit} images, and still {self.recorder.latest_diagnostics['handover']}")


def test_amcl_loses_itself_is_initialized_by_us_and_confirms() -> None:
    parameters = {**PARAMETERS, "bundle": "oracle", "role": "initializer", "monitor_lost_after_s": 0.0}
    with spinning_node("robot") as node, NodeProcess(parameters, module=MODULE) as process, amcl() as stand_in:
        recorder, poses, heard = Recorder(node, keep=100), [], Event()

        def on_pose(message: PoseWithCovarianceStamped) -> None:
            poses.append(message)
            heard.set()

        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        node.create_subscription(PoseWithCovarianceStamped, "amcl_pose", on_pose, latched)
        reinitialize = node.create_client(Empty, "reinitialize_global_localization")
        player = Player(recorder, StagedRobot(node, CAMERA, T_BASE_CAMERA), process, broadcasts=False)
        robot = Robot(player, recorder)
        LifecycleClient(node, process=process).bring_up(40.0)
        robot.player.meet()
        assert reinitialize.wait_for_service(timeout_sec=20.0)

        robot.step_until("taken, attempt 1")
        assert error_m(poses[-1], robot) < 0.5
        # Navigation has to be well for two seconds before it can be lost again.
        for _ in range(round(3.0 / STEP_S)):
            robot.step()
        # It began lost or well, as its first pose came late or early.
        well = ("all monitors are within their limits again", "no monitor is beyond its limit")
        assert recorder.latest_diagnostics["monitors"] in well

        answered = Event()
        reinitialize.call_async(Empty.Request()).add_done_callback(lambda _: answered.set())
        assert answered.wait(10.0)
        robot.step_until("wanted")
        assert error_m(poses[-1], robot) > 2.0
        robot.step_until("taken, attempt 1")
        heard.clear()
        robot.step()
        assert heard.wait(10.0)
        assert error_m(poses[-1], robot) < 0.5
        assert stand_in.poll() is None


def error_m(message: PoseWithCovarianceStamped, robot: Robot) -> float:
    """Return how far AMCL's pose is from the robot, one step of driving included."""
    return float(np.linalg.norm(pose_to_matrix(message.pose.pose)[:2, 3] - robot.T_map_base[:2, 3]))
