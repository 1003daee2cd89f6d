"""ACE's layout, as Niantic's Wayspots have it: `train/` and `test/`, each with `rgb/`, `poses/` and `calibration/`.

One file of each kind for each image; sorted by name they belong together (nianticlabs/ace, dataset.py). Poses are 4x4
camera-to-world matrices in metres with optical axes. A calibration is the focal length, the principal point being the
middle of the image, or a 3x3 matrix whose pixel coordinates start at the corner of the image, ours at the centre of its
first pixel: cx and cy lose half a pixel here.
"""

from __future__ import annotations

from pathlib import Path

from reloc_ros.cameras.camera import Camera
from reloc_ros.datasets.files import camera_of, existing_directory, pinhole_in_middle, read_lines, read_numbers
from reloc_ros.datasets.images import (
    PosedImage,
    PosedImages,
    Skipped,
    image_loader,
    read_image,
    tracked_pose,
    untracked,
)
from reloc_ros.datasets.location import PARTS, Location
from reloc_ros.errors import DatasetError

# The layout has no stamps: images count as one thirtieth of a second apart.
_FRAME_NS = 1e9 / 30.0


def read_wayspots(location: str) -> PosedImages:
    """Return the images of `DIR[?part=train|test]`, both folders by default.

    Raises:
        DatasetError: a file is missing or malformed, or the numbers of files differ; the message names it.
    """
    options = Location.parse(location, ("part",))
    part = options.choice("part", PARTS)
    images: list[PosedImage] = []
    skipped: list[Skipped] = []
    for name in ("test", "train"):
        if part in (name, "all"):
            _read_part(options.path / name, images, skipped)
    return PosedImages(
        images=tuple(images), skipped=tuple(skipped), ground_truth="poses", name=options.path.name, metric=True
    )


def _read_part(folder: Path, images: list[PosedImage], skipped: list[Skipped]) -> None:
    kinds = {kind: sorted(existing_directory(str(folder / kind)).iterdir()) for kind in ("rgb", "poses", "calibration")}
    if len({len(files) for files in kinds.values()}) != 1:
        counts = ", ".join(f"{len(files)} in {kind}" for kind, files in kinds.items())
        raise DatasetError(f"{folder} must hold as many files of each kind, but has {counts}; copy it again")
    if not kinds["rgb"]:
        raise DatasetError(f"{folder / 'rgb'} is empty; copy it again")
    height, width = read_image(kinds["rgb"][0]).shape[:2]
    for index, (image_path, pose_path, calibration_path) in enumerate(zip(*kinds.values(), strict=True)):
        T_map_camera = tracked_pose(read_numbers(pose_path, (4, 4)), pose_path)
        if T_map_camera is None:
            skipped.append(untracked(image_path))
            continue
        images.append(
            PosedImage(
                name=f"{folder.name}/{image_path.name}",
                stamp_ns=round(index * _FRAME_NS),
                T_map_camera=T_map_camera,
                camera=_camera(calibration_path, (width, height)),
                load=image_loader(image_path),
                sequence=folder.name,
            )
        )


def _camera(path: Path, size: tuple[int, int]) -> Camera:
    if len(" ".join(read_lines(path)).split()) == 1:
        return pinhole_in_middle(float(read_numbers(path, (1,))[0]), size, path)
    matrix = read_numbers(path, (3, 3))
    matrix[:2, 2] -= 0.5
    return camera_of({"model": "pinhole", "width": size[0], "height": size[1], "K": matrix.tolist()}, path)
