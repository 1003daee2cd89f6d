"""The tree of frames over time: set transforms, look them up between any two frames at any time in the cache."""

from __future__ import annotations

import logging
import math
import threading
from typing import Any

from geometry_msgs.msg import TransformStamped
from rclpy.duration import Duration
from rclpy.time import Time
from tf2_py.exceptions import (
    ConnectivityException,
    ExtrapolationException,
    InvalidArgumentException,
    LookupException,
    TransformException,
)
from tf2_py.frame_history import LATEST_NS, FrameHistory, Link, StaticFrame
from tf2_py.rigid import IDENTITY, Rigid, compose, invert

DEFAULT_CACHE_NS = 10 * 10**9
# Both as in tf2: longer chains are taken for loops, and less accurate quaternions are refused.
MAX_GRAPH_DEPTH = 1000
QUATERNION_NORM_TOLERANCE = 10e-3

_LOGGER = logging.getLogger(__name__)


class BufferCore:
    """Transforms between named frames, kept for `cache_time` (10 s by default). Safe to use from several threads."""

    def __init__(self, cache_time: Duration | None = None) -> None:
        self._cache_ns = cache_time.nanoseconds if cache_time is not None else DEFAULT_CACHE_NS
        self._frames: dict[str, FrameHistory | StaticFrame] = {}
        self._known: set[str] = set()
        # A condition, so that whoever waits for a transform wakes up when one arrives.
        self._changed = threading.Condition(threading.RLock())

    def set_transform(self, transform: TransformStamped, authority: str = "default_authority") -> bool:
        """Add a transform of a moving frame; return False when it is refused."""
        return self._insert(transform, authority, is_static=False)

    def set_transform_static(self, transform: TransformStamped, authority: str = "default_authority") -> bool:
        """Add a transform that holds at every time; return False when it is refused."""
        return self._insert(transform, authority, is_static=True)

    def lookup_transform_core(self, target_frame: str, source_frame: str, time: Any) -> TransformStamped:
        """Return T_target_source at a time (0: the latest time at which the whole chain is known).

        Raises:
            LookupException: a frame is not known.
            ConnectivityException: the frames are not connected.
            ExtrapolationException: the time lies outside of what is stored.
            InvalidArgumentException: a frame name is empty or begins with a slash.
        """
        with self._changed:
            self._check_frame(target_frame, "lookupTransform argument target_frame")
            self._check_frame(source_frame, "lookupTransform argument source_frame")
            stamp_ns, T_target_source = self._lookup(target_frame, source_frame, to_nanoseconds(time))
        return to_message(target_frame, source_frame, stamp_ns, T_target_source)

    def lookup_transform_full_core(
        self, target_frame: str, target_time: Any, source_frame: str, source_time: Any, fixed_frame: str
    ) -> TransformStamped:
        """Return T_target(target_time)_source(source_time), with the fixed frame taken not to move in between.

        Raises:
            TransformException: as `lookup_transform_core`, for either half.
        """
        with self._changed:
            self._check_frame(target_frame, "lookupTransform argument target_frame")
            self._check_frame(source_frame, "lookupTransform argument source_frame")
            self._check_frame(fixed_frame, "lookupTransform argument fixed_frame")
            _, T_fixed_source = self._lookup(fixed_frame, source_frame, to_nanoseconds(source_time))
            stamp_ns, T_target_fixed = self._lookup(target_frame, fixed_frame, to_nanoseconds(target_time))
        return to_message(target_frame, source_frame, stamp_ns, compose(T_target_fixed, T_fixed_source))

    def can_transform_core(self, target_frame: str, source_frame: str, time: Any) -> tuple[bool, str]:
        """Return whether the transform can be looked up now and, if not, why."""
        try:
            self.lookup_transform_core(target_frame, source_frame, time)
        except TransformException as error:
            return False, str(error)
        return True, ""

    def can_transform_full_core(
        self, target_frame: str, target_time: Any, source_frame: str, source_time: Any, fixed_frame: str
    ) -> tuple[bool, str]:
        """Return whether the transform through the fixed frame can be looked up now and, if not, why."""
        try:
            self.lookup_transform_full_core(target_frame, target_time, source_frame, source_time, fixed_frame)
        except TransformException as error:
            return False, str(error)
        return True, ""

    def get_latest_common_time(self, target_frame: str, source_frame: str) -> Time:
        """Return the newest time at which the whole chain is known, 0 for a chain of static transforms.

        Raises:
            TransformException: a frame is not known, or the frames are not connected.
        """
        with self._changed:
            self._check_frame(target_frame, "getLatestCommonTime argument target_frame")
            self._check_frame(source_frame, "getLatestCommonTime argument source_frame")
            return Time(nanoseconds=self._latest_common_ns(target_frame, source_frame))

    def clear(self) -> None:
        """Forget all moving transforms; static ones and the names of the frames stay."""
        with self._changed:
            for frame in self._frames.values():
                frame.clear()

    def all_frames_as_string(self) -> str:
        """Return one line for each frame with its parent."""
        with self._changed:
            latest = {name: frame.latest() for name, frame in sorted(self._frames.items())}
        return "".join(f"Frame {name} exists with parent {link[1]}.\n" for name, link in latest.items() if link)

    def all_frames_as_yaml(self) -> str:
        """Return the frames, their parents and newest stamps as YAML."""
        with self._changed:
            latest = {name: frame.latest() for name, frame in sorted(self._frames.items())}
        rows = (
            f"{name}: \n  parent: '{link[1]}'\n  most_recent_transform: {link[0] * 1e-9:.6f}\n"
            for name, link in latest.items()
            if link
        )
        return "".join(rows) or "{}"

    def _insert(self, transform: TransformStamped, authority: str, *, is_static: bool) -> bool:
        parent = transform.header.frame_id.lstrip("/")
        child = transform.child_frame_id.lstrip("/")
        rigid = from_message(transform)
        fault = _fault(parent, child, rigid)
        if fault is not None:
            _LOGGER.error("Ignoring transform from authority %r: %s", authority, fault)
            return False
        stamp_ns = to_nanoseconds(transform.header.stamp)
        with self._changed:
            frame = self._frames.setdefault(child, StaticFrame() if is_static else FrameHistory(self._cache_ns))
            self._known.update((parent, child))
            inserted = frame.insert(stamp_ns, Link(parent, rigid))
            self._changed.notify_all()
        if not inserted:
            _LOGGER.warning(
                "TF_OLD_DATA ignoring data from the past for frame %s at time %.6f according to authority %s",
                child,
                stamp_ns * 1e-9,
                authority,
            )
        return inserted

    def _check_frame(self, name: str, argument: str) -> None:
        if not name:
            raise InvalidArgumentException(f"Invalid argument passed to {argument} in tf2 frame_ids cannot be empty")
        if name.startswith("/"):
            raise InvalidArgumentException(
                f"Invalid argument \"{name}\" passed to {argument} in tf2 frame_ids cannot start with a '/'"
            )
        if name not in self._known:
            raise LookupException(f'"{name}" passed to {argument} does not exist. ')

    def _lookup(self, target: str, source: str, stamp_ns: int) -> tuple[int, Rigid]:
        """Return the time of the result and T_target_source."""
        if target == source:
            latest = self._frames[target].latest() if target in self._frames else None
            return (latest[0] if latest and stamp_ns == LATEST_NS else stamp_ns), IDENTITY
        if stamp_ns == LATEST_NS:
            stamp_ns = self._latest_common_ns(target, source)
        top, T_top_source, missing = self._climb(source, target, stamp_ns)
        bottom, T_bottom_target, missing_target = self._climb(target, top, stamp_ns)
        if bottom != top:
            error = missing_target or missing
            if error is None:
                raise _not_connected(target, source)
            raise ExtrapolationException(
                f"{error}, when looking up transform from frame [{source}] to frame [{target}]"
            ) from error
        return stamp_ns, compose(invert(T_bottom_target), T_top_source)

    def _climb(self, frame: str, stop: str, stamp_ns: int) -> tuple[str, Rigid, ExtrapolationException | None]:
        """Go up from `frame` to `stop`, the root or the first frame whose parent is not known at that time.

        Returns:
            the frame reached, T_reached_frame, and why it did not go further (None at `stop` and at a root).
        """
        T_reached_frame = IDENTITY
        for _ in range(MAX_GRAPH_DEPTH):
            if frame == stop or frame not in self._frames:
                return frame, T_reached_frame, None
            try:
                link = self._frames[frame].at(stamp_ns)
            except ExtrapolationException as error:
                return frame, T_reached_frame, error
            T_reached_frame = compose(link.T_parent_frame, T_reached_frame)
            frame = link.parent
        raise LookupException(f"The tf tree is invalid because it contains a loop.\n{self.all_frames_as_string()}")

    def _latest_common_ns(self, target: str, source: str) -> int:
        """Return the newest time known all along the chain, over the links as they are at present."""
        if target == source:
            latest = self._frames[target].latest() if target in self._frames else None
            return latest[0] if latest else LATEST_NS
        from_source = self._latest_stamps(source)
        from_target = self._latest_stamps(target)
        common = next((frame for frame in from_source if frame in from_target), None)
        if common is None:
            raise _not_connected(target, source)
        # Each entry counts the links below that frame only.
        stamps_ns = [stamp for stamp in (*from_source[common], *from_target[common]) if stamp != LATEST_NS]
        return min(stamps_ns, default=LATEST_NS)

    def _latest_stamps(self, frame: str) -> dict[str, tuple[int, ...]]:
        """Return each frame from `frame` up to the root with the newest stamps of the links below it."""
        stamps_ns: tuple[int, ...] = ()
        result = {frame: stamps_ns}
        for _ in range(MAX_GRAPH_DEPTH):
            latest = self._frames[frame].latest() if frame in self._frames else None
            if latest is None:
                return result
            stamps_ns = (*stamps_ns, latest[0])
            frame = latest[1]
            if frame in result:
                break
            result[frame] = stamps_ns
        raise LookupException(f"The tf tree is invalid because it contains a loop.\n{self.all_frames_as_string()}")


