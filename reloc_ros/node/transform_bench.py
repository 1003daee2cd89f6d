"""Asks for `map -> base_link` as nav2 does, all the time, while images come once a second."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np
from rclpy.clock import ClockType
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.time import Time
from std_msgs.msg import String
from tf2_ros import Buffer, ExtrapolationException, TransformException, TransformListener

from reloc_ros.errors import ProcessError
from reloc_ros.geometry import se3
from reloc_ros.node import oracle_image
from reloc_ros.node.bag_player import Pacer
from reloc_ros.node.conversions import transform_to_matrix
from reloc_ros.node.lifecycle_client import PATIENCE_S, LifecycleClient, NodeProcess
from reloc_ros.node.recorder import Recorder
from reloc_ros.node.session import spinning_node
from reloc_ros.node.soak import MODULE, T_BASE_CAMERA, Step
from reloc_ros.node.staged_robot import StagedRobot
from reloc_ros.types import Array

RATE_HZ = 50.0
"""Of odometry and of the questions."""
JUMP_M = 0.05
"""A step of `map -> odom`, seen at the base, from one question to the next, beyond which nav2's controller would feel it."""

_PARAMETERS = {"bundle": "oracle", "initialize_at_saved_pose": False, "save_pose_rate": 0.0}


@dataclass(kw_only=True)
class TransformRecord:
    """What a consumer got.

    Args:
        asked: questions while `map -> odom` was trusted.
        silent: questions while it was not; they have no answer.
        extrapolations: errors of extrapolation among those asked.
        others: other errors among them.
        jumps_m: steps beyond `JUMP_M` other than the first answer after a recovery.
        recoveries: how often trust began.
        largest_step_m: between two answers, but for recoveries.
        errors_m: of the answers, against the truth.
    """

    asked: int = 0
    silent: int = 0
    extrapolations: int = 0
    others: int = 0
    jumps_m: list[float] = field(default_factory=list)
    recoveries: int = 0
    largest_step_m: float = 0.0
    errors_m: list[float] = field(default_factory=list)


def ask_for_transforms(
    steps: Sequence[Step],
    *,
    image_rate_hz: float,
    parameters: Mapping[str, Any] | None = None,
    on_second: Callable[[float], None] = lambda _: None,
) -> TransformRecord:
    """Drive and ask; return what came back.

    Args:
        steps: the drive, at `RATE_HZ`.
        image_rate_hz: of images.
        parameters: of the node, beside the usual ones.
        on_second: told the time about each second.

    Raises:
        ProcessError: the node ended or did not start.
    """
    try:
        given = {**_PARAMETERS, **(parameters or {})}
        with spinning_node("reloc_consumer") as node, NodeProcess(given, module=MODULE) as process:
            recorder = Recorder(node, keep=1)
            robot = StagedRobot(node, oracle_image.CAMERA, T_BASE_CAMERA)
            consumer = _Consumer(node)
            LifecycleClient(node, process=process).bring_up()
            recorder.wait(lambda: recorder.latest_diagnostics.get("model") == "ready", timeout_s=PATIENCE_S)
            recorder.wait(lambda: robot.is_heard, timeout_s=PATIENCE_S)
            every = round(RATE_HZ / image_rate_hz)
            pacer = Pacer(1e-9 * RATE_HZ)
            pacer.start(0)
            for number, step in enumerate(steps):
                pacer.wait_until(number)
                stamp_ns = int(node.get_clock().now().nanoseconds)
                robot.send_odometry(step.T_odom_base, stamp_ns)
                if number % every == 0 and step.T_map_base_seen is not None:
                    robot.send_image(oracle_image.write(step.T_map_base_seen @ T_BASE_CAMERA), stamp_ns)
                consumer.ask(step)
                if number % round(RATE_HZ) == 0:
                    process.check()
                    on_second(number / RATE_HZ)
            consumer.close()
            return consumer.record
    except (RuntimeError, TimeoutError) as error:
        raise ProcessError(f"the bench stopped: {error}") from error


class _Consumer:
    """A reader of /tf who wants to know where the base is."""

    def __init__(self, node: Node) -> None:
        self.record = TransformRecord()
        self._buffer = Buffer(cache_time=Duration(seconds=10))
        self._listener = TransformListener(self._buffer, node, spin_thread=False)
        self._lock = Lock()
        self._trusted = False
        self._T_map_odom: Array | None = None
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        node.create_subscription(String, "relocalizer_node/status", self._on_status, latched)

    def ask(self, step: Step) -> None:
        """Ask for map to base at the newest odometry that has come back."""
        try:
            newest = self._buffer.lookup_transform("odom", "base_link", Time())
        except TransformException:
            return  # the first odometry is still under way
        with self._lock:
            trusted = self._trusted
        try:
            stamp = Time.from_msg(newest.header.stamp, clock_type=ClockType.ROS_TIME)
            found = transform_to_matrix(self._buffer.lookup_transform("map", "base_link", stamp).transform)
        except TransformException as error:
            self._count_failure(error, trusted=trusted)
            return
        if not trusted:
            # What was sent before the loss is still valid for a moment.
            self._T_map_odom = None
            self.record.silent += 1
            return
        self.record.asked += 1
        T_odom_base = transform_to_matrix(newest.transform)
        self._compare(found @ se3.inverse(T_odom_base), T_odom_base)
        self.record.errors_m.append(float(np.linalg.norm(found[:3, 3] - step.T_map_base[:3, 3])))

    def close(self) -> None:
        """Stop listening."""
        self._listener.unregister()

    def _count_failure(self, error: TransformException, *, trusted: bool) -> None:
        # Trust counts from its first answer: the news of it may come before the transform.
        if not trusted or self._T_map_odom is None:
            self.record.silent += 1
            return
        self.record.asked += 1
        if isinstance(error, ExtrapolationException):
            self.record.extrapolations += 1
        else:
            self.record.others += 1

    def _compare(self, T_map_odom: Array, T_odom_base: Array) -> None:
        if self._T_map_odom is None:
            self.record.recoveries += 1
        else:
            moved = (T_map_odom @ T_odom_base)[:3, 3] - (self._T_map_odom @ T_odom_base)[:3, 3]
            step_m = float(np.linalg.norm(moved))
            self.record.largest_step_m = max(self.record.largest_step_m, step_m)
            if step_m > JUMP_M:
                self.record.jumps_m.append(step_m)
        self._T_map_odom = T_map_odom

    def _on_status(self, message: String) -> None:
        with self._lock:
            self._trusted = json.loads(message.data)["state"] in ("tracking", "degraded")
