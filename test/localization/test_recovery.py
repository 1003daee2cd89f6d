"""What a trusted pose survives, what ends it, and the way back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from driving import COVARIANCE, ELSEWHERE, FIXES_TO_ACCEPT, T_MAP_ODOM, Drive, pose

from reloc_ros.localization.decision import Cause, State
from reloc_ros.localization.fusion import NS_PER_S
from reloc_ros.localization.recovery_settings import RecoverySettings


def test_a_wrong_fix_is_neither_published_nor_fused():
    drive = Drive().track()
    before = drive.steps(1)[0]
    wrong = drive.step(ELSEWHERE)
    assert (wrong.state, wrong.cause, wrong.publish) == (State.TRACKING, Cause.OUTLIER, None)
    np.testing.assert_allclose(wrong.trusted.T_map_odom, before.trusted.T_map_odom, atol=1e-9)
    assert drive.step().publish is not None


def test_a_kidnapped_robot_falls_silent_and_finds_itself():
    drive = Drive().track()
    drive.steps(20)
    drive.T_map_odom = ELSEWHERE
    decisions = drive.steps(30)
    lost = next(i for i, decision in enumerate(decisions) if decision.cause is Cause.CONTRADICTED)
    found = next(i for i, decision in enumerate(decisions) if decision.publish is not None)
    assert lost <= 5
    assert decisions[lost].state is State.LOST
    assert all(decision.trusted is None for decision in decisions[lost:found])
    assert decisions[found].recovered
    np.testing.assert_allclose(decisions[found].publish.T_map_body[:3, 3], decisions[found].trusted.T_map_body[:3, 3])
    np.testing.assert_allclose(decisions[-1].trusted.T_map_odom, ELSEWHERE, atol=1e-9)


def test_another_place_needs_more_views_when_nothing_told_of_a_kidnap():
    quiet, told = Drive().track(), Drive().track()
    told.recovery.on_loss("wheels left the floor")
    counts = []
    for drive in (told, quiet):
        decisions = drive.steps(40, ELSEWHERE)
        counts.append(next(i for i, decision in enumerate(decisions) if decision.publish is not None))
    assert counts[0] <= FIXES_TO_ACCEPT + 1
    assert counts[1] >= 1.5 * counts[0]


def test_a_spell_of_the_twin_room_leads_back_home():
    drive = Drive().track()
    drive.steps(20)
    spell = drive.steps(8, ELSEWHERE)
    home = drive.steps(30)
    assert any(decision.cause is Cause.CONTRADICTED for decision in spell)
    assert all(decision.publish is None for decision in spell)
    assert np.linalg.norm(home[-1].trusted.T_map_odom - T_MAP_ODOM) < 1e-6


def test_poses_stop_while_a_rival_is_strong_and_return_when_it_is_forgotten():
    drive = Drive().track()
    decisions = [drive.step(ELSEWHERE if i % 2 else None) for i in range(24)]
    silent = [decision for decision in decisions if decision.cause is Cause.AMBIGUOUS]
    assert silent
    assert all(decision.publish is None and decision.trusted is not None for decision in silent)
    assert drive.steps(40)[-1].publish is not None


def test_a_blackout_degrades_then_fixes_in_a_row_return():
    drive = Drive().track()
    assert drive.reject(2).state is State.TRACKING
    degraded = drive.reject(6)
    assert (degraded.state, degraded.cause, degraded.publish) == (State.DEGRADED, Cause.NO_FIX, None)
    assert degraded.detail.startswith("too dark; ")
    np.testing.assert_allclose(degraded.trusted.T_map_body, drive.T_map_body, atol=1e-9)
    back = drive.steps(3)
    assert [decision.state for decision in back] == [State.DEGRADED, State.DEGRADED, State.TRACKING]
    assert [decision.publish is not None for decision in back] == [False, False, True]


def test_one_outlier_starts_the_way_back_anew():
    drive = Drive().track()
    drive.reject(8)
    drive.steps(2)
    drive.step(ELSEWHERE)
    assert [decision.state for decision in drive.steps(3)] == [State.DEGRADED] * 2 + [State.TRACKING]


def test_a_rejected_image_starts_the_way_back_anew():
    drive = Drive().track()
    drive.reject(8)
    drive.steps(2)
    drive.reject()
    assert [decision.state for decision in drive.steps(3)] == [State.DEGRADED] * 2 + [State.TRACKING]


@pytest.mark.parametrize(
    ("off", "scale"),
    [
        (pose(0.45, 0.0, 0.16), 1.0),  # within the caps, but 4.5 and 5 sigma of a single fix away
        (pose(0.55), 400.0),  # a quarter of a sigma of a fix that claims nothing, but beyond the cap
        (pose(0.0, 0.0, 0.2), 400.0),
    ],
)
def test_to_agree_is_to_be_likely_and_near(off, scale):
    drive = Drive().track()
    drive.steps(3)
    drive.move()
    unlikely = drive.fix(T_MAP_ODOM)
    unlikely = replace(unlikely, T_map_body=unlikely.T_map_body @ off, covariance=scale * COVARIANCE)
    assert drive.recovery.on_fix(unlikely).cause is Cause.OUTLIER


@pytest.mark.parametrize(
    ("limit", "reason", "steps"),
    [
        ({"lost_after_s": 6.0}, "6.5 s (limit 6)", 13),
        ({"lost_after_m": 2.0}, "2.2 m (limit 2)", 7),
        ({"lost_rotation_std_rad": 0.04}, "rad uncertain", None),
    ],
)
def test_dead_reckoning_ends(limit, reason, steps):
    drive = Drive(replace(RecoverySettings(), **limit)).track()
    decisions = [drive.reject() for _ in range(40)]
    end = next(decision for decision in decisions if decision.cause is Cause.TIMED_OUT)
    assert (end.state, end.trusted) == (State.LOST, None)
    assert reason in end.detail
    assert steps in {None, decisions.index(end) + 1}
    assert decisions[-1].state is State.LOST


def test_time_alone_ends_trust_when_no_image_arrives():
    drive = Drive().track()
    assert drive.recovery.on_time(drive.stamp_ns + NS_PER_S).state is State.TRACKING
    assert drive.recovery.on_time(drive.stamp_ns + 5 * NS_PER_S).state is State.DEGRADED
    decision = drive.recovery.on_time(drive.stamp_ns + 31 * NS_PER_S)
    assert (decision.state, decision.cause, decision.trusted) == (State.LOST, Cause.TIMED_OUT, None)


def test_a_loss_signal_ends_trust_and_the_usual_views_restore_it():
    drive = Drive().track()
    lost = drive.recovery.on_loss("amcl_pose is 1.2 m uncertain")
    assert (lost.state, lost.cause, lost.trusted) == (State.LOST, Cause.LOSS_SIGNAL, None)
    assert "1.2 m" in lost.detail
    assert any(decision.recovered for decision in drive.steps(FIXES_TO_ACCEPT + 1))


@pytest.mark.parametrize("jump", [pose(5.0, 0.0), pose(0.0, 0.0, 3.1)])
def test_odometry_that_jumps_ends_trust(jump):
    drive = Drive().track()
    drive.T_odom_body = drive.T_odom_body @ jump
    lost = drive.step()
    assert (lost.state, lost.cause, lost.trusted) == (State.LOST, Cause.ODOMETRY_JUMP, None)
    assert "limits" in lost.detail


def test_two_images_at_nearly_one_time_are_no_jump():
    drive = Drive().track()
    drive.step_s, drive.step_m, drive.step_rad = 0.001, 0.03, 0.02
    assert drive.step().cause is Cause.AGREES


def test_a_clock_that_jumps_back_resets():
    drive = Drive().track()
    drive.stamp_ns -= 50 * NS_PER_S
    decision = drive.step()
    assert (decision.state, decision.cause, decision.trusted) == (State.INIT, Cause.CLOCK_BACKWARD, None)
    assert all(decision.trusted is None for decision in drive.steps(FIXES_TO_ACCEPT - 2))
    assert drive.track().recovery.state is State.TRACKING


def test_a_timer_that_sees_the_clock_jump_resets():
    drive = Drive().track()
    drive.recovery.on_time(drive.stamp_ns)
    assert drive.recovery.on_time(drive.stamp_ns - 2 * NS_PER_S).cause is Cause.CLOCK_BACKWARD
    assert drive.recovery.state is State.INIT


def test_duplicates_and_late_images_change_nothing():
    drive = Drive()
    drive.steps(3)
    same = [drive.recovery.on_fix(drive.fix()) for _ in range(50)]
    late = drive.recovery.on_fix(replace(drive.fix(), stamp_ns=drive.stamp_ns - NS_PER_S // 2))
    assert {decision.cause for decision in [*same, late]} == {Cause.OUT_OF_ORDER}
    fresh = Drive()
    assert drive.step().detail == fresh.steps(4)[-1].detail


def test_a_planar_robot_refuses_a_fix_above_the_floor():
    drive = Drive(replace(RecoverySettings(), planar=True)).track()
    assert drive.step(T_MAP_ODOM @ pose(z=0.1)).cause is Cause.AGREES
    high = drive.step(T_MAP_ODOM @ pose(z=0.6))
    assert (high.cause, high.publish) == (Cause.OFF_FLOOR, None)
    tilted = drive.step(T_MAP_ODOM @ pose(roll=0.3))
    assert tilted.cause is Cause.OFF_FLOOR
    decision = drive.step()
    assert decision.publish.T_map_body[2, 3] == 0.0
