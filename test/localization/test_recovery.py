"""Each way from state to state, each planted fault, and what must never happen."""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
from driving import COVARIANCE, ELSEWHERE, FAR_AWAY, T_MAP_ODOM, Drive, pose
from hypothesis import given, settings
from hypothesis import strategies as st

from reloc_ros.errors import ConfigError
from reloc_ros.geometry import covariance, rotation, se3
from reloc_ros.localization.decision import Cause, State
from reloc_ros.localization.fusion import NS_PER_S, Belief, OdometryNoise
from reloc_ros.localization.recovery import Recovery
from reloc_ros.localization.recovery_settings import RecoverySettings

# Each step of the drive is one whole view.
FIXES_TO_ACCEPT = round(RecoverySettings().votes_to_accept)


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


def test_a_wrong_fix_is_neither_published_nor_fused():
    drive = Drive().track()
    before = drive.steps(1)[0]
    wrong = drive.step(ELSEWHERE)
    assert (wrong.state, wrong.cause, wrong.publish) == (State.TRACKING, Cause.OUTLIER, None)
    np.testing.assert_allclose(wrong.trusted.T_map_odom, before.trusted.T_map_odom, atol=1e-9)
    assert drive.step().publish is not None


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


def test_an_uncertain_pose_is_not_published():
    drive = Drive(replace(RecoverySettings(), max_position_std_m=0.01))
    decisions = drive.steps(12)
    assert all(decision.trusted is None for decision in decisions)
    assert decisions[-1].cause is Cause.UNCERTAIN
    assert "limits 0.01 m" in decisions[-1].detail


def test_a_planar_robot_refuses_a_fix_above_the_floor():
    drive = Drive(replace(RecoverySettings(), planar=True)).track()
    assert drive.step(T_MAP_ODOM @ pose(z=0.1)).cause is Cause.AGREES
    high = drive.step(T_MAP_ODOM @ pose(z=0.6))
    assert (high.cause, high.publish) == (Cause.OFF_FLOOR, None)
    tilted = drive.step(T_MAP_ODOM @ pose(roll=0.3))
    assert tilted.cause is Cause.OFF_FLOOR
    decision = drive.step()
    assert decision.publish.T_map_body[2, 3] == 0.0


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


# What may happen to a robot, as single letters: a right fix, two wrong places, no fix, a pause.
STORIES = st.text(alphabet="rrrrabn.", min_size=5, max_size=40)


def live(story: str, drive: Drive) -> list:
    decisions = []
    for event in story:
        if event == "n":
            decisions.append(drive.reject())
        elif event == ".":
            drive.stamp_ns += NS_PER_S
            decisions.append(drive.recovery.on_time(drive.stamp_ns))
        else:
            decisions.append(drive.step({"r": None, "a": ELSEWHERE, "b": FAR_AWAY}[event]))
    return decisions


@settings(max_examples=40, deadline=None)
@given(story=STORIES, warm=st.booleans())
def test_nothing_is_published_after_a_reset_before_enough_fixes_agree(story, warm):
    drive = Drive()
    if warm:
        drive.track()
        drive.recovery.reset()
    for i, decision in enumerate(live(story, drive)):
        most = max(story[: i + 1].count(event) for event in "rab")
        if most < RecoverySettings().votes_to_accept:
            assert decision.trusted is None
            assert decision.publish is None
            assert decision.state in {State.INIT, State.CANDIDATE}


@settings(max_examples=30, deadline=None)
@given(story=STORIES)
def test_a_silent_state_trusts_nothing_and_a_published_pose_is_trusted(story):
    for decision in live(story, Drive()):
        silent = decision.state in {State.INIT, State.LOST, State.CANDIDATE}
        assert silent == (decision.trusted is None)
        if decision.publish is not None:
            assert decision.state is State.TRACKING
            assert decision.publish is decision.trusted
        assert decision.detail


ANGLES = st.tuples(*[st.floats(-3.0, 3.0)] * 3)
SHIFTS = st.tuples(*[st.floats(-100.0, 100.0)] * 3)


class Elsewhere(Recovery):
    """A machine whose map lies elsewhere: every fix is moved before it is used."""

    def __init__(self, settings: RecoverySettings, T_new_map: np.ndarray) -> None:
        super().__init__(settings, OdometryNoise())
        self.T_new_map = T_new_map

    def on_fix(self, fix):
        turned = covariance.change_map_frame(fix.covariance, self.T_new_map[:3, :3])
        return super().on_fix(replace(fix, T_map_body=self.T_new_map @ fix.T_map_body, covariance=turned))


@settings(max_examples=25, deadline=None)
@given(story=STORIES, rotvec=ANGLES, shift=SHIFTS)
def test_the_choice_of_the_map_frame_does_not_matter(story, rotvec, shift):
    T_new_map = se3.from_rotation_translation(rotation.exp(rotvec), shift)
    here, there = Drive(), Drive()
    there.recovery = Elsewhere(there.settings, T_new_map)
    for one, other in zip(live(story, here), live(story, there)):
        assert (one.state, one.cause) == (other.state, other.cause)
        if one.trusted is not None:
            np.testing.assert_allclose(T_new_map @ one.trusted.T_map_body, other.trusted.T_map_body, atol=1e-6)
            turned = covariance.change_map_frame(one.trusted.covariance, T_new_map[:3, :3])
            np.testing.assert_allclose(turned, other.trusted.covariance, atol=1e-9)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("gate_probability", 1.0),
        ("min_share", 1.1),
        ("votes_to_accept", 11.0),
        ("votes_to_switch", 50.0),
        ("lost_after_s", 1.0),
        ("view_travel_m", 0.0),
        ("view_turn_rad", math.nan),
    ],
)
def test_nonsense_is_refused_by_name(setting, value):
    with pytest.raises(ConfigError, match="recovery setting"):
        replace(RecoverySettings(), **{setting: value})
