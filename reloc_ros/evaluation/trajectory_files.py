"""Reads trajectories as SLAM programs write them: TUM, KITTI and EuRoC text files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reloc_ros.errors import DatasetError
from reloc_ros.geometry import se3
from reloc_ros.types import Array

_NS_PER_S = 1e9
_MIN_QUATERNION_LENGTH = 1e-6
# What rounding in a file may cost; a matrix beyond it has swapped columns or is no pose at all.
_RIGID_TOLERANCE = 1e-3


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """Poses in the order of the file.

    Args:
        poses: (N, 4, 4) transforms of the moving frame to the fixed one, the numbers of the file: they are not made
            exactly rigid, so that figures equal those of other programs.
        stamps_s: (N,) seconds, never decreasing; None where the format has no stamps.
    """

    poses: Array
    stamps_s: Array | None = None


def read_trajectories(file_format: str, reference: Path, estimate: Path) -> tuple[Trajectory, Trajectory]:
    """Return the reference and the estimate.

    With `euroc` the estimate may also be a TUM file: it is what programs write that were run on EuRoC's images.

    Args:
        file_format: one of `FORMATS`.
        reference: file with the true poses.
        estimate: file with the poses to judge.

    Raises:
        DatasetError: a file is missing or malformed; the message names the line.
    """
    read = FORMATS[file_format]
    read_estimate = read_tum if file_format == "euroc" and not _has_commas(estimate) else read
    return read(reference), read_estimate(estimate)


def read_tum(path: Path) -> Trajectory:
    """Return a TUM trajectory: lines of `stamp_s tx ty tz qx qy qz qw`.

    Raises:
        DatasetError: the file is missing or malformed; the message names the line.
    """
    lines, rows = _read_rows(path, None, 8, "stamp_s tx ty tz qx qy qz qw", more_allowed=False)
    return _stamped(path, lines, rows[:, 0], rows[:, 1:4], rows[:, 4:8])


def read_euroc(path: Path) -> Trajectory:
    """Return a EuRoC ground truth: lines of `stamp_ns,tx,ty,tz,qw,qx,qy,qz` and more columns, which are not used.

    Raises:
        DatasetError: the file is missing or malformed; the message names the line.
    """
    lines, rows = _read_rows(path, ",", 8, "stamp_ns,tx,ty,tz,qw,qx,qy,qz", more_allowed=True)
    # The file has w first.
    return _stamped(path, lines, rows[:, 0] / _NS_PER_S, rows[:, 1:4], rows[:, [5, 6, 7, 4]])


def read_kitti(path: Path) -> Trajectory:
    """Return a KITTI trajectory: lines of the twelve numbers of a 3x4 matrix, row by row.

    Raises:
        DatasetError: the file is missing or malformed; the message names the line.
    """
    lines, rows = _read_rows(path, None, 12, "r11 r12 r13 tx r21 ... tz", more_allowed=False)
    poses = np.tile(np.eye(4), (len(rows), 1, 1))
    poses[:, :3] = rows.reshape(-1, 3, 4)
    R = poses[:, :3, :3]
    deviation = np.max(np.abs(np.swapaxes(R, 1, 2) @ R - np.eye(3)), axis=(1, 2))
    _refuse_first(
        path,
        lines,
        (deviation > _RIGID_TOLERANCE) | (np.linalg.det(R) <= 0.0),
        f"is not a rotation to within {_RIGID_TOLERANCE:g}; is the file in the KITTI format?",
    )
    return Trajectory(poses=poses)


FORMATS: dict[str, Callable[[Path], Trajectory]] = {"tum": read_tum, "kitti": read_kitti, "euroc": read_euroc}


def _stamped(path: Path, lines: NDArray[np.intp], stamps_s: Array, positions: Array, quat_xyzw: Array) -> Trajectory:
    _refuse_first(
        path,
        lines,
        np.linalg.norm(quat_xyzw, axis=1) < _MIN_QUATERNION_LENGTH,
        f"has a quaternion shorter than {_MIN_QUATERNION_LENGTH:g}; remove poses without an orientation",
    )
    _refuse_first(
        path,
        lines,
        np.diff(stamps_s, prepend=stamps_s[0]) < 0.0,
        "has an earlier stamp than the line before; sort the file by time",
    )
    return Trajectory(poses=se3.from_quat_xyzw_translation(quat_xyzw, positions), stamps_s=stamps_s)


def _read_rows(
    path: Path, separator: str | None, columns: int, layout: str, *, more_allowed: bool
) -> tuple[NDArray[np.intp], Array]:
    """Return the (N,) line numbers and the (N, columns) numbers of the lines that hold any."""
    numbers, rows = [], []
    for number, line in _data_lines(path):
        words = line.split(separator)
        if len(words) < columns or (len(words) > columns and not more_allowed):
            raise DatasetError(f"{path}, line {number}: {len(words)} columns, expected {columns}: {layout}")
        try:
            row = [float(word) for word in words[:columns]]
        except ValueError as error:
            raise DatasetError(f"{path}, line {number}: {error}; expected numbers: {layout}") from error
        numbers.append(number)
        rows.append(row)
    if not rows:
        raise DatasetError(f"{path} holds no poses; expected lines of {layout}")
    lines, values = np.array(numbers, dtype=np.intp), np.array(rows)
    _refuse_first(path, lines, ~np.all(np.isfinite(values), axis=1), "has a number that is not finite; remove the line")
    return lines, values


def _data_lines(path: Path) -> list[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")  # some programs write a byte-order mark
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"trajectory {path} cannot be read as text: {error}") from error
    stripped = ((number, line.strip()) for number, line in enumerate(text.splitlines(), start=1))
    return [(number, line) for number, line in stripped if line and not line.startswith("#")]


def _has_commas(path: Path) -> bool:
    lines = _data_lines(path)
    return bool(lines) and "," in lines[0][1]


def _refuse_first(path: Path, lines: NDArray[np.intp], bad: NDArray[np.bool_], complaint: str) -> None:
    if np.any(bad):
        raise DatasetError(f"{path}, line {lines[np.argmax(bad)]}: {complaint}")
