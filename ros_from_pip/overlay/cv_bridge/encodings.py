"""What an encoding's name says about the bytes of an image, and how one becomes another."""

from __future__ import annotations

import re
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray


class CvBridgeError(TypeError):
    """An image cannot be converted."""


class Encoding(NamedTuple):
    """Layout of one pixel, and the family its colours belong to (None: plain numbers without a colour)."""

    dtype: str
    channels: int
    family: str | None


_DTYPES = {
    "8U": "uint8",
    "8S": "int8",
    "16U": "uint16",
    "16S": "int16",
    "32S": "int32",
    "32F": "float32",
    "64F": "float64",
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}

_COLOURS = {
    "mono8": Encoding("uint8", 1, "gray"),
    "mono16": Encoding("uint16", 1, "gray"),
    "bgr8": Encoding("uint8", 3, "bgr"),
    "rgb8": Encoding("uint8", 3, "rgb"),
    "bgra8": Encoding("uint8", 4, "bgra"),
    "rgba8": Encoding("uint8", 4, "rgba"),
    "bgr16": Encoding("uint16", 3, "bgr"),
    "rgb16": Encoding("uint16", 3, "rgb"),
    "bgra16": Encoding("uint16", 4, "bgra"),
    "rgba16": Encoding("uint16", 4, "rgba"),
    "bayer_rggb8": Encoding("uint8", 1, "bayer_rggb"),
    "bayer_bggr8": Encoding("uint8", 1, "bayer_bggr"),
    "bayer_gbrg8": Encoding("uint8", 1, "bayer_gbrg"),
    "bayer_grbg8": Encoding("uint8", 1, "bayer_grbg"),
    "bayer_rggb16": Encoding("uint16", 1, "bayer_rggb"),
    "bayer_bggr16": Encoding("uint16", 1, "bayer_bggr"),
    "bayer_gbrg16": Encoding("uint16", 1, "bayer_gbrg"),
    "bayer_grbg16": Encoding("uint16", 1, "bayer_grbg"),
    # Two bytes for each pixel: u y v y, and y u y v.
    "yuv422": Encoding("uint8", 2, "uyvy"),
    "uyvy": Encoding("uint8", 2, "uyvy"),
    "yuv422_yuy2": Encoding("uint8", 2, "yuyv"),
    "yuyv": Encoding("uint8", 2, "yuyv"),
}

