"""Recorded poses are judged as those of a localizer; what is no recording is refused."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from box_room import pinhole, pose

from reloc_ros.datasets.images import PosedImage
from reloc_ros.errors import DatasetError
from reloc_ros.evaluation.recorded import recorded_results, write_recorded
from reloc_ros.types import Estimate, Reason, Rejected

T_FIRST, T_THIRD = pose(1.0, 2.0, 0.5, 0.3), pose(1.2, 2.1, 0.5, 0.4)


def images() -> list[PosedImage]:
    camera = pinhole(8, 8)
    return [
        PosedImage(
            name=f"{k}", stamp_ns=stamp_ns, T_map_camera=T, camera=camera, load=partial(np.zeros, (8, 8, 3), np.uint8),
            sequence="drive",
        )
        for k, (stamp_ns, T) in enumerate([(10, T_FIRST), (20, T_FIRST), (30, T_THIRD)])
    ]  # fmt: skip


def test_each_image_gets_the_pose_of_its_stamp(tmp_path: Path) -> None:
    path = tmp_path / "new" / "poses.npz"
    # Stamp 30 twice: the later one counts. Stamp 40 belongs to no image.
    poses = np.stack([T_FIRST, T_FIRST, T_THIRD, T_FIRST])
    covariances = np.stack([np.eye(6) * k for k in (1, 2, 3, 4)])
    write_recorded(path, np.array([10, 30, 30, 40]), poses, covariances, ("map", "map", "hall", "map"))
    first, second, third = recorded_results(path, images())
    assert first.translation_error_m == third.translation_error_m == 0.0
    assert isinstance(third.localization, Estimate)
    assert (third.localization.map_frame, third.localization.covariance[0, 0]) == ("hall", 3.0)
    assert isinstance(second.localization, Rejected)
    assert second.localization.reason is Reason.NOT_PUBLISHED
    assert math.isnan(first.seconds)


def test_an_empty_recording_rejects_everything(tmp_path: Path) -> None:
    path = tmp_path / "poses.npz"
    write_recorded(path, np.zeros(0, np.int64), np.zeros((0, 4, 4)), np.zeros((0, 6, 6)), ())
    assert all(result.pose is None for result in recorded_results(path, images()))


def hostile(path: Path, kind: str) -> None:
    if kind == "text":
        path.write_text("10 1 2 3 0 0 0 1\n")
    elif kind == "truncated":
        write_recorded(path, np.arange(3), np.zeros((3, 4, 4)), np.zeros((3, 6, 6)), ("map",) * 3)
        path.write_bytes(path.read_bytes()[:200])
    elif kind == "pickle":
        np.savez(path, stamps_ns=np.array([object()], dtype=object), T_map_camera=0, covariances=0, map_frames=0)
    elif kind == "shapes":
        write_recorded(path, np.arange(3), np.zeros((2, 4, 4)), np.zeros((3, 6, 6)), ("map",) * 3)
    elif kind == "keys":
        np.savez(path, stamps_ns=np.arange(3))


@pytest.mark.parametrize("kind", ["missing", "text", "truncated", "pickle", "shapes", "keys"])
def test_what_is_no_recording_is_refused_with_its_name(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "poses.npz"
    hostile(path, kind)
    with pytest.raises(DatasetError, match=r"poses\.npz"):
        recorded_results(path, images())
