from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset_files import T_MAP_CAMERA, pose, write_picture, write_transforms
from numpy.testing import assert_allclose

from reloc_ros.datasets.transforms_json import read_transforms_json
from reloc_ros.errors import DatasetError


def edit_frames(folder: Path, **changes: Any) -> None:
    """Set keys of the frame of image 0, which the file lists last."""
    file = folder / "transforms.json"
    content = json.loads(file.read_text())
    content["frames"][1].update(changes)
    file.write_text(json.dumps(content))


def test_opengl_axes_become_optical(tmp_path: Path) -> None:
    # A level camera in a world with z up that looks along +y: OpenGL's backward axis is -y, its up axis is +z.
    matrix = [[1, 0, 0, 5], [0, 0, -1, 6], [0, 1, 0, 7], [0, 0, 0, 1]]
    folder = write_transforms(tmp_path)
    edit_frames(folder, transform_matrix=matrix)
    T_map_camera = read_transforms_json(str(folder)).images[0].T_map_camera
    assert_allclose(T_map_camera[:3, 2], [0.0, 1.0, 0.0], atol=1e-12)
    assert_allclose(T_map_camera[:3, 1], [0.0, 0.0, -1.0], atol=1e-12)
    assert_allclose(T_map_camera[:3, 3], [5.0, 6.0, 7.0])


def test_images_are_in_the_order_of_their_names(tmp_path: Path) -> None:
    dataset = read_transforms_json(str(write_transforms(tmp_path / "capture")))
    assert [image.name for image in dataset.images] == ["images/0000.png", "images/0001.png"]
    assert [image.stamp_ns for image in dataset.images] == [0, 33333333]
    for index, image in enumerate(dataset.images):
        assert_allclose(image.T_map_camera, pose(index), atol=1e-12)
        assert image.frame().image[0, 0, 1] == index
        assert image.sequence == "images"
    assert dataset.name == "capture"


def test_frame_9_comes_before_frame_10(tmp_path: Path) -> None:
    folder = write_transforms(tmp_path)
    frames = [
        {"file_path": str(write_picture(folder / f"frame_{n}.png", 40, 30).name), "transform_matrix": pose(n).tolist()}
        for n in (10, 9)
    ]
    write_transforms(folder, frames=frames)
    assert [image.name for image in read_transforms_json(str(folder)).images] == ["frame_9.png", "frame_10.png"]


def test_pixels_start_at_the_corner_there_and_at_the_centre_here(tmp_path: Path) -> None:
    camera = read_transforms_json(str(write_transforms(tmp_path))).images[0].camera.to_dict()
    assert camera["K"] == [[35.0, 0.0, 20.5], [0.0, 36.0, 13.5], [0.0, 0.0, 1.0]]
    assert (camera["distortion_model"], camera["distortion"]) == ("plumb_bob", [0.01, -0.02, 0.001, -0.002, 0.0])


def test_metric_only_when_told(tmp_path: Path) -> None:
    folder = write_transforms(tmp_path)
    assert not read_transforms_json(str(folder)).metric
    assert read_transforms_json(f"{folder}?metric=true").metric
    for options in ("metric=yes", "scale=2", "metric", "metric=true&metric=true"):
        with pytest.raises(DatasetError, match="metric"):
            read_transforms_json(f"{folder}?{options}")


def test_the_file_itself_may_be_named(tmp_path: Path) -> None:
    assert len(read_transforms_json(str(write_transforms(tmp_path) / "transforms.json"))) == 2


@pytest.mark.parametrize("changes", [{"camera_model": "OPENCV_FISHEYE"}, {"camera_model": None, "is_fisheye": True}])
def test_fisheye(tmp_path: Path, changes: dict[str, Any]) -> None:
    folder = write_transforms(tmp_path, p1=None, p2=None, k3=0.003, k4=0.004, **changes)
    camera = read_transforms_json(str(folder)).images[0].camera.to_dict()
    assert (camera["distortion_model"], camera["distortion"]) == ("equidistant", [0.01, -0.02, 0.003, 0.004])


def test_pinhole_without_distortion(tmp_path: Path) -> None:
    folder = write_transforms(tmp_path, camera_model="PINHOLE", k1=None, k2=0, p1=None, p2=0.0)
    assert read_transforms_json(str(folder)).images[0].camera.to_dict()["distortion"] == []


def test_distortion_that_the_model_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="PINHOLE has no k1, k2, p1, p2"):
        read_transforms_json(str(write_transforms(tmp_path, camera_model="PINHOLE")))


