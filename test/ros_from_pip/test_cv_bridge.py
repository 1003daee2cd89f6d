"""Image messages become arrays and back, byte for byte."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from cv_bridge import CvBridge, CvBridgeError
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

BRIDGE = CvBridge()
RED, GREEN, BLUE = (250, 10, 20), (30, 240, 40), (50, 60, 230)


def message(encoding: str, height: int, width: int, step: int, data: bytes, *, big: bool = False) -> Image:
    return Image(encoding=encoding, height=height, width=width, step=step, is_bigendian=int(big), data=data)


@pytest.mark.parametrize(
    ("encoding", "dtype", "channels"),
    [
        ("mono8", np.uint8, 1),
        ("rgb8", np.uint8, 3),
        ("bgr8", np.uint8, 3),
        ("rgba8", np.uint8, 4),
        ("bgra8", np.uint8, 4),
        ("mono16", np.uint16, 1),
        ("16UC1", np.uint16, 1),
        ("32FC1", np.float32, 1),
        ("64FC2", np.float64, 2),
        ("yuv422", np.uint8, 2),
        ("yuv422_yuy2", np.uint8, 2),
        ("bayer_rggb8", np.uint8, 1),
    ],
)
@pytest.mark.parametrize("padding", [0, 8])
@pytest.mark.parametrize("big", [False, True])
def test_padding_and_byte_order_are_undone(encoding: str, dtype: type, channels: int, padding: int, big: bool):
    shape = (3, 4) if channels == 1 else (3, 4, channels)
    image = np.random.default_rng(2).integers(0, 255, shape).astype(dtype) * (1 if dtype == np.uint8 else 257)
    raw = image.astype(np.dtype(dtype).newbyteorder(">" if big else "<"))
    rows = b"".join(row.tobytes() + b"\xab" * padding for row in raw)
    decoded = BRIDGE.imgmsg_to_cv2(message(encoding, 3, 4, len(rows) // 3, rows, big=big))
    assert decoded.dtype == np.dtype(dtype)
    assert decoded.dtype.isnative
    np.testing.assert_array_equal(decoded, image)


@pytest.mark.parametrize(
    ("encoding", "pixel"),
    [("rgb8", RED), ("bgr8", RED[::-1]), ("rgba8", (*RED, 7)), ("bgra8", (*RED[::-1], 7))],
)
def test_colours_end_up_in_the_wanted_order(encoding: str, pixel: tuple[int, ...]):
    source = message(encoding, 1, 1, len(pixel), bytes(pixel))
    assert tuple(BRIDGE.imgmsg_to_cv2(source, "rgb8")[0, 0]) == RED
    assert tuple(BRIDGE.imgmsg_to_cv2(source, "bgr8")[0, 0]) == RED[::-1]
    # 0.299 R + 0.587 G + 0.114 B
    assert BRIDGE.imgmsg_to_cv2(source, "mono8")[0, 0] == round(0.299 * 250 + 0.587 * 10 + 0.114 * 20)


def test_grey_images_become_colour():
    assert BRIDGE.imgmsg_to_cv2(message("mono8", 1, 2, 2, bytes([3, 200])), "rgb8").tolist() == [[[3] * 3, [200] * 3]]
    sixteen = message("mono16", 1, 2, 4, np.array([257 * 3, 65535], "<u2").tobytes())
    assert BRIDGE.imgmsg_to_cv2(sixteen, "rgb8").tolist() == [[[3] * 3, [255] * 3]]
    assert BRIDGE.imgmsg_to_cv2(sixteen, "mono8").tolist() == [[3, 255]]
    assert BRIDGE.imgmsg_to_cv2(message("mono8", 1, 1, 1, bytes([3])), "mono16").tolist() == [[771]]


@pytest.mark.parametrize(
    ("encoding", "pair"),
    # BT.601, limited range: Y, U, V = 81, 90, 240 is pure red.
    [("yuv422", (90, 81, 240, 81)), ("yuv422_yuy2", (81, 90, 81, 240))],
)
def test_yuv_pairs_decode_to_red(encoding: str, pair: tuple[int, ...]):
    decoded = BRIDGE.imgmsg_to_cv2(message(encoding, 1, 2, 4, bytes(pair)), "rgb8")
    np.testing.assert_allclose(decoded.reshape(2, 3), [[255, 0, 0]] * 2, atol=3)


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
@pytest.mark.parametrize("bits", [8, 16])
def test_bayer_patterns_are_named_by_their_first_rows(pattern: str, bits: int):
    value = {"r": 250, "g": 130, "b": 20}
    tile = np.array([value[letter] for letter in pattern]).reshape(2, 2)
    dtype, scale = (np.uint8, 1) if bits == 8 else (np.dtype("<u2"), 257)
    mosaic = (np.tile(tile, (4, 4)) * scale).astype(dtype)
    source = message(f"bayer_{pattern}{bits}", 8, 8, 8 * bits // 8, mosaic.tobytes())
    assert tuple(BRIDGE.imgmsg_to_cv2(source, "rgb8")[4, 4]) == (250, 130, 20)
    assert tuple(BRIDGE.imgmsg_to_cv2(source, "bgr8")[4, 4]) == (20, 130, 250)


@pytest.mark.parametrize(
    ("encoding", "step", "size", "words"),
    [
        ("rgb8", 11, 24, "step is 11"),
        ("rgb8", 12, 23, "too small"),
        ("mono16", 4, 8, "step is 4"),
        ("nonsense", 12, 24, "nonsense"),
    ],
)
def test_messages_that_lie_are_refused(encoding: str, step: int, size: int, words: str):
    with pytest.raises(CvBridgeError, match=words):
        BRIDGE.imgmsg_to_cv2(message(encoding, 2, 4, step, bytes(size)))


@pytest.mark.parametrize(("source", "target"), [("32FC1", "rgb8"), ("rgb8", "32FC1"), ("mono8", "bayer_rggb8")])
def test_conversions_without_a_meaning_are_refused(source: str, target: str):
    with pytest.raises(CvBridgeError):
        BRIDGE.imgmsg_to_cv2(message(source, 2, 2, 12, bytes(24)), target)


def test_an_array_becomes_a_message():
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    made = BRIDGE.cv2_to_imgmsg(image, "rgb8", header=Header(frame_id="camera"))
    assert (made.height, made.width, made.step, made.encoding) == (2, 4, 12, "rgb8")
    assert made.header.frame_id == "camera"
    assert bytes(made.data) == image.tobytes()
    assert BRIDGE.cv2_to_imgmsg(image).encoding == "8UC3"
    np.testing.assert_array_equal(BRIDGE.imgmsg_to_cv2(made), image)


def test_big_endian_and_sliced_arrays_become_messages():
    image = np.array([[1, 2, 770], [4, 5, 6]], dtype=">u2")
    made = BRIDGE.cv2_to_imgmsg(image, "mono16")
    assert made.is_bigendian == 1
    np.testing.assert_array_equal(BRIDGE.imgmsg_to_cv2(made), image)
    np.testing.assert_array_equal(
        BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(image[:, ::2], "16UC1")), [[1, 770], [4, 6]]
    )


def test_arrays_that_do_not_fit_the_encoding_are_refused():
    with pytest.raises(CvBridgeError, match="incompatible type 8UC1"):
        BRIDGE.cv2_to_imgmsg(np.zeros((2, 2), np.uint8), "rgb8")
    with pytest.raises(TypeError):
        BRIDGE.cv2_to_imgmsg([[1, 2]])


def test_compressed_images_round_trip_in_bgr_order():
    image = np.array([[RED, GREEN], [BLUE, RED]], np.uint8)[..., ::-1]
    made = BRIDGE.cv2_to_compressed_imgmsg(image, "png")
    assert made.format == "png"
    np.testing.assert_array_equal(BRIDGE.compressed_imgmsg_to_cv2(made), image)
    np.testing.assert_array_equal(BRIDGE.compressed_imgmsg_to_cv2(made, "rgb8"), image[..., ::-1])
    grey = CompressedImage(format="png", data=cv2.imencode(".png", np.full((2, 2), 77, np.uint8))[1].tobytes())
    assert BRIDGE.compressed_imgmsg_to_cv2(grey, "rgb8").tolist() == [[[77] * 3] * 2] * 2


@pytest.mark.parametrize("data", [b"", b"not an image", b"\xff\xd8\xff\xe0 truncated"])
def test_bytes_that_are_no_image_are_refused(data: bytes):
    with pytest.raises(CvBridgeError, match="cannot be decoded"):
        BRIDGE.compressed_imgmsg_to_cv2(CompressedImage(format="jpeg", data=data))
