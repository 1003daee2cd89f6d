"""From the first image to trust: how many views it takes, of which place, and what it is not misled by."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
from driving import COVARIANCE, ELSEWHERE, FIXES_TO_ACCEPT, T_MAP_ODOM, Drive, pose

from reloc_ros.localization.decision import Cause, State
from reloc_ros.localization.fusion import NS_PER_S, Belief, OdometryNoise
from reloc_ros.localization.recovery import Recovery
from reloc_ros.localization.recovery_settings import RecoverySettings


def test_trust_begins_with_the_last_of_n_agreeing_views_and_is_right():
    drive = Drive()
    decisions = drive.steps(12)
    first = next(i for i, decision in enumerate(decisions) if decision.publish is not None)
    assert first + 1 == FIXES_TO_ACCEPT
    states = [decision.state for decision in decisions[: first + 1]]
    assert states[0] is State.INIT
    assert states[first - 1] is State.CANDIDATE
    assert states[first] is State.TRACKING
    assert [decision.recovered for decision in decisions[: first + 2]] == [False] * first + [True, False]
    assert all(decision.trusted is None for decision in decisions[:first])
    assert decisions[0].cause is Cause.TOO_FEW_VIEWS
    assert decisions[0].detail.startswith(f"1.0 of {FIXES_TO_ACCEPT} views agree")
    last = decisions[-1]
    assert last.cause is Cause.AGREES
    np.testing.assert_allclose(last.publish.T_map_body, drive.T_map_body, atol=1e-9)
    np.testing.assert_allclose(last.trusted.T_map_odom, T_MAP_ODOM, atol=1e-9)
    assert 0.0 < last.publish.position_std_m < 0.1


def views_until_trusted(drive: Drive, T_map_odom: np.ndarray | None = None) -> int:
    for views in range(1, 60):
        if drive.step(T_map_odom).publish is not None:
            return views
    raise AssertionError(drive.recovery.state)


def test_a_map_has_to_show_first_that_its_places_look_different():
    drive = Drive(settings=RecoverySettings(votes_at_first=9.0, votes_to_prove=8.0))
    assert views_until_trusted(drive) == 9
    drive.steps(3)
    drive.recovery.on_loss("lifted")
    assert views_until_trusted(drive) == 8, "three eighths of the proof"
    drive.steps(6)
    drive.recovery.on_loss("lifted")
    assert views_until_trusted(drive) == FIXES_TO_ACCEPT


def test_a_second_place_that_goes_on_beside_the_first_takes_the_proof_back_and_a_kidnap_does_not():
    proven = Drive(settings=RecoverySettings(votes_at_first=9.0, votes_to_prove=3.0))
    views_until_trusted(proven)
    proven.steps(4)
    kidnapped = deepcopy(proven)
    for _ in range(3):
        proven.step(ELSEWHERE)
        proven.step()
    proven.recovery.on_loss("lifted")
    assert views_until_trusted(proven) == 9
    kidnapped.T_map_odom = ELSEWHERE
    views_until_trusted(kidnapped)
    kidnapped.recovery.on_loss("lifted")
    assert views_until_trusted(kidnapped) == FIXES_TO_ACCEPT


def test_wrong_fixes_while_searching_delay_trust_and_nothing_else():
    drive = Drive()
    drive.steps(2)
    drive.step(ELSEWHERE)
    decisions = drive.steps(12)
    published = [decision.publish for decision in decisions if decision.publish is not None]
    assert published
    assert np.linalg.norm(published[-1].T_map_odom - T_MAP_ODOM) < 1e-6


def test_fixes_that_never_agree_are_never_trusted():
    rng = np.random.default_rng(3)
    drive = Drive()
    for _ in range(60):
        decision = drive.step(pose(*rng.uniform(-20.0, 20.0, 2), rng.uniform(-3.0, 3.0)))
        assert decision.trusted is None
        assert decision.cause in {Cause.TOO_FEW_VIEWS, Cause.AMBIGUOUS}


def test_a_standing_robot_with_a_constant_answer_is_told_to_move():
    drive = Drive(step_m=0.0, step_rad=0.0)
    decisions = drive.steps(200)
    assert all(decision.trusted is None for decision in decisions)
    assert decisions[-1].state is State.INIT
    assert "drive or turn" in decisions[-1].detail


def test_odometry_that_jitters_on_the_spot_is_no_motion():
    rng = np.random.default_rng(4)
    drive = Drive(step_m=0.0, step_rad=0.0)
    for _ in range(300):
        drive.T_odom_body = pose(*rng.normal(0.0, 0.01, 2), rng.normal(0.0, 0.01))
        assert drive.step().trusted is None


def test_a_turn_on_the_spot_shows_new_views():
    drive = Drive(step_m=0.0, step_rad=0.45)
    assert drive.steps(FIXES_TO_ACCEPT)[-1].publish is not None


def test_a_standing_robot_may_be_trusted_late_when_that_is_asked_for():
    permissive = replace(RecoverySettings(), trust_standing=True, standing_s=20.0, standing_fixes=40)
    drive = Drive(permissive, step_m=0.0, step_rad=0.0)
    decisions = drive.steps(60)
    first = next(i for i, decision in enumerate(decisions) if decision.publish is not None)
    assert first == 40  # 40 steps of half a second after the first fix
    doubtful = Drive(permissive, step_m=0.0, step_rad=0.0)
    answers = [doubtful.step(ELSEWHERE if i % 10 == 5 else None) for i in range(80)]
    assert all(decision.trusted is None for decision in answers)


def test_two_rooms_that_look_alike_are_told_apart_or_not_at_all():
    drive = Drive()
    decisions = [drive.step(ELSEWHERE if (i // 2) % 2 else None) for i in range(80)]
    assert all(decision.trusted is None for decision in decisions)
    assert {decision.cause for decision in decisions[30:]} <= {Cause.AMBIGUOUS, Cause.TOO_FEW_VIEWS}
    assert any(decision.trusted is not None for decision in drive.steps(40))


def test_a_clear_majority_with_a_strong_rival_is_ambiguous():
    drive = Drive()
    drive.steps(4, ELSEWHERE)
    assert any(decision.cause is Cause.AMBIGUOUS for decision in drive.steps(12))


def test_half_of_the_fixes_are_too_few_whatever_their_number():
    rng = np.random.default_rng(6)
    drive = Drive()
    for i in range(50):
        scattered = pose(*rng.uniform(-40.0, 40.0, 2), rng.uniform(-3.0, 3.0))
        assert drive.step(scattered if i % 2 else None).trusted is None


def test_the_fragments_of_a_rival_vote_together():
    drive = Drive()
    beside = pose(0.3, 0.3) @ ELSEWHERE
    causes = []
    for place in [ELSEWHERE, beside, *[None] * 14]:
        drive.move()
        sharp = replace(drive.fix(place), covariance=0.25 * COVARIANCE)
        causes.append(drive.recovery.on_fix(sharp).cause)
    # Two votes for elsewhere ask for 6 + 2 * 4 votes here; counted apart they would ask for 10.
    assert causes == [Cause.TOO_FEW_VIEWS] * 7 + [Cause.AMBIGUOUS] * 8 + [Cause.ACCEPTED]


def test_a_fix_just_beside_the_place_is_no_rival_of_it():
    drive = Drive()
    beside = pose(0.3, 0.3) @ T_MAP_ODOM
    causes = []
    for place in [beside, *[None] * 6]:
        drive.move()
        causes.append(drive.recovery.on_fix(replace(drive.fix(place), covariance=0.25 * COVARIANCE)).cause)
    assert causes == [Cause.TOO_FEW_VIEWS] * 6 + [Cause.ACCEPTED]


def test_heavy_tails_that_divide_one_place_make_no_rival():
    drive = Drive()
    beside = pose(0.3, 0.3) @ T_MAP_ODOM
    decisions = []
    for i in range(16):
        drive.move()
        sharp = replace(drive.fix(beside if i % 3 == 2 else None), covariance=0.25 * COVARIANCE)
        decisions.append(drive.recovery.on_fix(sharp))
    assert decisions[-1].trusted is not None
    assert np.linalg.norm(decisions[-1].trusted.T_map_odom - T_MAP_ODOM) < 0.3


def test_an_uncertain_pose_is_not_published():
    drive = Drive(replace(RecoverySettings(), max_position_std_m=0.01))
    decisions = drive.steps(12)
    assert all(decision.trusted is None for decision in decisions)
    assert decisions[-1].cause is Cause.UNCERTAIN
    assert "limits 0.01 m" in decisions[-1].detail


def test_without_odometry_time_makes_views():
    recovery = Recovery(RecoverySettings.hand_held(), OdometryNoise.hand_held())
    decisions = []
    for i in range(30):
        walked = Belief(
            T_map_body=pose(0.2 * i, 0.0, 0.1 * i),
            covariance=COVARIANCE,
            T_odom_body=np.eye(4),
            stamp_ns=i * NS_PER_S // 3,
        )
        decisions.append(recovery.on_fix(walked))
    first = next(i for i, decision in enumerate(decisions) if decision.publish is not None)
    assert 3 * (RecoverySettings().votes_to_accept - 1) <= first <= 20
    assert np.linalg.norm(decisions[-1].publish.T_map_body[:3, 3] - [5.8, 0.0, 0.0]) < 0.1