_TO_GRAY_BGR_RGB = {
    # OpenCV names a Bayer pattern by its second row, ROS by its first one.
    "bayer_rggb": (cv2.COLOR_BayerBG2GRAY, cv2.COLOR_BayerBG2BGR, cv2.COLOR_BayerBG2RGB),
    "bayer_bggr": (cv2.COLOR_BayerRG2GRAY, cv2.COLOR_BayerRG2BGR, cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg": (cv2.COLOR_BayerGR2GRAY, cv2.COLOR_BayerGR2BGR, cv2.COLOR_BayerGR2RGB),
    "bayer_grbg": (cv2.COLOR_BayerGB2GRAY, cv2.COLOR_BayerGB2BGR, cv2.COLOR_BayerGB2RGB),
}
_CODES = {
    ("gray", "bgr"): cv2.COLOR_GRAY2BGR,
    ("gray", "rgb"): cv2.COLOR_GRAY2RGB,
    ("gray", "bgra"): cv2.COLOR_GRAY2BGRA,
    ("gray", "rgba"): cv2.COLOR_GRAY2RGBA,
    ("bgr", "gray"): cv2.COLOR_BGR2GRAY,
    ("bgr", "rgb"): cv2.COLOR_BGR2RGB,
    ("bgr", "bgra"): cv2.COLOR_BGR2BGRA,
    ("bgr", "rgba"): cv2.COLOR_BGR2RGBA,
    ("rgb", "gray"): cv2.COLOR_RGB2GRAY,
    ("rgb", "bgr"): cv2.COLOR_RGB2BGR,
    ("rgb", "bgra"): cv2.COLOR_RGB2BGRA,
    ("rgb", "rgba"): cv2.COLOR_RGB2RGBA,
    ("bgra", "gray"): cv2.COLOR_BGRA2GRAY,
    ("bgra", "bgr"): cv2.COLOR_BGRA2BGR,
    ("bgra", "rgb"): cv2.COLOR_BGRA2RGB,
    ("bgra", "rgba"): cv2.COLOR_BGRA2RGBA,
    ("rgba", "gray"): cv2.COLOR_RGBA2GRAY,
    ("rgba", "bgr"): cv2.COLOR_RGBA2BGR,
    ("rgba", "rgb"): cv2.COLOR_RGBA2RGB,
    ("rgba", "bgra"): cv2.COLOR_RGBA2BGRA,
    ("uyvy", "gray"): cv2.COLOR_YUV2GRAY_UYVY,
    ("uyvy", "bgr"): cv2.COLOR_YUV2BGR_UYVY,
    ("uyvy", "rgb"): cv2.COLOR_YUV2RGB_UYVY,
    ("uyvy", "bgra"): cv2.COLOR_YUV2BGRA_UYVY,
    ("uyvy", "rgba"): cv2.COLOR_YUV2RGBA_UYVY,
    ("yuyv", "gray"): cv2.COLOR_YUV2GRAY_YUY2,
    ("yuyv", "bgr"): cv2.COLOR_YUV2BGR_YUY2,
    ("yuyv", "rgb"): cv2.COLOR_YUV2RGB_YUY2,
    ("yuyv", "bgra"): cv2.COLOR_YUV2BGRA_YUY2,
    ("yuyv", "rgba"): cv2.COLOR_YUV2RGBA_YUY2,
    **{
        (pattern, family): code
        for pattern, codes in _TO_GRAY_BGR_RGB.items()
        for family, code in zip(("gray", "bgr", "rgb"), codes)
    },
}


def parse(name: str) -> Encoding:
    """Return what an encoding's name stands for, `8UC3` and the like included.

    Raises:
        CvBridgeError: the name is not known.
    """
    if name in _COLOURS:
        return _COLOURS[name]
    match = re.fullmatch(r"(8U|8S|16U|16S|32S|32F|64F)(?:C(\d+))?", name)
    if match is None:
        raise CvBridgeError(f"Unrecognized image encoding [{name}]")
    return Encoding(_DTYPES[match[1]], int(match[2] or 1), None)


def type_name(dtype: np.dtype[np.generic], channels: int) -> str:
    """Return OpenCV's name of a pixel type, such as `8UC3`.

    Raises:
        CvBridgeError: OpenCV has no such type.
    """
    if dtype.name not in _NAMES:
        raise CvBridgeError(f"numpy type {dtype.name} is none of OpenCV's {sorted(_NAMES)}")
    return f"{_NAMES[dtype.name]}C{channels}"


def convert(image: NDArray[np.generic], source: str, target: str) -> NDArray[np.generic]:
    """Return the image in another encoding; between 8 and 16 bits the values are scaled by 257.

    Raises:
        CvBridgeError: the conversion makes no sense or is not supported.
    """
    if source == target:
        return image
    old, new = parse(source), parse(target)
    if old.family is None or new.family is None:
        if old.family is None and new.family is not None:
            raise CvBridgeError(
                f"[{source}] is not a color format. but [{target}] is. The conversion does not make sense"
            )
        if old.channels != new.channels:
            raise CvBridgeError(f"[{source}] and [{target}] do not have the same number of channel")
    elif old.family != new.family:
        code = _CODES.get((old.family, new.family))
        if code is None:
            raise CvBridgeError(f"Unsupported conversion from [{source}] to [{target}]")
        try:
            image = cv2.cvtColor(image, code)
        except cv2.error as error:
            raise CvBridgeError(f"conversion from [{source}] to [{target}] failed: {error}") from error
    return _change_depth(image, np.dtype(new.dtype))


def _change_depth(image: NDArray[np.generic], dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
    """Return the image as another number type, rounded and clipped as OpenCV's `convertTo` does."""
    if image.dtype == dtype:
        return image
    scale = {("uint8", "uint16"): 257.0, ("uint16", "uint8"): 1.0 / 257.0}.get((image.dtype.name, dtype.name), 1.0)
    values = image.astype(np.float64) * scale
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        values = np.clip(np.rint(values), limits.min, limits.max)
    return values.astype(dtype)
