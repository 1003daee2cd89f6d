"""Writes ROS 2 bags: builds the messages of a camera and of poses, serialises them and stores them."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from reloc_ros.cameras.pinhole import DISTORTION_MODELS, PinholeCamera
from reloc_ros.errors import DatasetError
from reloc_ros.geometry import se3
from reloc_ros.types import Array, Image

BAG_VERSION: Literal[8] = 8
"""Read by Humble and by everything newer."""
STORAGES = {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}
CAMERA_TOPICS = {
    "image": ("/camera/image", "sensor_msgs/msg/Image"),
    "camera_info": ("/camera/camera_info", "sensor_msgs/msg/CameraInfo"),
    "ground_truth": ("/ground_truth", "geometry_msgs/msg/PoseStamped"),
}
"""Name here: topic and message type. The truth is the pose of the camera's optical frame in `map`."""
MAP, CAMERA = "map", "camera_optical_frame"
EPOCH_NS = 1_750_000_000_000_000_000
"""Start of bags whose content knows no date, a fixed moment in 2025: what is written twice is equal."""

_LATCHED_TOPICS = ("/tf_static",)


class BagWriter:
    """A bag being written; use as a context manager. When the block fails, the unfinished bag is deleted.

    Args:
        path: the bag's folder, which must not exist.
        topics: name here: topic and message type.
        storage: a key of `STORAGES`.

    Raises:
        DatasetError: the folder exists, the storage is unknown, or the disk refuses the bag.
    """

    def __init__(self, path: Path, topics: Mapping[str, tuple[str, str]], storage: str = "mcap") -> None:
        if storage not in STORAGES:
            raise DatasetError(f"no bag storage {storage!r}; use one of {sorted(STORAGES)}")
        if path.exists():
            raise DatasetError(f"bag {path} exists already; delete it or choose another folder")
        self._path = path
        self._topics = topics
        self._writer = Writer(path, version=BAG_VERSION, storage_plugin=STORAGES[storage])
        self._store = get_typestore(Stores.ROS2_HUMBLE)

    def __enter__(self) -> BagWriter:
        """Open the bag."""
        try:
            self._writer.open()
        except OSError as error:
            raise self._refused(error) from error
        self._connections = {
            name: self._writer.add_connection(
                topic, kind, typestore=self._store, offered_qos_profiles=[_LATCHED] if topic in _LATCHED_TOPICS else []
            )
            for name, (topic, kind) in self._topics.items()
        }
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the bag; half a recording looks like a whole one, so it does not stay."""
        try:
            self._writer.close()
        except (OSError, sqlite3.Error) as failure:
            shutil.rmtree(self._path, ignore_errors=True)
            raise self._refused(failure) from failure
        if kind is not None:
            shutil.rmtree(self._path, ignore_errors=True)

    def put(self, name: str, stamp_ns: int, message: Any) -> None:
        """Write a message to the topic of that name, as recorded at its stamp."""
        connection = self._connections[name]
        data = self._store.serialize_cdr(message, connection.msgtype)
        try:
            self._writer.write(connection, stamp_ns, data)
        except (OSError, sqlite3.Error) as error:
            raise self._refused(error) from error

    def new(self, kind: str, *values: Any) -> Any:
        """Return a message of a type, for example `geometry_msgs/msg/Twist`, with its fields in order."""
        return self._store.types[kind](*values)

    def header(self, stamp_ns: int, frame_id: str) -> Any:
        """Return a std_msgs/Header."""
        seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
        return self.new("std_msgs/msg/Header", self.new("builtin_interfaces/msg/Time", seconds, nanoseconds), frame_id)

    def vector(self, xyz: Array) -> Any:
        """Return a geometry_msgs/Vector3."""
        return self.new("geometry_msgs/msg/Vector3", *(float(value) for value in xyz))

    def pose(self, T: Array) -> Any:
        """Return the geometry_msgs/Pose of a (4, 4) transform."""
        quat_xyzw, translation = se3.to_quat_xyzw_translation(T)
        position = self.new("geometry_msgs/msg/Point", *(float(value) for value in translation))
        orientation = self.new("geometry_msgs/msg/Quaternion", *(float(value) for value in quat_xyzw))
        return self.new("geometry_msgs/msg/Pose", position, orientation)

    def pose_in_map(self, stamp_ns: int, T_map_camera: Array) -> Any:
        """Return the geometry_msgs/PoseStamped of the camera."""
        return self.new("geometry_msgs/msg/PoseStamped", self.header(stamp_ns, MAP), self.pose(T_map_camera))

    def transform(self, stamp_ns: int, parent: str, child: str, T_parent_child: Array) -> Any:
        """Return a tf2_msgs/TFMessage with one transform."""
        quat_xyzw, translation = se3.to_quat_xyzw_translation(T_parent_child)
        orientation = self.new("geometry_msgs/msg/Quaternion", *(float(value) for value in quat_xyzw))
        transform = self.new("geometry_msgs/msg/Transform", self.vector(translation), orientation)
        header = self.header(stamp_ns, parent)
        stamped = self.new("geometry_msgs/msg/TransformStamped", header, child, transform)
        return self.new("tf2_msgs/msg/TFMessage", [stamped])

    def image(self, stamp_ns: int, image: Image, frame_id: str = CAMERA) -> Any:
        """Return the sensor_msgs/Image of (H, W, 3) uint8 RGB."""
        height, width, _ = image.shape
        header = self.header(stamp_ns, frame_id)
        return self.new("sensor_msgs/msg/Image", header, height, width, "rgb8", 0, 3 * width, image.ravel())

    def camera_info(self, stamp_ns: int, camera: PinholeCamera, frame_id: str = CAMERA) -> Any:
        """Return the sensor_msgs/CameraInfo of raw images; an ideal lens is as many zeros as its model has numbers."""
        projection = np.zeros((3, 4))
        projection[:, :3] = camera.K
        _, counts = DISTORTION_MODELS[camera.distortion_model]
        distortion = np.array(camera.distortion or (0.0,) * max(counts))
        region = self.new("sensor_msgs/msg/RegionOfInterest", 0, 0, 0, 0, False)
        return self.new(
            "sensor_msgs/msg/CameraInfo", self.header(stamp_ns, frame_id), camera.height, camera.width,
            camera.distortion_model, distortion, camera.K.ravel(), np.eye(3).ravel(), projection.ravel(), 0, 0, region,
        )  # fmt: skip

    def _refused(self, error: Exception) -> DatasetError:
        return DatasetError(
            f"bag {self._path} cannot be written: {error}; check that the disk is not full and the folder is writable"
        )


_UNLIMITED = QosTime(2147483647, 4294967295)
_LATCHED = Qos(
    QosHistory.KEEP_LAST, 1, QosReliability.RELIABLE, QosDurability.TRANSIENT_LOCAL, _UNLIMITED, _UNLIMITED,
    QosLiveliness.AUTOMATIC, _UNLIMITED, False,
)  # fmt: skip
