"""The layouts of public data sets, with the literal pose of `dataset_files` in the first frame."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from dataset_files import QUAT_XYZW, pose, write_picture

from reloc_ros.types import Array

CAMBRIDGE_HEADING = "Visual Landmark Dataset V1\nImageFile, Camera Position [X Y Z W P Q R]\n\n"
# The rotation from the map to the camera: the conjugate of the literal, w first.
CAMBRIDGE_QUAT_WXYZ = [10.0 / 11.0, -1.0 / 11.0, -2.0 / 11.0, -4.0 / 11.0]


def matrix_text(T: Array) -> str:
    return "\n".join(" ".join(f"{value:.7f}" for value in row) for row in T) + "\n"


def write_exact(path: Path, width: int, height: int, index: int) -> None:
    """Write a PNG under another name: JPEG would change the colours that tests look for."""
    write_picture(path.with_name(f"{path.name}.png"), width, height, index).replace(path)


def write_cambridge(folder: Path) -> Path:
    """Write three training images of seq1 and two test images of seq2, 40x30, without a reconstruction."""
    for part, sequence, count in (("train", "seq1", 3), ("test", "seq2", 2)):
        lines = []
        for index in range(count):
            name = f"{sequence}/frame{index + 1:05d}.png"
            write_picture(folder / name, 40, 30, index)
            numbers = [*pose(index)[:3, 3], *CAMBRIDGE_QUAT_WXYZ]
            lines.append(f"{name} " + " ".join(f"{value:.6f}" for value in numbers))
        # The real lists are not in the order of the frames.
        (folder / f"dataset_{part}.txt").write_text(CAMBRIDGE_HEADING + "\n".join(reversed(lines)) + "\n")
    return folder


def write_nvm(folder: Path) -> Path:
    """Write the reconstruction of `write_cambridge`: focal length 1700 px of the first image, 10 more for each next."""
    names = ["seq1/frame00001", "seq1/frame00002", "seq1/frame00003", "seq2/frame00001", "seq2/frame00002"]
    cameras = [
        f"{name}.jpg\t{1700 + 10 * index} 0.9 0.1 0.2 0.3 1 2 3 -0.05 0 " for index, name in enumerate(reversed(names))
    ]
    path = folder / "reconstruction.nvm"
    path.write_text("NVM_V3 \n\n5\n" + "\n".join(cameras) + "\n\n1\n0 0 0 9 9 9 2 0 0 0 0 1 0 0 0\n")
    return path


def write_twelve_scenes(folder: Path) -> Path:
    """Write a room with a test sequence of three frames and a training sequence of two, 40x30."""
    for number in range(5):
        index = number if number < 3 else number - 3
        frame = folder / "data" / f"frame-{number:06d}"
        write_exact(Path(f"{frame}.color.jpg"), 40, 30, index)
        Path(f"{frame}.pose.txt").write_text(matrix_text(pose(index)))
    (folder / "info.txt").write_text(
        "m_versionNumber = 2\nm_sensorName = StructureSensor\nm_colorWidth = 40\nm_colorHeight = 30\n"
        "m_depthWidth = 640\nm_depthHeight = 480\nm_depthShift = 1000\n"
        "m_calibrationColorIntrinsic = 35.5 0 21 0 0 36.25 14 0 0 0 1 0 0 0 0 1 \n"
        "m_calibrationColorExtrinsic = 1 0 0 -0 0 1 0 -0 0 0 1 -0 0 0 0 1 \n"
        "m_calibrationDepthIntrinsic = 572 0 320 0 0 572 240 0 0 0 1 0 0 0 0 1 \nm_frames.size = 5\n"
    )
    (folder / "split.txt").write_text(
        "sequence0 [frames=3] [start=0 ; end=2]\nsequence1 [frames=2] [start=3 ; end=4]\n"
    )
    return folder


def write_wayspots(folder: Path) -> Path:
    """Write three test and two training images, 40x30, each with the focal length 35.5 px."""
    for part, count in (("test", 3), ("train", 2)):
        for index in range(count):
            write_picture(folder / part / "rgb" / f"{index:05d}.png", 40, 30, index)
            for kind, text in (("poses", matrix_text(pose(index))), ("calibration", "35.5\n")):
                path = folder / part / kind / f"{index:05d}.txt"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
    return folder


def write_tum(folder: Path) -> Path:
    """Write a sequence of Kinect 1 with three images, each half-way in time between two poses."""
    sequence = folder / "rgbd_dataset_freiburg1_xyz"
    images, poses = ["# color images", "# file: 'rgbd_dataset_freiburg1_xyz.bag'", "# timestamp filename"], []
    for index in range(3):
        second, nanosecond = 1305031102, 175304 + 33333 * index
        name = f"rgb/{second}.{nanosecond:06d}.png"
        write_picture(sequence / name, 640, 480, index)
        images.append(f"{second}.{nanosecond:06d} {name}")
        for shift in (-5000, 5000):
            numbers = pose(index)[:3, 3] + np.array([shift * 1e-6, 0.0, 0.0])
            words = " ".join(f"{value:.6f}" for value in (*numbers, *QUAT_XYZW))
            poses.append(f"{second}.{nanosecond + shift:06d} {words}")
    (sequence / "rgb.txt").write_text("\n".join(images) + "\n")
    heading = ["# ground truth trajectory", "# timestamp tx ty tz qx qy qz qw"]
    (sequence / "groundtruth.txt").write_text("\n".join(heading + poses) + "\n")
    return folder


def write_loc360(folder: Path) -> Path:
    """Write a scene with three mapping panoramas, one query panorama and two pinhole queries cut from it."""
    config = folder / "camera_config" / "pinhole.yaml"
    config.parent.mkdir(parents=True)
    config.write_text("imgw: 40\nimgh: 30\nfx: 35.5\nfy: 36.25\ncx: 20.0\ncy: 15.0\n")
    for sequence, names, size in (
        ("mapping/daytime_360_0", ("0001.jpg", "0002.jpg", "0003.jpg"), (64, 32)),
        ("query_360/daytime_360_1", ("0001.jpg",), (64, 32)),
        ("query_pinhole/daytime_pinhole_1", ("0001_0.jpg", "0001_1.jpg"), (40, 30)),
    ):
        target = folder / sequence
        for index, name in enumerate(names):
            write_exact(target / "image" / name, *size, index)
        poses = {name: pose(index).tolist() for index, name in enumerate(names)}
        (target / "camera_pose.json").write_text(json.dumps(dict(reversed(poses.items()))))
    return folder
