"""Poses that somebody gives: they save views, or carry the robot at once, and prove nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from driving import COVARIANCE, ELSEWHERE, FIXES_TO_ACCEPT, T_MAP_ODOM, Drive, pose

from reloc_ros.localization.decision import Cause, State


def test_a_prior_needs_few_views_and_other_places_the_usual():
    drive = Drive()
    given_pose = replace(drive.fix(), covariance=np.diag([0.25, 0.25, 0.01, 0.01, 0.01, 0.07]))
    waiting = drive.recovery.on_prior(given_pose)
    assert (waiting.state, waiting.trusted) == (State.INIT, None)
    assert any(decision.recovered for decision in drive.steps(3))
    wrong = Drive()
    wrong.recovery.on_prior(replace(wrong.fix(ELSEWHERE), covariance=given_pose.covariance))
    assert all(decision.trusted is None for decision in wrong.steps(FIXES_TO_ACCEPT - 1))
    assert np.linalg.norm(wrong.steps(4)[-1].trusted.T_map_odom - T_MAP_ODOM) < 1e-6


def test_an_anchor_is_broadcast_at_once_and_published_after_fixes_agree():
    drive = Drive()
    off_by_a_little = drive.fix(T_MAP_ODOM @ pose(0.3, -0.2, 0.05))
    anchored = drive.recovery.on_prior(
        replace(off_by_a_little, covariance=np.diag([0.25, 0.25, 0.01, 0.01, 0.01, 0.07])), anchor=True
    )
    assert (anchored.state, anchored.cause, anchored.recovered) == (State.DEGRADED, Cause.ANCHORED, True)
    assert anchored.publish is None
    assert drive.reject(2).trusted is not None
    decisions = drive.steps(6)
    assert [decision.publish is not None for decision in decisions[:2]] == [False, False]
    published = [decision.publish for decision in decisions if decision.publish is not None]
    assert np.linalg.norm(published[-1].T_map_odom[:2, 3] - T_MAP_ODOM[:2, 3]) < 0.1


def test_a_prior_off_by_a_stride_is_still_met():
    drive = Drive()
    off = drive.fix(T_MAP_ODOM)
    off = replace(off, T_map_body=off.T_map_body @ pose(0.8, 0.3), covariance=np.diag([0.25] * 3 + [0.07] * 3))
    drive.recovery.on_prior(off)
    assert any(decision.recovered for decision in drive.steps(3))


def test_an_anchor_with_poor_fixes_stays_unpublished():
    drive = Drive()
    drive.recovery.on_prior(replace(drive.fix(), covariance=25.0 * COVARIANCE), anchor=True)
    drive.move()
    poor = drive.recovery.on_fix(replace(drive.fix(), covariance=16.0 * COVARIANCE))
    assert (poor.state, poor.cause, poor.publish) == (State.DEGRADED, Cause.UNCERTAIN, None)
    assert poor.trusted is not None
