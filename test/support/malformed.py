"""Images and camera_infos that no well-meaning driver sends; seeded."""

from __future__ import annotations

import array
from collections.abc import Callable

import cv2
import numpy as np
from fake_bundles import CAMERA
from fake_robot import camera_info, image
from numpy.random import Generator
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from reloc_ros.cameras.image_encoding import ENCODINGS

SIZES = (0, 1, 2, 3, 7, CAMERA.width, CAMERA.height, 65_535, 2**31 - 1, 2**32 - 1)
NUMBERS = (0.0, -0.0, 1e-320, 1e-9, 1.0, -40.0, 320.0, 1e12, 1e300, -1e300, np.inf, -np.inf, np.nan)
NAMES = ("", "plumb_bob", "rational_polynomial", "equidistant", "fisheye", "PLUMB_BOB", "\u00e9", "x" * 1000)


def strange_image(rng: Generator) -> Image:
    """Return a raw image with up to four of its fields replaced; some are still images."""
    message = image(int(rng.integers(0, 256)), 1)
    for field in rng.choice(["width", "height", "step", "encoding", "data", "is_bigendian"], rng.integers(1, 5)):
        if field == "encoding":
            message.encoding = str(rng.choice([*ENCODINGS, *NAMES]))
        elif field == "data":
            message.data = array.array("B", rng.bytes(int(rng.choice([0, 1, 3, 100, CAMERA.width * CAMERA.height]))))
        elif field == "is_bigendian":
            message.is_bigendian = int(rng.integers(0, 256))
        else:
            setattr(message, field, int(rng.choice(SIZES)))
    return message


def hopeless_image(rng: Generator, stamp_ns: int) -> Image:
    """Return an image of the truth model's camera that is broken for sure, in one way."""
    size = CAMERA.width * CAMERA.height * 3
    ways: list[Callable[[], Image]] = [
        lambda: image(1, stamp_ns, encoding=str(rng.choice(NAMES))),
        lambda: image(1, stamp_ns, step=int(rng.integers(0, CAMERA.width * 3))),
        lambda: image(1, stamp_ns, width=int(rng.choice([0, 1, 2**32 - 1]))),
        lambda: image(1, stamp_ns, height=int(rng.choice([0, 1, 2**32 - 1]))),
        lambda: image(1, stamp_ns, data=array.array("B", rng.bytes(int(rng.integers(0, size))))),
        lambda: image(1, -int(rng.integers(0, 2**60))),
    ]
    return ways[rng.integers(len(ways))]()


def strange_compressed(rng: Generator) -> CompressedImage:
    """Return a JPEG or PNG with bytes cut, changed or repeated, or noise behind the magic number of a format."""
    picture = rng.integers(0, 256, (CAMERA.height, CAMERA.width, 3), dtype=np.uint8)
    whole = cv2.imencode(str(rng.choice([".jpg", ".png"])), picture)[1].tobytes()
    way = rng.integers(4)
    if way == 0:
        data = whole[: rng.integers(0, len(whole))]
    elif way == 1:
        changed = bytearray(whole)
        for place in rng.integers(0, len(whole), rng.integers(1, 20)):
            changed[place] = rng.integers(256)
        data = bytes(changed)
    elif way == 2:
        magic = (
            b"",
            b"\xff\xd8\xff",
            b"\x89PNG\r\n\x1a\n",
            b"BM",
            b"GIF89a",
            b"RIFF",
            b"II*\0",
            b"#?RADIANCE\n",
            b"P6\n",
        )
        data = magic[rng.integers(len(magic))] + rng.bytes(int(rng.integers(0, 400)))
    else:
        data = whole * int(rng.integers(2, 4))
    return CompressedImage(format="jpeg", data=array.array("B", data))


def strange_camera_info(rng: Generator) -> CameraInfo:
    """Return a calibration with up to four of its numbers or names replaced; some are still cameras."""
    message = camera_info()
    for _ in range(rng.integers(1, 5)):
        way = rng.integers(6)
        if way == 0:
            message.k[rng.integers(9)] = rng.choice(NUMBERS)
        elif way == 1:
            message.d = [float(value) for value in rng.choice(NUMBERS, rng.integers(0, 15))]
        elif way == 2:
            message.distortion_model = str(rng.choice(NAMES))
        elif way == 3:
            setattr(message, str(rng.choice(["width", "height"])), int(rng.choice(SIZES)))
        elif way == 4:
            setattr(message, str(rng.choice(["binning_x", "binning_y"])), int(rng.choice(SIZES)))
        else:
            setattr(message.roi, str(rng.choice(["x_offset", "y_offset", "width", "height"])), int(rng.choice(SIZES)))
    return message


def hopeless_camera_info(rng: Generator) -> CameraInfo:
    """Return a calibration that fits no image of the truth model's camera."""
    k = CAMERA.K.ravel().copy()
    k[rng.choice([0, 4])] = rng.choice([0.0, -40.0, np.nan, np.inf])
    ways = (
        {"k": k},
        {"distortion_model": str(rng.choice(NAMES[4:]))},
        {"width": int(rng.choice([0, 1, 2**32 - 1]))},
        {"height": int(rng.choice([0, 1, 2**32 - 1]))},
        {"d": [float("nan")] * 5},
    )
    return camera_info(**ways[rng.integers(len(ways))])
