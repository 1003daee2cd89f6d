"""The nouns of a data set: an image with its pose, and a collection of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from reloc_ros.cameras.image_encoding import decode_compressed
from reloc_ros.errors import DatasetError, DegenerateGeometryError, ImageError
from reloc_ros.geometry import se3
from reloc_ros.types import Array, Frame, Image

if TYPE_CHECKING:
    from reloc_ros.cameras.camera import Camera

FILE_POSE_TOLERANCE = 1e-3
"""How far a pose in a text file may be from rigid: 7-Scenes and SfM exports round to 6-9 digits, and fused poses
drift off by up to 2e-5; a wrong axis convention or a scaled matrix is off by far more."""

_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"


@dataclass(frozen=True, kw_only=True)
class PosedImage:
    """One image that is loaded when asked for, with what is known about it.

    Args:
        name: unique within the data set; names the file or the message.
        stamp_ns: time of exposure, nanoseconds; orders the images of a sequence.
        T_map_camera: (4, 4), camera optical frame to map.
        camera: of the image as stored.
        load: returns the (H, W, 3) uint8 RGB image or raises DatasetError naming its file.
        sequence: the recording that the image belongs to.
        world: the place of the recording, where the data set names it: what decides what was seen in training.
        height_m: of the camera above the floor, where the data set says so.
    """

    name: str
    stamp_ns: int
    T_map_camera: Array
    camera: Camera
    load: Callable[[], Image]
    sequence: str
    world: str = ""
    height_m: float | None = None

    def __post_init__(self) -> None:
        if not se3.is_rigid(self.T_map_camera):
            raise DatasetError(
                f"{self.name}: T_map_camera {np.asarray(self.T_map_camera).tolist()} is not a rigid transform"
            )

    def frame(self) -> Frame:
        """Return the loaded image as a frame.

        Raises:
            DatasetError: the image cannot be decoded, or its size is not that of its camera.
        """
        image = self.load()
        try:
            return Frame(image=image, camera=self.camera, stamp_ns=self.stamp_ns)
        except ImageError as error:
            raise DatasetError(f"{self.sequence}: {self.name}: {error}") from error


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """An image that the convention of its data set leaves out, and why."""

    path: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class PosedImages:
    """A data set: images in time order within each sequence.

    Args:
        images: at least one.
        skipped: what was left out; reported beside every count of images.
        ground_truth: where the poses come from; figures against different sources are never compared.
        name: of the data set.
        metric: whether positions are known to be metres; False for a structure-from-motion scale.

    Raises:
        DatasetError: there is no image, or two have one name.
    """

    images: tuple[PosedImage, ...]
    skipped: tuple[Skipped, ...]
    ground_truth: str
    name: str
    metric: bool

    def __post_init__(self) -> None:
        if not self.images:
            reasons = sorted({skipped.reason for skipped in self.skipped})
            raise DatasetError(
                f"{self.name}: no image with a pose; {len(self.skipped)} were skipped ({'; '.join(reasons) or 'none'})"
            )
        if len({image.name for image in self.images}) != len(self.images):
            raise DatasetError(f"{self.name}: {len(self.images)} images do not have {len(self.images)} different names")

    def __len__(self) -> int:
        return len(self.images)


def image_loader(path: Path) -> Callable[[], Image]:
    """Return a loader of one image file for `PosedImage.load`; it can be sent to another process."""
    return partial(read_image, path)


def read_image(path: Path) -> Image:
    """Return an image file as (H, W, 3) uint8 RGB, as stored: an EXIF orientation is not applied.

    Raises:
        DatasetError: the file is missing, truncated or not an image.
    """
    try:
        data = path.read_bytes()
        image = decode_compressed(np.frombuffer(data, dtype=np.uint8))
    except (OSError, ImageError) as error:
        raise DatasetError(f"image {path} cannot be read: {error}") from error
    # Older OpenCV fills the missing part of a JPEG with grey and says nothing; some phones append a film after it.
    if data.startswith(_JPEG_START) and _JPEG_END not in data[len(data) // 2 :]:
        raise DatasetError(f"image {path} of {len(data)} bytes is truncated: its end marker is missing; copy it again")
    return image


def tracked_pose(matrix: Array, path: Path) -> Array | None:
    """Return `rounded_pose`, or None for a pose that is not finite: how 7-Scenes and its kin write lost tracking.

    Raises:
        DatasetError: the matrix is finite and no pose.
    """
    return rounded_pose(matrix, path) if np.all(np.isfinite(matrix)) else None


def untracked(image_path: Path) -> Skipped:
    """Return that an image was left out because its pose is none."""
    return Skipped(path=str(image_path), reason="no tracking: the pose is not finite")


def rounded_pose(matrix: Array, path: Path) -> Array:
    """Return the rigid (4, 4) transform nearest to a pose read from a text file.

    Raises:
        DatasetError: the matrix is not finite or further than `FILE_POSE_TOLERANCE` from rigid.
    """
    try:
        return se3.nearest_rigid(matrix, FILE_POSE_TOLERANCE)
    except DegenerateGeometryError as error:
        raise DatasetError(f"pose in {path}: {error}") from error
