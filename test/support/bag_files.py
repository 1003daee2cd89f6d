"""Bags written message by message, as ROS 1 and ROS 2 tools would, for tests of the bag reader."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from reloc_ros.geometry import se3
from reloc_ros.types import Array, Image

KINDS = ("ros1", "sqlite3", "mcap")
START_NS = 1_700_000_000_123_456_789
FRAME = "camera_optical_frame"
K = (35.0, 0.0, 21.0, 0.0, 36.0, 14.0, 0.0, 0.0, 1.0)
WIDTH, HEIGHT = 40, 30


def second(seconds: float) -> int:
    """Return a stamp that many seconds after the start of the recording."""
    return START_NS + round(seconds * 1e9)


class BagBuilder:
    """A bag of any kind; use as a context manager. Recording times lag stamps by 50 ms, as on a real robot."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.path = folder / ("drive.bag" if kind == "ros1" else "drive")
        self._ros1 = kind == "ros1"
        self._store = get_typestore(Stores.ROS1_NOETIC if self._ros1 else Stores.ROS2_HUMBLE)
        if self._ros1:
            definition = "geometry_msgs/TransformStamped[] transforms\n"
            self._store.register(get_types_from_msg(definition, "tf2_msgs/msg/TFMessage"))
            self._writer: Any = Writer1(self.path)
        else:
            plugin = StoragePlugin.MCAP if kind == "mcap" else StoragePlugin.SQLITE3
            self._writer = Writer2(self.path, version=9, storage_plugin=plugin)
        self._connections: dict[str, Any] = {}

    def __enter__(self) -> BagBuilder:
        self._writer.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._writer.close()

    def image(
        self, stamp_ns: int, image: Image, *, topic: str = "/camera/image", frame: str = FRAME, **lies: Any
    ) -> None:
        """Write a raw rgb8 image; `lies` replace fields of the message."""
        height, width = image.shape[:2]
        fields = {
            "header": self._header(stamp_ns, frame),
            "height": height,
            "width": width,
            "encoding": "rgb8",
            "is_bigendian": 0,
            "step": 3 * width,
            "data": image.reshape(-1),
            **lies,
        }
        self._put(topic, stamp_ns, "sensor_msgs/msg/Image", **fields)

    def compressed(self, stamp_ns: int, image: Image, *, topic: str = "/camera/image/compressed") -> None:
        """Write a lossless compressed image."""
        data = cv2.imencode(".png", image[:, :, ::-1])[1].reshape(-1)
        header = self._header(stamp_ns, FRAME)
        self._put(topic, stamp_ns, "sensor_msgs/msg/CompressedImage", header=header, format="png", data=data)

    def camera_info(self, stamp_ns: int, *, topic: str = "/camera/camera_info", **changes: Any) -> None:
        """Write a calibrated camera of 40x30 pixels; `changes` replace fields, spelt as in ROS 2."""
        fields = {
            "header": self._header(stamp_ns, FRAME),
            "height": HEIGHT,
            "width": WIDTH,
            "distortion_model": "plumb_bob",
            "d": np.array([0.01, -0.02, 0.001, -0.002, 0.0]),
            "k": np.array(K),
            "r": np.eye(3).reshape(-1),
            "p": np.zeros(12),
            "binning_x": 0,
            "binning_y": 0,
            "roi": self.roi(0, 0, 0, 0),
            **changes,
        }
        if self._ros1:
            fields = {name.upper() if name in ("d", "k", "r", "p") else name: value for name, value in fields.items()}
        self._put(topic, stamp_ns, "sensor_msgs/msg/CameraInfo", **fields)

    def roi(self, left: int, top: int, width: int, height: int) -> Any:
        """Return a region of interest."""
        return self._new(
            "sensor_msgs/msg/RegionOfInterest",
            x_offset=left,
            y_offset=top,
            height=height,
            width=width,
            do_rectify=False,
        )

    def pose(self, stamp_ns: int, T: Array, *, topic: str = "/ground_truth", quat_xyzw: Array | None = None) -> None:
        """Write a PoseStamped in `map`."""
        pose = self._pose(T, quat_xyzw)
        self._put(topic, stamp_ns, "geometry_msgs/msg/PoseStamped", header=self._header(stamp_ns, "map"), pose=pose)

    def pose_with_covariance(self, stamp_ns: int, T: Array, *, topic: str = "/amcl_pose") -> None:
        """Write a PoseWithCovarianceStamped in `map`."""
        kind = "geometry_msgs/msg/PoseWithCovarianceStamped"
        self._put(topic, stamp_ns, kind, header=self._header(stamp_ns, "map"), pose=self._uncertain_pose(T))

    def odometry(self, stamp_ns: int, T: Array, *, topic: str = "/odom", child: str = "base_link") -> None:
        """Write an Odometry in `odom`."""
        zero = self._new("geometry_msgs/msg/Vector3", x=0.0, y=0.0, z=0.0)
        twist = self._new("geometry_msgs/msg/Twist", linear=zero, angular=zero)
        self._put(
            topic,
            stamp_ns,
            "nav_msgs/msg/Odometry",
            header=self._header(stamp_ns, "odom"),
            child_frame_id=child,
            pose=self._uncertain_pose(T),
            twist=self._new("geometry_msgs/msg/TwistWithCovariance", twist=twist, covariance=np.zeros(36)),
        )

    def transform(self, stamp_ns: int, parent: str, child: str, T_parent_child: Array, *, topic: str = "/tf") -> None:
        """Write one transform to /tf or /tf_static."""
        pose = self._pose(T_parent_child, None)
        position = pose.position
        vector = self._new("geometry_msgs/msg/Vector3", x=position.x, y=position.y, z=position.z)
        transform = self._new("geometry_msgs/msg/Transform", translation=vector, rotation=pose.orientation)
        stamped = self._new(
            "geometry_msgs/msg/TransformStamped",
            header=self._header(stamp_ns, parent),
            child_frame_id=child,
            transform=transform,
        )
        self._put(topic, stamp_ns, "tf2_msgs/msg/TFMessage", transforms=[stamped])

    def _put(self, topic: str, stamp_ns: int, kind: str, **fields: Any) -> None:
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(topic, kind, typestore=self._store)
        serialize = self._store.serialize_ros1 if self._ros1 else self._store.serialize_cdr
        data = serialize(self._new(kind, **fields), kind)
        self._writer.write(self._connections[topic], stamp_ns + 50_000_000, data)

    def _new(self, kind: str, **fields: Any) -> Any:
        return self._store.types[kind](**fields)

    def _header(self, stamp_ns: int, frame_id: str) -> Any:
        seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
        stamp = self._new("builtin_interfaces/msg/Time", sec=seconds, nanosec=nanoseconds)
        sequence = {"seq": 7} if self._ros1 else {}
        return self._new("std_msgs/msg/Header", stamp=stamp, frame_id=frame_id, **sequence)

    def _pose(self, T: Array, quat_xyzw: Array | None) -> Any:
        orientation, translation = se3.to_quat_xyzw_translation(T)
        orientation = orientation if quat_xyzw is None else quat_xyzw
        return self._new(
            "geometry_msgs/msg/Pose",
            position=self._new("geometry_msgs/msg/Point", **dict(zip("xyz", map(float, translation)))),
            orientation=self._new("geometry_msgs/msg/Quaternion", **dict(zip("xyzw", map(float, orientation)))),
        )

    def _uncertain_pose(self, T: Array) -> Any:
        return self._new("geometry_msgs/msg/PoseWithCovariance", pose=self._pose(T, None), covariance=np.zeros(36))
