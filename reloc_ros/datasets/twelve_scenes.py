"""Stanford 12-Scenes: `info.txt`, `split.txt` and `data/frame-XXXXXX.color.jpg` beside `frame-XXXXXX.pose.txt`.

Poses are 4x4 camera-to-world matrices in metres with optical axes; where tracking was lost they hold INF. `info.txt`
has the size of the images and, as a row-major 4x4 matrix, the intrinsics of the colour camera (its defaults: nobody
calibrated it). `split.txt` says which frames belong to which recording; the first of them is the test sequence.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from reloc_ros.cameras.camera import Camera
from reloc_ros.datasets.files import camera_of, read_lines, read_numbers
from reloc_ros.datasets.images import PosedImage, PosedImages, Skipped, image_loader, tracked_pose, untracked
from reloc_ros.datasets.location import PARTS, Location
from reloc_ros.errors import DatasetError

_COLOR = re.compile(r"frame-(\d+)\.color\.jpg")
_RECORDING = re.compile(r"(\S+)\s+\[frames=\d+\]\s+\[start=(\d+)\s*;\s*end=(\d+)\]")
_FRAME_NS = 1e9 / 30.0


def read_twelve_scenes(location: str) -> PosedImages:
    """Return the images of `DIR[?part=train|test]`, DIR being one room (`apt1/kitchen`), all by default.

    Stamps are the frame number at 30 Hz.

    Raises:
        DatasetError: a file is missing or malformed, or a frame belongs to no recording; the message names it.
    """
    options = Location.parse(location, ("part",))
    part = options.choice("part", PARTS)
    folder = options.path
    camera = _camera(folder / "info.txt")
    recordings = _recordings(folder / "split.txt")
    frames = _frames(folder / "data")
    strays = [number for number in frames if not any(number in numbers for numbers in recordings.values())]
    if strays:
        raise DatasetError(
            f"{folder / 'split.txt'} names no recording for frame {strays[0]} and {len(strays) - 1} more"
        )
    images: list[PosedImage] = []
    skipped: list[Skipped] = []
    for position, (name, frames_of_it) in enumerate(recordings.items()):
        if part == ("train" if position == 0 else "test"):
            continue
        for number in (number for number in frames if number in frames_of_it):
            image_path = frames[number]
            pose_path = image_path.with_name(image_path.name.replace(".color.jpg", ".pose.txt"))
            T_map_camera = tracked_pose(read_numbers(pose_path, (4, 4)), pose_path)
            if T_map_camera is None:
                skipped.append(untracked(image_path))
                continue
            images.append(
                PosedImage(
                    name=f"{name}/{image_path.name}",
                    stamp_ns=round(number * _FRAME_NS),
                    T_map_camera=T_map_camera,
                    camera=camera,
                    load=image_loader(image_path),
                    sequence=name,
                )
            )
    return PosedImages(
        images=tuple(images), skipped=tuple(skipped), ground_truth="pose.txt", name=folder.name, metric=True
    )


def _camera(path: Path) -> Camera:
    values = {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in read_lines(path))}
    try:
        width, height = int(values["m_colorWidth"]), int(values["m_colorHeight"])
        matrix = np.array([float(word) for word in values["m_calibrationColorIntrinsic"].split()]).reshape(4, 4)
    except (KeyError, ValueError) as error:
        raise DatasetError(
            f"{path} must give m_colorWidth, m_colorHeight and 16 numbers m_calibrationColorIntrinsic: {error!r}"
        ) from error
    return camera_of({"model": "pinhole", "width": width, "height": height, "K": matrix[:3, :3].tolist()}, path)


def _recordings(path: Path) -> dict[str, range]:
    """Return the frame numbers of each recording, in the order of the file."""
    recordings = {}
    for line in read_lines(path):
        match = _RECORDING.fullmatch(line)
        if not match:
            raise DatasetError(f"{path}, line '{line[:80]}': expected 'NAME [frames=N] [start=A ; end=B]'")
        recordings[match[1]] = range(int(match[2]), int(match[3]) + 1)
    return recordings


def _frames(folder: Path) -> dict[int, Path]:
    """Return the image of each frame number, in order."""
    if not folder.is_dir():
        raise DatasetError(f"{folder} does not exist; expected a room of 12-Scenes with data, info.txt and split.txt")
    matches = ((match, path) for path in folder.iterdir() if (match := _COLOR.fullmatch(path.name)))
    frames = dict(sorted((int(match[1]), path) for match, path in matches))
    for pose_path in folder.glob("frame-*.pose.txt"):
        if int(pose_path.name[len("frame-") : -len(".pose.txt")]) not in frames:
            raise DatasetError(f"{pose_path} has no image beside it; the data set was not copied completely")
    return frames
