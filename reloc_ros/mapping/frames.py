"""Which frames of a drive are worth learning from."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

import cv2
import numpy as np
from numpy.typing import NDArray

from reloc_ros.datasets.images import PosedImage
from reloc_ros.errors import ConfigError, DatasetError, ImageError
from reloc_ros.evaluation.pose_error import rotation_error_deg, translation_error_m
from reloc_ros.mapping.reference import ReferenceLimits, find_jumps, near_jumps
from reloc_ros.types import Array, Image

_SHARPNESS_WIDTH_PX = 640
_SHARPNESS_NEIGHBOURS = 7
_REST_WINDOW_S = 0.5
_REST_M, _REST_DEG = 0.01, 0.5


class Drop(Enum):
    """Why a frame is not used; the value is what people read."""

    JUMP = "near a jump of the reference"
    UNREADABLE = "image cannot be decoded"
    FROZEN = "same picture as before although the camera moved"
    BLURRED = "blurred"
    RESTING = "camera at rest"
    LITTLE_MOTION = "little motion since the last kept frame"


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What makes a frame worth keeping.

    Args:
        every_m: the camera moved this far since the last kept frame ...
        every_deg: ... or turned this far.
        blur_ratio: a frame is blurred when its sharpness (variance of the Laplacian) is below this share of the median
            of its neighbours in time; what a camera looks at changes sharpness as well, but more slowly.
        reference: what is a jump.
    """

    every_m: float = 0.01
    every_deg: float = 0.5
    blur_ratio: float = 0.4
    reference: ReferenceLimits = field(default_factory=ReferenceLimits)

    def __post_init__(self) -> None:
        if not (self.every_m >= 0 and self.every_deg >= 0):
            raise ConfigError(f"every_m is {self.every_m}, every_deg is {self.every_deg}; must be 0 or more")
        if not 0 <= self.blur_ratio < 1:
            raise ConfigError(f"blur_ratio is {self.blur_ratio}, must lie in 0 to 1, without 1")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Indices into the images of a drive.

    Args:
        kept: frames to use, in order.
        dropped: why each of the others is not used.
        jumps: images after which the reference jumps.
    """

    kept: tuple[int, ...]
    dropped: dict[int, Drop]
    jumps: tuple[int, ...]

    def counts(self) -> dict[str, int]:
        """Return how many frames each reason took, all reasons named."""
        found = Counter(self.dropped.values())
        return {reason.value: found[reason] for reason in Drop}


def choose_by_motion(images: Sequence[PosedImage], selection: Selection, known_jumps_ns: Sequence[int] = ()) -> Choice:
    """Return what would be kept if every image were sharp; nothing is decoded."""
    return _choose(images, selection, known_jumps_ns, look=None)


def choose_frames(
    images: Sequence[PosedImage],
    selection: Selection,
    known_jumps_ns: Sequence[int] = (),
    on_image: Callable[[], None] = lambda: None,
) -> Choice:
    """Return which frames to use; images that may be are decoded.

    Args:
        images: of one drive, in order of time.
        selection: what makes a frame worth keeping.
        known_jumps_ns: times at which the reference is known to jump, besides what its poses show.
        on_image: called after each image, for progress.
    """
    return _choose(images, selection, known_jumps_ns, look=on_image)


def sharpness(image: Image) -> float:
    """Return the variance of the Laplacian of the grey image at a width of at most 640 pixels."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    shrink = _SHARPNESS_WIDTH_PX / grey.shape[1]
    if shrink < 1:
        grey = cv2.resize(grey, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var())


def is_blurred(values: Array, ratio: float) -> NDArray[np.bool_]:
    """Return (N,) which sharpness values are below a share of the median of up to seven neighbours on each side."""
    blurred = np.zeros(len(values), dtype=bool)
    for index in range(len(values)):
        around = values[max(0, index - _SHARPNESS_NEIGHBOURS) : index + _SHARPNESS_NEIGHBOURS + 1]
        blurred[index] = values[index] < ratio * np.median(around)
    return blurred


