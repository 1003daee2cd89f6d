"""A robot that drives in a circle with drifting odometry, seen by a relocalizer that is right until told otherwise.

Time is that of the images: a drive of a minute takes as long as its messages. Each image is a new view.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import rclpy
from fake_robot import SECOND_NS, START_NS, FakeRobot, TruthModel
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage
from tf_messages import stamped

from reloc_ros.geometry import rotation, se3
from reloc_ros.node.conversions import matrix_to_transform, pose_with_covariance, transform_to_matrix
from reloc_ros.node.model import Load, Model
from reloc_ros.node.settings import Settings
from reloc_ros.types import Array, Estimate, Frame, Localization, Reason, Rejected

STEP_NS = SECOND_NS // 5
STEP_M, STEP_RAD = 0.3, 0.1
DRIFT = 1.01
COVARIANCE = np.diag([0.05, 0.05, 0.05, 0.02, 0.02, 0.02]) ** 2
# The camera looks along the robot's x axis, 0.2 m ahead of and 1.5 m above the base.
CAMERA_ON_BASE = {"translation": (0.2, 0.0, 1.5), "quat_xyzw": (-0.5, 0.5, -0.5, 0.5)}
T_BASE_CAMERA = np.array([[0.0, 0, 1, 0.2], [-1, 0, 0, 0], [0, -1, 0, 1.5], [0, 0, 0, 1]])
# Where odometry began.
T_MAP_ODOM_AT_START = se3.from_rotation_translation(rotation.exp([0.0, 0.0, 0.7]), [4.0, -2.0, 0.0])
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class ScriptedLocalizer:
    """Knows the pose of each image by its stamp; where it knows none, the image is degenerate."""

    scene_hint = ""

    def __init__(self) -> None:
        self.T_map_camera: dict[int, Array] = {}
        self.map_frame = "map"
        self.stage_seconds: dict[str, float] = {}

    def localize(self, frame: Frame) -> Localization:
        T_map_camera = self.T_map_camera.get(frame.stamp_ns)
        if T_map_camera is None:
            return Rejected(reason=Reason.DEGENERATE, detail="nothing to see", stamp_ns=frame.stamp_ns)
        return Estimate(
            T_map_camera=T_map_camera,
            covariance=COVARIANCE,
            map_frame=self.map_frame,
            scene=self.map_frame,
            stamp_ns=frame.stamp_ns,
            evidence={},
        )

    def hint_scene(self, _: str) -> str:
        return ""

    def network_view(self, _: Frame) -> None:
        return None


class ScriptedModel(TruthModel):
    """A model with a scripted localizer."""

    def __init__(self, fingerprint: str = "one") -> None:
        super().__init__()
        self.localizer = ScriptedLocalizer()
        self.fingerprint = fingerprint

    def open(self, _: Settings) -> Load:
        return lambda: Model(
            localizer=self.localizer,
            method="scripted",
            camera_model="pinhole",
            backend=SimpleNamespace(name="script", precision="fp64", device="cpu", verdict=""),
            fingerprint=self.fingerprint,
        )


class DrivingRobot(FakeRobot):
    """The node under test on a robot that drives."""

    model: ScriptedModel

    def __init__(self, context: Any, parameters: dict[str, Any], model: ScriptedModel) -> None:
        super().__init__(context, parameters, model, "/")
        self.T_map_base = T_MAP_ODOM_AT_START.copy()
        self.T_odom_base = np.eye(4)
        self.odometry: dict[int, Array] = {}
        self.stamp_ns = START_NS
        self.truth: dict[int, Array] = {}
        self.statuses: list[dict[str, str]] = []
        self.driver.create_subscription(
            String, "relocalizer_node/status", lambda message: self.statuses.append(json.loads(message.data)), LATCHED
        )
        self.initialpose = self.driver.create_publisher(PoseWithCovarianceStamped, "initialpose", 1)

    @property
    def T_map_odom(self) -> Array:
        """Truth."""
        return self.T_map_base @ se3.inverse(self.T_odom_base)

    @property
    def status(self) -> tuple[str, str]:
        """State and cause said last."""
        return (self.statuses[-1]["state"], self.statuses[-1]["cause"]) if self.statuses else ("", "")

    def start(self) -> None:
        self.bring_up()
        self.send_camera_info()
        if self.node._settings.body == "camera":
            return
        self.spin_until(lambda: self.tf.get_subscription_count() > 1 and self.tf_static.get_subscription_count() > 0)
        mount = stamped("base_link", "camera_optical_frame", 0.0, **CAMERA_ON_BASE)
        self.tf_static.publish(TFMessage(transforms=[mount]))
        known = self.node._relocalizer._transforms._buffer
        self.spin_until(lambda: known.can_transform("base_link", "camera_optical_frame", rclpy.time.Time()))

    def drive(self, images: int, *, blind: bool = False) -> None:
        """Drive on; after each step an image is taken and judged."""
        for _ in range(images):
            self.move()
            self.look(blind=blind)

    def move(self) -> None:
        """Drive one step and send odometry."""
        self.stamp_ns += STEP_NS
        self.T_map_base = self.T_map_base @ _step(STEP_M, STEP_RAD)
        self.T_odom_base = self.T_odom_base @ _step(DRIFT * STEP_M, STEP_RAD)
        self.odometry[self.stamp_ns] = self.T_odom_base
        self.send_odometry()

    def send_odometry(self) -> None:
        message = matrix_to_transform(self.T_odom_base, parent="odom", child="base_link", stamp_ns=self.stamp_ns)
        self.tf.publish(TFMessage(transforms=[message]))

    def look(self, *, blind: bool = False) -> None:
        """Take an image and wait for what becomes of it."""
        T_map_camera = self.T_map_base @ T_BASE_CAMERA
        self.truth[self.stamp_ns] = T_map_camera
        if not blind:
            self.model.localizer.T_map_camera[self.stamp_ns] = T_map_camera
        handled = self.handled
        self.send_image(1, self.stamp_ns)
        self.spin_until(lambda: self.handled > handled)

    def kidnap(self) -> None:
        """Be carried elsewhere; odometry does not notice."""
        T_map_map = se3.from_rotation_translation(rotation.exp([0.0, 0.0, 2.0]), [-3.0, 5.0, 0.0])
        self.T_map_base = T_map_map @ self.T_map_base

    def drive_until_tracking(self, limit: int = 20) -> int:
        """Drive until poses come; return after how many images."""
        for images in range(1, limit + 1):
            before = self.count("accepted")
            self.drive(1)
            if self.count("accepted") > before:
                self.spin_until(lambda: self.stamp_ns in self.pose_stamps() and self.status[0] == "tracking")
                return images
        raise AssertionError(f"still {self.status} after {limit} images")

    def drive_until(self, condition: Callable[[], bool], limit: int = 300) -> None:
        """Drive until something holds; some of it happens by the clock."""
        for _ in range(limit):
            if condition():
                return
            self.drive(1)
            self.executor.spin_once(timeout_sec=0.02)
        raise AssertionError(f"still {self.status} after {limit} images")

    def give_pose(self, T_map_base: Array, *, frame: str = "map", stamp_ns: int = 0) -> None:
        """Publish an initialpose, as certain as a click in RViz."""
        covariance = np.diag([0.25, 0.25, 0.0, 0.0, 0.0, 0.07])
        self.spin_until(lambda: self.initialpose.get_subscription_count() > 0)
        self.initialpose.publish(pose_with_covariance(T_map_base, covariance, map_frame=frame, stamp_ns=stamp_ns))

    @property
    def handled(self) -> int:
        """Images of which is known what became of them."""
        summary = self.node.statistics.summary()
        return sum(summary.rejected.values()) + summary.counts["accepted"] + summary.counts["withheld"]

    @property
    def shown(self) -> list[Array]:
        """T_map_odom of each broadcast so far."""
        return [transform_to_matrix(each.transform) for each in self.transforms if each.child_frame_id == "odom"]

    def worst_error(self) -> tuple[float, float]:
        """Return the largest errors of published poses, metres and radians."""
        errors = [(0.0, 0.0)]
        for message in self.poses:
            stamp_ns = message.header.stamp.sec * SECOND_NS + message.header.stamp.nanosec
            position = message.pose.position
            truth = self.truth[stamp_ns]
            metres = float(np.linalg.norm(np.array([position.x, position.y, position.z]) - truth[:3, 3]))
            orientation = message.pose.orientation
            quat_xyzw = [orientation.x, orientation.y, orientation.z, orientation.w]
            estimated = se3.from_quat_xyzw_translation(np.array(quat_xyzw), np.zeros(3))
            errors.append((metres, float(rotation.angle_between_rad(estimated[:3, :3], truth[:3, :3]))))
        return tuple(np.max(errors, axis=0))  # type: ignore[return-value]


def _step(metres: float, radians: float) -> Array:
    return se3.from_rotation_translation(rotation.exp([0.0, 0.0, radians]), [metres, 0.0, 0.0])


@contextmanager
def driving_robot(*, fingerprint: str = "one", **parameters: Any) -> Iterator[DrivingRobot]:
    """Give a robot in its own ROS context, ready to drive."""
    context = rclpy.Context()
    rclpy.init(args=[], context=context)
    defaults = {
        "bundle": "script",
        # `votes_to_accept` decides from the start.
        "votes_at_first": 1.0,
        "diagnostics_rate_hz": 20.0,
        "transform_wait_s": 2.0,
        "initialize_at_saved_pose": False,
        "save_pose_rate": 0.0,
    }
    robot = DrivingRobot(context, {**defaults, **parameters}, ScriptedModel(fingerprint))
    try:
        robot.start()
        yield robot
    finally:
        robot.close()
        context.try_shutdown()
