"""Reading the small text files of data sets, with errors that name the file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from reloc_ros.cameras.camera import Camera
from reloc_ros.cameras.table import camera_from_dict
from reloc_ros.errors import CameraError, DatasetError
from reloc_ros.types import Array

_WINDOWS_NAN = re.compile(r"[-+]?1\.#\w+(?:[-+]\d+)?")
"""How Microsoft's C library printed NaN and infinity, as found in 7-Scenes."""


def existing_directory(location: str) -> Path:
    """Return the path of a folder that must exist.

    Raises:
        DatasetError: it does not, or is a file.
    """
    path = Path(location).expanduser()
    if not path.is_dir():
        raise DatasetError(f"data set folder '{path}' does not exist (or is not a folder); check the path")
    return path


def existing_file(path: Path, named_in: Path) -> Path:
    """Return the path of a file that the data set names.

    Raises:
        DatasetError: it does not exist.
    """
    if not path.is_file():
        raise DatasetError(f"{named_in} names {path}, which does not exist; the data set was not copied completely")
    return path


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text file that are not empty, without white space around them.

    Raises:
        DatasetError: the file is missing or is not text.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read as text: {error}") from error
    return [line.strip() for line in lines if line.strip()]


def read_numbers(path: Path, shape: tuple[int, ...]) -> Array:
    """Return the numbers of a text file of exactly that shape; NaN is a number here.

    Raises:
        DatasetError: the file is missing, is not text, or holds anything else.
    """
    try:
        words = path.read_text(encoding="utf-8").split()
        values = [float("nan") if _WINDOWS_NAN.fullmatch(word) else float(word) for word in words]
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read as numbers: {error}") from error
    if len(values) != int(np.prod(shape)):
        raise DatasetError(f"{path} holds {len(values)} numbers, expected {int(np.prod(shape))} ({shape})")
    return np.array(values).reshape(shape)


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises:
        DatasetError: the file is missing, malformed or holds something other than an object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise DatasetError(f"{path} holds a {type(content).__name__}, expected a JSON object")
    return content


def camera_of(description: Mapping[str, Any], path: Path) -> Camera:
    """Return the camera described in a file.

    Raises:
        DatasetError: the description is not one; the message names the file.
    """
    try:
        return camera_from_dict(description)
    except CameraError as error:
        raise DatasetError(f"camera in {path}: {error}") from error


def pinhole_in_middle(focal_px: float, size: tuple[int, int], path: Path) -> Camera:
    """Return the pinhole camera with one focal length and its principal point in the middle of the image.

    Args:
        focal_px: pixels.
        size: width and height, pixels.
        path: what the error names.

    Raises:
        DatasetError: the focal length is not positive.
    """
    width, height = size
    K = [[focal_px, 0.0, (width - 1) / 2], [0.0, focal_px, (height - 1) / 2], [0.0, 0.0, 1.0]]
    return camera_of({"model": "pinhole", "width": width, "height": height, "K": K}, path)
