"""Where the estimate meets the robot's transform tree: mount and odometry, looked up at the image stamp."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from rclpy.clock import ClockType
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode
from rclpy.time import Time
from tf2_ros import Buffer, TransformException, TransformListener

from reloc_ros.geometry import covariance, se3
from reloc_ros.localization.fusion import Belief
from reloc_ros.localization.sequence_anchor import ORIGIN_FRAME
from reloc_ros.localization.solve.solution import Failure
from reloc_ros.node.conversions import stamp_to_ns, transform_to_matrix
from reloc_ros.node.settings import Settings
from reloc_ros.types import Array, Estimate, Reason

_AT_ONCE = Duration()


@dataclass(frozen=True, kw_only=True)
class Placed:
    """An estimate in the robot's terms.

    Args:
        estimate: what was placed.
        fix: the pose of the body (`Settings.body`) that it means, with odometry at the image stamp.
        map_frame: name of the map frame.
        camera_frame: of the image.
        T_body_camera: (4, 4) how the camera sits on the body.
    """

    estimate: Estimate
    fix: Belief
    map_frame: str
    camera_frame: str
    T_body_camera: Array


class Transforms:
    """Listens to the transform tree and places estimates in it.

    Args:
        node: owner of the subscriptions.
        settings: returns the current parameters.
    """

    def __init__(self, node: LifecycleNode, settings: Callable[[], Settings]) -> None:
        self._settings = settings
        self._buffer = Buffer()
        self._listener: TransformListener | None = None
        if settings().body == "base" or settings().rig_cameras:
            self._listener = TransformListener(self._buffer, node, spin_thread=False)

    def close(self) -> None:
        """Stop listening."""
        if self._listener is not None:
            self._listener.unregister()
            self._listener = None

    def reset(self) -> None:
        """Forget all transforms that were dated: time has jumped back or begins anew."""
        self._buffer.clear()

    def place(self, estimate: Estimate, image_frame: str) -> Placed | Failure:
        """Return what an estimate means for the body, or NO_TRANSFORM when the tree lacks what that needs.

        Waits up to `transform_wait_s` for odometry that comes after the image.
        """
        settings = self._settings()
        camera_frame = settings.camera_frame or image_frame.lstrip("/")
        if not camera_frame and (settings.broadcasts == "map_to_camera" or settings.body == "base"):
            detail = "header.frame_id of the image is empty; set it in the driver or set the parameter camera_frame"
            return Failure(reason=Reason.NO_TRANSFORM, detail=detail)
        try:
            return self._place(estimate, camera_frame, settings)
        except TransformException as error:
            detail = f"{type(error).__name__} at the image stamp {estimate.stamp_ns * 1e-9:.3f} s: {error}"
            return Failure(reason=Reason.NO_TRANSFORM, detail=detail)

    def odometry(self, stamp_ns: int, *, wait: bool) -> Array | None:
        """Return T_odom_body (4, 4) at a stamp, the identity without odometry, None where the tree does not have it.

        Args:
            stamp_ns: message time.
            wait: up to `transform_wait_s`; never in a callback, which would keep the answer from coming in.
        """
        settings = self._settings()
        if not settings.uses_odometry:
            return np.eye(4)
        try:
            return self._look_up(settings.odom_frame, settings.base_frame, stamp_ns, wait=wait)
        except TransformException:
            return None

    def camera_odometry(self, stamp_ns: int, image_frame: str) -> Array | None:
        """Return T_odom_camera (4, 4) at the stamp of an image, None without odometry or where the tree lacks it.

        Waits up to `transform_wait_s`.
        """
        settings = self._settings()
        camera_frame = settings.camera_frame or image_frame.lstrip("/")
        if not settings.uses_odometry or not camera_frame:
            return None
        try:
            return self._look_up(settings.odom_frame, camera_frame, stamp_ns, wait=True)
        except TransformException:
            return None

    def mount(self, frame: str, camera_frame: str) -> Array | Failure:
        """Return T_frame_camera (4, 4) of a camera that is fixed to a frame, or NO_TRANSFORM."""
        try:
            found = self._buffer.lookup_transform(frame, camera_frame, Time(), _AT_ONCE)
        except TransformException as error:
            detail = f"the place of {camera_frame!r} on {frame!r} is not on /tf_static: {error}"
            return Failure(reason=Reason.NO_TRANSFORM, detail=detail)
        return transform_to_matrix(found.transform)

    def newest_odometry(self) -> tuple[int, Array] | None:
        """Return stamp and T_odom_base of the newest odometry, or None before the first."""
        settings = self._settings()
        try:
            found = self._buffer.lookup_transform(settings.odom_frame, settings.base_frame, Time(), _AT_ONCE)
        except TransformException:
            return None
        return stamp_to_ns(found.header.stamp), transform_to_matrix(found.transform)

    def _place(self, estimate: Estimate, camera_frame: str, settings: Settings) -> Placed:
        T_camera_body = T_odom_body = np.eye(4)
        T_map_body, body_covariance = estimate.T_map_camera, estimate.covariance
        if settings.uses_odometry:
            T_odom_body = self._look_up(settings.odom_frame, settings.base_frame, estimate.stamp_ns, wait=True)
        if settings.body == "base":
            T_camera_body = self._look_up(camera_frame, settings.base_frame, estimate.stamp_ns, wait=True)
            T_map_body = estimate.T_map_camera @ T_camera_body
            body_covariance = covariance.change_body_frame(estimate.covariance, estimate.T_map_camera, T_camera_body)
        return Placed(
            estimate=estimate,
            fix=Belief(
                T_map_body=T_map_body,
                covariance=body_covariance,
                T_odom_body=T_odom_body,
                stamp_ns=estimate.stamp_ns,
            ),
            # The origin of a sequence is no map, whatever maps are called.
            map_frame=ORIGIN_FRAME if estimate.map_frame == ORIGIN_FRAME else settings.map_frame or estimate.map_frame,
            camera_frame=camera_frame,
            T_body_camera=se3.inverse(T_camera_body),
        )

    def _look_up(self, target_frame: str, source_frame: str, stamp_ns: int, *, wait: bool) -> Array:
        stamp = Time(nanoseconds=stamp_ns, clock_type=ClockType.ROS_TIME)
        timeout = Duration(seconds=self._settings().transform_wait_s) if wait else _AT_ONCE
        found = self._buffer.lookup_transform(target_frame, source_frame, stamp, timeout=timeout)
        return transform_to_matrix(found.transform)
