"""What a robot sends to a relocalizer: images, their calibration, odometry and the mount of its camera."""

from __future__ import annotations

import array
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image
from tf2_msgs.msg import TFMessage

from reloc_ros.cameras.camera import Camera
from reloc_ros.cameras.pinhole import PinholeCamera
from reloc_ros.node.conversions import matrix_to_transform, ns_to_stamp
from reloc_ros.types import Array
from reloc_ros.types import Image as RgbImage

CAMERA_FRAME = "camera_optical_frame"


class StagedRobot:
    """The publishers of a robot that somebody else moves.

    Args:
        node: owner of the publishers.
        camera: that takes the images.
        T_base_camera: (4, 4) where the robot believes its camera to be.
    """

    def __init__(self, node: Node, camera: Camera, T_base_camera: Array) -> None:
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._camera = camera
        self.info = camera_info(camera)
        """What `send_image` sends along; change it to send something else."""
        self._images = node.create_publisher(Image, "image", 1)
        self._infos = node.create_publisher(CameraInfo, "camera_info", 1)
        self._tf = node.create_publisher(TFMessage, "/tf", 100)
        self._clock = node.create_publisher(Clock, "/clock", 1)
        static = node.create_publisher(TFMessage, "/tf_static", latched)
        mount = matrix_to_transform(T_base_camera, parent="base_link", child=CAMERA_FRAME, stamp_ns=0)
        static.publish(TFMessage(transforms=[mount]))
        self._listened_to = (self._images, self._infos, self._tf, static)

    @property
    def is_heard(self) -> bool:
        """Whether somebody listens to everything."""
        return all(publisher.get_subscription_count() > 0 for publisher in self._listened_to)

    def restore_info(self) -> None:
        """Send the right calibration again."""
        self.info = camera_info(self._camera)

    def send_clock(self, now_ns: int) -> None:
        """Publish simulated time."""
        self._clock.publish(Clock(clock=ns_to_stamp(now_ns)))

    def send_odometry(self, T_odom_base: Array, stamp_ns: int) -> None:
        """Publish odom -> base_link."""
        moved = matrix_to_transform(T_odom_base, parent="odom", child="base_link", stamp_ns=stamp_ns)
        self._tf.publish(TFMessage(transforms=[moved]))

    def send_image(self, pixels: RgbImage, stamp_ns: int, **changes: Any) -> None:
        """Publish an image and its calibration; `changes` replace fields of the image."""
        message = image_message(pixels)
        message.header.stamp = self.info.header.stamp = ns_to_stamp(stamp_ns)
        for name, value in changes.items():
            setattr(message, name, value)
        self._infos.publish(self.info)
        self._images.publish(message)


def image_message(pixels: RgbImage) -> Image:
    """Return (H, W, 3) RGB pixels as a message without a stamp."""
    height, width = pixels.shape[:2]
    message = Image(height=height, width=width, encoding="rgb8", step=3 * width)
    message.header.frame_id = CAMERA_FRAME
    # Anything but an array.array is checked byte by byte.
    message.data = array.array("B", np.ascontiguousarray(pixels).tobytes())
    return message


def camera_info(camera: Camera) -> CameraInfo:
    """Return the calibration of a camera as a message without a stamp."""
    message = CameraInfo(width=camera.width, height=camera.height)
    message.header.frame_id = CAMERA_FRAME
    if isinstance(camera, PinholeCamera):
        message.k = camera.K.ravel()
        message.distortion_model = camera.distortion_model
        message.d = list(camera.distortion)
    return message
