"""A relocalizer node in this process, a driver node that plays the robot, and a model that knows the truth.

An image of the uniform value k is "frame k": the model answers it with `POSES[k]`. Some values stand for faults, one
for each stage of the localizer. Everything goes over DDS; nothing sleeps: `spin_until` waits on a condition.
"""

from __future__ import annotations

import array
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import monotonic
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from fake_bundles import CAMERA, make_manifest
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from tf2_msgs.msg import TFMessage

from reloc_ros.geometry import se3
from reloc_ros.localization import solve
from reloc_ros.localization.localizer import Localizer
from reloc_ros.localization.solve import Failure, Solution, Solver
from reloc_ros.node.conversions import ns_to_stamp, stamp_to_ns
from reloc_ros.node.model import Load, Model
from reloc_ros.node.relocalizer_node import RelocalizerNode
from reloc_ros.node.settings import Settings
from reloc_ros.types import Array, Outputs, Reason

SECOND_NS = 1_000_000_000
REMAPS: list[str] = []
START_NS = 1_700_000_000 * SECOND_NS
QUAT_XYZW = np.array([1.0, 2.0, 4.0, 10.0]) / 11.0
COVARIANCE = np.diag([0.01, 0.02, 0.03, 0.004, 0.005, 0.006]) + 0.001 * (np.ones((6, 6)) - np.eye(6))
POSES = [se3.from_quat_xyzw_translation(QUAT_XYZW, np.array([0.1 * k, -0.2, 0.3])) for k in range(20)]

# Each image by itself, as most tests have it, and nothing from an earlier test.
QUICK = {"diagnostics_rate_hz": 20.0, "trust": "single", "initialize_at_saved_pose": False, "save_pose_rate": 0.0}

# Frames that go wrong, by stage.
INFERENCE_FAULT, SOLVE_FAULT, GATE_FAULT, DEGENERATE, OUTSIDE, NOT_A_NUMBER = range(200, 206)


class TruthBackend:
    """Answers an image with its own value; waits for `release` first when told to hold."""

    name, device, precision, verdict = "truth", "cpu", "fp32", ""

    def __init__(self) -> None:
        self.on_run: Callable[[int], None] = lambda number: None

    def run(self, inputs: Mapping[str, Any]) -> Outputs:
        number = round(float(inputs["image"].mean()))
        self.on_run(number)
        if number == INFERENCE_FAULT:
            raise RuntimeError("planted in infer")
        return {"number": np.array(number)}

    def close(self) -> None:
        pass


def create_truth_solver(_: dict[str, Any]) -> Solver:
    return solve_truth


def solve_truth(outputs: Outputs, _: object) -> Solution | Failure:
    number = int(outputs["number"])
    if number == SOLVE_FAULT:
        raise RuntimeError("planted in solve")
    if number == DEGENERATE:
        return Failure(reason=Reason.DEGENERATE, detail="planted in solve")
    T_map_camera = POSES[number % len(POSES)].copy()
    if number == OUTSIDE:
        T_map_camera[0, 3] = 1000.0
    if number == NOT_A_NUMBER:
        T_map_camera[0, 0] = np.nan
    if number == GATE_FAULT:
        T_map_camera = None  # type: ignore[assignment]
    return Solution(T_map_camera=T_map_camera, covariance=COVARIANCE, evidence={})


class TruthModel:
    """What the node opens instead of a bundle."""

    def __init__(self, camera_model: str = "pinhole") -> None:
        self.backend = TruthBackend()
        self.camera_model = camera_model
        self.on_load: Callable[[], None] = lambda: None

    def open(self, _: Settings) -> Load:
        def load() -> Model:
            self.on_load()
            return Model(
                localizer=Localizer(make_manifest(output_kind="truth"), self.backend),
                method="truth",
                camera_model=self.camera_model,
                backend=self.backend,
            )

        return load


