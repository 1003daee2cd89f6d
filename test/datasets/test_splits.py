from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reloc_ros.cameras.equirectangular import EquirectangularCamera
from reloc_ros.datasets.images import PosedImage, PosedImages
from reloc_ros.datasets.splits import Split, split_images
from reloc_ros.errors import ConfigError, DatasetError
from reloc_ros.types import Image


def no_image() -> Image:
    raise AssertionError("splitting must not load images")


def dataset_of(*counts: int) -> PosedImages:
    """Return a data set with one sequence for each count; images are named sequence/index, not given in time order."""
    images = [
        PosedImage(
            name=f"{sequence}/{index}",
            stamp_ns=index * 1000,
            T_map_camera=np.eye(4),
            camera=EquirectangularCamera(2, 1),
            load=no_image,
            sequence=f"seq-{sequence}",
        )
        for sequence, count in enumerate(counts)
        for index in reversed(range(count))
    ]
    return PosedImages(images=tuple(images), skipped=(), ground_truth="none", name="made up", metric=True)


def indices(dataset: PosedImages, sequence: int = 0) -> list[int]:
    return [image.stamp_ns // 1000 for image in dataset.images if image.sequence == f"seq-{sequence}"]


splits = st.builds(Split, val_fraction=st.floats(0.01, 0.5), block=st.integers(1, 60), guard=st.integers(0, 30))


@settings(max_examples=200, deadline=None)
@given(st.integers(3, 700), splits)
def test_one_sequence(count: int, split: Split) -> None:
    dataset = dataset_of(count)
    train, val = (indices(split_images(dataset, part, split)) for part in ("train", "val"))
    assert train
    assert val
    assert not set(train) & set(val)
    assert train == sorted(train)
    assert val == sorted(val)
    blocks = math.ceil(max(1, round(split.val_fraction * count)) / split.block)
    wanted = max(1.0, split.val_fraction * count)
    assert wanted - blocks - 1 <= len(val) <= wanted + 1
    # Guards give way only where they would take half of the images from training.
    nearest = min(int(np.min(np.abs(np.array(train) - index))) for index in val)
    assert nearest == split.guard + 1 or len(train) < count / 2 + 1 + 2 * blocks
    assert len(train) >= count / 2 or nearest == 1


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10), st.integers(60, 600))
def test_long_sequences_keep_the_whole_guard(guard: int, count: int) -> None:
    split = Split(val_fraction=0.1, block=25, guard=guard)
    dataset = dataset_of(count)
    train, val = (indices(split_images(dataset, part, split)) for part in ("train", "val"))
    nearest = min(int(np.min(np.abs(np.array(train) - index))) for index in val)
    assert nearest == guard + 1


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=5).filter(lambda counts: sum(counts) >= 3), splits)
def test_several_sequences(counts: list[int], split: Split) -> None:
    dataset = dataset_of(*counts)
    train, val = (split_images(dataset, part, split) for part in ("train", "val"))
    train_names, val_names = ({image.name for image in part.images} for part in (train, val))
    assert val_names
    assert train_names
    assert not train_names & val_names
    for sequence, count in enumerate(counts):
        if count >= 3:
            assert indices(val, sequence)
    again = split_images(dataset_of(*counts), "val", split)
    assert [image.name for image in again.images] == [image.name for image in val.images]


def test_literal() -> None:
    dataset = dataset_of(100)
    split = Split(val_fraction=0.2, block=10, guard=3)
    assert indices(split_images(dataset, "val", split)) == [*range(20, 30), *range(70, 80)]
    assert indices(split_images(dataset, "train", split)) == [*range(17), *range(33, 67), *range(83, 100)]


def test_the_order_of_the_input_does_not_matter() -> None:
    dataset = dataset_of(50, 20)
    turned = PosedImages(images=dataset.images[::-1], skipped=(), ground_truth="none", name="made up", metric=True)
    assert split_images(dataset, "val").images == split_images(turned, "val").images


def test_all_is_everything() -> None:
    dataset = dataset_of(2)
    assert split_images(dataset, "all") is dataset


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_images_to_split(count: int) -> None:
    with pytest.raises(DatasetError, match=f"{count} images"):
        split_images(dataset_of(count), "val")


def test_unknown_part() -> None:
    with pytest.raises(DatasetError, match="train, val, all"):
        split_images(dataset_of(5), "test")


@pytest.mark.parametrize(
    "values",
    [{"val_fraction": 0.0}, {"val_fraction": 0.6}, {"val_fraction": float("nan")}, {"block": 0}, {"guard": -1}],
)
def test_values_out_of_range(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(values))):
        Split(**values)
