"""Trajectories in the TUM format: `stamp_s tx ty tz qx qy qz qw`, one line for each pose."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from reloc_ros.geometry import se3
from reloc_ros.types import Array

_NS_PER_S = 1_000_000_000


def write_tum(path: Path, poses: Iterable[tuple[int, Array]]) -> None:
    """Write (stamp_ns, T_map_camera) pairs in the order given."""
    lines = ["# stamp_s tx ty tz qx qy qz qw: T_map_camera, metres, optical axes"]
    lines += [tum_line(stamp_ns, T_map_camera) for stamp_ns, T_map_camera in poses]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def tum_line(stamp_ns: int, T_map_camera: Array) -> str:
    """Return one line; the stamp keeps its nanoseconds, which a float64 of epoch seconds would lose."""
    quat_xyzw, translation = se3.to_quat_xyzw_translation(T_map_camera)
    numbers = " ".join(f"{value:.9f}" for value in (*translation, *quat_xyzw))
    seconds, nanoseconds = divmod(stamp_ns, _NS_PER_S)
    return f"{seconds}.{nanoseconds:09d} {numbers}"
