"""Drives a relocalizer process for as long as wanted, plants faults in every stage, and watches what becomes of it."""

from __future__ import annotations

import contextlib
import re
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import numpy as np
from geometry_msgs.msg import PoseWithCovarianceStamped
from numpy.random import Generator
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile

from reloc_ros.errors import ProcessError
from reloc_ros.geometry import rotation, se3
from reloc_ros.node import oracle_image
from reloc_ros.node.bag_player import Pacer
from reloc_ros.node.conversions import pose_to_matrix, stamp_to_ns
from reloc_ros.node.lifecycle_client import PATIENCE_S, LifecycleClient, NodeProcess
from reloc_ros.node.process_usage import Usage, usage
from reloc_ros.node.recorder import Recorder
from reloc_ros.node.session import spinning_node
from reloc_ros.node.soak_faults import Faults
from reloc_ros.node.staged_robot import StagedRobot
from reloc_ros.types import Array

MODULE = "reloc_ros.node.oracle_node"
T_BASE_CAMERA = np.array([[0.0, 0, 1, 0.1], [-1, 0, 0, 0], [0, -1, 0, 1.0], [0, 0, 0, 1]])
PARAMETERS = {
    "bundle": "oracle",
    "diagnostics_rate_hz": 2.0,
    "initialize_at_saved_pose": False,
    "save_pose_rate": 0.0,
    "relocalize_timeout_s": 5.0,
}

_ANSWERS_S = 15.0
_REMEMBERED = 3000
"""Images whose truth is kept; poses come within a second."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One image of a drive: where the robot is, what odometry says, and what the network will say (None: nothing)."""

    T_map_base: Array
    T_odom_base: Array
    T_map_base_seen: Array | None


@dataclass(kw_only=True)
class SoakRecord:
    """What was seen from outside.

    Args:
        usage: (second, what the process used) about each second.
        latency: (second, p50 ms, p99 ms) as diagnostics said.
        errors: (second, metres, degrees) of each published pose.
        planted: how often each fault was planted.
        states: how often diagnostics named each state of trust.
        transitions_s: duration of each lifecycle transition that was asked for while images came.
        calls: service calls asked, answered.
        counts: images in, accepted, withheld, rejected and so on, over all configurations of the node.
        faults: exceptions in the node's log that nobody planted, and how often.
        sent: images.
        seconds: how long it ran.
        exit_code: of the process after an interrupt; 0 is clean.
    """

    usage: list[tuple[float, Usage]] = field(default_factory=list)
    latency: list[tuple[float, float, float]] = field(default_factory=list)
    errors: list[tuple[float, float, float]] = field(default_factory=list)
    planted: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    transitions_s: list[tuple[str, float]] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    seconds: float = 0.0
    exit_code: int = -1


def soak(
    legs: Iterator[list[Step]],
    *,
    seconds: float,
    rate_hz: float,
    rng: Generator,
    on_second: Callable[[float], None] = lambda _: None,
) -> SoakRecord:
    """Drive for a time and return what was seen.

    Args:
        legs: stretches of a drive, each beginning elsewhere than where the one before ended: the robot is carried.
            Odometry of each begins at the origin.
        seconds: how long.
        rate_hz: of images.
        rng: chooses the faults.
        on_second: told the time about each second.

    Raises:
        ProcessError: the node ended or did not start.
    """
    try:
        with spinning_node("reloc_soak") as node, NodeProcess(PARAMETERS, module=MODULE) as process:
            stage = _Stage(node, process, rng)
            stage.start()
            stage.drive(legs, seconds=seconds, rate_hz=rate_hz, on_second=on_second)
            stage.finish()
            return stage.record
    except (RuntimeError, TimeoutError) as error:
        raise ProcessError(f"the soak stopped: {error}") from error


