"""Recorded bags, ROS 1 and ROS 2 (sqlite3 and mcap): images with the pose of their camera at the image stamp.

`rosbag:drive.mcap?image=/camera/image&camera_info=/camera/camera_info&pose=/ground_truth`. All options are optional:
    image, camera_info, pose   topics; see `BagTopics.choose` for what is taken when left out
    poses                      instead of a pose topic: a TUM file, `stamp_s tx ty tz qx qy qz qw` in the clock of the images
    camera                     instead of a camera_info topic: the path of a camera.json, or `equirectangular`
    pose_frame                 the frame whose pose the pose topic gives, when that is not the camera; an Odometry says
                               so itself. The camera then follows from /tf_static and /tf
    map_frame                  with pose=/tf: the fixed frame, `map` by default
    max_gap_ms                 poses further apart are not interpolated, 200 by default
Times are those in message headers, never the time of recording.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.highlevel import AnyReader

from reloc_ros.cameras.camera import Camera
from reloc_ros.cameras.camera_info import CameraInfoFields
from reloc_ros.cameras.equirectangular import EquirectangularCamera
from reloc_ros.datasets.bag_file import BagImages, open_bag, stamp_ns
from reloc_ros.datasets.bag_poses import Track, TransformTree
from reloc_ros.datasets.bag_topics import ODOMETRY, POSE, TRANSFORMS, BagTopics
from reloc_ros.datasets.files import camera_of, read_json
from reloc_ros.datasets.images import PosedImage, PosedImages, Skipped
from reloc_ros.datasets.location import Location
from reloc_ros.datasets.tum import read_stamped_poses
from reloc_ros.errors import CameraError, DatasetError, DegenerateGeometryError
from reloc_ros.geometry import se3
from reloc_ros.types import Array

_OPTIONS = ("image", "camera_info", "pose", "poses", "camera", "pose_frame", "map_frame", "max_gap_ms")
_MAX_GAP_MS = 200.0

PoseAt = Callable[[int, str], "Array | None"]
"""(stamp_ns, camera frame) to T_map_camera, or None where the bag has no pose."""


@dataclass(frozen=True)
class _ImageEntry:
    """Where an image lies in the bag, and what its header says."""

    bag_time_ns: int
    stamp_ns: int
    frame_id: str


def read_rosbag(location: str) -> PosedImages:
    """Return the images of a bag that have a pose; see above for the options.

    Images outside the poses, in a gap of them, or with the stamp of an earlier image are skipped and counted.

    Raises:
        DatasetError: the bag is broken, its topics are ambiguous or missing, K is zero, a pose is not finite or the
            frames are not connected.
    """
    options = Location.parse(location, _OPTIONS)
    with open_bag(options.path) as reader:
        types = {connection.topic: str(connection.msgtype) for connection in reader.connections}
        topics = BagTopics.choose(types, options.options)
        entries = [
            _ImageEntry(bag_time_ns, stamp_ns(message.header), message.header.frame_id.lstrip("/"))
            for bag_time_ns, message in _messages(reader, topics.image)
        ]
        source = BagImages(options.path, topics.image)
        if topics.camera_info is None:
            camera_at = _constant_camera(options.options["camera"], entries, source)
        else:
            camera_at = _announced_cameras(reader, topics.camera_info, options.path)
        if topics.pose is None:
            pose_at, ground_truth = _poses_of_file(reader, options)
        else:
            pose_at, ground_truth = _poses(reader, topics.pose, types[topics.pose], options)
        images, skipped = _posed(entries, camera_at, pose_at, source)
    return PosedImages(images=images, skipped=skipped, ground_truth=ground_truth, name=options.path.stem, metric=True)


def _posed(
    entries: list[_ImageEntry], camera_at: Callable[[int], Camera], pose_at: PoseAt, source: BagImages
) -> tuple[tuple[PosedImage, ...], tuple[Skipped, ...]]:
    images: dict[int, PosedImage] = {}
    skipped = []
    for entry in sorted(entries, key=lambda entry: (entry.stamp_ns, entry.bag_time_ns)):
        name = f"{source.topic}@{entry.stamp_ns}"
        if entry.stamp_ns in images:
            skipped.append(Skipped(path=name, reason="an earlier image has the same stamp"))
            continue
        T_map_camera = pose_at(entry.stamp_ns, entry.frame_id)
        if T_map_camera is None:
            skipped.append(Skipped(path=name, reason="no pose around the image stamp"))
            continue
        images[entry.stamp_ns] = PosedImage(
            name=name,
            stamp_ns=entry.stamp_ns,
            T_map_camera=T_map_camera,
            camera=camera_at(entry.stamp_ns),
            load=partial(source.load, entry.bag_time_ns, entry.stamp_ns),
            sequence=source.path.stem,
        )
    return tuple(images.values()), tuple(skipped)


def _messages(reader: AnyReader, *topics: str) -> Iterator[tuple[int, Any]]:
    """Yield (time of recording in ns, decoded message); nothing for topics that are absent."""
    connections = [connection for connection in reader.connections if connection.topic in topics]
    if connections:
        for connection, bag_time_ns, data in reader.messages(connections):
            yield bag_time_ns, reader.deserialize(data, connection.msgtype)


def _constant_camera(option: str, entries: list[_ImageEntry], source: BagImages) -> Callable[[int], Camera]:
    """Return the function to the one camera given by a file, or to a panorama of the size of the first image."""
    if option == "equirectangular":
        camera: Camera = _panorama(entries, source)
    else:
        file = Path(option).expanduser()
        camera = camera_of(read_json(file), file)
    return lambda _: camera


def _panorama(entries: list[_ImageEntry], source: BagImages) -> EquirectangularCamera:
    """Return a panorama of the size of the first image that can be decoded; the others are skipped when they are read."""
    why = "the topic holds no message"
    for entry in entries:
        try:
            height, width = source.load(entry.bag_time_ns, entry.stamp_ns).shape[:2]
        except DatasetError as error:
            why = str(error)
        else:
            return EquirectangularCamera(width, height)
    raise DatasetError(f"bag {source.path}: none of {len(entries)} images on {source.topic} can be decoded; {why}")


def _announced_cameras(reader: AnyReader, topic: str, path: Path) -> Callable[[int], Camera]:
    """Return the function from an image stamp to the camera that was announced last, or first of all."""
    stamps: list[int] = []
    cameras: list[Camera] = []
    same: dict[Camera, Camera] = {}
    announced = sorted(_messages(reader, topic), key=lambda entry: stamp_ns(entry[1].header))
    for _, message in announced:
        try:
            camera = CameraInfoFields.from_message(message).camera()
        except CameraError as error:
            raise DatasetError(f"bag {path}, topic {topic}: {error}") from error
        stamps.append(stamp_ns(message.header))
        # Bags repeat the camera with every image: one object for equal cameras lets others cache by it.
        cameras.append(same.setdefault(camera, camera))
    if not cameras:
        raise DatasetError(f"bag {path}, topic {topic} holds no message; give ?camera=FILE")
    return lambda stamp: cameras[max(0, int(np.searchsorted(stamps, stamp, side="right")) - 1)]


def _poses(reader: AnyReader, topic: str, kind: str, options: Location) -> tuple[PoseAt, str]:
    """Return the function from image stamp and camera frame to T_map_camera, and the name of that ground truth."""
    max_gap_ns = options.milliseconds("max_gap_ms", _MAX_GAP_MS)
    if kind in TRANSFORMS:
        tree, map_frame = read_tree(reader, options.path), options.options.get("map_frame", "map")
        return lambda stamp, camera: tree.lookup(map_frame, camera, stamp, max_gap_ns), f"{topic} from {map_frame}"
    samples, body_frames = [], set()
    for _, message in _messages(reader, topic):
        pose = message.pose if kind == POSE else message.pose.pose
        stamp = stamp_ns(message.header)
        samples.append((stamp, _transform(pose.position, pose.orientation, f"{options.path}, {topic} at {stamp} ns")))
        body_frames.add(message.child_frame_id.lstrip("/") if kind == ODOMETRY else "")
    if not samples:
        raise DatasetError(f"bag {options.path}, topic {topic} holds no pose; choose another with ?pose=TOPIC")
    body = options.options.get("pose_frame", body_frames.pop())
    if body_frames:
        raise DatasetError(f"bag {options.path}, topic {topic}: child_frame_id changes to {', '.join(body_frames)}")
    return _along(Track.from_samples(samples), body, topic, reader, options)


def _poses_of_file(reader: AnyReader, options: Location) -> tuple[PoseAt, str]:
    path = Path(options.options["poses"]).expanduser()
    track = Track.from_samples(read_stamped_poses(path))
    return _along(track, options.options.get("pose_frame", ""), path.name, reader, options)


def _along(track: Track, body: str, source: str, reader: AnyReader, options: Location) -> tuple[PoseAt, str]:
    """Return what `_poses` does for the track T_map_body; an empty body is the camera."""
    max_gap_ns = options.milliseconds("max_gap_ms", _MAX_GAP_MS)
    if not body:
        return lambda stamp, _: track.at(stamp, max_gap_ns), f"{source}, pose of the camera"
    tree = read_tree(reader, options.path)

    def through_body(stamp: int, camera: str) -> Array | None:
        T_map_body = track.at(stamp, max_gap_ns)
        T_body_camera = np.eye(4) if body == camera else tree.lookup(body, camera, stamp, max_gap_ns)
        return None if T_map_body is None or T_body_camera is None else T_map_body @ T_body_camera

    return through_body, f"{source}, pose of {body}"


def read_tree(reader: AnyReader, path: Path) -> TransformTree:
    """Return all transforms of an open bag; the path is what errors name.

    Raises:
        DatasetError: a transform is not finite, or a frame has two parents.
    """
    samples = []
    for topic, static in (("/tf_static", True), ("/tf", False)):
        for _, message in _messages(reader, topic):
            for stamped in message.transforms:
                parent, child = stamped.header.frame_id.lstrip("/"), stamped.child_frame_id.lstrip("/")
                where = f"{path}, {topic} {parent} -> {child}"
                transform = _transform(stamped.transform.translation, stamped.transform.rotation, where)
                samples.append((parent, child, stamp_ns(stamped.header), transform, static))
    return TransformTree.from_samples(samples)


def _transform(position: Any, orientation: Any, where: str) -> Array:
    translation = np.array([position.x, position.y, position.z])
    try:
        transform = se3.from_quat_xyzw_translation(
            [orientation.x, orientation.y, orientation.z, orientation.w], translation
        )
    except DegenerateGeometryError as error:
        raise DatasetError(f"bag {where}: {error}") from error
    if not np.all(np.isfinite(translation)):
        raise DatasetError(f"bag {where}: position {translation.tolist()} is not finite")
    return transform