def to_nanoseconds(time: Any) -> int:
    """Return a `rclpy.time.Time` or a `builtin_interfaces.msg.Time` in nanoseconds."""
    if hasattr(time, "nanoseconds"):
        return int(time.nanoseconds)
    return int(time.sec) * 10**9 + int(time.nanosec)


def from_message(message: TransformStamped) -> Rigid:
    """Return the transform in a message, its quaternion normalised when it is within tf2's tolerance."""
    t, q = message.transform.translation, message.transform.rotation
    squared = q.x * q.x + q.y * q.y + q.z * q.z + q.w * q.w
    scale = 1.0 / math.sqrt(squared) if abs(squared - 1.0) <= QUATERNION_NORM_TOLERANCE else 1.0
    return Rigid((t.x, t.y, t.z), (q.x * scale, q.y * scale, q.z * scale, q.w * scale))


def to_message(target_frame: str, source_frame: str, stamp_ns: int, rigid: Rigid) -> TransformStamped:
    """Return T_target_source as a message."""
    message = TransformStamped()
    message.header.frame_id = target_frame
    message.child_frame_id = source_frame
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
    t, q = message.transform.translation, message.transform.rotation
    t.x, t.y, t.z = rigid.translation
    q.x, q.y, q.z, q.w = rigid.quat_xyzw
    return message


def _fault(parent: str, child: str, rigid: Rigid) -> str | None:
    """Return what makes a transform unusable, or None."""
    if not child or not parent:
        return f"frame names must not be empty: child {child!r}, parent {parent!r}"
    if child == parent:
        return f"TF_SELF_TRANSFORM frame {child!r} is its own parent"
    if any(math.isnan(value) for value in (*rigid.translation, *rigid.quat_xyzw)):
        return f"TF_NAN_INPUT frame {child!r} has a nan in its transform {rigid}"
    squared = sum(value * value for value in rigid.quat_xyzw)
    if abs(squared - 1.0) > QUATERNION_NORM_TOLERANCE:
        return f"TF_DENORMALIZED_QUATERNION frame {child!r} has a quaternion of squared norm {squared:.6f}, not 1"
    return None


def _not_connected(target: str, source: str) -> ConnectivityException:
    return ConnectivityException(
        f"Could not find a connection between '{target}' and '{source}' because they are not part of the same tree."
        "Tf has two or more unconnected trees."
    )
