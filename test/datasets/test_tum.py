from __future__ import annotations

import json
from pathlib import Path

import pytest
from dataset_files import T_MAP_CAMERA, pose
from numpy.testing import assert_allclose
from public_layouts import write_tum

from reloc_ros.datasets.tum import read_tum
from reloc_ros.errors import DatasetError

NAME = "rgbd_dataset_freiburg1_xyz"


@pytest.fixture
def sequence(tmp_path: Path) -> Path:
    return write_tum(tmp_path) / NAME


def test_poses_are_interpolated_at_the_stamp_of_the_image(sequence: Path) -> None:
    dataset = read_tum(str(sequence))
    assert_allclose(dataset.images[0].T_map_camera, T_MAP_CAMERA, atol=1e-6)
    assert_allclose(dataset.images[2].T_map_camera, pose(2), atol=1e-6)
    # The stamp is exact: as a float it would be 1305031102175303936.
    assert dataset.images[0].stamp_ns == 1305031102175304000
    assert dataset.images[0].name == f"{NAME}/rgb/1305031102.175304.png"
    # Two thirds of the way between poses 10 ms and 10 mm apart.
    path = sequence / "rgb.txt"
    path.write_text(f"1305031102.176971 {path.read_text().splitlines()[3].split()[1]}\n")
    (image,) = read_tum(str(sequence)).images
    assert image.T_map_camera[0, 3] == pytest.approx(1.0 + 0.001667, abs=1e-6)


def test_images_without_poses_around_them_are_skipped(sequence: Path) -> None:
    path = sequence / "groundtruth.txt"
    lines = path.read_text().splitlines()
    # Without the poses about the second image its neighbours are 56.7 ms apart.
    path.write_text("\n".join(lines[:4] + lines[6:]) + "\n")
    assert len(read_tum(str(sequence))) == 3
    dataset = read_tum(f"{sequence}?max_gap_ms=50")
    assert (len(dataset), [Path(skipped.path).name for skipped in dataset.skipped]) == (2, ["1305031102.208637.png"])
    path.write_text("\n".join(lines[:4]) + "\n")
    assert [skipped.reason for skipped in read_tum(str(sequence)).skipped] == [
        "no pose within max_gap_ms of the image"
    ] * 2


def test_the_camera_is_that_of_the_folder_name(sequence: Path) -> None:
    camera = read_tum(str(sequence)).images[0].camera.to_dict()
    assert camera["K"] == [[517.306408, 0.0, 318.643040], [0.0, 516.469215, 255.313989], [0.0, 0.0, 1.0]]
    assert camera["distortion"] == [0.262383, -0.953104, -0.005358, 0.002628, 1.163314]
    third = sequence.rename(sequence.with_name("rgbd_dataset_freiburg3_long_office_household"))
    assert read_tum(str(third)).images[0].camera.to_dict()["K"][1] == [0.0, 539.2, 247.6]
    other = third.rename(sequence.with_name("my_office"))
    with pytest.raises(DatasetError, match=r"my_office: no camera is known.*camera\.json"):
        read_tum(str(other))
    description = {"model": "pinhole", "width": 64, "height": 48, "K": [[50.0, 0, 30], [0, 51, 20], [0, 0, 1]]}
    (other / "camera.json").write_text(json.dumps(description))
    assert read_tum(str(other)).images[0].camera.width == 64


@pytest.mark.parametrize(
    ("file", "line", "complaint"),
    [
        ("groundtruth.txt", "1305031102.1 1 2 3 0 0 0", "7 columns, expected 8"),
        ("groundtruth.txt", "1305031102.1 1 2 3 0 0 0 0", "quaternion"),
        ("groundtruth.txt", "1305031102.1 1 2 x 0 0 0 1", "could not convert"),
        ("groundtruth.txt", "# nothing", "no line but comments"),
        ("rgb.txt", "noon rgb/1.png", "'noon' is not a stamp"),
        ("rgb.txt", "inf rgb/1.png", "'inf' is not a stamp"),
        ("rgb.txt", "1305031102.175304 rgb/gone.png", r"gone\.png, which does not exist"),
    ],
)
def test_broken_lines_are_named(sequence: Path, file: str, line: str, complaint: str) -> None:
    (sequence / file).write_text(line + "\n")
    with pytest.raises(DatasetError, match=complaint) as error:
        read_tum(str(sequence))
    assert str(sequence / file) in str(error.value)


def test_missing_files_are_named(sequence: Path) -> None:
    (sequence / "groundtruth.txt").unlink()
    with pytest.raises(DatasetError, match=r"groundtruth\.txt"):
        read_tum(str(sequence))
    with pytest.raises(DatasetError, match="holds no sequence"):
        read_tum(str(sequence / "rgb"))
