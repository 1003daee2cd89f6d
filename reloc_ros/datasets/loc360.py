"""360Loc: `SCENE/mapping|query_360|query_pinhole/SEQUENCE/` with `camera_pose.json` and `image/`.

`camera_pose.json` maps the name of an image to its 4x4 camera-to-world matrix, metres, optical axes. Panoramas are
equirectangular with the forward axis in the middle column. `SCENE/camera_config/pinhole.yaml` has imgw, imgh, fx, fy,
cx and cy; pixel coordinates start at the *corner* of the image there (HuajianUP/360Loc, process.py): cx and cy lose
half a pixel here. The double-sphere cameras of `query_fisheye1` to `3` have no counterpart among our camera models.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from reloc_ros.cameras.camera import Camera
from reloc_ros.cameras.equirectangular import EquirectangularCamera
from reloc_ros.datasets.files import camera_of, existing_directory, read_json
from reloc_ros.datasets.images import PosedImage, PosedImages, Skipped, image_loader, read_image, rounded_pose
from reloc_ros.errors import DatasetError

_POSES = "camera_pose.json"
_PANORAMAS = ("mapping", "query_360")
_PINHOLE = "query_pinhole"
# The data set has no stamps: images are a second apart in the order of their names.
_FRAME_NS = 1_000_000_000


def read_loc360(location: str) -> PosedImages:
    """Return all sequences below a folder: a scene, `SCENE/mapping` or another part, or one sequence.

    Raises:
        DatasetError: there is no sequence, or a file is missing or malformed; the message names it.
    """
    folder = existing_directory(location).resolve()
    sequences = sorted(path.parent for path in folder.rglob(_POSES))
    if not sequences:
        raise DatasetError(f"{folder} holds no {_POSES}; expected a scene of 360Loc, a part of it or one sequence")
    images: list[PosedImage] = []
    skipped: list[Skipped] = []
    for sequence in sequences:
        if sequence.parent.name in (*_PANORAMAS, _PINHOLE):
            images += _read_sequence(sequence)
        else:
            reason = f"no camera model for '{sequence.parent.name}'; read are {', '.join((*_PANORAMAS, _PINHOLE))}"
            skipped.append(Skipped(path=str(sequence), reason=reason))
    return PosedImages(images=tuple(images), skipped=tuple(skipped), ground_truth=_POSES, name=folder.name, metric=True)


def _read_sequence(sequence: Path) -> list[PosedImage]:
    poses_path = sequence / _POSES
    poses = sorted(read_json(poses_path).items())
    if not poses:
        raise DatasetError(f"{poses_path} holds no pose; copy it again")
    name = f"{sequence.parent.name}/{sequence.name}"
    paths = [sequence / "image" / image_name for image_name, _ in poses]
    for path in paths:
        if not path.is_file():
            remedy = "run process.py of 360Loc, which cuts pinhole images out of the panoramas, or copy the data again"
            raise DatasetError(f"{poses_path} names {path}, which does not exist; {remedy}")
    camera = _camera(sequence, paths[0])
    return [
        PosedImage(
            name=f"{name}/{path.name}",
            stamp_ns=index * _FRAME_NS,
            T_map_camera=rounded_pose(_matrix(written, poses_path), poses_path),
            camera=camera,
            load=image_loader(path),
            sequence=name,
        )
        for index, (path, (_, written)) in enumerate(zip(paths, poses, strict=True))
    ]


def _camera(sequence: Path, image: Path) -> Camera:
    if sequence.parent.name in _PANORAMAS:
        height, width = read_image(image).shape[:2]
        return EquirectangularCamera(width=width, height=height)
    path = sequence.parent.parent / "camera_config" / "pinhole.yaml"
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        width, height = int(values["imgw"]), int(values["imgh"])
        fx, fy, cx, cy = (float(values[key]) for key in ("fx", "fy", "cx", "cy"))
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{path} must give imgw, imgh, fx, fy, cx and cy: {error!r}") from error
    K = [[fx, 0.0, cx - 0.5], [0.0, fy, cy - 0.5], [0.0, 0.0, 1.0]]
    return camera_of({"model": "pinhole", "width": width, "height": height, "K": K}, path)


def _matrix(written: Any, path: Path) -> Any:
    try:
        return np.array(written, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DatasetError(f"{path}: {written!r} is not a 4x4 matrix") from error
