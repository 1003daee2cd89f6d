"""Where the estimate meets the robot's transform tree: looked up at the image stamp, broadcast as `tf_mode` says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from rclpy.clock import ClockType
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode
from rclpy.time import Time
from tf2_ros import Buffer, TransformBroadcaster, TransformException, TransformListener

from reloc_ros.geometry import covariance, se3
from reloc_ros.localization.solve.solution import Failure
from reloc_ros.node.conversions import matrix_to_transform, transform_to_matrix
from reloc_ros.node.parameters import Settings
from reloc_ros.types import Array, Estimate, Reason


@dataclass(frozen=True, kw_only=True)
class Placed:
    """An estimate in the robot's terms, ready to be published.

    Args:
        T_map_target: (4, 4) pose to publish, of the camera or of the base (`pose_of`).
        covariance: (6, 6) of that pose.
        map_frame: name of the map frame.
        stamp_ns: image stamp.
        estimate: what was placed.
        T_map_child: (4, 4) transform to broadcast; None with `tf_mode: off`.
        child_frame: odometry or camera frame; empty with `tf_mode: off`.
    """

    T_map_target: Array
    covariance: Array
    map_frame: str
    stamp_ns: int
    estimate: Estimate
    T_map_child: Array | None
    child_frame: str


@dataclass(frozen=True)
class _Fix:
    """The latest map to odom, and when its image was taken and received, in nanoseconds of message time.

    There is one, whatever the scenes: a fix in another map frame takes odom away from the frame before, and nothing is
    broadcast under that any more.
    """

    placed: Placed
    stamp_ns: int
    received_ns: int


def map_to_odom(T_map_camera: Array, T_camera_base: Array, T_odom_base: Array) -> Array:
    """Return T_map_odom; all at the image stamp."""
    return T_map_camera @ T_camera_base @ se3.inverse(T_odom_base)


class Transforms:
    """Places estimates in the transform tree and broadcasts ours.

    Args:
        node: owner of the subscriptions, the clock and the broadcaster.
        settings: returns the current parameters.
    """

    def __init__(self, node: LifecycleNode, settings: Callable[[], Settings]) -> None:
        self._settings = settings
        self._clock = node.get_clock()
        # With tf_mode off, a second publisher of transforms would only raise questions.
        self._broadcaster = None if settings().tf_mode == "off" else TransformBroadcaster(node)
        self._lock = Lock()
        self._fix: _Fix | None = None
        self._last_sent_ns = 0
        self._buffer = Buffer()
        self._listener: TransformListener | None = None
        if settings().tf_mode == "map_to_odom" or settings().pose_of == "base":
            self._listener = TransformListener(self._buffer, node, spin_thread=False)

    def close(self) -> None:
        """Stop listening."""
        if self._listener is not None:
            self._listener.unregister()
            self._listener = None

    def reset(self) -> None:
        """Forget the fix and all transforms that were dated: time has jumped back or begins anew."""
        with self._lock:
            self._fix = None
            self._last_sent_ns = 0
        self._buffer.clear()

    def place(self, estimate: Estimate, image_frame: str) -> Placed | Failure:
        """Return what to publish for an estimate, or NO_TRANSFORM when the tree lacks what `tf_mode` needs."""
        settings = self._settings()
        camera_frame = settings.camera_frame or image_frame.lstrip("/")
        if not camera_frame and (settings.tf_mode != "off" or settings.pose_of == "base"):
            detail = "header.frame_id of the image is empty; set it in the driver or set the parameter camera_frame"
            return Failure(reason=Reason.NO_TRANSFORM, detail=detail)
        try:
            return self._place(estimate, camera_frame, settings)
        except TransformException as error:
            detail = f"{type(error).__name__} at the image stamp {estimate.stamp_ns * 1e-9:.3f} s: {error}"
            return Failure(reason=Reason.NO_TRANSFORM, detail=detail)

    def broadcast(self, placed: Placed, received_ns: int) -> None:
        """Broadcast the transform of an accepted estimate.

        Args:
            placed: what was accepted.
            received_ns: the node's clock when the image arrived.
        """
        mode = self._settings().tf_mode
        if mode == "map_to_camera" and placed.T_map_child is not None:
            self._send(placed, placed.stamp_ns)
        if mode == "map_to_odom":
            with self._lock:
                self._fix = _Fix(placed, placed.stamp_ns, received_ns)
            self.rebroadcast()

    def rebroadcast(self) -> None:
        """Broadcast the latest map to odom again, dated ahead by `transform_tolerance`; nothing before the first fix."""
        with self._lock:
            fix = self._fix
            if fix is None:
                return
            # Message time at this moment: the image's own time plus what the clock did since the image arrived. Equal
            # to now() on a robot, and still right when a bag is replayed without simulated time.
            now_ns = fix.stamp_ns + self._clock.now().nanoseconds - fix.received_ns
            dated_ns = now_ns + round(self._settings().transform_tolerance * 1e9)
            # Never older than what was sent: listeners would mix the old and the new fix.
            dated_ns = max(dated_ns, self._last_sent_ns + 1)
            self._last_sent_ns = dated_ns
            self._send(fix.placed, dated_ns)

    def _place(self, estimate: Estimate, camera_frame: str, settings: Settings) -> Placed:
        T_map_target, target_covariance = estimate.T_map_camera, estimate.covariance
        T_map_child, child_frame = None, ""
        if settings.pose_of == "base":
            T_camera_base = self._look_up(camera_frame, settings.base_frame, estimate.stamp_ns)
            T_map_target = estimate.T_map_camera @ T_camera_base
            target_covariance = covariance.change_body_frame(estimate.covariance, estimate.T_map_camera, T_camera_base)
        if settings.tf_mode == "map_to_odom":
            T_odom_base = self._look_up(settings.odom_frame, settings.base_frame, estimate.stamp_ns)
            T_camera_base = self._look_up(camera_frame, settings.base_frame, estimate.stamp_ns)
            T_map_child, child_frame = (
                map_to_odom(estimate.T_map_camera, T_camera_base, T_odom_base),
                settings.odom_frame,
            )
        elif settings.tf_mode == "map_to_camera":
            T_map_child, child_frame = estimate.T_map_camera, camera_frame
        return Placed(
            T_map_target=T_map_target,
            covariance=target_covariance,
            map_frame=settings.map_frame or estimate.map_frame,
            stamp_ns=estimate.stamp_ns,
            estimate=estimate,
            T_map_child=T_map_child,
            child_frame=child_frame,
        )

    def _look_up(self, target_frame: str, source_frame: str, stamp_ns: int) -> Array:
        """Return T_target_source at a stamp, waiting up to `transform_wait_s` for odometry that comes after the image."""
        stamp = Time(nanoseconds=stamp_ns, clock_type=ClockType.ROS_TIME)
        wait = Duration(seconds=self._settings().transform_wait_s)
        found = self._buffer.lookup_transform(target_frame, source_frame, stamp, timeout=wait)
        return transform_to_matrix(found.transform)

    def _send(self, placed: Placed, stamp_ns: int) -> None:
        if placed.T_map_child is None or self._broadcaster is None:
            return
        message = matrix_to_transform(
            placed.T_map_child, parent=placed.map_frame, child=placed.child_frame, stamp_ns=stamp_ns
        )
        self._broadcaster.sendTransform(message)