def _choose(
    images: Sequence[PosedImage],
    selection: Selection,
    known_jumps_ns: Sequence[int],
    look: Callable[[], None] | None,
) -> Choice:
    stamps_ns = np.array([image.stamp_ns for image in images], dtype=np.int64)
    poses = np.stack([image.T_map_camera for image in images])
    known = np.searchsorted(stamps_ns, np.array(known_jumps_ns, dtype=np.int64), side="right") - 1
    # A jump before the first or after the last image is nobody's.
    known = known[(known >= 0) & (known < len(images) - 1)]
    jumps = sorted({*find_jumps(stamps_ns, poses, selection.reference), *(int(index) for index in known)})
    near = near_jumps(stamps_ns, jumps, selection.reference.guard_s)
    dropped = {int(index): Drop.JUMP for index in np.flatnonzero(near)}
    resting = _at_rest(stamps_ns, poses)
    # Of a rest the first image is looked at; thinning drops it unless the camera got there unseen.
    for index in range(1, len(images)):
        if not near[index] and resting[index] and resting[index - 1]:
            dropped[index] = Drop.RESTING
    candidates = [index for index in range(len(images)) if index not in dropped]
    if look is not None:
        dropped |= _judge_pictures(images, candidates, selection.blur_ratio, look)
    kept: list[int] = []
    for index in candidates:
        if index in dropped:
            continue
        if kept and not _moved(poses[kept[-1]], poses[index], selection.every_m, selection.every_deg):
            dropped[index] = Drop.RESTING if resting[index] else Drop.LITTLE_MOTION
        else:
            kept.append(index)
    return Choice(kept=tuple(kept), dropped=dropped, jumps=tuple(jumps))


def _judge_pictures(
    images: Sequence[PosedImage], candidates: Sequence[int], blur_ratio: float, look: Callable[[], None]
) -> dict[int, Drop]:
    dropped: dict[int, Drop] = {}
    values, readable = [], []
    seen: tuple[int, int] | None = None
    for index in candidates:
        try:
            picture = images[index].frame().image
        except (DatasetError, ImageError):
            dropped[index] = Drop.UNREADABLE
            continue
        finally:
            look()
        checksum = zlib.crc32(picture.tobytes())
        T_now = images[index].T_map_camera
        if seen and seen[1] == checksum and _moved(images[seen[0]].T_map_camera, T_now, _REST_M, _REST_DEG):
            dropped[index] = Drop.FROZEN
            continue
        if seen is None or seen[1] != checksum:
            seen = index, checksum
        values.append(sharpness(picture))
        readable.append(index)
    blurred = is_blurred(np.array(values), blur_ratio)
    return dropped | {index: Drop.BLURRED for index, bad in zip(readable, blurred, strict=True) if bad}


def _at_rest(stamps_ns: NDArray[np.int64], poses: Array) -> NDArray[np.bool_]:
    """Return (N,) whether the camera hardly moves from half a second before to half a second after an image."""
    window_ns = _REST_WINDOW_S * 1e9
    first = np.searchsorted(stamps_ns, stamps_ns - window_ns, side="left")
    last = np.searchsorted(stamps_ns, stamps_ns + window_ns, side="right") - 1
    return np.array(
        [
            last[i] > first[i]
            and not _moved(poses[first[i]], poses[i], _REST_M, _REST_DEG)
            and not _moved(poses[i], poses[last[i]], _REST_M, _REST_DEG)
            for i in range(len(stamps_ns))
        ],
        dtype=bool,
    )


def _moved(T_before: Array, T_after: Array, distance_m: float, angle_deg: float) -> bool:
    return translation_error_m(T_after, T_before) >= distance_m or rotation_error_deg(T_after, T_before) >= angle_deg
