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
