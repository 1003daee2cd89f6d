"""What holds whatever happens to a robot, in whatever map frame; and settings that make no sense."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from driving import ELSEWHERE, FAR_AWAY, Drive
from hypothesis import given, settings
from hypothesis import strategies as st

from reloc_ros.errors import ConfigError
from reloc_ros.geometry import covariance, rotation, se3
from reloc_ros.localization.decision import State
from reloc_ros.localization.fusion import NS_PER_S, OdometryNoise
from reloc_ros.localization.recovery import Recovery
from reloc_ros.localization.recovery_settings import RecoverySettings

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
