from __future__ import annotations

from pathlib import Path

import pytest
from dataset_files import T_MAP_CAMERA
from numpy.testing import assert_allclose
from public_layouts import write_twelve_scenes

from reloc_ros.datasets.twelve_scenes import read_twelve_scenes
from reloc_ros.errors import DatasetError


@pytest.fixture
def room(tmp_path: Path) -> Path:
    return write_twelve_scenes(tmp_path / "kitchen")


def test_poses_names_stamps_and_sequences(room: Path) -> None:
    dataset = read_twelve_scenes(str(room))
    assert_allclose(dataset.images[0].T_map_camera, T_MAP_CAMERA, atol=1e-6)
    assert [(image.name, image.stamp_ns, image.sequence) for image in dataset.images[2:4]] == [
        ("sequence0/frame-000002.color.jpg", 66666667, "sequence0"),
        ("sequence1/frame-000003.color.jpg", 100000000, "sequence1"),
    ]
    assert (dataset.name, dataset.metric) == ("kitchen", True)


def test_the_camera_is_the_colour_camera_of_info(room: Path) -> None:
    camera = read_twelve_scenes(str(room)).images[0].camera
    assert (camera.width, camera.height) == (40, 30)
    assert camera.to_dict()["K"] == [[35.5, 0.0, 21.0], [0.0, 36.25, 14.0], [0.0, 0.0, 1.0]]


def test_the_first_recording_is_the_test_part(room: Path) -> None:
    assert {image.sequence for image in read_twelve_scenes(f"{room}?part=test").images} == {"sequence0"}
    assert {image.sequence for image in read_twelve_scenes(f"{room}?part=train").images} == {"sequence1"}


@pytest.mark.parametrize("word", ["INF", "-INF", "-1.#INF", "nan"])
def test_frames_without_tracking_are_skipped_and_counted(room: Path, word: str) -> None:
    (room / "data" / "frame-000001.pose.txt").write_text(" ".join([word] * 16))
    dataset = read_twelve_scenes(str(room))
    assert (len(dataset), [Path(skipped.path).name for skipped in dataset.skipped]) == (4, ["frame-000001.color.jpg"])


@pytest.mark.parametrize(
    ("file", "content", "complaint"),
    [
        ("info.txt", "m_colorWidth = 40\n", "must give m_colorWidth, m_colorHeight and 16 numbers"),
        ("info.txt", "m_colorWidth = 4\nm_colorHeight = 3\nm_calibrationColorIntrinsic = 1 2\n", "16 numbers"),
        ("split.txt", "sequence0 frames 0-2\n", "expected 'NAME"),
        ("split.txt", "sequence0 [frames=3] [start=0 ; end=2]\n", "no recording for frame 3 and 1 more"),
        ("data/frame-000004.pose.txt", "1 2 3\n", "holds 3 numbers"),
        ("data/frame-000009.pose.txt", "1 2 3\n", "has no image beside it"),
    ],
)
def test_broken_files_are_named(room: Path, file: str, content: str, complaint: str) -> None:
    (room / file).write_text(content)
    with pytest.raises(DatasetError, match=complaint) as error:
        read_twelve_scenes(str(room))
    assert str(room / file) in str(error.value)


def test_missing_files_are_named(room: Path) -> None:
    for file in ("split.txt", "info.txt"):
        (room / file).unlink()
        with pytest.raises(DatasetError, match=file):
            read_twelve_scenes(str(room))
