"""Sequences in folders: `DIR/<sequence>/frames/000000.jpg ...`, `poses.txt` and `camera.json`, of any camera model.

`poses.txt` has one line for each frame, in order: `stamp_s tx ty tz qx qy qz qw`, camera to world, optical axes. A
panorama's centre column looks along +z and u grows to +x.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from reloc_ros.datasets.files import camera_of, existing_directory, read_json
from reloc_ros.datasets.images import PosedImage, PosedImages, image_loader
from reloc_ros.errors import DatasetError, DegenerateGeometryError
from reloc_ros.geometry import se3
from reloc_ros.types import Array

_EXTENSIONS = (".jpg", ".jpeg", ".png")
_NOTES = ("height_above_floor_m", "world")
"""Keys of camera.json that describe the recording, not the camera."""
_COLUMNS = 8


def read_panorama_sequences(location: str) -> PosedImages:
    """Return all sequences in a folder, or the one sequence that the folder is.

    Raises:
        DatasetError: a file is missing or malformed, or the numbers of frames and poses differ.
    """
    folder = existing_directory(location)
    sequences = [folder] if (folder / "poses.txt").exists() else sorted(path.parent for path in folder.glob("*/frames"))
    if not sequences:
        raise DatasetError(f"{folder} holds no sequence: expected <sequence>/frames, poses.txt and camera.json")
    images = [image for sequence in sequences for image in _read_sequence(sequence)]
    return PosedImages(images=tuple(images), skipped=(), ground_truth="poses.txt", name=folder.name, metric=True)


def _read_sequence(sequence: Path) -> list[PosedImage]:
    description = read_json(sequence / "camera.json")
    camera = camera_of(
        {key: value for key, value in description.items() if key not in _NOTES}, sequence / "camera.json"
    )
    frames_folder = existing_directory(str(sequence / "frames"))
    frames = sorted(path for path in frames_folder.iterdir() if path.suffix.lower() in _EXTENSIONS)
    poses_path = sequence / "poses.txt"
    rows = _read_poses(poses_path)
    if len(rows) != len(frames):
        raise DatasetError(f"{poses_path} has {len(rows)} poses for {len(frames)} images in {frames_folder}")
    return [
        PosedImage(
            name=f"{sequence.name}/{path.name}",
            stamp_ns=round(float(row[0]) * 1e9),
            T_map_camera=_transform(row, poses_path),
            camera=camera,
            load=image_loader(path),
            sequence=sequence.name,
            world=str(description.get("world", "")),
            height_m=_height_m(description, sequence / "camera.json"),
        )
        for path, row in zip(frames, rows)
    ]


def _height_m(description: dict[str, Any], path: Path) -> float | None:
    height_m = description.get("height_above_floor_m")
    if height_m is None or (isinstance(height_m, (int, float)) and not isinstance(height_m, bool)):
        return height_m
    raise DatasetError(f"{path}: height_above_floor_m is {height_m!r}, expected metres")


def _read_poses(path: Path) -> Array:
    try:
        rows = np.loadtxt(path, dtype=np.float64, comments="#", ndmin=2)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read as poses: {error}") from error
    if rows.shape[1] != _COLUMNS or not np.all(np.isfinite(rows)):
        raise DatasetError(f"{path} must hold lines of {_COLUMNS} finite numbers: stamp_s tx ty tz qx qy qz qw")
    return rows


def _transform(row: Array, path: Path) -> Array:
    try:
        return se3.from_quat_xyzw_translation(row[4:8], row[1:4])
    except DegenerateGeometryError as error:
        raise DatasetError(f"{path}, stamp {row[0]:g} s: {error}") from error
