"""TUM RGB-D: `rgb.txt` (`stamp_s rgb/NAME.png`) and `groundtruth.txt` (`stamp_s tx ty tz qx qy qz qw`).

Poses are those of the colour camera (optical axes) in the world of the motion capture system, metres, at 100 Hz on a
clock of their own: each image gets the pose interpolated at its stamp. Intrinsics are those that the benchmark
publishes for its three Kinects; the name of the folder says which one.
"""

from __future__ import annotations

import math
from decimal import Decimal, InvalidOperation
from pathlib import Path

from reloc_ros.cameras.camera import Camera
from reloc_ros.datasets.bag_poses import Track
from reloc_ros.datasets.files import camera_of, existing_file, read_json, read_lines
from reloc_ros.datasets.images import PosedImage, PosedImages, Skipped, image_loader
from reloc_ros.datasets.location import Location
from reloc_ros.errors import DatasetError, DegenerateGeometryError
from reloc_ros.geometry import se3
from reloc_ros.types import Array

CAMERAS: dict[str, tuple[tuple[float, float, float, float], tuple[float, ...]]] = {
    "freiburg1": (
        (517.306408, 516.469215, 318.643040, 255.313989),
        (0.262383, -0.953104, -0.005358, 0.002628, 1.163314),
    ),
    "freiburg2": (
        (520.908620, 521.007327, 325.141442, 249.701764),
        (0.231222, -0.784899, -0.003257, -0.000105, 0.917205),
    ),
    "freiburg3": ((535.4, 539.2, 320.1, 247.6), ()),
}
"""Part of the folder's name: fx fy cx cy (px) and plumb_bob distortion of that Kinect."""

_MAX_GAP_MS = 100.0
_IMAGE_COLUMNS, _POSE_COLUMNS = 2, 8


def read_tum(location: str) -> PosedImages:
    """Return the sequence `DIR[?max_gap_ms=100]`, or all sequences in a folder.

    Images between two poses more than `max_gap_ms` apart, or before the first or after the last, are skipped. A
    `camera.json` in the sequence (as `Camera.to_dict` writes it) replaces the camera.

    Raises:
        DatasetError: a file is missing or malformed, or no camera is known; the message names it.
    """
    options = Location.parse(location, ("max_gap_ms",))
    max_gap_ns = options.milliseconds("max_gap_ms", _MAX_GAP_MS)
    folder = options.path
    sequences = [folder] if (folder / "rgb.txt").exists() else sorted(path.parent for path in folder.glob("*/rgb.txt"))
    if not sequences:
        raise DatasetError(f"{folder} holds no sequence: expected rgb.txt, groundtruth.txt and rgb/")
    images: list[PosedImage] = []
    skipped: list[Skipped] = []
    for sequence in sequences:
        track = Track.from_samples(read_stamped_poses(sequence / "groundtruth.txt"))
        camera = _camera(sequence)
        for stamp_ns, words in _rows(sequence / "rgb.txt", _IMAGE_COLUMNS):
            path = existing_file(sequence / words[0], sequence / "rgb.txt")
            T_map_camera = track.at(stamp_ns, max_gap_ns)
            if T_map_camera is None:
                skipped.append(Skipped(path=str(path), reason="no pose within max_gap_ms of the image"))
                continue
            images.append(
                PosedImage(
                    name=f"{sequence.name}/{words[0]}",
                    stamp_ns=stamp_ns,
                    T_map_camera=T_map_camera,
                    camera=camera,
                    load=image_loader(path),
                    sequence=sequence.name,
                )
            )
    return PosedImages(
        images=tuple(images), skipped=tuple(skipped), ground_truth="motion capture", name=folder.name, metric=True
    )


def _rows(path: Path, columns: int) -> list[tuple[int, list[str]]]:
    """Return (stamp_ns, further words) of each line that is no comment, in time order."""
    rows = []
    for line in read_lines(path):
        words = line.split()
        if line.startswith("#"):
            continue
        try:
            # As a decimal: a float keeps no more than 0.2 microseconds of seconds since 1970.
            stamp_ns = int(Decimal(words[0]).scaleb(9).to_integral_value())
        except (InvalidOperation, OverflowError, ValueError) as error:
            raise DatasetError(f"{path}, line '{line[:80]}': '{words[0]}' is not a stamp in seconds") from error
        if len(words) != columns:
            raise DatasetError(f"{path}, line '{line[:80]}': {len(words)} columns, expected {columns}")
        rows.append((stamp_ns, words[1:]))
    if not rows:
        raise DatasetError(f"{path} holds no line but comments; copy it again")
    return sorted(rows)


def read_stamped_poses(path: Path) -> list[tuple[int, Array]]:
    """Return (stamp_ns, (4, 4) transform) of each line `stamp_s tx ty tz qx qy qz qw`, in time order.

    Raises:
        DatasetError: the file is missing or malformed; the message names the line.
    """
    samples = []
    for stamp_ns, words in _rows(path, _POSE_COLUMNS):
        try:
            numbers = [float(word) for word in words]
            samples.append((stamp_ns, se3.from_quat_xyzw_translation(numbers[3:], numbers[:3])))
        except (ValueError, DegenerateGeometryError) as error:
            raise DatasetError(f"{path}, stamp {stamp_ns / 1e9:.6f} s: {error}") from error
        if not all(map(math.isfinite, numbers)):
            raise DatasetError(f"{path}, stamp {stamp_ns / 1e9:.6f} s: {numbers} are not finite; remove the line")
    return samples


def _camera(sequence: Path) -> Camera:
    description = sequence / "camera.json"
    if description.exists():
        return camera_of(read_json(description), description)
    known = [name for name in CAMERAS if name in sequence.resolve().name]
    if len(known) != 1:
        raise DatasetError(
            f"{sequence}: no camera is known for a folder of this name; keep one of {', '.join(CAMERAS)} in it, "
            "or put a camera.json into it"
        )
    (fx, fy, cx, cy), distortion = CAMERAS[known[0]]
    K = [[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]
    return camera_of({"model": "pinhole", "width": 640, "height": 480, "K": K, "distortion": distortion}, sequence)
