"""Which camera an image was taken with."""

from __future__ import annotations

from sensor_msgs.msg import CameraInfo

from reloc_ros.cameras.camera import Camera
from reloc_ros.cameras.equirectangular import EquirectangularCamera
from reloc_ros.errors import CameraError
from reloc_ros.localization.solve.solution import Failure
from reloc_ros.node.conversions import camera_info_to_camera
from reloc_ros.types import Reason


class CameraSource:
    """Keeps the latest `camera_info`.

    Args:
        topic: where `camera_info` is expected, for messages.
    """

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._message: CameraInfo | None = None
        self._known: tuple[tuple[object, ...], Camera] | None = None

    def update(self, message: CameraInfo) -> None:
        """Take a `camera_info`; it holds for every image from now on."""
        self._message = message

    def camera(self, model: str, width: int, height: int) -> Camera | Failure:
        """Return the camera of an image.

        Args:
            model: camera model that the bundle was trained for; a panorama needs no `camera_info`.
            width: of the image, pixels.
            height: of the image, pixels.
        """
        if model == EquirectangularCamera(width, height).model:
            return EquirectangularCamera(width, height)
        message = self._message
        if message is None:
            detail = f"no camera_info on {self._topic} so far; publish it or remap camera_info"
            return Failure(reason=Reason.NO_CAMERA_INFO, detail=detail)
        try:
            camera = self._to_camera(message)
        except CameraError as error:
            return Failure(reason=Reason.NO_CAMERA_INFO, detail=f"camera_info on {self._topic}: {error}")
        if (camera.width, camera.height) != (width, height):
            detail = (
                f"image is {width}x{height} px, camera_info on {self._topic} describes {camera.width}x{camera.height}; "
                "publish the camera_info that belongs to the image"
            )
            return Failure(reason=Reason.CAMERA_MISMATCH, detail=detail)
        return camera

    def _to_camera(self, message: CameraInfo) -> Camera:
        """Return the camera; made anew, which takes a millisecond, only when the calibration has changed."""
        roi = message.roi
        calibration = (
            message.width,
            message.height,
            message.distortion_model,
            bytes(message.k),
            bytes(message.d),
            message.binning_x,
            message.binning_y,
            (roi.x_offset, roi.y_offset, roi.width, roi.height),
        )
        if self._known is None or self._known[0] != calibration:
            self._known = (calibration, camera_info_to_camera(message))
        return self._known[1]
