"""Cameras from the fields of sensor_msgs/CameraInfo, whoever decoded the message (rclpy or rosbags, ROS 1 or 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from reloc_ros.cameras.pinhole import PinholeCamera
from reloc_ros.errors import CameraError


@dataclass(frozen=True, kw_only=True)
class CameraInfoFields:
    """What a CameraInfo says about the image beside it.

    Args:
        width: of the full-resolution image, pixels.
        height: of the full-resolution image, pixels.
        K: (3, 3) of the full-resolution raw image.
        distortion_model: as in sensor_msgs/distortion_models; empty means none.
        distortion: coefficients, in the order of that model.
        binning: (x, y) full-resolution pixels that make one image pixel; 0 and 1 both mean none.
        roi: (x_offset, y_offset, width, height) in full-resolution pixels; size 0 means the full image.
    """

    width: int
    height: int
    K: Any
    distortion_model: str
    distortion: tuple[float, ...]
    binning: tuple[int, int] = (0, 0)
    roi: tuple[int, int, int, int] = (0, 0, 0, 0)

    @classmethod
    def from_message(cls, message: Any) -> CameraInfoFields:
        """Return the fields of a decoded message; ROS 1 spells K and D in capitals."""
        matrix = message.k if hasattr(message, "k") else message.K
        distortion = message.d if hasattr(message, "d") else message.D
        roi = message.roi
        return cls(
            width=int(message.width),
            height=int(message.height),
            K=np.asarray(matrix, dtype=np.float64).reshape(3, 3),
            distortion_model=message.distortion_model,
            distortion=tuple(float(value) for value in distortion),
            binning=(int(message.binning_x), int(message.binning_y)),
            roi=(int(roi.x_offset), int(roi.y_offset), int(roi.width), int(roi.height)),
        )

    def camera(self) -> PinholeCamera:
        """Return the camera of the published image: the full image, cropped to the roi, then binned.

        Raises:
            CameraError: K is zero or malformed, the distortion is unknown or the roi leaves the image.
        """
        left, top, width, height = self.roi
        width, height = width or self.width, height or self.height
        if left + width > self.width or top + height > self.height:
            raise CameraError(
                f"roi {width} x {height} at ({left}, {top}) leaves the image of {self.width} x {self.height}; "
                "check the driver's camera_info"
            )
        full = PinholeCamera(self.width, self.height, self.K, self.distortion_model or "plumb_bob", self.distortion)
        binning_x, binning_y = (max(1, factor) for factor in self.binning)
        return full.cropped(left, top, width, height).resized(width // binning_x, height // binning_y)
