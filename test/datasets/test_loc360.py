from __future__ import annotations

import json
from pathlib import Path

import pytest
from dataset_files import T_MAP_CAMERA
from numpy.testing import assert_allclose
from public_layouts import write_loc360

from reloc_ros.datasets.loc360 import read_loc360
from reloc_ros.errors import DatasetError


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_loc360(tmp_path / "atrium")


def test_poses_names_and_sequences(scene: Path) -> None:
    dataset = read_loc360(str(scene))
    assert_allclose(dataset.images[0].T_map_camera, T_MAP_CAMERA, atol=1e-9)
    assert [image.name for image in dataset.images[2:5]] == [
        "mapping/daytime_360_0/0003.jpg",
        "query_360/daytime_360_1/0001.jpg",
        "query_pinhole/daytime_pinhole_1/0001_0.jpg",
    ]
    assert (dataset.name, dataset.metric) == ("atrium", True)


@pytest.mark.parametrize(
    ("part", "count", "model"), [("mapping", 3, "equirectangular"), ("query_pinhole/daytime_pinhole_1", 2, "pinhole")]
)
def test_parts_and_sequences_have_the_camera_of_their_folder(scene: Path, part: str, count: int, model: str) -> None:
    dataset = read_loc360(str(scene / part))
    assert [image.camera.model for image in dataset.images] == [model] * count
    assert all(image.sequence.startswith(part) for image in dataset.images)


def test_the_pinhole_camera_loses_half_a_pixel(scene: Path) -> None:
    camera = read_loc360(str(scene / "query_pinhole")).images[0].camera
    assert camera.to_dict()["K"] == [[35.5, 0.0, 19.5], [0.0, 36.25, 14.5], [0.0, 0.0, 1.0]]


def test_fisheye_sequences_are_skipped_with_the_reason(scene: Path) -> None:
    poses = scene / "query_fisheye1" / "daytime_fisheye1_1" / "camera_pose.json"
    poses.parent.mkdir(parents=True)
    poses.write_text("{}")
    dataset = read_loc360(str(scene))
    assert (len(dataset), [skipped.reason for skipped in dataset.skipped]) == (
        6,
        ["no camera model for 'query_fisheye1'; read are mapping, query_360, query_pinhole"],
    )
    with pytest.raises(DatasetError, match="no camera model for 'query_fisheye1'"):
        read_loc360(str(scene / "query_fisheye1"))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({}, "holds no pose"),
        ({"0001.jpg": [[1, 2], [3]]}, "is not a 4x4 matrix"),
        ({"0001.jpg": [[1, 2], [3, 4]]}, "not a rigid transform"),
        ({"0001.jpg": "here"}, "is not a 4x4 matrix"),
        ({"0009.jpg": []}, r"0009\.jpg, which does not exist; run process\.py"),
    ],
)
def test_broken_poses_are_named(scene: Path, content: object, complaint: str) -> None:
    path = scene / "mapping" / "daytime_360_0" / "camera_pose.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=complaint) as error:
        read_loc360(str(scene))
    assert str(path) in str(error.value)


def test_a_broken_camera_is_named(scene: Path) -> None:
    path = scene / "camera_config" / "pinhole.yaml"
    for content in ("imgw: 40\n", "[1, 2\n", "imgw\n"):
        path.write_text(content)
        with pytest.raises(DatasetError, match=r"pinhole\.yaml must give imgw"):
            read_loc360(str(scene))
    path.unlink()
    with pytest.raises(DatasetError, match=r"pinhole\.yaml"):
        read_loc360(str(scene))


def test_a_folder_without_sequences(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"holds no camera_pose\.json"):
        read_loc360(str(tmp_path))
