"""Writes a drive as a ROS 2 bag: camera, odometry, transforms and the truth, all at their own times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from reloc_ros.cameras.pinhole import PinholeCamera
from reloc_ros.datasets.bag_writer import CAMERA, CAMERA_TOPICS, EPOCH_NS, BagWriter
from reloc_ros.synthetic.robot import planar_pose
from reloc_ros.synthetic.trajectories import STEP_S, Drive, OdometryNoise
from reloc_ros.types import Array, Image

TOPICS = {
    **CAMERA_TOPICS,
    "odom": ("/odom", "nav_msgs/msg/Odometry"),
    "tf": ("/tf", "tf2_msgs/msg/TFMessage"),
    "tf_static": ("/tf_static", "tf2_msgs/msg/TFMessage"),
}
ODOM, BASE = "odom", "base_link"


class DriveBag:
    """A bag being written; use as a context manager.

    Topics: `/camera/image` and `/camera/camera_info` (frame `camera_optical_frame`), `/odom` and `/tf`
    (odom -> base_link), `/tf_static` (base_link -> camera_optical_frame), `/ground_truth` (the camera's optical frame
    in `map`).
    """

    def __init__(self, path: Path, storage: str = "mcap") -> None:
        """Prepare the bag folder.

        Raises:
            DatasetError: it exists, or the storage is unknown.
        """
        self._bag = BagWriter(path, TOPICS, storage)

    def __enter__(self) -> DriveBag:
        """Open the bag."""
        self._bag.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the bag."""
        self._bag.__exit__(kind, error, traceback)

    def write(
        self,
        drive: Drive,
        odom_x_y_yaw: Array,
        noise: OdometryNoise,
        camera: PinholeCamera,
        T_base_camera: Array,
        images: Iterable[Image],
        steps_per_image: int,
    ) -> Iterator[int]:
        """Write the whole drive in time order; yield the number of images written so far.

        Args:
            drive: where the robot was.
            odom_x_y_yaw: (N, 3) what its odometry says, one row for each state of the drive.
            noise: of that odometry, for the covariances.
            camera: of the images.
            T_base_camera: (4, 4), metres.
            images: (H, W, 3) uint8 RGB: one for every `steps_per_image`-th state.
            steps_per_image: states between images.
        """
        bag, pictures, taken = self._bag, iter(images), 0
        bag.put("tf_static", EPOCH_NS, bag.transform(EPOCH_NS, BASE, CAMERA, T_base_camera))
        for step in range(len(drive.stamps_s)):
            stamp_ns = step_stamp_ns(step)
            T_odom_base = planar_pose(*odom_x_y_yaw[step])
            bag.put("tf", stamp_ns, bag.transform(stamp_ns, ODOM, BASE, T_odom_base))
            bag.put("odom", stamp_ns, self._odometry(stamp_ns, T_odom_base, drive.speed_yaw_rate[step], noise))
            if step % steps_per_image == 0:
                T_map_camera = drive.T_map_base(step) @ T_base_camera
                bag.put("camera_info", stamp_ns, bag.camera_info(stamp_ns, camera))
                bag.put("image", stamp_ns, bag.image(stamp_ns, next(pictures)))
                bag.put("ground_truth", stamp_ns, bag.pose_in_map(stamp_ns, T_map_camera))
                taken += 1
                yield taken

    def _odometry(self, stamp_ns: int, T_odom_base: Array, speed_yaw_rate: Array, noise: OdometryNoise) -> Any:
        bag = self._bag
        speed, yaw_rate = (float(value) for value in speed_yaw_rate)
        way, turn = abs(speed), abs(yaw_rate)
        # Per second of motion at this speed; the floor keeps a standing robot's covariance from being zero.
        forward = (noise.way_per_way * way + noise.way_per_turn * turn + 1e-6) / STEP_S
        turning = (noise.turn_per_turn * turn + noise.turn_per_way * way + 1e-6) / STEP_S
        covariance = np.diag([forward, forward, 1e-6, 1e-6, 1e-6, turning]).ravel()
        twist = bag.new(
            "geometry_msgs/msg/Twist", bag.vector(np.array([speed, 0, 0])), bag.vector(np.array([0, 0, yaw_rate]))
        )
        return bag.new(
            "nav_msgs/msg/Odometry",
            bag.header(stamp_ns, ODOM),
            BASE,
            bag.new("geometry_msgs/msg/PoseWithCovariance", bag.pose(T_odom_base), covariance),
            bag.new("geometry_msgs/msg/TwistWithCovariance", twist, covariance),
        )


def step_stamp_ns(step: int) -> int:
    """Return the stamp of a drive's state."""
    return EPOCH_NS + round(step * STEP_S * 1e9)
