"""Poses from elsewhere: `initialpose` from a person or a dock, and the pose saved last."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

import numpy as np
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.lifecycle import LifecycleNode

from reloc_ros.errors import ConfigError
from reloc_ros.localization.fusion import Belief
from reloc_ros.node import saved_pose
from reloc_ros.node.conversions import stamp_to_ns, usable_pose
from reloc_ros.node.message_time import MessageTime
from reloc_ros.node.settings import Settings
from reloc_ros.node.transforms import Transforms
from reloc_ros.types import Array

_log = logging.getLogger(__name__)

_ODOMETRY_WAIT_S = 2.0
_LEAST_STD = np.array([0.05, 0.05, 0.5, 0.2, 0.2, 0.05])
"""Metres and radians. A click on a plan says nothing of height and tilt, and claims zero."""


class TakePrior(Protocol):
    """What becomes of a pose that can be used."""

    def __call__(self, map_frame: str, prior: Belief, *, anchor: bool) -> None:
        """Take it."""


@dataclass(eq=False)
class _Given:
    """A pose that waits for the model, or for odometry at its stamp (0: the newest)."""

    source: str
    map_frame: str
    T_map_body: Array
    covariance: Array
    stamp_ns: int
    anchor: bool
    deadline_s: float | None = None


class Priors:
    """Collects given poses and hands them on as soon as odometry at their stamp is known.

    Not thread-safe: called under the relocalizer's lock.

    Args:
        node: owner of the subscription.
        settings: returns the current parameters.
        transforms: knows odometry.
        time: message time.
        take: what becomes of a pose.
    """

    def __init__(
        self,
        node: LifecycleNode,
        settings: Callable[[], Settings],
        *,
        transforms: Transforms,
        time: MessageTime,
        take: TakePrior,
    ) -> None:
        self.answer = ""
        """What became of the latest given pose, for diagnostics."""
        self._name = node.get_fully_qualified_name()
        self._settings = settings
        self._transforms = transforms
        self._time = time
        self._take = take
        self._map_frames: tuple[str, ...] = ()
        self._given: _Given | None = None

    def serve(self, map_frames: tuple[str, ...], bundle: str) -> None:
        """Say which map frames there are, and begin with the pose saved last, where that is wanted."""
        self._map_frames = map_frames
        if self._settings().initialize_at_saved_pose and self._given is None:
            self._given = self._saved(map_frames, bundle)

    def offer(self, message: PoseWithCovarianceStamped) -> None:
        """Take `initialpose`: it replaces whatever waits."""
        try:
            self._given = _given(message)
        except ConfigError as error:
            self._say(f"refused: {error}")
            return
        self.step()

    def step(self) -> None:
        """Hand the waiting pose on, refuse it, or let it wait some more."""
        given = self._given
        if given is None or not self._map_frames:
            return
        if given.map_frame not in self._map_frames:
            known = ", ".join(self._map_frames)
            self._refuse(f"its frame is {given.map_frame!r}, expected {known}; set the fixed frame of the sender")
            return
        found = self._odometry(given.stamp_ns)
        if found is not None:
            self._given = None
            stamp_ns, T_odom_body = found
            prior = Belief(
                T_map_body=given.T_map_body, covariance=given.covariance, T_odom_body=T_odom_body, stamp_ns=stamp_ns
            )
            self._say(f"{given.source} taken")
            self._take(given.map_frame, prior, anchor=given.anchor)
        elif given.stamp_ns != 0:
            given.deadline_s = given.deadline_s or monotonic() + _ODOMETRY_WAIT_S
            if monotonic() > given.deadline_s:
                self._refuse(f"there is no odometry at its stamp {given.stamp_ns * 1e-9:.3f} s; send it with stamp 0")

    def reset(self) -> None:
        """Forget what waits: its stamp counts no more."""
        self._given = None

    def _odometry(self, stamp_ns: int) -> tuple[int, Array] | None:
        """Return stamp and T_odom_body at a stamp, or the newest for 0."""
        if not self._settings().uses_odometry:
            now_ns = self._time.now_ns() if stamp_ns == 0 else stamp_ns
            return None if now_ns is None else (now_ns, np.eye(4))
        if stamp_ns == 0:
            return self._transforms.newest_odometry()
        T_odom_body = self._transforms.odometry(stamp_ns, wait=False)
        return None if T_odom_body is None else (stamp_ns, T_odom_body)

    def _saved(self, map_frames: tuple[str, ...], bundle: str) -> _Given | None:
        found = []
        for map_frame in map_frames:
            try:
                pose = saved_pose.read(saved_pose.path_of(self._name, map_frame), map_frame=map_frame, bundle=bundle)
            except ConfigError as error:
                self._say(str(error))
            else:
                found += [] if pose is None else [pose]
        if not found:
            return None
        newest = max(found, key=lambda pose: pose.stamp_ns)
        T_map_body = np.array(newest.T_map_body, dtype=np.float64)
        return _Given("saved pose", newest.map_frame, T_map_body, saved_pose.with_doubt(newest), 0, anchor=False)

    def _refuse(self, why: str) -> None:
        self._given = None
        self._say(f"refused: {why}")

    def _say(self, answer: str) -> None:
        self.answer = answer
        if answer.endswith(" taken"):
            _log.info("%s", answer)
        else:
            _log.warning("initial pose %s", answer)


def _given(message: PoseWithCovarianceStamped) -> _Given:
    """Return an `initialpose` message as numbers.

    Raises:
        ConfigError: they are no pose.
    """
    T_map_body, covariance = usable_pose(message)
    missing = np.maximum(_LEAST_STD**2 - np.diag(covariance), 0.0)
    return _Given(
        "initialpose",
        message.header.frame_id.lstrip("/"),
        T_map_body,
        covariance + np.diag(missing),
        stamp_to_ns(message.header.stamp),
        anchor=True,
    )
