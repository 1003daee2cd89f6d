from __future__ import annotations

from pathlib import Path

import pytest
from dataset_files import T_MAP_CAMERA
from numpy.testing import assert_allclose
from public_layouts import write_wayspots

from reloc_ros.datasets.wayspots import read_wayspots
from reloc_ros.errors import DatasetError


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return write_wayspots(tmp_path / "wayspots_cubes")


def test_poses_names_stamps_and_sequences(scan: Path) -> None:
    dataset = read_wayspots(str(scan))
    assert_allclose(dataset.images[0].T_map_camera, T_MAP_CAMERA, atol=1e-6)
    assert [(image.name, image.stamp_ns, image.sequence) for image in dataset.images[2:4]] == [
        ("test/00002.png", 66666667, "test"),
        ("train/00000.png", 0, "train"),
    ]


def test_parts(scan: Path) -> None:
    assert [len(read_wayspots(f"{scan}?part={part}")) for part in ("train", "test", "all")] == [2, 3, 5]


def test_a_calibration_is_a_focal_length_or_a_matrix(scan: Path) -> None:
    (scan / "test" / "calibration" / "00001.txt").write_text("35.5 0 21\n0 36.25 14\n0 0 1\n")
    first, second = (image.camera.to_dict()["K"] for image in read_wayspots(str(scan)).images[:2])
    assert first == [[35.5, 0.0, 19.5], [0.0, 35.5, 14.5], [0.0, 0.0, 1.0]]
    # Half a pixel from the corner of the image to the centre of its first pixel.
    assert second == [[35.5, 0.0, 20.5], [0.0, 36.25, 13.5], [0.0, 0.0, 1.0]]


def test_frames_without_tracking_are_skipped_and_counted(scan: Path) -> None:
    (scan / "train" / "poses" / "00001.txt").write_text(" ".join(["nan"] * 16))
    dataset = read_wayspots(str(scan))
    assert (len(dataset), [Path(skipped.path).name for skipped in dataset.skipped]) == (4, ["00001.png"])


@pytest.mark.parametrize(
    ("file", "content", "complaint"),
    [
        ("calibration/00001.txt", "1 2\n", "holds 2 numbers, expected 9"),
        ("calibration/00001.txt", "-35.5\n", "must be > 0"),
        ("poses/00001.txt", "1 2\n", "holds 2 numbers, expected 16"),
        ("poses/00007.txt", "1 2\n", "2 in rgb, 3 in poses, 2 in calibration"),
    ],
)
def test_broken_files_are_named(scan: Path, file: str, content: str, complaint: str) -> None:
    (scan / "train" / file).write_text(content)
    with pytest.raises(DatasetError, match=complaint) as error:
        read_wayspots(str(scan))
    assert str(scan / "train") in str(error.value)


def test_missing_folders_are_named(scan: Path) -> None:
    (scan / "train").rename(scan / "other")
    assert len(read_wayspots(f"{scan}?part=test")) == 3
    with pytest.raises(DatasetError, match=r"train/rgb.*does not exist"):
        read_wayspots(str(scan))
    (scan / "train").mkdir()
    for kind in ("rgb", "poses", "calibration"):
        (scan / "train" / kind).mkdir()
    with pytest.raises(DatasetError, match=r"train/rgb is empty"):
        read_wayspots(str(scan))
