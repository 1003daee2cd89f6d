"""What a bag is read as: its location with the options that the reader needs, completed where a bag leaves no doubt."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
from rosbags.highlevel import AnyReader

from reloc_ros.datasets.bag_file import COMPRESSED_IMAGE, RAW_IMAGE, open_bag
from reloc_ros.datasets.bag_topics import CAMERA_INFO, POSE, POSE_WITH_COVARIANCE, TRANSFORMS
from reloc_ros.datasets.images import PosedImages
from reloc_ros.datasets.rosbag import read_rosbag, read_tree
from reloc_ros.errors import DatasetError
from reloc_ros.mapping.reference import ReferenceLimits, find_corrections

MAP = "map"
_ROBOT_FRAMES = ("base_footprint", "base_link")
"""Whose pose AMCL publishes; nav2's default comes first."""


def complete_options(bag: Path, given: Mapping[str, str]) -> dict[str, str]:
    """Return the options of the bag's reader (see `read_rosbag`) with what the bag itself answers.

    A PoseStamped topic is taken as it is. Without one, transforms from the map frame come before `/amcl_pose` and
    odometry: they carry the same correction, and odometry between corrections. `/amcl_pose` is the pose of the robot,
    not of its camera.

    Raises:
        DatasetError: the bag cannot be read, is empty, or says nothing about its camera.
    """
    if not bag.exists():
        raise DatasetError(f"bag {bag} does not exist; check the path")
    options = dict(given)
    with open_bag(bag) as reader:
        types = {connection.topic: str(connection.msgtype) for connection in reader.connections}
        if not types or not reader.message_count:
            raise DatasetError(f"bag {bag} holds no message; was the recording stopped properly? (`ros2 bag info`)")
        listing = ", ".join(f"{topic} [{kind}]" for topic, kind in sorted(types.items()))
        if not {RAW_IMAGE, COMPRESSED_IMAGE} & set(types.values()):
            raise DatasetError(
                f"bag {bag} has no image topic; record the camera as well, or try things out with a synthetic one "
                f"(`reloc dataset film`); topics of the bag: {listing}"
            )
        if "camera" not in options and CAMERA_INFO not in types.values():
            raise DatasetError(
                f"bag {bag} has no CameraInfo topic; give --camera equirectangular for panoramas, or --camera FILE "
                f"with a camera.json; topics of the bag: {listing}"
            )
        frames = _frames(reader)
    undecided = not {"pose", "poses"} & set(options) and POSE not in types.values()
    if undecided and options.get("map_frame", MAP) in frames and "/tf" in types:
        options["pose"] = "/tf"
    robots = [frame for frame in _ROBOT_FRAMES if frame in frames]
    if _pose_type(types, options) == POSE_WITH_COVARIANCE and robots:
        options.setdefault("pose_frame", robots[0])
    return options


def read_drive(bag: Path, options: Mapping[str, str]) -> PosedImages:
    """Return the images of a bag with their poses at the image stamps.

    Raises:
        DatasetError: as `read_rosbag` says.
    """
    query = urlencode(sorted(options.items()))
    return read_rosbag(f"{bag}?{query}" if query else str(bag))


def correction_jumps_ns(bag: Path, options: Mapping[str, str], limits: ReferenceLimits) -> list[int]:
    """Return the times at which the transform that corrects odometry jumps, where the poses come from transforms.

    Poses between two corrections are interpolated, which would hide a jump from whoever looks at poses alone.
    """
    if options.get("pose") != "/tf":
        return []
    with open_bag(bag) as reader:
        parents = read_tree(reader, bag).parents
    moving = {child: (parent, track) for child, (parent, track) in parents.items() if not track.static}
    for odom, (parent, corrections) in moving.items():
        body = next((track for above, track in moving.values() if above == odom), None)
        if parent != options.get("map_frame", MAP) or body is None:
            continue
        # The nearest odometry will do for a lever arm.
        nearest = np.clip(np.searchsorted(body.stamps_ns, corrections.stamps_ns), 0, len(body.stamps_ns) - 1)
        found = find_corrections(corrections.transforms, body.transforms[nearest, :3, 3], limits)
        return [int(corrections.stamps_ns[index]) for index in found]
    return []


def fingerprint(path: Path) -> list[list[Any]]:
    """Return name, size and time of change of a file, or of every file in a folder: what a changed bag changes."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files if file.is_file()]


def _frames(reader: AnyReader) -> set[str]:
    connections = [connection for connection in reader.connections if str(connection.msgtype) in TRANSFORMS]
    frames: set[str] = set()
    if connections:
        for connection, _, data in reader.messages(connections):
            message: Any = reader.deserialize(data, connection.msgtype)
            for stamped in message.transforms:
                frames |= {stamped.header.frame_id.lstrip("/"), stamped.child_frame_id.lstrip("/")}
    return frames


def _pose_type(types: Mapping[str, str], options: Mapping[str, str]) -> str | None:
    """Return the type of the pose topic: that of the named one, else of what the reader would take first."""
    if "poses" in options:
        return None
    if "pose" in options:
        return types.get(options["pose"])
    kinds = set(types.values())
    return next((kind for kind in (POSE, POSE_WITH_COVARIANCE) if kind in kinds), None)
