"""Which frames are kept, and the reason for each that is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest
from box_room import pinhole, pose

from reloc_ros.datasets.images import PosedImage
from reloc_ros.errors import ConfigError, DatasetError
from reloc_ros.mapping.frames import Drop, Selection, choose_by_motion, choose_frames, is_blurred, sharpness
from reloc_ros.types import Array, Image

START_NS = 1_700_000_000_000_000_000
RATE_HZ = 10.0


def noise(seed: int) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)


def image(index: int, T_map_camera: Array, load: Callable[[], Image] | None = None) -> PosedImage:
    return PosedImage(
        name=f"{index}",
        stamp_ns=START_NS + round(index * 1e9 / RATE_HZ),
        T_map_camera=T_map_camera,
        camera=pinhole(),
        load=load or (lambda: noise(index)),
        sequence="drive",
    )


def straight(step_m: float, count: int = 30) -> list[PosedImage]:
    return [image(index, pose(step_m * index, 0.3, 0.2, 0.1)) for index in range(count)]


def test_a_steady_drive_is_thinned_by_distance() -> None:
    choice = choose_frames(straight(0.03, 12), Selection(every_m=0.08))
    assert choice.kept == (0, 3, 6, 9)
    assert set(choice.dropped.values()) == {Drop.LITTLE_MOTION}
    assert choice.counts()["little motion since the last kept frame"] == 8


def test_a_turn_counts_as_motion() -> None:
    images = [image(index, pose(0, 0, 0, np.radians(2.1 * index))) for index in range(8)]
    assert choose_frames(images, Selection(every_deg=4.0)).kept == (0, 2, 4, 6)


def test_a_rest_is_dropped_without_a_look() -> None:
    def refuse() -> Image:
        raise AssertionError("looked at a frame at rest")

    images = straight(0.1, 40)
    stop = images[20].T_map_camera
    images[21:] = [image(index, stop, refuse if index > 26 else None) for index in range(21, 40)]
    choice = choose_frames(images, Selection())
    assert choice.kept == tuple(range(21))
    assert all(choice.dropped[index] is Drop.RESTING for index in range(26, 40))


def test_a_blurred_frame_among_sharp_ones() -> None:
    images = straight(0.1)
    images[12] = replace(images[12], load=lambda: cv2.GaussianBlur(noise(12), (0, 0), 1.5))
    choice = choose_frames(images, Selection())
    assert choice.dropped == {12: Drop.BLURRED}
    assert not choose_by_motion(images, Selection()).dropped


def test_what_is_smooth_for_long_is_not_blurred() -> None:
    values = np.array([100.0] * 20 + [20.0] * 20)
    # Where the view changes, half of a frame's neighbours are like it.
    assert np.flatnonzero(is_blurred(values, 0.4)).tolist() in ([], [20])


def test_a_frozen_camera() -> None:
    images = straight(0.1)
    for index in (8, 9, 10):
        images[index] = replace(images[index], load=lambda: noise(7))
    choice = choose_frames(images, Selection())
    assert choice.dropped == dict.fromkeys((8, 9, 10), Drop.FROZEN)


def test_a_broken_image_is_counted() -> None:
    def broken() -> Image:
        raise DatasetError("image lies about its size")

    images = straight(0.1)
    images[5] = replace(images[5], load=broken)
    assert choose_frames(images, Selection()).dropped == {5: Drop.UNREADABLE}


def test_a_jump_takes_its_guard() -> None:
    images = straight(0.05, 60)
    images[30:] = [
        replace(posed, T_map_camera=pose(0.05 * i, 2.3, 0.2, 0.1)) for i, posed in enumerate(images[30:], 30)
    ]
    choice = choose_by_motion(images, Selection())
    assert choice.jumps == (29,)
    assert sorted(choice.dropped) == list(range(19, 41))
    assert choice.kept == (*range(19), *range(41, 60))


def test_a_jump_that_is_known_otherwise() -> None:
    images = straight(0.05, 40)
    times = [START_NS - 5, images[20].stamp_ns + 17, images[39].stamp_ns + 5]
    choice = choose_by_motion(images, Selection(), times)
    assert choice.jumps == (20,)
    assert sorted(choice.dropped) == list(range(10, 32))


def test_every_image_is_kept_or_has_a_reason() -> None:
    images = straight(0.01, 50)
    ticks: list[None] = []
    choice = choose_frames(images, Selection(), on_image=lambda: ticks.append(None))
    assert sorted((*choice.kept, *choice.dropped)) == list(range(50))
    assert len(ticks) == 50


def test_blur_lowers_sharpness() -> None:
    assert sharpness(cv2.GaussianBlur(noise(1), (0, 0), 1.0)) < 0.4 * sharpness(noise(1))


def test_nonsense_is_refused() -> None:
    with pytest.raises(ConfigError, match="every_m is -1"):
        Selection(every_m=-1)
    with pytest.raises(ConfigError, match="blur_ratio is 1"):
        Selection(blur_ratio=1)
