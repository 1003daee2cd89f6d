"""Transform messages for tests, one call each."""

from __future__ import annotations

from geometry_msgs.msg import TransformStamped


def stamped(
    parent: str,
    child: str,
    time_s: float,
    translation: tuple[float, float, float] = (0.0, 0.0, 0.0),
    quat_xyzw: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 1.0),
) -> TransformStamped:
    """Return T_parent_child at a time as a message."""
    message = TransformStamped()
    message.header.frame_id = parent
    message.child_frame_id = child
    stamp_ns = round(time_s * 1e9)
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
    t, q = message.transform.translation, message.transform.rotation
    t.x, t.y, t.z = translation
    q.x, q.y, q.z, q.w = quat_xyzw
    return message
