"""Images of a recording that cannot be read are counted and left out."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from box_room import pinhole, pose

from reloc_ros.datasets.images import PosedImage, PosedImages, Skipped
from reloc_ros.errors import DatasetError
from reloc_ros.evaluation.readable import without_unreadable


def broken() -> np.ndarray:
    raise DatasetError("bag drive, stamp 3 ns: step 5 does not fit width 8")


def recorded(*loads) -> PosedImages:
    images = tuple(
        PosedImage(
            name=f"/camera@{k}", stamp_ns=k, T_map_camera=pose(0.1 * k, 0, 0, 0), camera=pinhole(8, 8), load=load,
            sequence="drive",
        )
        for k, load in enumerate(loads)
    )  # fmt: skip
    known = (Skipped(path="/camera@99", reason="no pose around the image stamp"),)
    return PosedImages(images=images, skipped=known, ground_truth="/tf", name="drive", metric=True)


def test_they_are_counted_beside_what_was_left_out_before() -> None:
    grey, small = partial(np.full, (8, 8, 3), 90, np.uint8), partial(np.zeros, (4, 8, 3), np.uint8)
    dataset = recorded(grey, broken, grey, small)
    found = without_unreadable(dataset, dataset.images)
    assert [image.name for image in found.images] == ["/camera@0", "/camera@2"]
    assert [skipped.path for skipped in found.skipped] == ["/camera@99", "/camera@1", "/camera@3"]
    assert "step 5 does not fit width 8" in found.skipped[1].reason


def test_a_recording_without_any_readable_image_is_an_error() -> None:
    dataset = recorded(broken, broken)
    with pytest.raises(DatasetError, match=r"3 were skipped .*unreadable"):
        without_unreadable(dataset, dataset.images)
