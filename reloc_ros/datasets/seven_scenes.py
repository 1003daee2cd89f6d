"""Microsoft 7-Scenes: `seq-XX/frame-XXXXXX.color.png` (or jpg) beside `frame-XXXXXX.pose.txt`.

Poses are 4x4 camera-to-world matrices in metres with optical axes (x right, y down, z forward).
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from reloc_ros.cameras.camera import Camera
from reloc_ros.cameras.pinhole import PinholeCamera
from reloc_ros.datasets.files import camera_of, existing_directory, read_json, read_numbers
from reloc_ros.datasets.images import PosedImage, PosedImages, Skipped, image_loader, tracked_pose, untracked
from reloc_ros.errors import DatasetError

_COLOR = re.compile(r"frame-(\d+)\.color\.(?:png|jpe?g)")
_FRAME_NS = 1e9 / 30.0
# 585 px, often quoted for 7-Scenes, is the focal length of the *depth* camera; the images are of the RGB camera.
_RGB_FOCAL_PX = 525.0
_RGB_CENTRE_PX = (320.0, 240.0)


def read_seven_scenes(location: str) -> PosedImages:
    """Return a scene folder with `seq-XX` folders, or a single such folder.

    Frames without tracking have NaN in their pose and are skipped. A `camera.json` in the folder (as
    `Camera.to_dict` writes it) replaces the camera. Stamps are the frame number at 30 Hz.

    Raises:
        DatasetError: a folder, pose or image is missing or malformed; the message names it.
    """
    folder = existing_directory(location)
    sequences = sorted(path for path in folder.glob("seq-*") if path.is_dir()) or [folder]
    camera = _camera(folder)
    images: list[PosedImage] = []
    skipped: list[Skipped] = []
    for sequence in sequences:
        for number, image_path in _frames(sequence):
            pose_path = image_path.with_name(f"frame-{number}.pose.txt")
            T_map_camera = tracked_pose(read_numbers(pose_path, (4, 4)), pose_path)
            if T_map_camera is None:
                skipped.append(untracked(image_path))
                continue
            images.append(
                PosedImage(
                    name=f"{sequence.name}/{image_path.name}",
                    stamp_ns=round(int(number) * _FRAME_NS),
                    T_map_camera=T_map_camera,
                    camera=camera,
                    load=image_loader(image_path),
                    sequence=sequence.name,
                )
            )
    return PosedImages(
        images=tuple(images), skipped=tuple(skipped), ground_truth="kinectfusion", name=folder.name, metric=True
    )


def _camera(folder: Path) -> Camera:
    description = folder / "camera.json"
    if description.exists():
        return camera_of(read_json(description), description)
    matrix = np.array([[_RGB_FOCAL_PX, 0.0, _RGB_CENTRE_PX[0]], [0.0, _RGB_FOCAL_PX, _RGB_CENTRE_PX[1]], [0, 0, 1]])
    return PinholeCamera(640, 480, matrix)


def _frames(sequence: Path) -> list[tuple[str, Path]]:
    """Return (number as written, image path) of each frame, by number."""
    matches = ((match, path) for path in sequence.iterdir() if (match := _COLOR.fullmatch(path.name)))
    frames = sorted(((match[1], path) for match, path in matches), key=lambda frame: (int(frame[0]), frame[1]))
    if not frames:
        raise DatasetError(f"{sequence} holds no seq-XX folder and no frame-XXXXXX.color.png or .jpg")
    numbers = {number for number, _ in frames}
    for pose_path in sequence.glob("frame-*.pose.txt"):
        if pose_path.name[len("frame-") : -len(".pose.txt")] not in numbers:
            raise DatasetError(f"{pose_path} has no image beside it; the data set was not copied completely")
    return frames