def test_panoramas(tmp_path: Path) -> None:
    folder = write_transforms(tmp_path, camera_model="EQUIRECTANGULAR")
    assert read_transforms_json(str(folder)).images[0].camera.to_dict() == {
        "model": "equirectangular",
        "width": 40,
        "height": 30,
    }


def test_angle_of_view_and_missing_sizes_and_extensions(tmp_path: Path) -> None:
    """The layout of the synthetic NeRF scenes."""
    folder = write_transforms(tmp_path)
    frames = [{"file_path": f"./images/{n:04d}", "transform_matrix": pose(n).tolist()} for n in (0, 1)]
    (folder / "transforms.json").write_text(json.dumps({"camera_angle_x": 2 * math.atan(0.5), "frames": frames}))
    image = read_transforms_json(str(folder)).images[1]
    assert_allclose(image.camera.to_dict()["K"], [[40.0, 0.0, 19.5], [0.0, 40.0, 14.5], [0.0, 0.0, 1.0]])
    assert image.frame().image[0, 0, 1] == 1


def test_intrinsics_of_a_frame_come_first(tmp_path: Path) -> None:
    folder = write_transforms(tmp_path)
    edit_frames(folder, fl_x=50.0, k1=0.5)
    first, second = (image.camera.to_dict() for image in read_transforms_json(str(folder)).images)
    assert (first["K"][0][0], first["distortion"][0]) == (50.0, 0.5)
    assert (second["K"][0][0], second["distortion"][0]) == (35.0, 0.01)


def test_timestamps(tmp_path: Path) -> None:
    folder = write_transforms(tmp_path)
    edit_frames(folder, timestamp=12.5)
    assert read_transforms_json(str(folder)).images[0].stamp_ns == 12_500_000_000
    edit_frames(folder, timestamp="noon")
    with pytest.raises(DatasetError, match=r"images/0000\.png.*timestamp 'noon'"):
        read_transforms_json(str(folder))


def test_applied_transform_is_left_alone(tmp_path: Path) -> None:
    folder = write_transforms(tmp_path, applied_transform=[[0, 1, 0, 9], [1, 0, 0, 8], [0, 0, -1, 7]])
    assert_allclose(read_transforms_json(str(folder)).images[0].T_map_camera, T_MAP_CAMERA, atol=1e-12)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"fl_x": 0}, "fx = 0"),
        ({"fl_x": None}, "no focal length"),
        ({"fl_x": None, "camera_angle_x": 4.0}, "no focal length"),
        ({"w": 40.5}, "w is 40.5"),
        ({"cx": "left"}, "cx is 'left'"),
        ({"cx": math.nan}, "cx is nan"),
        ({"camera_model": "FOV"}, "camera_model 'FOV' is unknown"),
        ({"frames": None}, "'frames' must be a list"),
        ({"frames": [{"transform_matrix": []}]}, "'frames' must be a list"),
        ({"frames": []}, "no image"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, changes: dict[str, Any], complaint: str) -> None:
    folder = write_transforms(tmp_path / "capture", **changes)
    with pytest.raises(DatasetError, match=complaint) as error:
        read_transforms_json(str(folder))
    assert "capture" in str(error.value)


@pytest.mark.parametrize(
    "matrix", [None, "four by four", [[1.0]], np.full((4, 4), math.nan).tolist(), np.diag([2.0, 2, 2, 1]).tolist()]
)
def test_broken_poses_are_named(tmp_path: Path, matrix: object) -> None:
    folder = write_transforms(tmp_path)
    edit_frames(folder, transform_matrix=matrix)
    with pytest.raises(DatasetError, match=r"transforms\.json.*images/0000\.png"):
        read_transforms_json(str(folder))


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    folder = write_transforms(tmp_path)
    (folder / "images" / "0001.png").unlink()
    with pytest.raises(DatasetError, match=r"images/0001\.png"):
        read_transforms_json(str(folder))


def test_what_is_not_json(tmp_path: Path) -> None:
    (tmp_path / "transforms.json").write_text("[1, 2")
    with pytest.raises(DatasetError, match=r"transforms\.json cannot be read as JSON"):
        read_transforms_json(str(tmp_path))
    (tmp_path / "transforms.json").write_text("[1, 2]")
    with pytest.raises(DatasetError, match="holds a list"):
        read_transforms_json(str(tmp_path))
    with pytest.raises(DatasetError, match="does not exist"):
        read_transforms_json(str(tmp_path / "nowhere"))
