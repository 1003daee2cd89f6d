"""Pixels of ROS messages become RGB, and messages that lie are refused."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from reloc_ros.cameras.image_encoding import ENCODINGS, decode_compressed, decode_raw
from reloc_ros.errors import ImageError

RED, GREEN, BLUE = (200, 30, 10), (20, 180, 40), (15, 25, 220)


def decode(data: np.ndarray, encoding: str, width: int, height: int, **changes: Any) -> np.ndarray:
    arguments = {"step": data.size // height, "is_bigendian": False, **changes}
    return decode_raw(data.view(np.uint8).ravel(), encoding=encoding, width=width, height=height, **arguments)


@pytest.mark.parametrize(
    ("encoding", "pixels"),
    [
        ("rgb8", [[200, 30, 10], [20, 180, 40]]),
        ("bgr8", [[10, 30, 200], [40, 180, 20]]),
        ("rgba8", [[200, 30, 10, 7], [20, 180, 40, 9]]),
        ("bgra8", [[10, 30, 200, 7], [40, 180, 20, 9]]),
    ],
)
def test_colours_keep_their_place(encoding: str, pixels: list[list[int]]) -> None:
    data = np.array(pixels, dtype=np.uint8).ravel()
    assert decode(data, encoding, 2, 1).tolist() == [[list(RED), list(GREEN)]]


def test_grey_is_repeated_in_each_colour() -> None:
    assert decode(np.array([5, 250], dtype=np.uint8), "mono8", 2, 1).tolist() == [[[5, 5, 5], [250, 250, 250]]]


@pytest.mark.parametrize("is_bigendian", [False, True])
def test_mono16_keeps_its_high_byte_in_either_byte_order(is_bigendian: bool) -> None:
    values = np.array([0x12FE, 0xEE01], dtype=">u2" if is_bigendian else "<u2")
    decoded = decode(values.view(np.uint8), "mono16", 2, 1, is_bigendian=is_bigendian)
    assert decoded[0, :, 0].tolist() == [0x12, 0xEE]


def test_padding_at_the_end_of_rows_is_skipped() -> None:
    data = np.array([[1, 2, 3, 99, 99], [4, 5, 6, 99, 99]], dtype=np.uint8).ravel()
    assert decode(data, "rgb8", 1, 2).tolist() == [[[1, 2, 3]], [[4, 5, 6]]]


@pytest.mark.parametrize(
    ("encoding", "block"),
    [("rggb", "RGGB"), ("bggr", "BGGR"), ("gbrg", "GBRG"), ("grbg", "GRBG")],
)
@pytest.mark.parametrize("bits", [8, 16])
def test_bayer_patterns_give_a_flat_colour_back(encoding: str, block: str, bits: int) -> None:
    value = dict(zip("RGB", RED))
    tile = np.array([value[letter] for letter in block], dtype=np.uint8).reshape(2, 2)
    mosaic = np.tile(tile, (4, 4))
    raw = mosaic if bits == 8 else (mosaic.astype("<u2") << 8)
    decoded = decode(raw.view(np.uint8).ravel(), f"bayer_{encoding}{bits}", 8, 8)
    assert decoded[2:6, 2:6].reshape(-1, 3).tolist() == [list(RED)] * 16


@pytest.mark.parametrize(("encoding", "order"), [("yuv422", "UYVY"), ("uyvy", "UYVY"), ("yuv422_yuy2", "YUYV")])
def test_yuv_has_its_byte_order(encoding: str, order: str) -> None:
    # BT.601 studio range: blue (15, 25, 220) is about Y 54, U 215, V 110.
    value = {"Y": 54, "U": 215, "V": 110}
    decoded = decode(np.array([value[letter] for letter in order], dtype=np.uint8), encoding, 2, 1)
    assert np.abs(decoded[0].astype(int) - BLUE).max() <= 4


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"encoding": "32FC1"}, "32FC1"),
        ({"step": 17}, "step is 17"),
        ({"height": 5}, "72 bytes"),
        ({"width": 0}, "0x4"),
        ({"width": 7}, "step is 18"),
        ({"encoding": "bgra8"}, "need 24"),
    ],
)
def test_a_lie_is_named(changes: dict[str, Any], named: str) -> None:
    honest = {"encoding": "rgb8", "width": 6, "height": 4, "step": 18, "is_bigendian": False}
    with pytest.raises(ImageError, match=named):
        decode_raw(np.zeros(72, dtype=np.uint8), **{**honest, **changes})


def test_every_encoding_gives_an_rgb_picture_of_its_size() -> None:
    for name, layout in ENCODINGS.items():
        data = np.zeros(6 * 4 * layout.channels * layout.bits // 8, dtype=np.uint8)
        assert decode(data, name, 6, 4).shape == (4, 6, 3), name


def test_compressed_pictures_come_as_rgb() -> None:
    picture = np.full((4, 6, 3), RED[::-1], dtype=np.uint8)
    decoded = decode_compressed(np.frombuffer(cv2.imencode(".png", picture)[1].tobytes(), dtype=np.uint8))
    assert decoded.shape == (4, 6, 3)
    assert decoded[1, 2].tolist() == list(RED)


@pytest.mark.parametrize("data", [b"", b"not a picture", b"\xff\xd8\xff\xe0"])
def test_bytes_that_are_no_picture_are_named(data: bytes) -> None:
    with pytest.raises(ImageError, match=f"{len(data)} bytes"):
        decode_compressed(np.frombuffer(data, dtype=np.uint8))


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_truncated_file_is_refused_not_filled_with_grey(suffix: str) -> None:
    picture = np.random.default_rng(3).integers(0, 255, (64, 80, 3), dtype=np.uint8)
    whole = np.frombuffer(cv2.imencode(suffix, picture)[1].tobytes(), dtype=np.uint8)
    assert decode_compressed(whole).shape == (64, 80, 3)
    assert decode_compressed(np.pad(whole, (0, 5000))).shape == (64, 80, 3)
    with pytest.raises(ImageError, match="truncated"):
        decode_compressed(whole[: whole.size * 2 // 3])
