"""A pose without symmetry, pictures that can be told apart, and their true layouts on disk."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from reloc_ros.geometry import se3
from reloc_ros.types import Array, Image

QUAT_XYZW = np.array([1.0, 2.0, 4.0, 10.0]) / 11.0
T_MAP_CAMERA = se3.from_quat_xyzw_translation(QUAT_XYZW, [1.0, -2.0, 3.0])


def pose(index: int) -> Array:
    """Return T_map_camera of frame `index`: the literal, a step further along x each time."""
    T_map_camera = T_MAP_CAMERA.copy()
    T_map_camera[0, 3] += 0.1 * index
    return T_map_camera


def picture(width: int, height: int, index: int = 0) -> Image:
    """Return (H, W, 3) RGB whose left half is red and right half blue; the green value is `index`."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:, : width // 2, 0] = image[:, width // 2 :, 2] = 250
    image[:, :, 1] = index
    return image


def write_picture(path: Path, width: int, height: int, index: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture(width, height, index)[:, :, ::-1])
    return path


def write_seven_scenes(
    folder: Path, numbers: range, extension: str = "png", size: tuple[int, int] = (640, 480)
) -> Path:
    for number in numbers:
        write_picture(folder / f"frame-{number:06d}.color.{extension}", *size, index=number)
        rows = (" ".join(f"{value: .7e}" for value in row) for row in pose(number))
        (folder / f"frame-{number:06d}.pose.txt").write_text("\t\n".join(rows) + "\n")
    return folder


def write_scene(folder: Path) -> Path:
    """Write a scene of two sequences of three frames."""
    for sequence in ("seq-01", "seq-02"):
        write_seven_scenes(folder / sequence, range(3))
    return folder


def write_transforms(folder: Path, **changes: object) -> Path:
    """Write a transforms.json with two 40x30 images; keys given replace or (None) remove others."""
    frames = []
    for index in (1, 0):
        write_picture(folder / "images" / f"{index:04d}.png", 40, 30, index)
        # Columns of the OpenGL camera: right, up, backward.
        matrix = pose(index) @ np.diag([1.0, -1.0, -1.0, 1.0])
        frames.append({"file_path": f"images/{index:04d}.png", "transform_matrix": matrix.tolist()})
    content = {
        "camera_model": "OPENCV",
        "w": 40,
        "h": 30,
        "fl_x": 35.0,
        "fl_y": 36.0,
        "cx": 21.0,
        "cy": 14.0,
        "k1": 0.01,
        "k2": -0.02,
        "p1": 0.001,
        "p2": -0.002,
        "frames": frames,
    }
    content = {key: value for key, value in {**content, **changes}.items() if value is not None}
    (folder / "transforms.json").write_text(json.dumps(content))
    return folder


def write_sequence(folder: Path, count: int = 3) -> Path:
    for index in range(count):
        write_picture(folder / "frames" / f"{index:06d}.png", 64, 32, index)
    numbers = [(0.25 * index, *pose(index)[:3, 3], *QUAT_XYZW) for index in range(count)]
    lines = [" ".join(f"{value:.9f}" for value in row) for row in numbers]
    (folder / "poses.txt").write_text("# stamp_s tx ty tz qx qy qz qw\n" + "\n".join(lines) + "\n")
    description = {"model": "equirectangular", "width": 64, "height": 32, "height_above_floor_m": 1.5, "world": "flat"}
    (folder / "camera.json").write_text(json.dumps(description))
    return folder


def write_sequences(folder: Path) -> Path:
    """Write two panorama sequences of three frames."""
    for name in ("kitchen_0", "kitchen_1"):
        write_sequence(folder / name)
    return folder
