"""The role `initializer`: navigation keeps its own localization, and gets a verified pose when it needs one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.lifecycle import LifecycleNode

from reloc_ros.errors import ConfigError
from reloc_ros.localization.fusion import Belief
from reloc_ros.localization.tracking_loss import Handover, HandoverSettings, InitialPoseHandover
from reloc_ros.node.conversions import pose_with_covariance, stamp_to_ns, usable_pose
from reloc_ros.node.settings import Settings
from reloc_ros.types import Array

_log = logging.getLogger(__name__)


class Initializer:
    """Publishes `initialpose` on start-up, on request and on loss, and watches `amcl_pose` for the answer.

    Not thread-safe: called under the relocalizer's lock, but for the subscription, which only keeps a message.

    Args:
        node: owner of publisher and subscription.
        settings: returns the current parameters.
        odometry: returns T_odom_base at a stamp, or None while it is not known.
    """

    def __init__(
        self, node: LifecycleNode, settings: Callable[[], Settings], odometry: Callable[[int], Array | None]
    ) -> None:
        self._node = node
        self._odometry = odometry
        self._handover = InitialPoseHandover(HandoverSettings(wait_s=settings().handover_wait_s))
        self._wanted = ""
        self._heard: PoseWithCovarianceStamped | None = None
        self._publisher: Any = node.create_lifecycle_publisher(PoseWithCovarianceStamped, "initialpose", 1)
        self._subscription = node.create_subscription(PoseWithCovarianceStamped, "amcl_pose", self._on_pose, 1)

    @property
    def state(self) -> str:
        """How far it got, for diagnostics."""
        if self._wanted:
            return f"wanted: {self._wanted}"
        return f"{self._handover.state.value}, attempt {self._handover.attempts}"

    @property
    def is_at_work(self) -> bool:
        """Whether navigation is known to need a pose, or is being given one."""
        return bool(self._wanted) or self._handover.state in (Handover.WAITING, Handover.RETRY)

    @property
    def has_given_up(self) -> bool:
        """Whether navigation followed none of the poses: a person has to look."""
        return self._handover.state is Handover.GIVEN_UP

    def want(self, why: str) -> None:
        """Give navigation the next verified pose, with all attempts left."""
        self._wanted = why
        self._handover.reset()

    def on_verified(self, belief: Belief, map_frame: str) -> None:
        """Publish a verified pose of the base where navigation needs one and listens."""
        due = bool(self._wanted) or self._handover.state is Handover.RETRY
        if not due or self._publisher.get_subscription_count() == 0:
            return
        message = pose_with_covariance(
            belief.T_map_body, belief.covariance, map_frame=map_frame, stamp_ns=belief.stamp_ns
        )
        self._publisher.publish(message)
        self._handover.sent(belief.T_map_odom, belief.stamp_ns)
        _log.info("initialpose sent, attempt %d (%s)", self._handover.attempts, self._wanted or "no answer yet")
        self._wanted = ""

    def step(self, now_ns: int) -> None:
        """Look whether navigation took the pose."""
        before = self._handover.state
        heard = self._heard
        if heard is not None:
            stamp_ns = stamp_to_ns(heard.header.stamp)
            T_odom_base = self._odometry(stamp_ns)
            # Odometry may come after the pose: try again at the next step.
            if T_odom_base is not None:
                self._heard = None
                self._compare(heard, T_odom_base, stamp_ns)
        state = self._handover.step(now_ns)
        if state is Handover.TAKEN and before is not state:
            _log.info("navigation took the initial pose")
        if state is Handover.GIVEN_UP and before is not state:
            _log.error("navigation took none of %d initial poses; is it running?", self._handover.attempts)

    def reset(self) -> None:
        """Begin anew: time has jumped back."""
        self._heard = None
        self.want("time began anew")

    def close(self) -> None:
        """Destroy publisher and subscription."""
        self._node.destroy_subscription(self._subscription)
        self._node.destroy_lifecycle_publisher(self._publisher)

    def _compare(self, heard: PoseWithCovarianceStamped, T_odom_base: Array, stamp_ns: int) -> None:
        try:
            T_map_base, _ = usable_pose(heard)
        except ConfigError as error:
            _log.warning("amcl_pose is of no use: %s", error)
            return
        self._handover.answered(T_map_base, T_odom_base, stamp_ns)

    def _on_pose(self, message: PoseWithCovarianceStamped) -> None:
        self._heard = message
