"""Collects what a relocalizer publishes: poses, diagnostics and transforms, as arrays.

Example:
    with spinning_node("recorder") as node:
        recorder = Recorder(node)
        recorder.wait(lambda: recorder.pose_count >= 10, timeout_s=30.0)
        recording = recorder.recording()
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Condition
from time import perf_counter

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseWithCovarianceStamped
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from tf2_msgs.msg import TFMessage

from reloc_ros.node.conversions import pose_to_matrix, stamp_to_ns, transform_to_matrix
from reloc_ros.node.session import wait_until
from reloc_ros.types import Array


@dataclass(frozen=True, kw_only=True)
class RecordedTransform:
    """One transform seen on /tf: T_parent_child at its stamp."""

    stamp_ns: int
    parent: str
    child: str
    matrix: Array


@dataclass(frozen=True, kw_only=True)
class Recording:
    """What was received so far, in order of arrival.

    Args:
        stamps_ns: (N,) image stamps of the poses.
        received_s: (N,) `perf_counter` at arrival, for latency measured from outside.
        T_map_camera: (N, 4, 4); with `pose_of: base` it is T_map_base.
        covariances: (N, 6, 6), order x, y, z, rotX, rotY, rotZ.
        map_frames: (N) frame of each pose.
        diagnostics: one flat {key: value} for each diagnostic message of the node.
        transforms: the transforms on /tf, when recorded.
    """

    stamps_ns: NDArray[np.int64]
    received_s: Array
    T_map_camera: Array
    covariances: Array
    map_frames: tuple[str, ...]
    diagnostics: tuple[dict[str, str], ...]
    transforms: tuple[RecordedTransform, ...]


class Recorder:
    """Subscribes to a relocalizer's outputs and keeps them.

    Args:
        node: a node that someone else spins, see `spinning_node`.
        relocalizer: full name of the relocalizer node, `/namespace/name`.
        transforms: also record /tf.
        keep: poses, diagnostics and transforms that are kept, the newest of each; None keeps all.
    """

    def __init__(
        self,
        node: Node,
        relocalizer: str = "/relocalizer_node",
        *,
        transforms: bool = False,
        keep: int | None = None,
    ) -> None:
        self.changed = Condition()
        self._name = relocalizer.strip("/")
        self._poses: deque[tuple[int, float, str, Array, Array]] = deque(maxlen=keep)
        self._diagnostics: deque[dict[str, str]] = deque(maxlen=keep)
        self._transforms: deque[RecordedTransform] = deque(maxlen=keep)
        # Volatile on purpose: a late joiner must not take an old, latched pose for an answer to its own image.
        pose_qos = QoSProfile(depth=1000, durability=DurabilityPolicy.VOLATILE)
        self._pose_subscription = node.create_subscription(
            PoseWithCovarianceStamped, f"{relocalizer}/pose_with_covariance", self._on_pose, pose_qos
        )
        node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 100)
        if transforms:
            node.create_subscription(TFMessage, "/tf", self._on_transforms, 1000)

    @property
    def pose_count(self) -> int:
        """Number of poses received."""
        return len(self._poses)

    @property
    def publisher_count(self) -> int:
        """Number of relocalizers matched on the pose topic; poses sent before it is 1 are missed."""
        return int(self._pose_subscription.get_publisher_count())

    @property
    def latest_diagnostics(self) -> dict[str, str]:
        """The newest diagnostic values of the node, flat; empty before the first message."""
        return self._diagnostics[-1] if self._diagnostics else {}

    def pose_at(self, stamp_ns: int) -> Array | None:
        """Return the latest pose (4, 4) if it is that of an image, else None."""
        with self.changed:
            latest = self._poses[-1] if self._poses else None
        return None if latest is None or latest[0] != stamp_ns else latest[3]

    def latest_transform(self, parent: str, child: str) -> Array | None:
        """Return the newest transform (4, 4) between two frames among the latest few, or None."""
        with self.changed:
            for transform in reversed(self._transforms):
                if (transform.parent, transform.child) == (parent, child):
                    return transform.matrix
        return None

    def wait(self, condition: Callable[[], bool], *, timeout_s: float) -> None:
        """Wait until the condition holds; it is tried at each message.

        Raises:
            TimeoutError: it did not hold in time; the message shows what was received.
        """
        wait_until(self.changed, condition, timeout_s=timeout_s, describe=self._describe)

    def wait_until_quiet(self, seconds: float) -> None:
        """Wait until no pose has come for so long."""
        with self.changed:
            count = -1
            while count != self.pose_count:
                count = self.pose_count
                self.changed.wait_for(lambda known=count: self.pose_count > known, timeout=seconds)  # type: ignore[misc]

    def recording(self) -> Recording:
        """Return a copy of everything received so far."""
        with self.changed:
            poses, diagnostics, transforms = list(self._poses), list(self._diagnostics), list(self._transforms)
        return Recording(
            stamps_ns=np.array([pose[0] for pose in poses], dtype=np.int64),
            received_s=np.array([pose[1] for pose in poses], dtype=np.float64),
            T_map_camera=np.array([pose[3] for pose in poses], dtype=np.float64).reshape(-1, 4, 4),
            covariances=np.array([pose[4] for pose in poses], dtype=np.float64).reshape(-1, 6, 6),
            map_frames=tuple(pose[2] for pose in poses),
            diagnostics=tuple(diagnostics),
            transforms=tuple(transforms),
        )

    def _describe(self) -> str:
        return f"{self.pose_count} poses, latest diagnostics {self.latest_diagnostics}"

    def _on_pose(self, message: PoseWithCovarianceStamped) -> None:
        received_s = perf_counter()
        covariance = np.asarray(message.pose.covariance, dtype=np.float64).reshape(6, 6)
        stamp_ns = stamp_to_ns(message.header.stamp)
        T_map_camera = pose_to_matrix(message.pose.pose)
        with self.changed:
            self._poses.append((stamp_ns, received_s, message.header.frame_id, T_map_camera, covariance))
            self.changed.notify_all()

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        statuses = [status for status in message.status if status.name.startswith(f"{self._name}: ")]
        if not statuses:
            return
        values = {pair.key: pair.value for status in statuses for pair in status.values}
        values["level"] = str(max(int.from_bytes(status.level, "little") for status in statuses))
        values["message"] = "; ".join(status.message for status in statuses)
        with self.changed:
            self._diagnostics.append(values)
            self.changed.notify_all()

    def _on_transforms(self, message: TFMessage) -> None:
        transforms = [
            RecordedTransform(
                stamp_ns=stamp_to_ns(transform.header.stamp),
                parent=transform.header.frame_id,
                child=transform.child_frame_id,
                matrix=transform_to_matrix(transform.transform),
            )
            for transform in message.transforms
        ]
        with self.changed:
            self._transforms.extend(transforms)
            self.changed.notify_all()
