"""Checks of the reference trajectory: where it jumps, as after a re-localization of AMCL or a loop closure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reloc_ros.errors import ConfigError
from reloc_ros.geometry import rotation
from reloc_ros.types import Array

_NEIGHBOURS = 5
# Steps below these are what localization and interpolation leave of noise, however little time they take.
_NOISE_M, _NOISE_DEG = 0.05, 3.0


@dataclass(frozen=True, kw_only=True)
class ReferenceLimits:
    """What a reference may do from one image to the next.

    Args:
        max_speed_mps: faster than the carrier can drive is a jump.
        max_turn_dps: likewise, degrees per second.
        out_of_line: a step that is this many times faster than the usual ones before and after it is a jump, too ...
        step_m: ... if it is longer than this,
        step_deg: or turns by more than this.
        correction_m: where a localizer corrects odometry (map -> odom), a correction that moves the robot further than
            this at once is a jump. AMCL usually corrects by centimetres ...
        correction_deg: ... and by a degree or two.
        guard_s: images this close to a jump are left out, since the reference was wrong before it and settles after it.
    """

    max_speed_mps: float = 3.0
    max_turn_dps: float = 300.0
    out_of_line: float = 5.0
    step_m: float = 0.3
    step_deg: float = 25.0
    correction_m: float = 0.2
    correction_deg: float = 8.0
    guard_s: float = 1.0

    def __post_init__(self) -> None:
        for name in (
            "max_speed_mps",
            "max_turn_dps",
            "out_of_line",
            "step_m",
            "step_deg",
            "correction_m",
            "correction_deg",
        ):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is {getattr(self, name)}, must be above 0")
        if not self.guard_s >= 0:
            raise ConfigError(f"guard_s is {self.guard_s}, must be 0 or more")


def find_jumps(stamps_ns: NDArray[np.int64], T_map_camera: Array, limits: ReferenceLimits) -> list[int]:
    """Return the indices of images after which the reference jumps.

    Args:
        stamps_ns: (N,) increasing.
        T_map_camera: (N, 4, 4) reference at the stamps.
        limits: what is too much.
    """
    if len(stamps_ns) < 2:
        return []
    seconds = np.diff(stamps_ns) / 1e9
    steps_m = np.linalg.norm(np.diff(T_map_camera[:, :3, 3], axis=0), axis=1)
    steps_deg = np.degrees(rotation.angle_between_rad(T_map_camera[:-1, :3, :3], T_map_camera[1:, :3, :3]))
    too_fast = (steps_m > np.maximum(limits.max_speed_mps * seconds, _NOISE_M)) | (
        steps_deg > np.maximum(limits.max_turn_dps * seconds, _NOISE_DEG)
    )
    unlike_neighbours = ((steps_m > limits.step_m) & _out_of_line(steps_m / seconds, limits.out_of_line)) | (
        (steps_deg > limits.step_deg) & _out_of_line(steps_deg / seconds, limits.out_of_line)
    )
    return [int(index) for index in np.flatnonzero(too_fast | unlike_neighbours)]


def find_corrections(T_map_odom: Array, position_odom_m: Array, limits: ReferenceLimits) -> list[int]:
    """Return the indices of corrections of odometry after which the next one puts the robot elsewhere.

    Args:
        T_map_odom: (N, 4, 4) in order of time.
        position_odom_m: (N, 3) where the robot was then: far from the origin of odometry a small turn is a long way.
        limits: what is too much.
    """
    if len(T_map_odom) < 2:
        return []
    before, after = T_map_odom[:-1], T_map_odom[1:]
    moved = np.einsum("nij,nj->ni", after[:, :3, :3] - before[:, :3, :3], position_odom_m[1:])
    moved_m = np.linalg.norm(moved + after[:, :3, 3] - before[:, :3, 3], axis=1)
    turned_deg = np.degrees(rotation.angle_between_rad(before[:, :3, :3], after[:, :3, :3]))
    return [int(i) for i in np.flatnonzero((moved_m > limits.correction_m) | (turned_deg > limits.correction_deg))]


def near_jumps(stamps_ns: NDArray[np.int64], jumps: list[int], guard_s: float) -> NDArray[np.bool_]:
    """Return (N,) whether an image is closer than the guard to the reference's last pose before a jump or first after."""
    near = np.zeros(len(stamps_ns), dtype=bool)
    for index in jumps:
        near |= (stamps_ns >= stamps_ns[index] - guard_s * 1e9) & (stamps_ns <= stamps_ns[index + 1] + guard_s * 1e9)
    return near


def _out_of_line(speeds: Array, factor: float) -> NDArray[np.bool_]:
    """Return which speeds exceed those on both sides; on one side alone it is a start or a stop."""
    usual = np.zeros(len(speeds))
    for index in range(len(speeds)):
        before, after = speeds[max(0, index - _NEIGHBOURS) : index], speeds[index + 1 : index + 1 + _NEIGHBOURS]
        sides = [float(np.median(side)) for side in (before, after) if len(side)]
        usual[index] = max(sides, default=np.inf)
    return np.asarray(speeds > factor * usual)
