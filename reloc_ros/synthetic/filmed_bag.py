"""A recorded drive that has no camera, filmed in a synthetic world: the same bag with images along its trajectory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.highlevel import AnyReader

from reloc_ros.cameras.pinhole import PinholeCamera
from reloc_ros.datasets.bag_file import open_bag, stamp_ns
from reloc_ros.datasets.bag_poses import Track, TransformTree
from reloc_ros.datasets.bag_topics import TRANSFORMS
from reloc_ros.datasets.bag_writer import CAMERA, CAMERA_TOPICS, BagWriter
from reloc_ros.datasets.rosbag import read_tree
from reloc_ros.errors import DatasetError
from reloc_ros.synthetic.robot import T_BASE_OPTICAL_AXES
from reloc_ros.types import Array, Image

MAX_GAP_NS = 200_000_000
COPIED = {
    "nav_msgs/msg/Odometry",
    "tf2_msgs/msg/TFMessage",
    "geometry_msgs/msg/PoseStamped",
    "geometry_msgs/msg/PoseWithCovarianceStamped",
    "sensor_msgs/msg/LaserScan",
    "sensor_msgs/msg/Imu",
}
"""Types of the messages that are taken over; others have nothing to say about where the robot was."""
DEFAULT_HEIGHT_M = 0.5
_JUDGED_MESSAGES = 200


@dataclass(frozen=True, kw_only=True)
class Filming:
    """Where and when pictures are taken.

    Args:
        stamps_ns: (N) of the images, in order.
        T_map_camera: (N, 4, 4).
        camera_frame: name of the optical frame.
        base_frame: set when the bag's transforms know no camera: it is then mounted on this frame.
    """

    stamps_ns: list[int]
    T_map_camera: Array
    camera_frame: str
    base_frame: str | None


def plan_filming(
    bag: Path, rate_hz: float, camera_frame: str | None = None, map_frame: str = "map", base_frame: str = "base_link"
) -> Filming:
    """Return where a camera on the robot of a bag was, at a rate, as long as the map frame and the camera are connected.

    Args:
        bag: with /tf from the map to the robot.
        rate_hz: of the images.
        camera_frame: optical frame that the bag's transforms know; None mounts a camera on the base.
        map_frame: fixed frame.
        base_frame: frame of the robot.

    Raises:
        DatasetError: the bag cannot be read, or its transforms do not say where the robot was.
    """
    with open_bag(bag) as reader:
        tree = read_tree(reader, bag)
    mounted = base_frame if camera_frame is None else None
    if camera_frame is None:
        camera_frame = CAMERA
        static = Track(np.array([0]), T_base_camera()[np.newaxis], static=True)
        tree = TransformTree({**tree.parents, camera_frame: (base_frame, static)})
    moving = [track.stamps_ns for _, track in tree.parents.values() if not track.static]
    if not moving:
        raise DatasetError(f"bag {bag}: /tf holds no moving transform; record /tf and /tf_static")
    first, last = min(int(stamps[0]) for stamps in moving), max(int(stamps[-1]) for stamps in moving)
    stamps = [int(stamp) for stamp in np.arange(first, last, round(1e9 / rate_hz))]
    poses = [(stamp, tree.lookup(map_frame, camera_frame, stamp, MAX_GAP_NS)) for stamp in stamps]
    known = [(stamp, pose) for stamp, pose in poses if pose is not None]
    if not known:
        raise DatasetError(f"bag {bag}: /tf never connects {map_frame} and {camera_frame}")
    return Filming(
        stamps_ns=[stamp for stamp, _ in known],
        T_map_camera=np.array([pose for _, pose in known]),
        camera_frame=camera_frame,
        base_frame=mounted,
    )


def T_base_camera() -> Array:
    """Return the (4, 4) of a camera mounted on a base that has none: level, looking forward."""
    transform: Array = T_BASE_OPTICAL_AXES.copy()
    transform[2, 3] = DEFAULT_HEIGHT_M
    return transform


def write_filmed_bag(
    bag: Path, out: Path, filming: Filming, camera: PinholeCamera, images: Iterable[Image], storage: str = "mcap"
) -> Iterator[int]:
    """Write the messages of a bag and the pictures between them; yield the number of pictures written so far.

    Raises:
        DatasetError: the bag cannot be read, `out` exists, or the disk refuses it. No bag is left behind.
    """
    with open_bag(bag) as reader:
        taken_over = {
            connection.topic: (connection.topic, str(connection.msgtype))
            for connection in reader.connections
            if str(connection.msgtype) in COPIED
        }
        made = {name: CAMERA_TOPICS[name] for name in ("image", "camera_info")}
        topics = {**made, **taken_over}
        if filming.base_frame is not None:
            topics.setdefault("/tf_static", ("/tf_static", TRANSFORMS[0]))
        with BagWriter(out, topics, storage) as writer:
            offset_ns = _recorded_after_ns(reader, set(taken_over))
            messages = _copies(reader, set(taken_over))
            waiting = next(messages, None)
            pictures = iter(images)
            if filming.base_frame is not None:
                start_ns = filming.stamps_ns[0] + offset_ns
                start_ns = start_ns if waiting is None else min(start_ns, waiting[1])
                mount = writer.transform(filming.stamps_ns[0], filming.base_frame, CAMERA, T_base_camera())
                writer.put("/tf_static", start_ns, mount)
            for count, stamp in enumerate(filming.stamps_ns, start=1):
                while waiting is not None and waiting[1] <= stamp + offset_ns:
                    writer.put(*waiting)
                    waiting = next(messages, None)
                header = writer.header(stamp, filming.camera_frame)
                info = replace(writer.camera_info(stamp, camera), header=header)
                writer.put("camera_info", stamp + offset_ns, info)
                writer.put("image", stamp + offset_ns, replace(writer.image(stamp, next(pictures)), header=header))
                yield count
            while waiting is not None:
                writer.put(*waiting)
                waiting = next(messages, None)


def _copies(reader: AnyReader, topics: set[str]) -> Iterator[tuple[str, int, Any]]:
    connections = [connection for connection in reader.connections if connection.topic in topics]
    for connection, bag_time_ns, data in reader.messages(connections):
        yield connection.topic, bag_time_ns, reader.deserialize(data, connection.msgtype)


def _recorded_after_ns(reader: AnyReader, topics: set[str]) -> int:
    """Return by how much times of recording exceed the stamps in headers: those of a simulation start near 0.

    The largest difference counts: corrections of odometry are dated ahead.
    """
    delays = []
    for _, bag_time_ns, message in islice(_copies(reader, topics), _JUDGED_MESSAGES):
        found = stamp_ns((message.transforms[0] if hasattr(message, "transforms") else message).header)
        if found > 0:
            delays.append(bag_time_ns - found)
    return max(delays, default=0)
