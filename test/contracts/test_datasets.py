"""What every reader in the data set table promises."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from bag_files import BagBuilder, second
from dataset_files import T_MAP_CAMERA, picture, pose, write_scene, write_sequences, write_transforms
from numpy.testing import assert_allclose
from public_layouts import write_cambridge, write_loc360, write_tum, write_twelve_scenes, write_wayspots

from reloc_ros.datasets.posed_images import FORMATS, PosedImages, read_dataset
from reloc_ros.datasets.splits import split_images
from reloc_ros.errors import DatasetError


def write_bag(folder: Path) -> Path:
    with BagBuilder(folder, "mcap") as bag:
        bag.camera_info(second(0.0))
        for index in range(3):
            bag.image(second(0.1 * index), picture(40, 30, index))
            bag.pose(second(0.1 * index), pose(index))
    return bag.path


WRITERS: dict[str, Callable[[Path], Path]] = {
    "seven_scenes": write_scene,
    "transforms_json": write_transforms,
    "rosbag": write_bag,
    "panorama_sequences": write_sequences,
    "cambridge": write_cambridge,
    "twelve_scenes": write_twelve_scenes,
    "wayspots": write_wayspots,
    "tum": write_tum,
    "loc360": write_loc360,
}

every_format = pytest.mark.parametrize("name", FORMATS)


def read(name: str, folder: Path) -> PosedImages:
    return read_dataset(f"{name}:{WRITERS[name](folder)}")


@every_format
def test_the_first_pose_is_the_literal(name: str, tmp_path: Path) -> None:
    first = read(name, tmp_path).images[0]
    assert_allclose(first.T_map_camera, T_MAP_CAMERA, atol=1e-6)
    assert_allclose(first.T_map_camera[:3, 3], [1.0, -2.0, 3.0], atol=1e-6)


@every_format
def test_images_are_in_time_order_within_their_sequence(name: str, tmp_path: Path) -> None:
    images = read(name, tmp_path).images
    for before, after in pairwise(images):
        assert (before.sequence, before.stamp_ns) < (after.sequence, after.stamp_ns)


@every_format
def test_frames_are_rgb_images_of_the_camera_at_the_stamp(name: str, tmp_path: Path) -> None:
    for index, image in enumerate(read(name, tmp_path).images[:2]):
        frame = image.frame()
        assert frame.image[0, 0].tolist() == [250, index, 0]
        assert frame.image[-1, -1].tolist() == [0, index, 250]
        assert frame.camera is image.camera
        assert frame.stamp_ns == image.stamp_ns


@every_format
def test_reading_twice_gives_the_same(name: str, tmp_path: Path) -> None:
    folder = WRITERS[name](tmp_path)
    once, again = (read_dataset(f"{name}:{folder}") for _ in range(2))
    assert [image.name for image in once.images] == [image.name for image in again.images]
    assert np.array_equal([i.T_map_camera for i in once.images], [i.T_map_camera for i in again.images])


@every_format
def test_it_says_what_it_is(name: str, tmp_path: Path) -> None:
    dataset = read(name, tmp_path)
    assert dataset.name
    assert dataset.ground_truth
    assert dataset.metric is (name != "transforms_json")
    assert dataset.skipped == ()


@every_format
def test_images_reach_the_workers_of_a_data_loader(name: str, tmp_path: Path) -> None:
    image = pickle.loads(pickle.dumps(read(name, tmp_path).images[1]))  # noqa: S301 (our own bytes)
    assert image.frame().image[0, 0].tolist() == [250, 1, 0]


@every_format
def test_it_can_be_split(name: str, tmp_path: Path) -> None:
    dataset = read(name, tmp_path)
    if len(dataset) < 3:
        pytest.skip("this fixture is smaller than a split needs")
    train, val = split_images(dataset, "train"), split_images(dataset, "val")
    assert 0 < len(val) < len(train) < len(dataset)
    assert (val.ground_truth, val.metric, val.name) == (dataset.ground_truth, dataset.metric, dataset.name)


@every_format
def test_a_missing_path_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nowhere"):
        read_dataset(f"{name}:{tmp_path / 'nowhere'}")


@pytest.mark.parametrize("specification", ["kitti:/data", "/data", "", ":/data", "seven_scenes", "seven_scenes:"])
def test_malformed_specifications_list_the_choices(specification: str) -> None:
    choices = "no path" if specification == "seven_scenes:" else "seven_scenes, transforms_json, rosbag"
    with pytest.raises(DatasetError, match=choices):
        read_dataset(specification)
