"""Pixels as ROS messages carry them, to RGB; shared by the node and the bag reader so that both see the same image.

Encodings are those of `sensor_msgs/image_encodings.hpp`. Sizes are checked before anything is read: a message that
lies about itself is an error, never a skewed picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from reloc_ros.errors import ImageError
from reloc_ros.types import Image


@dataclass(frozen=True)
class _Encoding:
    """How the pixels of one encoding lie in memory."""

    channels: int
    bits: int
    to_rgb: int | None


# OpenCV names a Bayer pattern after the 2x2 block one pixel in: its "BG" is the pattern that begins R G / G B.
_COLOURS = {
    "rgb8": _Encoding(3, 8, None),
    "bgr8": _Encoding(3, 8, cv2.COLOR_BGR2RGB),
    "rgba8": _Encoding(4, 8, cv2.COLOR_RGBA2RGB),
    "bgra8": _Encoding(4, 8, cv2.COLOR_BGRA2RGB),
    "mono8": _Encoding(1, 8, cv2.COLOR_GRAY2RGB),
    "mono16": _Encoding(1, 16, cv2.COLOR_GRAY2RGB),
    # sensor_msgs "yuv422" is UYVY; the newer names say the byte order.
    "yuv422": _Encoding(2, 8, cv2.COLOR_YUV2RGB_UYVY),
    "uyvy": _Encoding(2, 8, cv2.COLOR_YUV2RGB_UYVY),
    "yuv422_yuy2": _Encoding(2, 8, cv2.COLOR_YUV2RGB_YUY2),
    "yuyv": _Encoding(2, 8, cv2.COLOR_YUV2RGB_YUY2),
}
_BAYER = {
    "rggb": cv2.COLOR_BayerBG2RGB,
    "bggr": cv2.COLOR_BayerRG2RGB,
    "gbrg": cv2.COLOR_BayerGR2RGB,
    "grbg": cv2.COLOR_BayerGB2RGB,
}
ENCODINGS: dict[str, _Encoding] = {
    **_COLOURS,
    **{f"bayer_{name}8": _Encoding(1, 8, code) for name, code in _BAYER.items()},
    **{f"bayer_{name}16": _Encoding(1, 16, code) for name, code in _BAYER.items()},
}


# Cameras may pad a JPEG frame with zeros, and may append some bytes of their own.
_TAIL_BYTES = 1024
_START_AND_END = ((b"\xff\xd8\xff", b"\xff\xd9"), (b"\x89PNG", b"IEND"))


def decode_raw(
    data: NDArray[np.uint8], *, encoding: str, width: int, height: int, step: int, is_bigendian: bool
) -> Image:
    """Return the (H, W, 3) uint8 RGB picture in the bytes of a `sensor_msgs/Image`.

    16-bit values keep their high byte, as a display of the whole range would show them.

    Args:
        data: (height * step,) bytes.
        encoding: name in `ENCODINGS`.
        width: pixels in a row.
        height: number of rows.
        step: bytes from one row to the next.
        is_bigendian: byte order of 16-bit values.

    Raises:
        ImageError: unknown encoding, or the size, the step and the number of bytes contradict each other.
    """
    if encoding not in ENCODINGS:
        raise ImageError(f"image encoding is {encoding!r}, supported are {', '.join(ENCODINGS)}; convert it")
    layout = ENCODINGS[encoding]
    row_bytes = width * layout.channels * layout.bits // 8
    if width < 1 or height < 1:
        raise ImageError(f"image size is {width}x{height} px, expected at least 1x1; check the camera driver")
    if step < row_bytes:
        raise ImageError(
            f"image step is {step} bytes, {width} px of {encoding} need {row_bytes} or more; check the camera driver"
        )
    if data.size != height * step:
        raise ImageError(
            f"image holds {data.size} bytes, {height} rows of step {step} need {height * step}; check the camera driver"
        )
    if layout.channels == 2 and width % 2:
        raise ImageError(f"image width is {width} px, {encoding} needs an even one; check the camera driver")
    pixels = data.reshape(height, step)[:, :row_bytes]
    if layout.bits == 16:
        # The high byte comes first in big-endian values and second in little-endian ones.
        pixels = pixels[:, (0 if is_bigendian else 1) :: 2]
    shaped = np.ascontiguousarray(pixels.reshape(height, width, layout.channels))
    return shaped if layout.to_rgb is None else _convert(shaped, layout.to_rgb, encoding)


def decode_compressed(data: NDArray[np.uint8]) -> Image:
    """Return the (H, W, 3) uint8 RGB picture in the bytes of a `sensor_msgs/CompressedImage` (JPEG, PNG, ...).

    Raises:
        ImageError: the bytes are no picture, or a truncated one.
    """
    # The EXIF orientation is ignored: the calibration belongs to the pixels as they are stored.
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    whole = data.size > 0 and not _is_truncated(data)
    bgr = _guarded(lambda: cv2.imdecode(data, flags), "compressed image") if whole else None
    if bgr is None:
        raise ImageError(
            f"compressed image of {data.size} bytes (first bytes {data[:4].tobytes()!r}) does not decode; "
            "it is truncated or not one of the formats OpenCV reads, such as JPEG and PNG"
        )
    return _convert(bgr, cv2.COLOR_BGR2RGB, "compressed image")


def _is_truncated(data: NDArray[np.uint8]) -> bool:
    # Decoders fill the missing part of a truncated file with grey and only warn.
    head = data[:4].tobytes()
    tail = data.tobytes().rstrip(b"\0")[-_TAIL_BYTES:]
    return any(head.startswith(start) and end not in tail for start, end in _START_AND_END)


def _convert(pixels: NDArray[np.uint8], code: int, what: str) -> Image:
    converted = _guarded(lambda: cv2.cvtColor(pixels, code), what)
    return np.asarray(converted, dtype=np.uint8)


def _guarded(convert: Callable[[], Any], what: str) -> Any:
    try:
        return convert()
    except cv2.error as error:
        raise ImageError(f"{what} cannot be converted to RGB: {error}") from error
