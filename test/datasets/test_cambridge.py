from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dataset_files import T_MAP_CAMERA
from numpy.testing import assert_allclose
from public_layouts import CAMBRIDGE_HEADING, write_cambridge, write_nvm

from reloc_ros.datasets.cambridge import read_cambridge
from reloc_ros.errors import DatasetError


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_cambridge(tmp_path / "KingsCollege")


def test_a_line_is_the_position_and_the_rotation_to_the_camera(scene: Path) -> None:
    # A quarter turn about z, map to camera: the camera's x axis is the map's -y.
    line = "seq2/frame00001.png 4.0 5.0 -6.0 0.7071068 0.0 0.0 0.7071068\n"
    (scene / "dataset_test.txt").write_text(CAMBRIDGE_HEADING + line)
    (image,) = read_cambridge(f"{scene}?part=test").images
    assert_allclose(image.T_map_camera[:3, 0], [0.0, -1.0, 0.0], atol=1e-6)
    assert_allclose(image.T_map_camera[:3, 3], [4.0, 5.0, -6.0])


def test_the_literal_pose_names_stamps_and_sequences(scene: Path) -> None:
    dataset = read_cambridge(str(scene))
    assert_allclose(dataset.images[0].T_map_camera, T_MAP_CAMERA, atol=1e-6)
    assert [(image.name, image.stamp_ns, image.sequence) for image in dataset.images[1:4]] == [
        ("seq1/frame00002.png", 1_000_000_000, "seq1"),
        ("seq1/frame00003.png", 1_500_000_000, "seq1"),
        ("seq2/frame00001.png", 500_000_000, "seq2"),
    ]
    assert (dataset.name, dataset.ground_truth) == ("KingsCollege", "visualsfm")


def test_parts(scene: Path) -> None:
    assert [len(read_cambridge(f"{scene}?part={part}")) for part in ("train", "test", "all")] == [3, 2, 5]
    with pytest.raises(DatasetError, match="'val', expected one of all, train, test"):
        read_cambridge(f"{scene}?part=val")


def test_the_focal_length_is_that_of_the_reconstruction_or_the_usual_one(scene: Path) -> None:
    # 1670 px at 1920 is 34.79 px at 40; the middle of 40 pixels is 19.5.
    assert_allclose(read_cambridge(str(scene)).images[0].camera.to_dict()["K"][0], [1670 / 48, 0.0, 19.5])
    path = write_nvm(scene)
    focal_px = [image.camera.to_dict()["K"][0][0] for image in read_cambridge(str(scene)).images]
    assert_allclose(np.array(focal_px) * 48, [1740, 1730, 1720, 1710, 1700])
    path.write_text(path.read_text().replace("seq1/frame00003.jpg", "seq1/other.jpg"))
    with pytest.raises(DatasetError, match=r"reconstruction\.nvm has no camera for 'seq1/frame00003\.png'"):
        read_cambridge(str(scene))
    path.write_text("NVM_V3\n\n9\n" + "seq1/frame00001.jpg 1700 1 0 0 0 1 2 3 0 0\n")
    with pytest.raises(DatasetError, match="announces 9 cameras and holds 1"):
        read_cambridge(str(scene))


def test_outliers_of_the_reconstruction_are_skipped(scene: Path) -> None:
    lines = (scene / "dataset_test.txt").read_text()
    (scene / "dataset_test.txt").write_text(lines.replace("-2.000000", "-20000.0", 1))
    dataset = read_cambridge(str(scene))
    assert (len(dataset), [Path(skipped.path).name for skipped in dataset.skipped]) == (4, ["frame00002.png"])


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("seq1/frame00001.png 1 2 3 1 0 0", "expected 8 columns"),
        ("seq1/frame00001.png 1 2 3 one 0 0 0", "could not convert"),
        ("seq1/frame00001.png 1 2 3 0 0 0 0", "quaternion"),
        ("seq1/frame00009.png 1 2 3 1 0 0 0", "frame00009.png, which does not exist"),
        ("seq1/left.png 1 2 3 1 0 0 0", "no frame number"),
    ],
)
def test_broken_lines_are_named(scene: Path, line: str, complaint: str) -> None:
    (scene / "dataset_train.txt").write_text(CAMBRIDGE_HEADING + line + "\n")
    with pytest.raises(DatasetError, match=complaint):
        read_cambridge(str(scene))


def test_a_missing_list_is_named(scene: Path) -> None:
    (scene / "dataset_test.txt").unlink()
    assert len(read_cambridge(f"{scene}?part=train")) == 3
    with pytest.raises(DatasetError, match=r"dataset_test\.txt"):
        read_cambridge(str(scene))
