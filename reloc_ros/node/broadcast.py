"""The one transform that is ours: `map -> odom` between fixes, or `map -> camera` at each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from rclpy.lifecycle import LifecycleNode
from tf2_ros import TransformBroadcaster

from reloc_ros.localization.fusion import NS_PER_S, Belief, approach
from reloc_ros.node.conversions import matrix_to_transform
from reloc_ros.node.message_time import MessageTime
from reloc_ros.node.settings import Settings
from reloc_ros.types import Array


@dataclass(frozen=True)
class _Shown:
    """What was broadcast last: the transform, its map frame, and message time at that moment."""

    T_map_odom: Array
    map_frame: str
    at_ns: int


class Broadcast:
    """Shows what is believed as a transform, dated ahead so that nobody has to extrapolate.

    There is one map to odom, whatever the scenes: a belief in another map frame takes odom away from the frame before.

    Args:
        node: owner of the broadcaster.
        settings: returns the current parameters.
        time: message time.
    """

    def __init__(self, node: LifecycleNode, settings: Callable[[], Settings], time: MessageTime) -> None:
        self._node = node
        self._settings = settings
        self._time = time
        self._mode = settings().broadcasts
        # With tf_mode off, a second publisher of transforms would only raise questions.
        self._broadcaster = None if self._mode == "off" else TransformBroadcaster(node)
        self._lock = Lock()
        self._believed: tuple[Belief, str] | None = None
        self._shown: _Shown | None = None
        self._last_sent_ns = 0

    def follow(self, belief: Belief, map_frame: str, *, at_once: bool) -> None:
        """Believe this from now on.

        Args:
            belief: base of map to odom.
            map_frame: that it is in.
            at_once: show it now instead of gliding there: there is no small correction, but a recovery.
        """
        with self._lock:
            moved = self._shown is None or self._shown.map_frame != map_frame
            if at_once or moved:
                self._shown = None
            self._believed = belief, map_frame

    def stop(self) -> None:
        """Believe nothing: nothing is broadcast any more."""
        with self._lock:
            self._believed = self._shown = None

    def reset(self) -> None:
        """Begin anew, also with the dates: time has jumped back."""
        self.stop()
        with self._lock:
            self._last_sent_ns = 0

    def close(self) -> None:
        """Destroy the publisher."""
        # The broadcaster of tf2_ros has no destructor of its own.
        if self._broadcaster is not None:
            self._node.destroy_publisher(self._broadcaster.pub_tf)
            self._broadcaster = None

    def rebroadcast(self) -> None:
        """Broadcast map to odom, dated ahead by `transform_tolerance`; nothing while nothing is believed."""
        with self._lock:
            now_ns = self._time.now_ns()
            if self._believed is None or now_ns is None or self._mode != "map_to_odom":
                return
            settings, (belief, map_frame) = self._settings(), self._believed
            T_map_odom = belief.T_map_odom
            if self._shown is not None:
                seconds = (now_ns - self._shown.at_ns) / NS_PER_S
                T_map_odom = approach(
                    self._shown.T_map_odom, belief, seconds=seconds, time_constant_s=settings.smoothing_s
                )
            self._shown = _Shown(T_map_odom, map_frame, now_ns)
            dated_ns = now_ns + round(settings.transform_tolerance * NS_PER_S)
            # Never older than what was sent: listeners would mix the old and the new belief.
            dated_ns = max(dated_ns, self._last_sent_ns + 1)
            self._last_sent_ns = dated_ns
            self._send(T_map_odom, map_frame, settings.odom_frame, dated_ns)

    def show_camera(self, T_map_camera: Array, map_frame: str, camera_frame: str, stamp_ns: int) -> None:
        """Broadcast map to camera at the stamp of an image, where `tf_mode` asks for it."""
        if self._mode == "map_to_camera":
            self._send(T_map_camera, map_frame, camera_frame, stamp_ns)

    def _send(self, T_map_child: Array, map_frame: str, child_frame: str, stamp_ns: int) -> None:
        if self._broadcaster is None:
            return
        self._broadcaster.sendTransform(
            matrix_to_transform(T_map_child, parent=map_frame, child=child_frame, stamp_ns=stamp_ns)
        )
