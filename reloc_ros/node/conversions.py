"""ROS messages to the nouns of the core, and back. Nothing else in the node builds or reads message fields of poses."""

from __future__ import annotations

import math

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Pose, PoseStamped, PoseWithCovarianceStamped, Transform, TransformStamped
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from reloc_ros.cameras.camera import Camera
from reloc_ros.cameras.camera_info import CameraInfoFields
from reloc_ros.cameras.image_encoding import decode_compressed, decode_raw
from reloc_ros.errors import ConfigError
from reloc_ros.geometry import se3
from reloc_ros.types import Array
from reloc_ros.types import Image as RgbImage

NS_PER_S = 1_000_000_000

_UNIT_SLACK = 1e-2
_FARTHEST_M = 1e6
_ROUNDING = 1e-9


def stamp_to_ns(stamp: Time) -> int:
    """Return nanoseconds of message time."""
    return int(stamp.sec) * NS_PER_S + int(stamp.nanosec)


def ns_to_stamp(stamp_ns: int) -> Time:
    """Return the message stamp of nanoseconds."""
    sec, nanosec = divmod(stamp_ns, NS_PER_S)
    return Time(sec=sec, nanosec=nanosec)


def image_to_rgb(message: Image | CompressedImage) -> RgbImage:
    """Return (H, W, 3) uint8 RGB.

    Raises:
        ImageError: the message lies about its encoding, size or step, or does not decode.
    """
    if isinstance(message, CompressedImage):
        return decode_compressed(np.frombuffer(message.data, dtype=np.uint8))
    return decode_raw(
        np.frombuffer(message.data, dtype=np.uint8),
        encoding=message.encoding,
        width=message.width,
        height=message.height,
        step=message.step,
        is_bigendian=bool(message.is_bigendian),
    )


def camera_info_to_camera(message: CameraInfo) -> Camera:
    """Return the camera of the images that this message accompanies, region of interest and binning applied.

    Raises:
        CameraError: K = 0, an unknown distortion model, or a region that leaves the image.
    """
    return CameraInfoFields.from_message(message).camera()


def pose_to_matrix(pose: Pose) -> Array:
    """Return T_parent_child (4, 4) of a pose message."""
    p, q = pose.position, pose.orientation
    return se3.from_quat_xyzw_translation(np.array([q.x, q.y, q.z, q.w]), np.array([p.x, p.y, p.z]))


def usable_pose(message: PoseWithCovarianceStamped) -> tuple[Array, Array]:
    """Return T_parent_child (4, 4) and covariance (6, 6) of a message that anybody may have sent.

    Raises:
        ConfigError: its numbers are no pose.
    """
    p, q = message.pose.pose.position, message.pose.pose.orientation
    length = math.hypot(q.x, q.y, q.z, q.w)
    if not abs(length - 1.0) < _UNIT_SLACK:
        raise ConfigError(f"its quaternion has length {length:.3g}, expected 1; send a unit quaternion")
    farthest_m = float(np.max(np.abs([p.x, p.y, p.z])))
    if not farthest_m < _FARTHEST_M:
        raise ConfigError(f"its position reaches {farthest_m:.3g} m, expected less than {_FARTHEST_M:g}; correct it")
    covariance = np.asarray(message.pose.covariance, dtype=np.float64).reshape(6, 6)
    covariance = 0.5 * (covariance + covariance.T)
    if not np.all(np.abs(covariance) < _FARTHEST_M) or np.linalg.eigvalsh(covariance)[0] < -_ROUNDING:
        raise ConfigError("its covariance is not finite and positive; send variances, row-major 6 x 6")
    return pose_to_matrix(message.pose.pose), covariance


def matrix_to_pose(T_parent_child: Array) -> Pose:
    """Return the pose message of T_parent_child (4, 4)."""
    quat_xyzw, translation = se3.to_quat_xyzw_translation(T_parent_child)
    pose = Pose()
    pose.position.x, pose.position.y, pose.position.z = (float(value) for value in translation)
    orientation = pose.orientation
    orientation.x, orientation.y, orientation.z, orientation.w = (float(value) for value in quat_xyzw)
    return pose


def transform_to_matrix(transform: Transform) -> Array:
    """Return T_parent_child (4, 4) of a transform message."""
    p, q = transform.translation, transform.rotation
    return se3.from_quat_xyzw_translation(np.array([q.x, q.y, q.z, q.w]), np.array([p.x, p.y, p.z]))


def matrix_to_transform(T_parent_child: Array, *, parent: str, child: str, stamp_ns: int) -> TransformStamped:
    """Return the stamped transform message of T_parent_child (4, 4)."""
    pose = matrix_to_pose(T_parent_child)
    message = TransformStamped()
    message.header.frame_id, message.header.stamp = parent, ns_to_stamp(stamp_ns)
    message.child_frame_id = child
    message.transform.rotation = pose.orientation
    translation = message.transform.translation
    translation.x, translation.y, translation.z = pose.position.x, pose.position.y, pose.position.z
    return message


def pose_stamped(T_map_camera: Array, *, map_frame: str, stamp_ns: int) -> PoseStamped:
    """Return the stamped pose message."""
    message = PoseStamped()
    message.header.frame_id, message.header.stamp = map_frame, ns_to_stamp(stamp_ns)
    message.pose = matrix_to_pose(T_map_camera)
    return message


def pose_with_covariance(
    T_map_camera: Array, covariance: Array, *, map_frame: str, stamp_ns: int
) -> PoseWithCovarianceStamped:
    """Return the stamped pose message with its (6, 6) covariance, row-major as ROS has it."""
    message = PoseWithCovarianceStamped()
    message.header.frame_id, message.header.stamp = map_frame, ns_to_stamp(stamp_ns)
    message.pose.pose = matrix_to_pose(T_map_camera)
    message.pose.covariance = np.ascontiguousarray(covariance, dtype=np.float64).ravel()
    return message
