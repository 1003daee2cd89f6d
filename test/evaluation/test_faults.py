"""Faults spoil what they say they spoil, and figures of spoilt drives are those that were planted."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from box_room import panorama, pinhole, pose, render
from frame_results import estimated, make_result, rejected
from numpy.testing import assert_allclose

from reloc_ros.datasets.images import PosedImage
from reloc_ros.errors import ConfigError
from reloc_ros.evaluation.fault_drives import FAULTS, KIDNAPS, bump_event, draw_events, run_fault
from reloc_ros.evaluation.faults import SPOILS, random_bump, turned
from reloc_ros.evaluation.replay import FrameResult
from reloc_ros.geometry import rotation, se3
from reloc_ros.types import Image

PHOTO = render(pinhole(96, 64), pose(0.2, 0.1, 0.0, 0.3))


@pytest.mark.parametrize("name", SPOILS)
def test_a_fault_is_a_pure_function_of_image_and_seed(name: str) -> None:
    before = PHOTO.copy()
    spoilt = [SPOILS[name](PHOTO, np.random.default_rng(seed)) for seed in (3, 3, 4)]
    assert np.array_equal(PHOTO, before)
    assert all(image.shape == PHOTO.shape and image.dtype == np.uint8 for image in spoilt)
    assert np.array_equal(spoilt[0], spoilt[1])
    assert not np.array_equal(spoilt[0], spoilt[2])
    assert not np.array_equal(spoilt[0], PHOTO)


def test_faults_do_what_their_names_say() -> None:
    spoilt = {name: spoil(PHOTO, np.random.default_rng(1)).astype(float) for name, spoil in SPOILS.items()}
    photo = PHOTO.astype(float)
    assert spoilt["blackout"].max() <= 3
    assert 0.1 * photo.mean() < spoilt["dark"].mean() < 0.45 * photo.mean()
    assert np.abs(np.diff(spoilt["blur"], axis=1)).mean() < np.abs(np.diff(photo, axis=1)).mean()
    assert spoilt["blur"].mean() == pytest.approx(photo.mean(), rel=0.05)
    hidden = np.mean(np.any(spoilt["occlusion"] != photo, axis=2))
    assert 0.2 < hidden < 0.75
    assert 15 < np.std(spoilt["noise"] - photo) < 45


@pytest.mark.parametrize("camera", [pinhole(96, 96), panorama(128, 64)])
def test_a_bumped_camera_sees_what_it_would_see_there(camera) -> None:
    R_camera_bumped = rotation.exp(np.array([0.02, 0.12, -0.05]))
    T_map_camera = pose(0.3, -0.2, 0.1, 0.4)
    T_map_bumped = T_map_camera @ se3.from_rotation_translation(R_camera_bumped, np.zeros(3))
    seen = turned(camera, R_camera_bumped)(render(camera, T_map_camera)).astype(float)
    truth = render(camera, T_map_bumped).astype(float)
    known = np.any(seen > 0, axis=2)
    assert known.mean() > 0.7
    off, off_without_turning = (np.mean(np.abs(image - truth)[known]) for image in (seen, render(camera, T_map_camera)))
    assert off < 0.3 * off_without_turning


def test_a_bump_is_of_6_to_12_degrees() -> None:
    angles = [math.degrees(np.linalg.norm(rotation.log(random_bump(np.random.default_rng(k))))) for k in range(20)]
    assert 6 <= min(angles) < max(angles) <= 12


@pytest.mark.parametrize("count", [1, 2, 7, 150, 4000])
def test_events_lie_apart_inside_the_drive_and_spoil_about_half(count: int) -> None:
    events = draw_events(count, np.random.default_rng(count))
    assert all(0 <= event.start < event.stop <= count for event in events)
    assert all(before.stop <= after.start for before, after in pairwise(events))
    if count > 100:
        assert 0.35 < sum(event.stop - event.start for event in events) / count < 0.65
    assert bump_event(count)[0].stop == count


def drive(count: int = 120) -> tuple[list[PosedImage], list[FrameResult]]:
    """Return images that are grey k, and a localizer's right answers."""
    camera = pinhole(8, 8)
    truth = [pose(0.05 * k, 0.3, 0.0, 0.01 * k) for k in range(count)]
    images = [
        PosedImage(
            name=f"drive/{k:06d}.png", stamp_ns=k * 100_000_000, T_map_camera=T, camera=camera,
            load=partial(np.full, (8, 8, 3), 100 + k % 100, np.uint8), sequence="drive",
        )
        for k, T in enumerate(truth)
    ]  # fmt: skip
    return images, [make_result(k, T, estimated(T)) for k, T in enumerate(truth)]


