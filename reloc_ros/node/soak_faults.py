"""The faults of a soak: in images, calibration, odometry, clock, services, parameters, priors and the lifecycle."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from time import perf_counter
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseWithCovarianceStamped
from numpy.random import Generator
from rcl_interfaces.srv import SetParameters
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_msgs.msg import String
from std_srvs.srv import Empty, Trigger

from reloc_ros.geometry import rotation, se3
from reloc_ros.node.conversions import ns_to_stamp
from reloc_ros.node.lifecycle_client import LifecycleClient
from reloc_ros.node.oracle_image import Plant, write
from reloc_ros.node.staged_robot import StagedRobot
from reloc_ros.types import Array

_IMAGE_FAULT_SHARE = 0.03
_EVENT_SHARE = 0.2
"""Of images, and of seconds, in which something is planted."""

_SECOND_NS = 1_000_000_000
_BACK_NS = -20 * _SECOND_NS
_FLOOD = 60
_TIMEOUT_S = 20.0
_STRANGE = (0.0, -1.0, 1e-320, 17.0, 1e300, np.inf, -np.inf, np.nan)
_PARAMETERS: tuple[tuple[str, object], ...] = (
    ("transform_tolerance", 0.1),
    ("transform_tolerance", 0.5),
    ("smoothing_s", 0.0),
    ("smoothing_s", 0.3),
    ("max_fix_age_s", -1.0),
    ("relocalize_timeout_s", 1.0),
    ("votes_to_accept", 1.0),
    ("no_such_parameter", 1),
)
_ROUNDS = (("deactivate", "activate"), ("deactivate", "cleanup", "configure", "activate"))


class Faults:
    """Sends what the robot sends, and now and then something else.

    Args:
        node: owner of the clients.
        robot: that is played.
        lifecycle: of the node under test.
        planted: counts the faults by name.
        calls: counts service calls.
        rng: chooses.
    """

    def __init__(
        self,
        node: Node,
        robot: StagedRobot,
        lifecycle: LifecycleClient,
        planted: Counter[str],
        calls: Counter[str],
        rng: Generator,
    ) -> None:
        self.clock_offset_ns = 0
        self.transitions_s: list[tuple[str, float]] = []
        self._robot, self._lifecycle, self._planted, self._calls, self._rng = robot, lifecycle, planted, calls, rng
        self._stamp_ns = 0
        self._without_odometry = 0
        self._with_wrong_info = 0
        self._T_odom_jump = np.eye(4)
        self._pending: deque[Any] = deque()
        self._transitions = ThreadPoolExecutor(1, thread_name_prefix="transitions")
        self._transition: Future[None] | None = None
        self._relocalize = node.create_client(Trigger, "relocalizer_node/relocalize")
        self._reinitialize = node.create_client(Empty, "reinitialize_global_localization")
        self._set_parameters = node.create_client(SetParameters, "relocalizer_node/set_parameters")
        self._initialpose = node.create_publisher(PoseWithCovarianceStamped, "initialpose", 1)
        self._hint = node.create_publisher(String, "scene_hint", 1)
        self._events: dict[str, tuple[float, Callable[[], None]]] = {
            "flood": (3.0, self._flood),
            "odometry_gap": (3.0, self._stop_odometry),
            "odometry_jump": (1.0, self._jump_odometry),
            "wrong_camera_info": (3.0, self._confuse_camera),
            "clock_jump": (1.0, self._jump_clock),
            "relocalize": (4.0, lambda: self._call("relocalize", self._relocalize, Trigger.Request())),
            "reinitialize": (2.0, lambda: self._call("reinitialize", self._reinitialize, Empty.Request())),
            "set_parameter": (4.0, self._set_parameter),
            "hostile_initialpose": (4.0, self._send_hostile_pose),
            "scene_hint": (2.0, lambda: self._hint.publish(String(data="beside the " + "x" * 5000))),
            "transitions": (1.0, self._change_state),
        }

    def send(self, *, T_map_camera: Array, T_odom_base: Array, stamp_ns: int, plant: Plant) -> None:
        """Send odometry and an image, or what goes for them."""
        self._stamp_ns = stamp_ns
        self._without_odometry -= 1
        if self._without_odometry < 0:
            self._robot.send_odometry(self._T_odom_jump @ T_odom_base, stamp_ns)
        changes: dict[str, Any] = {}
        if self._rng.random() < _IMAGE_FAULT_SHARE:
            changes, plant = self._image_fault(plant)
        self._with_wrong_info -= 1
        if self._with_wrong_info == 0:
            self._robot.restore_info()
        self._robot.send_image(write(T_map_camera, plant), stamp_ns, **changes)

    def each_second(self) -> None:
        """Let something happen now and then."""
        if self._rng.random() < _EVENT_SHARE:
            names, weights = list(self._events), np.array([weight for weight, _ in self._events.values()])
            name = str(self._rng.choice(names, p=weights / weights.sum()))
            self._planted[name] += 1
            self._events[name][1]()

    def finish(self) -> None:
        """Wait for what is under way."""
        self._transitions.shutdown(wait=True)
        if self._transition is not None:
            self._transition.result()

    def is_answered(self) -> bool:
        """Tell whether no service call is waiting for its answer."""
        return all(call.done() for call in self._pending)

    def count_calls(self) -> None:
        """Count the answers to service calls."""
        for call in self._pending:
            self._calls["answered"] += call.done()

    def _image_fault(self, plant: Plant) -> tuple[dict[str, Any], Plant]:
        """Return fields of the message, or the stage of the localizer, that are wrong."""
        broken: dict[str, dict[str, Any]] = {
            "wrong_step": {"step": 17},
            "unknown_encoding": {"encoding": "smoke"},
            "wrong_size": {"width": 4096},
            "no_pixels": {"data": b""},
        }
        kinds = [*broken, *(fault.name.lower() for fault in Plant if fault is not Plant.NOTHING)]
        kind = str(self._rng.choice(kinds))
        self._planted[kind] += 1
        if kind in broken:
            return broken[kind], plant
        return {}, Plant[kind.upper()]

    def _flood(self) -> None:
        """More images at once than any network takes, all older than the last."""
        for number in range(_FLOOD):
            self._robot.send_image(write(np.eye(4), Plant.NOTHING_SEEN), self._stamp_ns - _FLOOD + number)

    def _stop_odometry(self) -> None:
        self._without_odometry = int(self._rng.integers(5, 90))

    def _jump_odometry(self) -> None:
        turn = rotation.exp([0.0, 0.0, float(self._rng.uniform(-3.0, 3.0))])
        self._T_odom_jump = se3.from_rotation_translation(turn, [*self._rng.uniform(-5.0, 5.0, 2), 0.0])

    def _confuse_camera(self) -> None:
        self._with_wrong_info = int(self._rng.integers(2, 30))
        self._robot.info.width = int(self._rng.choice([0, 320, 4096]))

    def _jump_clock(self) -> None:
        self.clock_offset_ns = 0 if self.clock_offset_ns else _BACK_NS

    def _call(self, name: str, client: Any, request: object) -> None:
        if client.service_is_ready():
            self._calls["asked"] += 1
            self._calls[name] += 1
            self._pending.append(client.call_async(request))
        while len(self._pending) > 50:
            self._calls["answered"] += self._pending.popleft().done()

    def _set_parameter(self) -> None:
        name, value = _PARAMETERS[int(self._rng.integers(len(_PARAMETERS)))]
        message = Parameter(name, value=value).to_parameter_msg()
        self._call("set_parameter", self._set_parameters, SetParameters.Request(parameters=[message]))

    def _send_hostile_pose(self) -> None:
        """An initialpose some of whose numbers are strange."""
        message = PoseWithCovarianceStamped()
        message.header.frame_id = "map"
        message.header.stamp = ns_to_stamp(self._stamp_ns)
        numbers = np.concatenate([np.diag(self._rng.uniform(0.0, 1.0, 6)).ravel(), [0.0] * 3, [0.0, 0.0, 0.0, 1.0]])
        places = self._rng.integers(0, len(numbers), int(self._rng.integers(1, 4)))
        numbers[places] = self._rng.choice(_STRANGE, len(places))
        position, orientation = message.pose.pose.position, message.pose.pose.orientation
        message.pose.covariance = numbers[:36]
        position.x, position.y, position.z = map(float, numbers[36:39])
        orientation.x, orientation.y, orientation.z, orientation.w = map(float, numbers[39:])
        self._initialpose.publish(message)

    def _change_state(self) -> None:
        """Ask for a round of transitions while images go on."""
        if self._transition is None or self._transition.done():
            if self._transition is not None:
                self._transition.result()
            round_ = _ROUNDS[int(self._rng.integers(len(_ROUNDS)))]
            self._transition = self._transitions.submit(self._go_round, round_)

    def _go_round(self, transitions: tuple[str, ...]) -> None:
        for transition in transitions:
            start_s = perf_counter()
            if not self._lifecycle.change(transition, _TIMEOUT_S):
                raise RuntimeError(f"the node refused to {transition}")
            self.transitions_s.append((transition, perf_counter() - start_s))
