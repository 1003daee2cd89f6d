from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from dataset_files import T_MAP_CAMERA, pose, write_picture, write_scene, write_seven_scenes
from numpy.testing import assert_allclose

from reloc_ros.datasets.seven_scenes import read_seven_scenes
from reloc_ros.errors import DatasetError


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_scene(tmp_path / "chess")


def test_poses_are_camera_to_world_with_optical_axes(scene: Path) -> None:
    first = read_seven_scenes(str(scene)).images[0]
    assert_allclose(first.T_map_camera, T_MAP_CAMERA, atol=1e-6)
    assert_allclose(first.T_map_camera[:3, 3], [1.0, -2.0, 3.0])


def test_the_camera_is_the_rgb_camera(scene: Path) -> None:
    camera = read_seven_scenes(str(scene)).images[0].camera
    assert (camera.width, camera.height) == (640, 480)
    # 585 is the depth camera's focal length.
    assert camera.to_dict()["K"] == [[525.0, 0.0, 320.0], [0.0, 525.0, 240.0], [0.0, 0.0, 1.0]]


def test_names_stamps_and_sequences(scene: Path) -> None:
    dataset = read_seven_scenes(str(scene))
    assert [image.name for image in dataset.images][2:4] == [
        "seq-01/frame-000002.color.png",
        "seq-02/frame-000000.color.png",
    ]
    assert [image.stamp_ns for image in dataset.images[:3]] == [0, 33333333, 66666667]
    assert {image.sequence for image in dataset.images} == {"seq-01", "seq-02"}
    assert (dataset.name, dataset.metric, dataset.ground_truth) == ("chess", True, "kinectfusion")


def test_images_are_loaded_as_rgb(scene: Path) -> None:
    frame = read_seven_scenes(str(scene)).images[2].frame()
    assert frame.image[0, 0].tolist() == [250, 2, 0]
    assert frame.image[479, 639].tolist() == [0, 2, 250]
    assert frame.stamp_ns == 66666667


def test_a_single_sequence_of_jpegs(tmp_path: Path) -> None:
    folder = write_seven_scenes(tmp_path / "seq-07", range(8, 11), extension="jpg")
    dataset = read_seven_scenes(str(folder))
    assert [image.name for image in dataset.images] == [f"seq-07/frame-{n:06d}.color.jpg" for n in (8, 9, 10)]
    assert dataset.images[0].frame().image.shape == (480, 640, 3)
    assert_allclose(dataset.images[0].T_map_camera, pose(8), atol=1e-6)


@pytest.mark.parametrize("word", ["nan", "NaN", "-1.#IND000e+00", "inf"])
def test_frames_without_tracking_are_skipped_and_counted(scene: Path, word: str) -> None:
    lost = scene / "seq-01" / "frame-000001.pose.txt"
    lost.write_text(" ".join([word] * 16))
    dataset = read_seven_scenes(str(scene))
    assert len(dataset) == 5
    assert [(Path(skipped.path).name, skipped.reason) for skipped in dataset.skipped] == [
        ("frame-000001.color.png", "no tracking: the pose is not finite")
    ]


def test_a_scene_without_any_tracking_says_so(scene: Path) -> None:
    for path in scene.glob("*/*.pose.txt"):
        path.write_text(" ".join(["nan"] * 16))
    with pytest.raises(DatasetError, match=r"6 were skipped .no tracking"):
        read_seven_scenes(str(scene))


def test_another_camera(scene: Path) -> None:
    description = {"model": "pinhole", "width": 64, "height": 48, "K": [[50.0, 0, 30], [0, 51, 20], [0, 0, 1]]}
    (scene / "camera.json").write_text(json.dumps(description))
    assert read_seven_scenes(str(scene)).images[0].camera.to_dict()["K"][0] == [50.0, 0.0, 30.0]
    (scene / "camera.json").write_text(json.dumps({**description, "K": np.zeros((3, 3)).tolist()}))
    with pytest.raises(DatasetError, match=r"camera\.json.*fx = 0"):
        read_seven_scenes(str(scene))


def test_broken_files_are_named(scene: Path) -> None:
    pose_file = scene / "seq-02" / "frame-000001.pose.txt"
    good = pose_file.read_text()
    for content, complaint in (
        (" ".join(good.split()[:15]), "holds 15 numbers"),
        ("camera", "cannot be read as numbers"),
        (" ".join(f"{2 * float(word):.7f}" for word in good.split()), "not a rigid transform"),
    ):
        pose_file.write_text(content)
        with pytest.raises(DatasetError, match=complaint) as error:
            read_seven_scenes(str(scene))
        assert str(pose_file) in str(error.value)
    pose_file.unlink()
    with pytest.raises(DatasetError, match=str(pose_file)):
        read_seven_scenes(str(scene))


def test_a_pose_without_image_is_an_incomplete_copy(scene: Path) -> None:
    (scene / "seq-02" / "frame-000001.color.png").unlink()
    with pytest.raises(DatasetError, match=r"seq-02/frame-000001\.pose\.txt has no image"):
        read_seven_scenes(str(scene))


def test_images_of_another_size_are_refused_when_loaded(scene: Path) -> None:
    write_picture(scene / "seq-01" / "frame-000000.color.png", 320, 240)
    image = read_seven_scenes(str(scene)).images[0]
    with pytest.raises(DatasetError, match=r"frame-000000\.color\.png.*240, 320"):
        image.frame()


def test_empty_and_absent_folders(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no frame-XXXXXX\.color"):
        read_seven_scenes(str(tmp_path))
    with pytest.raises(DatasetError, match="does not exist"):
        read_seven_scenes(str(tmp_path / "nowhere"))
