"""Writes posed images in the layout `panorama_sequences` reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2

from reloc_ros.cameras.camera import Camera
from reloc_ros.errors import DatasetError
from reloc_ros.geometry import se3
from reloc_ros.types import Array, Image

JPEG_QUALITY = 92


def encode(image: Image) -> bytes:
    """Return an (H, W, 3) uint8 RGB image as JPEG."""
    _, encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return bytes(encoded.tobytes())


def write_sequence(
    folder: Path, camera: Camera, images: Iterable[Image], poses: list[Array], rate_hz: float, notes: dict[str, Any]
) -> Iterator[int]:
    """Write frames/000000.jpg ..., poses.txt and camera.json; yield the number of frames written so far.

    Args:
        folder: a new or empty folder.
        camera: of all images.
        images: (H, W, 3) uint8 RGB, one for each pose.
        poses: T_map_camera (4, 4), written as `stamp_s tx ty tz qx qy qz qw`.
        rate_hz: stamps are frame number / rate.
        notes: further keys of camera.json.

    Raises:
        DatasetError: the folder already holds something, or the disk refuses a file.
    """
    if folder.exists() and any(folder.iterdir()):
        raise DatasetError(f"{folder} is not empty; choose a new folder or delete it")
    try:
        yield from _write(folder, camera, images, poses, rate_hz, notes)
    except OSError as error:
        raise DatasetError(
            f"cannot write {folder}: {error}; check that the disk is not full and the folder is writable"
        ) from error


def _write(
    folder: Path, camera: Camera, images: Iterable[Image], poses: list[Array], rate_hz: float, notes: dict[str, Any]
) -> Iterator[int]:
    frames = folder / "frames"
    frames.mkdir(parents=True, exist_ok=True)
    (folder / "camera.json").write_text(json.dumps({**camera.to_dict(), **notes}, indent=1) + "\n", encoding="utf-8")
    lines = []
    for index, (image, T_map_camera) in enumerate(zip(images, poses)):
        (frames / f"{index:06d}.jpg").write_bytes(encode(image))
        quat_xyzw, translation = se3.to_quat_xyzw_translation(T_map_camera)
        numbers = " ".join(f"{value:.9f}" for value in (*translation, *quat_xyzw))
        lines.append(f"{index / rate_hz:.6f} {numbers}")
        yield index + 1
    (folder / "poses.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
