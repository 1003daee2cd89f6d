"""Each monitor just inside and just outside its limit, their combination over time, and the hand-over's retries."""

from __future__ import annotations

import math

import numpy as np
import pytest
from driving import pose

from reloc_ros.errors import ConfigError
from reloc_ros.localization.fusion import NS_PER_S
from reloc_ros.localization.tracking_loss import (
    Handover,
    HandoverSettings,
    InitialPoseHandover,
    Reading,
    TrackingLoss,
    age_reading,
    covariance_readings,
    flag_reading,
    level_reading,
)

GOOD = Reading(monitor="good", value=1.0, limit=2.0)
BAD = Reading(monitor="bad", value=3.0, limit=2.0, unit="m")


def seconds(value: float) -> int:
    return round(value * NS_PER_S)


def test_the_least_certain_direction_in_the_plane_counts():
    covariance = np.diag([0.01, 0.01, 99.0, 99.0, 99.0, 0.04])
    covariance[:2, :2] += 0.36 * np.full((2, 2), 0.5)  # std 0.6 m along the diagonal, besides 0.1 m everywhere
    position, yaw = covariance_readings(covariance, max_position_std_m=0.6, max_yaw_std_rad=0.21)
    assert position.value == pytest.approx(math.sqrt(0.37))
    assert position.lost
    assert yaw.value == pytest.approx(0.2)
    assert not yaw.lost
    assert str(position) == "position std is 0.608 m, limit 0.6 m"


@pytest.mark.parametrize("broken", [math.nan, math.inf, -1.0])
def test_a_covariance_that_is_no_covariance_is_a_loss(broken):
    position, yaw = covariance_readings(np.diag([broken] * 6), max_position_std_m=0.6, max_yaw_std_rad=0.2)
    assert position.lost
    assert yaw.lost


def test_silence_before_the_first_message_is_not_a_loss():
    readings = [
        *covariance_readings(None, max_position_std_m=0.5, max_yaw_std_rad=0.3),
        age_reading("odom", None, seconds(9), max_age_s=1.0),
        level_reading("lidar", None, max_level=1),
        flag_reading("bumper", None),
    ]
    assert not any(reading.lost for reading in readings)
    assert "nothing heard yet" in str(readings[0])


@pytest.mark.parametrize(
    ("reading", "lost"),
    [
        (age_reading("odom", seconds(5), seconds(6), max_age_s=1.0), False),
        (age_reading("odom", seconds(5), seconds(6.01), max_age_s=1.0), True),
        (level_reading("lidar", 1, max_level=1), False),
        (level_reading("lidar", 2, max_level=1), True),
        (flag_reading("lifted", lost=False), False),
        (flag_reading("lifted", lost=True), True),
    ],
)
def test_limits(reading, lost):
    assert reading.lost is lost


def test_a_loss_must_last_and_is_told_once():
    loss = TrackingLoss(lost_after_s=1.0, found_after_s=2.0)
    assert not loss.step([GOOD, BAD], seconds(10.0))
    assert not loss.step([GOOD], seconds(10.5))
    assert not loss.step([BAD], seconds(10.6))
    assert not loss.step([BAD], seconds(11.5))
    assert loss.step([GOOD, BAD], seconds(11.6))
    assert loss.detail == "bad is 3 m, limit 2 m"
    assert not loss.step([BAD], seconds(20.0))
    assert loss.lost


def test_found_takes_all_monitors_and_some_time():
    loss = TrackingLoss(lost_after_s=0.5, found_after_s=2.0)
    loss.step([BAD], seconds(0))
    assert loss.step([BAD], seconds(1))
    loss.step([GOOD, BAD], seconds(2))
    loss.step([GOOD], seconds(3))
    loss.step([GOOD], seconds(4.9))
    assert loss.lost
    assert not loss.step([GOOD], seconds(5))
    assert not loss.lost
    loss.step([BAD], seconds(6))
    assert loss.step([BAD], seconds(7))


def test_a_clock_that_jumps_back_starts_the_watch_anew():
    loss = TrackingLoss(lost_after_s=1.0)
    loss.step([BAD], seconds(100))
    assert not loss.step([BAD], seconds(5))
    assert loss.step([BAD], seconds(6))


T_MAP_ODOM = pose(4.0, -2.0, 0.7)


def test_navigation_that_comes_near_has_taken_the_pose():
    handover = InitialPoseHandover(HandoverSettings(near_m=0.5, wait_s=3.0))
    assert handover.step(seconds(1)) is Handover.IDLE
    handover.sent(T_MAP_ODOM, seconds(10))
    T_odom_base = pose(7.0, 1.0, -0.4)  # it drove on meanwhile
    handover.answered(T_MAP_ODOM @ T_odom_base @ pose(0.6), T_odom_base, seconds(11))
    assert handover.step(seconds(11)) is Handover.WAITING
    handover.answered(T_MAP_ODOM @ T_odom_base @ pose(yaw=0.5), T_odom_base, seconds(11))
    assert handover.step(seconds(11)) is Handover.WAITING
    handover.answered(T_MAP_ODOM @ T_odom_base, T_odom_base, seconds(9))
    assert handover.step(seconds(11)) is Handover.WAITING  # older than what was sent
    handover.answered(T_MAP_ODOM @ T_odom_base @ pose(0.4, yaw=0.1), T_odom_base, seconds(12))
    assert handover.step(seconds(12)) is Handover.TAKEN
    assert handover.step(seconds(99)) is Handover.TAKEN


def test_retries_back_off_and_end():
    handover = InitialPoseHandover(HandoverSettings(wait_s=3.0, back_off=2.0, attempts=3))
    now_s, waits = 0.0, []
    while True:
        handover.sent(T_MAP_ODOM, seconds(now_s))
        waited = next(
            w for w in np.arange(0.0, 100.0, 0.5) if handover.step(seconds(now_s + w)) is not Handover.WAITING
        )
        waits.append(waited)
        now_s += waited
        if handover.state is Handover.GIVEN_UP:
            break
        assert handover.state is Handover.RETRY
    assert waits == [3.0, 6.0, 12.0]
    handover.reset()
    assert (handover.state, handover.attempts) == (Handover.IDLE, 0)


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"back_off": 0.5}, {"near_m": math.nan}])
def test_nonsense_is_refused(wrong):
    with pytest.raises(ConfigError, match="hand-over setting"):
        HandoverSettings(**wrong)
