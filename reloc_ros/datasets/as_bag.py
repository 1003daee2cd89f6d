"""Any data set as a ROS 2 bag, so that what was trained and evaluated on can be played into the node."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from reloc_ros.cameras.camera import Camera
from reloc_ros.cameras.pinhole import PinholeCamera
from reloc_ros.datasets.bag_writer import CAMERA_TOPICS, EPOCH_NS, BagWriter
from reloc_ros.datasets.images import PosedImage
from reloc_ros.errors import DatasetError

_LATEST_NS = 2**31 * 1_000_000_000
"""builtin_interfaces/Time counts seconds in 32 bits with a sign."""


def write_as_bag(
    path: Path, images: Sequence[PosedImage], storage: str = "mcap", rate_hz: float | None = None
) -> Iterator[int]:
    """Write `/camera/image`, `/camera/camera_info` (not of panoramas) and `/ground_truth`; yield the images written.

    Args:
        path: the bag's folder, which must not exist.
        images: of one camera, in order, as decoded: nothing is resized or compressed.
        storage: `mcap` or `sqlite3`.
        rate_hz: see `bag_stamps_ns`.

    Raises:
        DatasetError: the folder exists, the images are of several cameras, their stamps are out of order, or an image
            cannot be read. No bag is left behind.
    """
    camera = only_camera(images)
    stamps_ns = bag_stamps_ns(images, rate_hz)
    pinhole = camera if isinstance(camera, PinholeCamera) else None
    topics = {name: topic for name, topic in CAMERA_TOPICS.items() if pinhole or name != "camera_info"}
    with BagWriter(path, topics, storage) as bag:
        for count, (posed, stamp_ns) in enumerate(zip(images, stamps_ns), start=1):
            # A node knows the camera of an image only from what came before it.
            if pinhole:
                bag.put("camera_info", stamp_ns, bag.camera_info(stamp_ns, pinhole))
            bag.put("image", stamp_ns, bag.image(stamp_ns, posed.frame().image))
            bag.put("ground_truth", stamp_ns, bag.pose_in_map(stamp_ns, posed.T_map_camera))
            yield count


def only_camera(images: Sequence[PosedImage]) -> Camera:
    """Return the camera of all images.

    Raises:
        DatasetError: there are several.
    """
    first = images[0]
    for posed in images:
        if posed.camera != first.camera:
            raise DatasetError(
                f"{posed.name} has another camera than {first.name} ({posed.camera.to_dict()} against "
                f"{first.camera.to_dict()}), but a bag has one; convert the images of each camera on their own"
            )
    return first.camera


def bag_stamps_ns(images: Sequence[PosedImage], rate_hz: float | None) -> list[int]:
    """Return the stamp of each image in the bag.

    With a rate: evenly spaced from `EPOCH_NS`. Without: the images' own, moved by `EPOCH_NS` when they do not start
    above 0, because ROS takes the stamp 0 for "not set".

    Raises:
        DatasetError: own stamps do not increase, as in several recordings one after the other, or exceed ROS time.
    """
    if rate_hz is not None:
        return [EPOCH_NS + round(index * 1e9 / rate_hz) for index in range(len(images))]
    for before, after in pairwise(images):
        if after.stamp_ns <= before.stamp_ns:
            raise DatasetError(
                f"{after.name} at {after.stamp_ns} ns follows {before.name} at {before.stamp_ns} ns; the stamps in a "
                "bag increase: give a rate, or convert each recording on its own"
            )
    shift_ns = 0 if images[0].stamp_ns > 0 else EPOCH_NS
    if images[-1].stamp_ns + shift_ns >= _LATEST_NS:
        raise DatasetError(
            f"{images[-1].name} at {images[-1].stamp_ns} ns is later than ROS time can say ({_LATEST_NS} ns); "
            "give a rate"
        )
    return [posed.stamp_ns + shift_ns for posed in images]