def rejects_all(images: Iterable[PosedImage]) -> list[FrameResult]:
    return [make_result(image.stamp_ns // 100_000_000, image.T_map_camera, rejected()) for image in images]


@pytest.mark.parametrize("name", [name for name in FAULTS if name != "kidnap"])
def test_a_rejected_fault_counts_as_infinite_and_ends_at_once(name: str) -> None:
    images, clean = drive()
    run = run_fault(name, images, clean, 5, rejects_all)
    assert (run.figures["availability"], run.figures["false_fix_rate"]) == (0.0, None)
    assert run.figures["median_translation_error_m"] == math.inf
    assert run.figures["frames"] == len(run.images) == len(run.results)
    if name == "camera_bump":
        # It stays bumped, so that nothing ever comes.
        assert (run.figures["not_recovered"], run.figures["time_to_recover_s"]["max"]) == (1, math.inf)
    else:
        assert (run.figures["not_recovered"], run.figures["time_to_recover_s"]["max"]) == (0, 0.0)


def test_only_spoilt_frames_are_localized_again_and_are_really_spoilt() -> None:
    images, clean = drive()
    seen: list[Image] = []

    def look(spoilt: Iterable[PosedImage]) -> list[FrameResult]:
        chosen = list(spoilt)
        seen.extend(image.frame().image for image in chosen)
        return rejects_all(chosen)

    run = run_fault("blackout", images, clean, 5, look)
    assert 0.3 * len(images) < len(seen) < 0.7 * len(images)
    assert max(int(image.max()) for image in seen) <= 3
    assert {image.name for image in run.images} < {image.name for image in images}


def test_a_bumped_camera_is_judged_by_where_it_now_looks() -> None:
    images, clean = drive()
    run = run_fault("camera_bump", images, clean, 5, rejects_all)
    turn_deg = [
        math.degrees(float(rotation.angle_between_rad(bumped.T_map_camera[:3, :3], image.T_map_camera[:3, :3])))
        for bumped, image in zip(run.images, images[60:])
    ]
    assert 6 <= turn_deg[0] <= 12
    assert_allclose(turn_deg, turn_deg[0], atol=1e-9)
    assert_allclose(run.images[0].T_map_camera[:3, 3], images[60].T_map_camera[:3, 3])


def test_a_kidnapped_robot_waits_for_the_next_right_pose() -> None:
    images, clean = drive()
    # Right poses at 0.0, 3.0, 6.0, 9.0 s only; after 9.0 s none comes any more.
    sparse = [
        result if k % 30 == 0 else make_result(k, result.T_map_camera, rejected()) for k, result in enumerate(clean)
    ]
    figures = run_fault("kidnap", images, sparse, 5, rejects_all).figures
    assert figures["frames"] == figures["events"] == KIDNAPS
    assert figures["not_recovered"] == pytest.approx(KIDNAPS * 29 / 120, abs=8)
    assert 0.5 < figures["time_to_recover_s"]["p50"] < 2.9


def test_equal_seeds_give_equal_figures_and_others_other_moments() -> None:
    images, clean = drive()
    runs = [run_fault("dark", images, clean, seed, rejects_all) for seed in (5, 5, 6)]
    names = [[image.name for image in run.images] for run in runs]
    assert runs[0].figures == runs[1].figures
    assert names[0] == names[1] != names[2]
    pixels = [runs[k].images[0].frame().image for k in (0, 1)]
    assert np.array_equal(*pixels)


def test_an_unknown_fault_is_refused_by_name() -> None:
    images, clean = drive(3)
    with pytest.raises(ConfigError, match="'earthquake' is unknown; choose from kidnap, blackout"):
        run_fault("earthquake", images, clean, 0, rejects_all)
