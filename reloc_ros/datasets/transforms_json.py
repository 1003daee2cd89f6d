"""`transforms.json` of instant-ngp and nerfstudio: one file with the camera and the pose of each image.

Poses are camera-to-world with OpenGL camera axes (x right, y *up*, z *backward*), in whatever world and scale the tool
that wrote the file chose; nerfstudio's `applied_transform` has been applied already and is not undone. Pixel
coordinates start at the *corner* of the top-left pixel, ours at its centre: cx and cy lose half a pixel here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from reloc_ros.cameras.camera import Camera
from reloc_ros.datasets.files import camera_of, read_json
from reloc_ros.datasets.images import PosedImage, PosedImages, image_loader, read_image, rounded_pose
from reloc_ros.datasets.location import Location
from reloc_ros.errors import DatasetError
from reloc_ros.types import Array

T_OPENGL_OPTICAL = np.diag([1.0, -1.0, -1.0, 1.0])
"""Optical axes (y down, z forward) in OpenGL camera axes (y up, z backward)."""

CAMERA_MODELS: dict[str, tuple[str, tuple[str, ...]]] = {
    "PINHOLE": ("plumb_bob", ()),
    "SIMPLE_PINHOLE": ("plumb_bob", ()),
    "SIMPLE_RADIAL": ("plumb_bob", ("k1", "0", "0", "0")),
    "RADIAL": ("plumb_bob", ("k1", "k2", "0", "0")),
    "OPENCV": ("plumb_bob", ("k1", "k2", "p1", "p2", "k3")),
    "OPENCV_FISHEYE": ("equidistant", ("k1", "k2", "k3", "k4")),
}
"""Name in the file: our distortion model, and the keys of its coefficients in order (absent means 0)."""

_DISTORTION_KEYS = ("k1", "k2", "k3", "k4", "p1", "p2")
_NUMBER_KEYS = ("w", "h", "fl_x", "fl_y", "cx", "cy", "camera_angle_x", "camera_angle_y", *_DISTORTION_KEYS)
_EXTENSIONS = (".png", ".jpg", ".jpeg")
_FRAME_HZ = 30.0


def read_transforms_json(location: str) -> PosedImages:
    """Return the images of `DIR[?metric=true]`, DIR holding transforms.json, or of the path of such a file.

    The format does not say whether its unit is the metre: the data set counts as metric only with `?metric=true`.
    Intrinsics of a frame come before those of the file. Images are ordered by name; a frame's `timestamp` (seconds)
    is its stamp, otherwise its index at 30 Hz.

    Raises:
        DatasetError: a file is missing or malformed, a camera model is unknown, or a pose is not rigid.
    """
    options = Location.parse(location, ("metric",))
    file = options.path / "transforms.json" if options.path.is_dir() else options.path
    content = read_json(file)
    frames = content.get("frames")
    if not isinstance(frames, list) or not all(isinstance(frame, dict) and "file_path" in frame for frame in frames):
        raise DatasetError(f"{file}: 'frames' must be a list of objects with a 'file_path'")
    cameras: dict[tuple[tuple[str, Any], ...], Camera] = {}
    images = []
    for index, frame in enumerate(sorted(frames, key=_natural_order)):
        image_path = _image_path(file, str(frame["file_path"]))
        intrinsics = _intrinsics({**content, **frame}, file)
        # A camera shared by all frames is built once, and an image opened for its size only where the file omits it.
        key = tuple(sorted(intrinsics.items()))
        if key not in cameras:
            cameras[key] = _camera(intrinsics, image_path, file)
        images.append(
            PosedImage(
                name=str(frame["file_path"]),
                stamp_ns=_stamp_ns(frame, index, file),
                T_map_camera=_pose(frame, file) @ T_OPENGL_OPTICAL,
                camera=cameras[key],
                load=image_loader(image_path),
                sequence=Path(str(frame["file_path"])).parent.as_posix(),
            )
        )
    return PosedImages(
        images=tuple(images),
        skipped=(),
        ground_truth="transforms.json",
        name=file.parent.name,
        metric=options.flag("metric"),
    )


def _intrinsics(description: Mapping[str, Any], file: Path) -> dict[str, Any]:
    numbers = {key: description[key] for key in _NUMBER_KEYS if key in description}
    for key, value in numbers.items():
        if not _is_number(value):
            raise DatasetError(f"{file}: {key} is {value!r}, expected a finite number")
    kind = {"camera_model": str(description["camera_model"])} if "camera_model" in description else {}
    return {**numbers, **kind, "is_fisheye": bool(description.get("is_fisheye", False))}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _stamp_ns(frame: Mapping[str, Any], index: int, file: Path) -> int:
    stamp_s = frame.get("timestamp", index / _FRAME_HZ)
    if not _is_number(stamp_s):
        raise DatasetError(f"{file}: frame '{frame['file_path']}' has timestamp {stamp_s!r}, expected seconds")
    return round(float(stamp_s) * 1e9)


def _camera(intrinsics: Mapping[str, Any], image_path: Path, file: Path) -> Camera:
    if "w" in intrinsics and "h" in intrinsics:
        width, height = _whole(intrinsics["w"], "w", file), _whole(intrinsics["h"], "h", file)
    else:
        height, width = read_image(image_path).shape[:2]
    name = intrinsics.get("camera_model", "OPENCV_FISHEYE" if intrinsics["is_fisheye"] else "OPENCV")
    if name == "EQUIRECTANGULAR":
        return camera_of({"model": "equirectangular", "width": width, "height": height}, file)
    if name not in CAMERA_MODELS:
        raise DatasetError(f"{file}: camera_model '{name}' is unknown; use one of {', '.join(CAMERA_MODELS)}")
    distortion_model, keys = CAMERA_MODELS[name]
    unused = [key for key in _DISTORTION_KEYS if intrinsics.get(key) and key not in keys]
    if unused:
        raise DatasetError(f"{file}: camera_model {name} has no {', '.join(unused)}, yet the file gives them a value")
    focal_x = intrinsics["fl_x"] if "fl_x" in intrinsics else _focal(intrinsics, "camera_angle_x", width, file)
    if "fl_y" in intrinsics:
        focal_y = intrinsics["fl_y"]
    else:
        focal_y = _focal(intrinsics, "camera_angle_y", height, file) if "camera_angle_y" in intrinsics else focal_x
    centre_x, centre_y = intrinsics.get("cx", width / 2) - 0.5, intrinsics.get("cy", height / 2) - 0.5
    return camera_of(
        {
            "model": "pinhole",
            "width": width,
            "height": height,
            "K": [[focal_x, 0.0, centre_x], [0.0, focal_y, centre_y], [0.0, 0.0, 1.0]],
            "distortion_model": distortion_model,
            "distortion": [intrinsics.get(key, 0.0) for key in keys],
        },
        file,
    )


def _focal(intrinsics: Mapping[str, Any], key: str, size: int, file: Path) -> float:
    if not 0.0 < float(intrinsics.get(key, 0.0)) < math.pi:
        raise DatasetError(f"{file}: no focal length: give fl_x (px) or camera_angle_x (rad, between 0 and pi)")
    return 0.5 * size / math.tan(0.5 * float(intrinsics[key]))


def _whole(value: float, key: str, file: Path) -> int:
    if value != int(value):
        raise DatasetError(f"{file}: {key} is {value!r}, expected a whole number of pixels")
    return int(value)


def _pose(frame: Mapping[str, Any], file: Path) -> Array:
    try:
        matrix = np.array(frame["transform_matrix"], dtype=np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{file}: frame '{frame['file_path']}' has no 4x4 transform_matrix: {error!r}") from error
    if matrix.shape == (3, 4):
        matrix = np.vstack([matrix, (0.0, 0.0, 0.0, 1.0)])
    return rounded_pose(matrix, file / str(frame["file_path"]))


def _image_path(file: Path, written: str) -> Path:
    path = file.parent / written
    candidates = [path, *(path.with_name(path.name + extension) for extension in _EXTENSIONS)]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise DatasetError(f"{file} names the image '{written}', but {path} does not exist (nor with {_EXTENSIONS})")


def _natural_order(frame: Mapping[str, Any]) -> list[tuple[bool, int, str]]:
    """Order frame_9 before frame_10."""
    parts = re.split(r"(\d+)", str(frame["file_path"]))
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]
