"""Jumps of a reference: speed limits, steps unlike their neighbours, and what is no jump."""

from __future__ import annotations

import numpy as np
import pytest

from reloc_ros.errors import ConfigError
from reloc_ros.geometry import rotation, se3
from reloc_ros.mapping.reference import ReferenceLimits, find_corrections, find_jumps, near_jumps
from reloc_ros.types import Array

LIMITS = ReferenceLimits()


def drive(x_m: Array, yaw_deg: Array | None = None) -> Array:
    yaw = np.zeros(len(x_m)) if yaw_deg is None else np.radians(yaw_deg)
    rotations = rotation.exp(np.stack([0 * yaw, 0 * yaw, yaw], axis=1))
    return np.stack([se3.from_rotation_translation(R, [x, 7.0, -2.0]) for R, x in zip(rotations, x_m, strict=True)])


def stamps(count: int, rate_hz: float) -> np.ndarray:
    return (np.arange(count) * 1e9 / rate_hz).astype(np.int64) + 1_700_000_000_000_000_000


def test_a_teleport_is_faster_than_any_robot() -> None:
    x = 0.02 * np.arange(60.0)
    x[37:] += 0.4
    assert find_jumps(stamps(60, 30), drive(x), LIMITS) == [36]


def test_a_turn_on_the_spot_in_no_time_is_a_jump() -> None:
    yaw = np.where(np.arange(40) < 11, 5.0, 95.0)
    assert find_jumps(stamps(40, 10), drive(0.01 * np.arange(40.0), yaw), LIMITS) == [10]


def test_at_a_low_rate_a_step_unlike_its_neighbours_is_a_jump() -> None:
    # 1.2 m in a second is no speed for a robot, but this one crawls.
    x = 0.05 * np.arange(30.0)
    x[13:] += 1.2
    assert find_jumps(stamps(30, 1), drive(x), LIMITS) == [12]


def test_starting_and_stopping_is_no_jump() -> None:
    moving = (np.arange(40) > 8) & (np.arange(40) < 30)
    assert find_jumps(stamps(40, 1), drive(np.cumsum(0.9 * moving)), LIMITS) == []


def test_noise_within_a_millisecond_is_no_jump() -> None:
    stamps_ns = stamps(20, 10)
    stamps_ns[6] = stamps_ns[5] + 1_000_000
    x = 0.01 * np.arange(20.0)
    x[6] = x[5] + 0.02
    assert find_jumps(stamps_ns, drive(x), LIMITS) == []


def test_a_pause_of_the_recording_is_no_jump() -> None:
    stamps_ns = stamps(20, 10)
    stamps_ns[10:] += 30_000_000_000
    x = 0.05 * np.arange(20.0)
    x[10:] += 4.0
    assert find_jumps(stamps_ns, drive(x), LIMITS) == []


def test_the_guard_reaches_to_both_sides() -> None:
    near = near_jumps(stamps(40, 10), [20], 0.5)
    assert np.flatnonzero(near).tolist() == list(range(15, 27))
    assert not near_jumps(stamps(40, 10), [], 0.5).any()


def test_corrections_count_where_the_robot_is() -> None:
    # Two degrees are nothing at the origin and 0.35 m at ten metres.
    corrections = drive(np.array([0.0, 0.05, 0.05, 0.3]), np.array([0.0, 0.0, 2.0, 2.0]))
    near, far = np.zeros((4, 3)), np.tile([10.0, 0.0, 0.0], (4, 1))
    assert find_corrections(corrections, near, LIMITS) == [2]
    assert find_corrections(corrections, far, LIMITS) == [1, 2]
    assert find_corrections(drive(np.zeros(3), np.array([0.0, 9.0, 9.0])), near[:3], LIMITS) == [0]
    assert find_corrections(corrections[:1], near[:1], LIMITS) == []


def test_one_image_has_no_jump() -> None:
    assert find_jumps(stamps(1, 1), drive(np.zeros(1)), LIMITS) == []


def test_nonsense_is_refused() -> None:
    with pytest.raises(ConfigError, match="max_speed_mps is 0"):
        ReferenceLimits(max_speed_mps=0)
    with pytest.raises(ConfigError, match="guard_s"):
        ReferenceLimits(guard_s=float("nan"))
