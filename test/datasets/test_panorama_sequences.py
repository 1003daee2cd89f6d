from __future__ import annotations

import json
from pathlib import Path

import pytest
from dataset_files import pose, write_sequence, write_sequences
from numpy.testing import assert_allclose

from reloc_ros.datasets.panorama_sequences import read_panorama_sequences
from reloc_ros.errors import DatasetError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_sequences(tmp_path / "panoramas")


def test_the_layout(folder: Path) -> None:
    dataset = read_panorama_sequences(str(folder))
    assert [image.name for image in dataset.images][2:4] == ["kitchen_0/000002.png", "kitchen_1/000000.png"]
    assert [image.sequence for image in dataset.images][2:4] == ["kitchen_0", "kitchen_1"]
    image = dataset.images[2]
    assert image.stamp_ns == 500_000_000
    assert_allclose(image.T_map_camera, pose(2), atol=1e-9)
    assert image.camera.to_dict() == {"model": "equirectangular", "width": 64, "height": 32}
    assert image.frame().image[0, 0].tolist() == [250, 2, 0]
    assert dataset.metric


def test_one_sequence_alone(folder: Path) -> None:
    assert len(read_panorama_sequences(str(folder / "kitchen_1"))) == 3


def test_pinhole_sequences(tmp_path: Path) -> None:
    sequence = write_sequence(tmp_path / "corridor")
    description = {"model": "pinhole", "width": 64, "height": 32, "K": [[30.0, 0, 30], [0, 31, 16], [0, 0, 1]]}
    (sequence / "camera.json").write_text(json.dumps({**description, "distortion": [0.1, 0.0, 0.0, 0.0]}))
    assert read_panorama_sequences(str(tmp_path)).images[0].camera.to_dict()["distortion"] == [0.1, 0.0, 0.0, 0.0]


def test_the_place_and_the_height_of_a_recording(tmp_path: Path) -> None:
    sequence = write_sequence(tmp_path / "corridor")
    for notes, expected in (({}, ("", None)), ({"world": "house 7", "height_above_floor_m": 0.5}, ("house 7", 0.5))):
        description = {"model": "equirectangular", "width": 64, "height": 32, **notes}
        (sequence / "camera.json").write_text(json.dumps(description))
        images = read_panorama_sequences(str(tmp_path)).images
        assert {(image.world, image.height_m) for image in images} == {expected}


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("poses.txt", "0 1 2 3 0 0 0 1\n", "has 1 poses for 3 images"),
        ("poses.txt", "0 1 2 3 0 0 0 1 9\n" * 3, "8 finite numbers"),
        ("poses.txt", "0 1 nan 3 0 0 0 1\n" * 3, "8 finite numbers"),
        ("poses.txt", "0 1 2 3 0 0 0 0\n" * 3, "no direction"),
        ("poses.txt", "zero\n", "cannot be read as poses"),
        ("camera.json", "{}", "camera model None is unknown"),
        ("camera.json", '{"model": "equirectangular", "width": 64, "height": 32, "fov": 9}', r"unknown keys \['fov'\]"),
        (
            "camera.json",
            '{"model": "equirectangular", "width": 64, "height": 32, "height_above_floor_m": "low"}',
            "'low', expected metres",
        ),
    ],
)
def test_broken_files_are_named(folder: Path, name: str, content: str, complaint: str) -> None:
    (folder / "kitchen_0" / name).write_text(content)
    with pytest.raises(DatasetError, match=complaint) as error:
        read_panorama_sequences(str(folder))
    assert str(folder / "kitchen_0" / name) in str(error.value)


@pytest.mark.parametrize("name", ["poses.txt", "camera.json"])
def test_missing_files_are_named(folder: Path, name: str) -> None:
    (folder / "kitchen_0" / name).unlink()
    with pytest.raises(DatasetError, match=name):
        read_panorama_sequences(str(folder))


def test_a_folder_without_sequences(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="holds no sequence"):
        read_panorama_sequences(str(tmp_path))
