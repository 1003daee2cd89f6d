"""Writes a drive as a ROS 2 bag: camera, odometry, transforms and the truth, all at their own times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from reloc_ros.cameras.pinhole import PinholeCamera
from reloc_ros.errors import DatasetError
from reloc_ros.geometry import se3
from reloc_ros.synthetic.robot import planar_pose
from reloc_ros.synthetic.trajectories import STEP_S, Drive, OdometryNoise
from reloc_ros.types import Array, Image

BAG_VERSION: Literal[8] = 8
"""Read by Humble and by everything newer."""
STORAGES = {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}
TOPICS = {
    "image": ("/camera/image", "sensor_msgs/msg/Image"),
    "camera_info": ("/camera/camera_info", "sensor_msgs/msg/CameraInfo"),
    "odom": ("/odom", "nav_msgs/msg/Odometry"),
    "tf": ("/tf", "tf2_msgs/msg/TFMessage"),
    "tf_static": ("/tf_static", "tf2_msgs/msg/TFMessage"),
    "ground_truth": ("/ground_truth", "geometry_msgs/msg/PoseStamped"),
}
MAP, ODOM, BASE, CAMERA = "map", "odom", "base_link", "camera_optical_frame"
EPOCH_NS = 1_750_000_000_000_000_000
"""Start of a bag, a fixed moment in 2025: bags of equal seeds are equal."""


class DriveBag:
    """A bag being written; use as a context manager.

    Topics: `/camera/image` and `/camera/camera_info` (frame `camera_optical_frame`), `/odom` and `/tf`
    (odom -> base_link), `/tf_static` (base_link -> camera_optical_frame), `/ground_truth` (the camera's optical frame
    in `map`).
    """

    def __init__(self, path: Path, storage: str = "mcap") -> None:
        """Create the bag folder.

        Raises:
            DatasetError: it exists, or the storage is unknown.
        """
        if storage not in STORAGES:
            raise DatasetError(f"no bag storage {storage!r}; use one of {sorted(STORAGES)}")
        if path.exists():
            raise DatasetError(f"bag {path} exists already; delete it or choose another folder")
        self._writer = Writer(path, version=BAG_VERSION, storage_plugin=STORAGES[storage])
        self._store = get_typestore(Stores.ROS2_HUMBLE)

    def __enter__(self) -> DriveBag:
        """Open the bag."""
        self._writer.open()
        self._connections = {
            name: self._writer.add_connection(
                topic, kind, typestore=self._store, offered_qos_profiles=[_LATCHED] if name == "tf_static" else []
            )
            for name, (topic, kind) in TOPICS.items()
        }
        return self

    def __exit__(self, *_: object) -> None:
        """Close the bag."""
        self._writer.close()

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
        pictures, taken = iter(images), 0
        self._put("tf_static", EPOCH_NS, self._transforms(EPOCH_NS, BASE, CAMERA, T_base_camera))
        for step in range(len(drive.stamps_s)):
            stamp_ns = step_stamp_ns(step)
            T_odom_base = planar_pose(*odom_x_y_yaw[step])
            self._put("tf", stamp_ns, self._transforms(stamp_ns, ODOM, BASE, T_odom_base))
            self._put("odom", stamp_ns, self._odometry(stamp_ns, T_odom_base, drive.speed_yaw_rate[step], noise))
            if step % steps_per_image == 0:
                T_map_camera = drive.T_map_base(step) @ T_base_camera
                self._put("camera_info", stamp_ns, self._camera_info(stamp_ns, camera))
                self._put("image", stamp_ns, self._image(stamp_ns, next(pictures)))
                self._put("ground_truth", stamp_ns, self._pose_stamped(stamp_ns, T_map_camera))
                taken += 1
                yield taken

    def _put(self, name: str, stamp_ns: int, message: Any) -> None:
        connection = self._connections[name]
        data = self._store.serialize_cdr(message, connection.msgtype)
        self._writer.write(connection, stamp_ns, data)

    def _new(self, kind: str, *values: Any) -> Any:
        return self._store.types[kind](*values)

    def _header(self, stamp_ns: int, frame_id: str) -> Any:
        seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
        return self._new(
            "std_msgs/msg/Header", self._new("builtin_interfaces/msg/Time", seconds, nanoseconds), frame_id
        )

    def _vector(self, xyz: Array) -> Any:
        return self._new("geometry_msgs/msg/Vector3", *(float(value) for value in xyz))

    def _pose(self, T: Array) -> Any:
        quat_xyzw, translation = se3.to_quat_xyzw_translation(T)
        position = self._new("geometry_msgs/msg/Point", *(float(value) for value in translation))
        orientation = self._new("geometry_msgs/msg/Quaternion", *(float(value) for value in quat_xyzw))
        return self._new("geometry_msgs/msg/Pose", position, orientation)

    def _pose_stamped(self, stamp_ns: int, T_map_camera: Array) -> Any:
        return self._new("geometry_msgs/msg/PoseStamped", self._header(stamp_ns, MAP), self._pose(T_map_camera))

    def _transforms(self, stamp_ns: int, parent: str, child: str, T_parent_child: Array) -> Any:
        quat_xyzw, translation = se3.to_quat_xyzw_translation(T_parent_child)
        orientation = self._new("geometry_msgs/msg/Quaternion", *(float(value) for value in quat_xyzw))
        transform = self._new("geometry_msgs/msg/Transform", self._vector(translation), orientation)
        header = self._header(stamp_ns, parent)
        stamped = self._new("geometry_msgs/msg/TransformStamped", header, child, transform)
        return self._new("tf2_msgs/msg/TFMessage", [stamped])

    def _odometry(self, stamp_ns: int, T_odom_base: Array, speed_yaw_rate: Array, noise: OdometryNoise) -> Any:
        speed, yaw_rate = (float(value) for value in speed_yaw_rate)
        way, turn = abs(speed), abs(yaw_rate)
        # Per second of motion at this speed; the floor keeps a standing robot's covariance from being zero.
        forward = (noise.way_per_way * way + noise.way_per_turn * turn + 1e-6) / STEP_S
        turning = (noise.turn_per_turn * turn + noise.turn_per_way * way + 1e-6) / STEP_S
        covariance = np.diag([forward, forward, 1e-6, 1e-6, 1e-6, turning]).ravel()
        twist = self._new(
            "geometry_msgs/msg/Twist", self._vector(np.array([speed, 0, 0])), self._vector(np.array([0, 0, yaw_rate]))
        )
        return self._new(
            "nav_msgs/msg/Odometry",
            self._header(stamp_ns, ODOM),
            BASE,
            self._new("geometry_msgs/msg/PoseWithCovariance", self._pose(T_odom_base), covariance),
            self._new("geometry_msgs/msg/TwistWithCovariance", twist, covariance),
        )

    def _image(self, stamp_ns: int, image: Image) -> Any:
        height, width, _ = image.shape
        header = self._header(stamp_ns, CAMERA)
        return self._new("sensor_msgs/msg/Image", header, height, width, "rgb8", 0, 3 * width, image.ravel())

    def _camera_info(self, stamp_ns: int, camera: PinholeCamera) -> Any:
        projection = np.zeros((3, 4))
        projection[:, :3] = camera.K
        distortion = np.array(camera.distortion or (0.0,) * 5)
        region = self._new("sensor_msgs/msg/RegionOfInterest", 0, 0, 0, 0, False)
        return self._new(
            "sensor_msgs/msg/CameraInfo", self._header(stamp_ns, CAMERA), camera.height, camera.width,
            camera.distortion_model, distortion, camera.K.ravel(), np.eye(3).ravel(), projection.ravel(), 0, 0, region,
        )  # fmt: skip


def step_stamp_ns(step: int) -> int:
    """Return the stamp of a drive's state."""
    return EPOCH_NS + round(step * STEP_S * 1e9)


_UNLIMITED = QosTime(2147483647, 4294967295)
_LATCHED = Qos(
    QosHistory.KEEP_LAST, 1, QosReliability.RELIABLE, QosDurability.TRANSIENT_LOCAL, _UNLIMITED, _UNLIMITED,
    QosLiveliness.AUTOMATIC, _UNLIMITED, False,
)  # fmt: skip