class FakeRobot:
    """The node under test with everything a robot would publish and read."""

    def __init__(self, context: Any, parameters: Mapping[str, Any], model: TruthModel | None, namespace: str) -> None:
        self.model = model
        arguments = ["--ros-args", "-r", f"__ns:={namespace}"]
        for rule in REMAPS:
            arguments += ["-r", rule]
        for name, value in parameters.items():
            arguments += ["-p", f"{name}:={value}"]
        open_model = {} if model is None else {"open_model": model.open}
        self.node = RelocalizerNode(**open_model, context=context, cli_args=arguments, use_global_arguments=False)
        self.driver = Node("driver", context=context, namespace=namespace, use_global_arguments=False)
        self.executor = SingleThreadedExecutor(context=context)
        self.executor.add_node(self.node)
        self.executor.add_node(self.driver)
        self.poses: list[PoseStamped] = []
        self.poses_with_covariance: list[PoseWithCovarianceStamped] = []
        self.transforms: list[Any] = []
        self.diagnostics: defaultdict[str, str] = defaultdict(str)
        name = "relocalizer_node"
        self.driver.create_subscription(PoseStamped, f"{name}/pose", self.poses.append, 100)
        self.driver.create_subscription(
            PoseWithCovarianceStamped, f"{name}/pose_with_covariance", self.poses_with_covariance.append, 100
        )
        self.driver.create_subscription(TFMessage, "/tf", lambda m: self.transforms.extend(m.transforms), 100)
        self.driver.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 100)
        self.images = self.driver.create_publisher(Image, "image", 10)
        self.camera_info = self.driver.create_publisher(CameraInfo, "camera_info", 10)
        self.tf = self.driver.create_publisher(TFMessage, "/tf", 10)
        static = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.tf_static = self.driver.create_publisher(TFMessage, "/tf_static", static)

    def close(self) -> None:
        self.executor.shutdown()
        self.driver.destroy_node()
        self.node.destroy_node()

    def spin_until(self, condition: Callable[[], bool], timeout_s: float = 15.0) -> None:
        deadline = monotonic() + timeout_s
        while not condition():
            if monotonic() > deadline:
                raise TimeoutError(f"{len(self.poses)} poses, diagnostics {dict(self.diagnostics)}")
            self.executor.spin_once(timeout_sec=0.05)

    def configure(self) -> bool:
        return bool(self.node.trigger_configure() == rclpy.lifecycle.TransitionCallbackReturn.SUCCESS)

    def bring_up(self) -> None:
        """Configure, activate, and let discovery and the camera_info through."""
        assert self.configure(), self.node._problem
        self.node.trigger_activate()
        self.spin_until(lambda: self.images.get_subscription_count() > 0)
        self.spin_until(lambda: self.camera_info.get_subscription_count() > 0)
        self.spin_until(lambda: self.node.count_subscribers("/diagnostics") > 0)
        names = [f"{self.node.get_fully_qualified_name()}/{topic}" for topic in ("pose", "pose_with_covariance")]
        self.spin_until(lambda: all(self.node.count_subscribers(name) > 0 for name in names))

    def send_camera_info(self, **changes: Any) -> None:
        self.camera_info.publish(camera_info(**changes))
        self.spin_until(lambda: self.node._relocalizer._cameras._message is not None)

    def send_image(self, number: int, stamp_ns: int, **changes: Any) -> None:
        self.images.publish(image(number, stamp_ns, **changes))

    def count(self, event: str) -> int:
        return self.node.statistics.summary().counts[event]

    def rejected(self, reason: Reason) -> int:
        return self.node.statistics.summary().rejected.get(reason, 0)

    def pose_stamps(self) -> list[int]:
        return [stamp_to_ns(pose.header.stamp) for pose in self.poses]

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self.diagnostics.update({pair.key: pair.value for status in message.status for pair in status.values})
        self.diagnostics["message"] = " | ".join(status.message for status in message.status)


@contextmanager
def fake_robot(
    parameters: Mapping[str, Any] | None = None, *, model: TruthModel | None = None, namespace: str = "/"
) -> Iterator[FakeRobot]:
    """Give a robot in its own ROS context; `model` None opens the real bundle that the parameters name."""
    solve.SOLVERS["truth"] = create_truth_solver
    context = rclpy.Context()
    rclpy.init(args=[], context=context)
    robot = FakeRobot(context, {**QUICK, **(parameters or {})}, model, namespace)
    try:
        yield robot
    finally:
        robot.close()
        context.try_shutdown()
        del solve.SOLVERS["truth"]


def truth_robot(**parameters: Any) -> Any:
    """Give a robot with a model that knows the truth; by default without any transform to broadcast."""
    model = parameters.pop("model", None) or TruthModel()
    return fake_robot({"bundle": "truth", "tf_mode": "off", **parameters}, model=model)


def image(number: int, stamp_ns: int, **changes: Any) -> Image:
    """Return frame `number` as a message of the truth model's camera, with fields changed."""
    message = Image()
    message.header.stamp = ns_to_stamp(stamp_ns)
    message.header.frame_id = "camera_optical_frame"
    message.width, message.height, message.encoding = CAMERA.width, CAMERA.height, "rgb8"
    message.step = CAMERA.width * 3
    message.data = array.array("B", bytes([number]) * (message.step * message.height))
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def camera_info(**changes: Any) -> CameraInfo:
    """Return the calibration of the truth model's camera as a message, with fields changed."""
    message = CameraInfo()
    message.width, message.height, message.distortion_model = CAMERA.width, CAMERA.height, "plumb_bob"
    message.k = CAMERA.K.ravel()
    message.d = [0.0] * 5
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def odometry_pose(x: float, y: float, yaw_rad: float) -> Array:
    """Return T_odom_base of a robot on the floor."""
    quat_xyzw = np.array([0.0, 0.0, np.sin(yaw_rad / 2), np.cos(yaw_rad / 2)])
    return se3.from_quat_xyzw_translation(quat_xyzw, np.array([x, y, 0.0]))
