"""Between ROS image messages and numpy images."""

from __future__ import annotations

import array
from typing import TYPE_CHECKING

import cv2
import numpy as np
from cv_bridge import encodings
from cv_bridge.encodings import CvBridgeError
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image

if TYPE_CHECKING:
    from std_msgs.msg import Header

_DECODED = {1: "mono8", 3: "bgr8", 4: "bgra8"}


class CvBridge:
    """Converts between `sensor_msgs` images and numpy arrays: (H, W) for one channel, else (H, W, channels)."""

    def imgmsg_to_cv2(self, img_msg: Image, desired_encoding: str = "passthrough") -> NDArray[np.generic]:
        """Return a copy of the image in the machine's byte order, converted unless `passthrough`.

        Raises:
            CvBridgeError: the message contradicts itself, or the conversion is not possible.
        """
        image = _unpack(img_msg)
        return (
            image if desired_encoding == "passthrough" else encodings.convert(image, img_msg.encoding, desired_encoding)
        )

    def compressed_imgmsg_to_cv2(
        self, cmprs_img_msg: CompressedImage, desired_encoding: str = "passthrough"
    ) -> NDArray[np.generic]:
        """Return the decoded image (BGR order as OpenCV decodes), converted unless `passthrough`.

        Raises:
            CvBridgeError: the bytes are not an image, or the conversion is not possible.
        """
        data = np.frombuffer(cmprs_img_msg.data, np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
        if image is None:
            raise CvBridgeError(f"{data.size} bytes of format [{cmprs_img_msg.format}] cannot be decoded")
        if desired_encoding == "passthrough":
            return image
        name = _DECODED[1 if image.ndim == 2 else image.shape[2]]
        return encodings.convert(image, name if image.dtype == np.uint8 else f"{name[:-1]}16", desired_encoding)

    def cv2_to_imgmsg(
        self, cvim: NDArray[np.generic], encoding: str = "passthrough", header: Header | None = None
    ) -> Image:
        """Return the image as a message.

        Raises:
            TypeError: this is not a numpy array.
            CvBridgeError: the array's type does not fit the encoding.
        """
        if not isinstance(cvim, (np.ndarray, np.generic)):
            raise TypeError("Your input type is not a numpy array")
        channels = 1 if cvim.ndim < 3 else cvim.shape[2]
        actual = encodings.type_name(cvim.dtype, channels)
        message = Image() if header is None else Image(header=header)
        message.height, message.width = cvim.shape[:2]
        message.encoding = actual
        if encoding != "passthrough":
            wanted = encodings.parse(encoding)
            if (wanted.dtype, wanted.channels) != (cvim.dtype.name, channels):
                raise CvBridgeError(f"encoding specified as {encoding}, but image has incompatible type {actual}")
            message.encoding = encoding
        message.is_bigendian = int(cvim.dtype.str.startswith(">"))
        message.step = cvim.shape[1] * channels * cvim.dtype.itemsize
        # An array, because the setter checks any other sequence element by element.
        message.data = array.array("B", cvim.tobytes())
        return message

    def cv2_to_compressed_imgmsg(self, cvim: NDArray[np.generic], dst_format: str = "jpg") -> CompressedImage:
        """Return the image (BGR order) as a compressed message; `dst_format` is a suffix that OpenCV knows.

        Raises:
            TypeError: this is not a numpy array.
            CvBridgeError: OpenCV cannot write the format.
        """
        if not isinstance(cvim, (np.ndarray, np.generic)):
            raise TypeError("Your input type is not a numpy array")
        try:
            done, data = cv2.imencode(f".{dst_format}", cvim)
        except cv2.error as error:
            raise CvBridgeError(f"OpenCV cannot write format [{dst_format}]: {error}") from error
        if not done:
            raise CvBridgeError(f"OpenCV cannot write format [{dst_format}]")
        return CompressedImage(format=dst_format, data=array.array("B", data.tobytes()))


def _unpack(message: Image) -> NDArray[np.generic]:
    """Return the pixels of a message without the padding at the end of its rows."""
    encoding = encodings.parse(message.encoding)
    dtype = np.dtype(encoding.dtype).newbyteorder(">" if message.is_bigendian else "<")
    row_bytes = message.width * encoding.channels * dtype.itemsize
    if message.step < row_bytes:
        raise CvBridgeError(
            f"step is {message.step} bytes, but {message.width} pixels of [{message.encoding}] take {row_bytes}"
        )
    if len(message.data) < message.step * message.height:
        raise CvBridgeError(
            f"buffer is too small for requested array: {len(message.data)} bytes, "
            f"but {message.height} rows of {message.step} bytes take {message.step * message.height}"
        )
    data = np.frombuffer(message.data, np.uint8, count=message.step * message.height)
    rows = data.reshape(message.height, message.step)[:, :row_bytes]
    shape = (message.height, message.width, encoding.channels)[: 2 if encoding.channels == 1 else 3]
    return np.ascontiguousarray(rows).view(dtype).reshape(shape).astype(dtype.newbyteorder("="))
