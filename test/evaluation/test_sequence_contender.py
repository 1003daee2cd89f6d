"""Sequence bundles on the frames that others localize one by one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pytest
from fake_sequences import PANORAMA, SECOND_NS, START_NS, drive, panorama_pixels, write_sequence_bundle
from numpy.testing import assert_allclose

from reloc_ros.datasets.images import PosedImage
from reloc_ros.evaluation.sequence_contender import follow_told
from reloc_ros.evaluation.sequence_replay import SequenceBundle
from reloc_ros.geometry import se3
from reloc_ros.types import Array, Estimate, Rejected

BELIEVED = drive(12)
TRUE = [T @ se3.from_rotation_translation(np.eye(3), [0.0, 0.01 * k, 0.0]) for k, T in enumerate(BELIEVED)]
ELSEWHERE = se3.from_rotation_translation(BELIEVED[5][:3, :3].T, [-3.0, 7.0, 0.5])


def images(sequence: str, poses: Sequence[Array], start_ns: int) -> list[PosedImage]:
    return [
        PosedImage(
            name=f"{k:06d}",
            stamp_ns=start_ns + k * SECOND_NS // 10,
            T_map_camera=T,
            camera=PANORAMA,
            load=lambda k=k: panorama_pixels(k),
            sequence=sequence,
        )
        for k, T in enumerate(poses)
    ]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SequenceBundle]:
    written = write_sequence_bundle(tmp_path_factory.mktemp("bundles") / "follower", BELIEVED)
    opened = SequenceBundle(str(written.path), "onnxruntime", 1)
    yield opened
    opened.close()


def no_bar(frames: Sequence[PosedImage], _: str) -> Iterable[PosedImage]:
    return frames


def test_poses_are_in_the_map_of_each_sequences_first_pose(bundle: SequenceBundle) -> None:
    # Two recordings, each in another place; it knows neither, and drifts by a centimetre a frame.
    first = images("a", TRUE, START_NS)
    second = images("b", [ELSEWHERE @ T for T in TRUE], START_NS)
    judged = [*first[4:7], *second[8:10]]
    results = follow_told(bundle, [*first, *second], judged, no_bar)
    assert [(result.sequence, result.name) for result in results] == [(image.sequence, image.name) for image in judged]
    for result, number in zip(results, (4, 5, 6, 8, 9), strict=True):
        assert result.translation_error_m == pytest.approx(0.01 * number, abs=1e-4)
        assert result.rotation_error_deg == pytest.approx(0.0, abs=0.05)


def test_covariances_turn_with_the_first_pose(bundle: SequenceBundle) -> None:
    here, there = (
        follow_told(bundle, images("a", poses, START_NS), images("a", poses, START_NS)[3:4], no_bar)[0].localization
        for poses in (BELIEVED, [ELSEWHERE @ T for T in BELIEVED])
    )
    assert isinstance(here, Estimate)
    assert isinstance(there, Estimate)
    turn = np.kron(np.eye(2), ELSEWHERE[:3, :3])
    assert_allclose(there.covariance, turn @ here.covariance @ turn.T, atol=1e-12)


def test_what_is_told_is_not_counted_as_found(bundle: SequenceBundle) -> None:
    frames = images("a", TRUE, START_NS)
    results = follow_told(bundle, frames, frames, no_bar)
    assert [result.name for result in results if isinstance(result.localization, Rejected)] == ["000000"]


def test_nothing_is_looked_at_that_is_not_asked_for(bundle: SequenceBundle) -> None:
    frames = images("a", TRUE, START_NS)
    looked_at: list[PosedImage] = []

    def watch(followed: Sequence[PosedImage], _: str) -> Iterable[PosedImage]:
        looked_at.extend(followed)
        return followed

    follow_told(bundle, [*frames, *images("b", TRUE, START_NS)], frames[2:4], watch)
    assert looked_at == frames[:4]
