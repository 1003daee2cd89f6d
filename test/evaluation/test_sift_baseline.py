"""The classical reference finds its way in a room of painted tiles, with a pinhole and with a panorama."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest
from box_room import panorama, pinhole, pose
from tiled_room import tiles

from reloc_ros.datasets.images import PosedImage
from reloc_ros.errors import ConfigError, DatasetError
from reloc_ros.evaluation.replay import replay
from reloc_ros.evaluation.sift_localizer import SiftLocalizer, build_sift_localizer
from reloc_ros.evaluation.sift_map import build_sift_map
from reloc_ros.evaluation.sift_retrieval import Retrieval, root_sift
from reloc_ros.types import Estimate, Frame, Reason, Rejected

if TYPE_CHECKING:
    from reloc_ros.cameras.camera import Camera

MAPPED = [(0.1 * k - 0.8, 0.25 * np.sin(k), 0.1 * np.cos(2 * k), 0.06 * k - 0.4) for k in range(15)]
# Between the mapped places and off their line.
QUERIES = [(-0.55, 0.12, 0.03, -0.3), (0.05, -0.1, -0.04, 0.1), (0.33, 0.05, 0.05, 0.2)]


def posed(camera: Camera, places: list[tuple[float, ...]], sequence: str) -> list[PosedImage]:
    poses = [pose(*place) for place in places]
    return [
        PosedImage(
            name=f"{sequence}/{k}", stamp_ns=k * 10**8, T_map_camera=T, camera=camera,
            load=partial(tiles, camera, T), sequence=sequence,
        )
        for k, T in enumerate(poses)
    ]  # fmt: skip


def silent(images, title: str):
    return images


@pytest.fixture(scope="module")
def localizer() -> SiftLocalizer:
    pytest.importorskip("pycolmap", reason="the baseline needs pycolmap")
    return build_sift_localizer(posed(pinhole(240, 180), MAPPED, "map"), silent)


def test_a_pinhole_is_found(localizer: SiftLocalizer) -> None:
    results = replay(localizer, posed(pinhole(240, 180), QUERIES, "drive"))
    assert max(result.translation_error_m for result in results) < 0.05
    assert max(result.rotation_error_deg for result in results) < 1.5
    assert set(results[0].stage_seconds) == {"features", "retrieve", "match", "solve"}


def test_the_covariance_is_of_the_size_of_the_error(localizer: SiftLocalizer) -> None:
    (result,) = replay(localizer, posed(pinhole(240, 180), QUERIES[:1], "drive"))
    assert isinstance(result.localization, Estimate)
    std_m = np.sqrt(np.diag(result.localization.covariance)[:3])
    assert np.all((std_m > 1e-4) & (std_m < 0.1))


def test_the_same_frame_gives_the_same_pose_and_another_map_the_same_again(localizer: SiftLocalizer) -> None:
    images = posed(pinhole(240, 180), MAPPED, "map")
    (query,) = posed(pinhole(240, 180), QUERIES[1:2], "drive")
    answers = [each.localize(query.frame()) for each in (localizer, localizer, build_sift_localizer(images, silent))]
    assert all(isinstance(answer, Estimate) for answer in answers)
    assert np.array_equal(answers[0].T_map_camera, answers[1].T_map_camera)
    assert np.array_equal(answers[0].T_map_camera, answers[2].T_map_camera)


def test_a_wall_without_tiles_is_rejected(localizer: SiftLocalizer) -> None:
    camera = pinhole(240, 180)
    found = localizer.localize(Frame(image=np.full((180, 240, 3), 90, np.uint8), camera=camera, stamp_ns=5))
    assert isinstance(found, Rejected)
    assert (found.reason, found.stamp_ns) == (Reason.TOO_FEW_INLIERS, 5)


def test_a_panorama_is_found() -> None:
    pytest.importorskip("pycolmap", reason="the baseline needs pycolmap")
    camera = panorama(640, 320)
    localizer = build_sift_localizer(posed(camera, MAPPED[::2], "map"), silent)
    results = replay(localizer, posed(camera, QUERIES[:2], "drive"))
    assert max(result.translation_error_m for result in results) < 0.06
    assert localizer.map_bytes > 10_000


def test_a_map_of_several_cameras_is_refused() -> None:
    pytest.importorskip("pycolmap", reason="the baseline needs pycolmap")
    images = posed(pinhole(240, 180), MAPPED[:2], "a") + posed(pinhole(120, 90), MAPPED[2:4], "b")
    with pytest.raises(DatasetError, match="2 cameras"):
        build_sift_map(images, silent)


def test_without_pycolmap_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    with pytest.raises(ConfigError, match=r"pip install 'reloc_ros\[baseline\]'"):
        build_sift_map(posed(pinhole(240, 180), MAPPED[:2], "a"), silent)


def test_the_image_itself_is_most_like_itself() -> None:
    rng = np.random.default_rng(4)
    rooted = [root_sift(rng.gamma(0.3 + k, 1.0, (80, 128)).astype(np.float32)) for k in range(5)]
    retrieval = Retrieval.from_images(rooted)
    assert [int(retrieval.nearest(each, 1)[0]) for each in rooted] == list(range(5))


def test_root_sift_has_unit_length() -> None:
    rooted = root_sift(np.array([[1.0, 3.0] + [0.0] * 126, [0.0] * 128], np.float32))
    assert rooted[0, :2] == pytest.approx([0.5, np.sqrt(0.75)])
    assert not rooted[1].any()