class _Stage:
    """The robot, its faults and those who watch."""

    def __init__(self, node: Node, process: NodeProcess, rng: Generator) -> None:
        self.record = SoakRecord()
        self._node = node
        self._process = process
        self._recorder = Recorder(node, keep=1)
        self._robot = StagedRobot(node, oracle_image.CAMERA, T_BASE_CAMERA)
        self._lifecycle = LifecycleClient(node, process=process)
        self._faults = Faults(node, self._robot, self._lifecycle, self.record.planted, self.record.calls, rng)
        self._truth: dict[int, Array] = {}
        self._stamps: deque[int] = deque()
        self._began_s = 0.0
        self._T_odom_leg = np.eye(4)
        self._counted: dict[str, int] = {}
        volatile = QoSProfile(depth=100, durability=DurabilityPolicy.VOLATILE)
        node.create_subscription(
            PoseWithCovarianceStamped, "relocalizer_node/pose_with_covariance", self._on_pose, volatile
        )

    def start(self) -> None:
        """Bring the node up and let everybody find everybody."""
        self._lifecycle.bring_up()
        self._recorder.wait(lambda: self._recorder.latest_diagnostics.get("model") == "ready", timeout_s=PATIENCE_S)
        self._recorder.wait(lambda: self._robot.is_heard, timeout_s=PATIENCE_S)

    def drive(
        self, legs: Iterator[list[Step]], *, seconds: float, rate_hz: float, on_second: Callable[[float], None]
    ) -> None:
        """Send images at their rate, faults among them."""
        pacer = Pacer(1e-9 * rate_hz)
        pacer.start(0)
        self._began_s = perf_counter()
        number, next_second = 0, 0.0
        while True:
            leg = next(legs)
            for step in leg:
                pacer.wait_until(number)
                now_s = perf_counter() - self._began_s
                if now_s >= seconds:
                    self.record.seconds = now_s
                    return
                self._send(step)
                number += 1
                if now_s >= next_second:
                    next_second = now_s + 1.0
                    self._watch(now_s)
                    self._faults.each_second()
                    on_second(now_s)
            self._T_odom_leg = self._T_odom_leg @ leg[-1].T_odom_base

    def finish(self) -> None:
        """End the node as a terminal would, and read what it had to say."""
        self._faults.finish()
        self._watch(self.record.seconds)
        # A request of the last moment has its time-out to be answered in; what stays unanswered is counted so.
        with contextlib.suppress(TimeoutError):
            self._recorder.wait(self._faults.is_answered, timeout_s=_ANSWERS_S)
        self._faults.count_calls()
        self.record.transitions_s = self._faults.transitions_s
        self._keep_counts(self._recorder.latest_diagnostics)
        self.record.exit_code = self._process.stop()
        self.record.faults = unplanted(self._process.log)

    def _send(self, step: Step) -> None:
        stamp_ns = int(self._node.get_clock().now().nanoseconds) + self._faults.clock_offset_ns
        self._truth[stamp_ns] = step.T_map_base @ T_BASE_CAMERA
        self._stamps.append(stamp_ns)
        if len(self._stamps) > _REMEMBERED:
            self._truth.pop(self._stamps.popleft(), None)
        seen = step.T_map_base if step.T_map_base_seen is None else step.T_map_base_seen
        nothing = step.T_map_base_seen is None
        self._faults.send(
            T_map_camera=seen @ T_BASE_CAMERA,
            T_odom_base=self._T_odom_leg @ step.T_odom_base,
            stamp_ns=stamp_ns,
            plant=oracle_image.Plant.NOTHING_SEEN if nothing else oracle_image.Plant.NOTHING,
        )
        self.record.sent += 1

    def _watch(self, now_s: float) -> None:
        """Look at the process from outside, about each second."""
        self._process.check()
        self.record.usage.append((now_s, usage(self._process.pid)))
        values = self._recorder.latest_diagnostics
        self.record.states[values.get("trust_state", "")] += 1
        if "latency_p50_ms" in values:
            self.record.latency.append((now_s, float(values["latency_p50_ms"]), float(values["latency_p99_ms"])))
        # Counts begin anew with each configuration.
        if int(values.get("frames_in", 0)) < self._counted.get("frames_in", 0):
            self._keep_counts({name: str(count) for name, count in self._counted.items()})
        self._counted = {name: int(value) for name, value in values.items() if _is_count(name)}

    def _keep_counts(self, values: dict[str, str]) -> None:
        self.record.counts.update({name: int(value) for name, value in values.items() if _is_count(name)})

    def _on_pose(self, message: PoseWithCovarianceStamped) -> None:
        truth = self._truth.get(stamp_to_ns(message.header.stamp))
        found = pose_to_matrix(message.pose.pose)
        now_s = perf_counter() - self._began_s
        if truth is None:
            # A pose for an image that was never sent is as wrong as can be.
            self.record.errors.append((now_s, np.inf, np.inf))
            return
        between = se3.inverse(truth) @ found
        degrees = float(np.degrees(rotation.angle_between_rad(np.eye(3), between[:3, :3])))
        self.record.errors.append((now_s, float(np.linalg.norm(between[:3, 3])), degrees))


def unplanted(log: Path) -> Counter[str]:
    """Return the exceptions in a node's log that nobody planted.

    That an image at hand could not be published when an interrupt had ended the context is how processes end.
    """
    found: Counter[str] = Counter()
    with log.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if re.match(r"^(\w+\.)*\w*(Error|Exception)\b", line) and not re.search("planted|context is invalid", line):
                found[line.strip()[:120]] += 1
    return found


def _is_count(name: str) -> bool:
    return name.startswith(("frames_", "rejected_"))
