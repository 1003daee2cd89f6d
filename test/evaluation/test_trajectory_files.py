"""Trajectory files: asymmetric literal poses, and faults named with their line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.testing import assert_allclose

from reloc_ros.errors import DatasetError
from reloc_ros.evaluation.trajectory_files import FORMATS, read_trajectories
from reloc_ros.geometry import rotation

if TYPE_CHECKING:
    from pathlib import Path

# Quaternion x, y, z, w = 1, 2, 4, 10 over 11, at 5, -6, 7.
R = rotation.from_quat_xyzw(np.array([1.0, 2.0, 4.0, 10.0]))
POSE = np.vstack([np.column_stack([R, [5.0, -6.0, 7.0]]), [0.0, 0.0, 0.0, 1.0]])
TUM_LINE = "1700000000.25 5 -6 7 0.0909090909090909 0.181818181818182 0.363636363636364 0.909090909090909"
EUROC_LINE = "1700000000250000000,5,-6,7,0.909090909090909,0.0909090909090909,0.181818181818182,0.363636363636364,9,9,9"
KITTI_LINE = " ".join(f"{value:.17g}" for value in POSE[:3].ravel())
LINES = {"tum": TUM_LINE, "kitti": KITTI_LINE, "euroc": EUROC_LINE}


def test_every_format_has_its_line() -> None:
    assert set(LINES) == set(FORMATS)


@pytest.mark.parametrize("name", FORMATS)
def test_a_literal_pose_is_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text(f"\ufeff# a comment, with a comma\n\n{LINES[name]}\r\n {LINES[name]} \n", encoding="utf-8")
    found = FORMATS[name](path)
    assert_allclose(found.poses, [POSE, POSE], atol=1e-12)
    if name == "kitti":
        assert found.stamps_s is None
    else:
        assert found.stamps_s is not None
        assert found.stamps_s == pytest.approx([1700000000.25] * 2, rel=0, abs=1e-6)


def test_a_euroc_estimate_may_be_a_tum_file(tmp_path: Path) -> None:
    euroc, tum = tmp_path / "data.csv", tmp_path / "estimate.txt"
    euroc.write_text(EUROC_LINE)
    tum.write_text(TUM_LINE)
    for estimate in (tum, euroc):
        for trajectory in read_trajectories("euroc", euroc, estimate):
            assert_allclose(trajectory.poses, [POSE], atol=1e-12)
            assert trajectory.stamps_s is not None
            assert trajectory.stamps_s == pytest.approx([1700000000.25], rel=0, abs=1e-6)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda line, separator: separator.join(line.split(separator)[:7]), "line 3: 7 columns, expected"),
        (lambda line, separator: line.replace("-6", "six"), "line 3: could not convert .*'six'"),
        (lambda line, separator: line.replace("-6", "nan"), "line 3: .* not finite"),
        (lambda line, separator: line.replace("-6", "inf"), "line 3: .* not finite"),
    ],
)
def test_a_malformed_line_is_named(name: str, change, message: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    separator = "," if name == "euroc" else " "
    path.write_text(f"# header\n{LINES[name]}\n{change(LINES[name], separator)}\n{LINES[name]}\n")
    with pytest.raises(DatasetError, match=message) as raised:
        FORMATS[name](path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("tum", TUM_LINE + " 8", "line 2: 9 columns"),
        ("tum", "1700000001 5 -6 7 0 0 0 0", "line 2: has a quaternion shorter"),
        ("euroc", "1700000001000000000,5,-6,7,0,0,0,0", "line 2: has a quaternion shorter"),
        ("tum", TUM_LINE.replace(".25", ".24"), "line 2: has an earlier stamp"),
        ("kitti", KITTI_LINE + " 1", "line 2: 13 columns"),
        ("kitti", "2 0 0 5 0 2 0 6 0 0 2 7", "line 2: is not a rotation"),
        ("kitti", "1 0 0 5 0 1 0 6 0 0 -1 7", "line 2: is not a rotation"),
    ],
)
def test_a_pose_that_is_none_is_named(name: str, line: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text(f"{LINES[name]}\n{line}\n")
    with pytest.raises(DatasetError, match=message):
        FORMATS[name](path)


@pytest.mark.parametrize("content", ["", "# only a comment\n"])
def test_a_file_without_poses_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text(content)
    with pytest.raises(DatasetError, match="holds no poses"):
        read_trajectories("euroc", path, path)


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x80")
    for path in (tmp_path / "missing", tmp_path, binary):
        with pytest.raises(DatasetError, match="cannot be read as text"):
            read_trajectories("tum", path, path)
