"""Cambridge Landmarks: `dataset_train.txt` and `dataset_test.txt` beside `seqN/frameXXXXX.png`.

A heading of two lines, then `seq1/frame00001.png x y z qw qx qy qz`: the position of the camera in the map, and the
rotation from the map to the camera (optical axes), as the text files of VisualSFM have it. The reader of ACE
(nianticlabs/ace, datasets/setup_cambridge.py) takes them the same way.

Focal lengths are those of `reconstruction.nvm`, one for each image, where that file is present. Otherwise all images
share 1670 px, the value in common use for these 1920x1080 videos. The principal point is the middle of the image; the
radial term of the reconstruction is left out, as ACE does.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from reloc_ros.cameras.camera import Camera
from reloc_ros.datasets.files import existing_file, pinhole_in_middle, read_lines
from reloc_ros.datasets.images import PosedImage, PosedImages, Skipped, image_loader, read_image
from reloc_ros.datasets.location import PARTS, Location
from reloc_ros.errors import DatasetError, DegenerateGeometryError
from reloc_ros.geometry import se3
from reloc_ros.types import Array

_HEADING_LINES = 2
_FOCAL_PX, _FOCAL_WIDTH_PX = 1670.0, 1920
# The videos were sampled at 2 Hz (Kendall et al. 2015, PoseNet); frames have no stamps of their own.
_FRAME_NS = 500_000_000
# A few frames of the reconstruction lie kilometres away from the street they show.
_FARTHEST_M = 10_000.0
_COLUMNS = 8


def read_cambridge(location: str) -> PosedImages:
    """Return the images of `DIR[?part=train|test]`, all of them by default.

    Raises:
        DatasetError: a list or an image is missing, or a line is malformed; the message names it.
    """
    options = Location.parse(location, ("part",))
    part = options.choice("part", PARTS)
    folder = options.path
    lists = [folder / f"dataset_{name}.txt" for name in ("train", "test") if part in (name, "all")]
    rows = sorted((_row(line, path) for path in lists for line in read_lines(path)[_HEADING_LINES:]), key=_order)
    focal_px = _focal_lengths(folder / "reconstruction.nvm")
    sizes: dict[str, tuple[int, int]] = {}
    images: list[PosedImage] = []
    skipped: list[Skipped] = []
    for name, T_map_camera in rows:
        path, sequence = existing_file(folder / name, folder), Path(name).parent.as_posix()
        if not np.max(np.abs(T_map_camera[:3, 3])) <= _FARTHEST_M:
            skipped.append(Skipped(path=str(path), reason=f"outlier: further than {_FARTHEST_M:g} m from the origin"))
            continue
        if sequence not in sizes:
            height, width = read_image(path).shape[:2]
            sizes[sequence] = (width, height)
        images.append(
            PosedImage(
                name=name,
                stamp_ns=_number(name) * _FRAME_NS,
                T_map_camera=T_map_camera,
                camera=_camera(focal_px, name, sizes[sequence], folder),
                load=image_loader(path),
                sequence=sequence,
            )
        )
    return PosedImages(
        images=tuple(images), skipped=tuple(skipped), ground_truth="visualsfm", name=folder.name, metric=True
    )


def _row(line: str, path: Path) -> tuple[str, Array]:
    """Return the image name and T_map_camera of one line."""
    words = line.split()
    try:
        x, y, z, qw, qx, qy, qz = (float(word) for word in words[1:])
        T_camera_map_rotation = se3.from_quat_xyzw_translation([qx, qy, qz, qw], [0.0, 0.0, 0.0])
    except (ValueError, DegenerateGeometryError) as error:
        raise DatasetError(
            f"{path}, line '{line[:80]}': expected {_COLUMNS} columns: image x y z qw qx qy qz ({error})"
        ) from error
    return words[0], se3.from_rotation_translation(T_camera_map_rotation[:3, :3].T, [x, y, z])


def _order(row: tuple[str, Array]) -> tuple[str, int]:
    return Path(row[0]).parent.as_posix(), _number(row[0])


def _number(name: str) -> int:
    digits = re.findall(r"\d+", Path(name).stem)
    if not digits:
        raise DatasetError(f"image name '{name}' has no frame number; expected seqN/frameXXXXX.png")
    return int(digits[-1])


def _focal_lengths(path: Path) -> dict[str, float]:
    """Return the focal length, px, of each image of an NVM file by its name without extension; empty without file."""
    if not path.exists():
        return {}
    lines = read_lines(path)
    try:
        count = int(lines[1])
        cameras = [line.split() for line in lines[2 : 2 + count]]
        focal_px = {Path(words[0]).with_suffix("").as_posix(): float(words[1]) for words in cameras}
    except (IndexError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read as NVM_V3: {error}") from error
    if len(cameras) != count:
        raise DatasetError(f"{path} announces {count} cameras and holds {len(cameras)}; copy it again")
    return focal_px


def _camera(focal_px: dict[str, float], name: str, size: tuple[int, int], folder: Path) -> Camera:
    key = Path(name).with_suffix("").as_posix()
    if focal_px and key not in focal_px:
        raise DatasetError(f"{folder / 'reconstruction.nvm'} has no camera for '{name}'; remove the file to do without")
    # Copies of the data set are often made smaller; the focal lengths belong to the width of the videos.
    scale = size[0] / _FOCAL_WIDTH_PX
    return pinhole_in_middle(focal_px.get(key, _FOCAL_PX) * scale, size, folder)
