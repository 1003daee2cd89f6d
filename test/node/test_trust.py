"""Which belief holds when there are several maps, or when every image is believed by itself."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy (a ROS 2 installation or the ros_from_pip overlay)")

from reloc_ros.errors import ConfigError
from reloc_ros.geometry import se3
from reloc_ros.localization.decision import Cause, State
from reloc_ros.localization.fusion import Belief, OdometryNoise
from reloc_ros.localization.recovery_settings import RecoverySettings
from reloc_ros.node.settings import Settings
from reloc_ros.node.trust import Judgement, SingleTrust, VerifiedTrust, create_trust, recovery_settings

COVARIANCE = np.diag([0.05, 0.05, 0.05, 0.02, 0.02, 0.02]) ** 2
STEP_NS = 200_000_000


class Drive:
    """Drives straight on; what the images see is the caller's choice."""

    def __init__(self, *map_frames: str) -> None:
        self.trust = VerifiedTrust(RecoverySettings(votes_at_first=6.0), OdometryNoise())
        self.trust.serve(map_frames)
        self.images = 0

    def see(self, map_frame: str, images: int = 1) -> Judgement:
        for _ in range(images):
            self.images += 1
            judgement = self.trust.on_fix(map_frame, self.fix(5.0 if map_frame == "cellar" else -3.0))
        return judgement

    def fix(self, start_m: float) -> Belief:
        T_odom_body = se3.from_rotation_translation(np.eye(3), [0.31 * self.images, 0.0, 0.0])
        T_map_odom = se3.from_rotation_translation(np.eye(3), [start_m, 1.0, 0.0])
        return Belief(
            T_map_body=T_map_odom @ T_odom_body,
            covariance=COVARIANCE,
            T_odom_body=T_odom_body,
            stamp_ns=self.images * STEP_NS,
        )


def said(judgement: Judgement) -> tuple[str, State]:
    return judgement.map_frame, judgement.decision.state


def test_the_map_that_six_views_agree_on_is_trusted() -> None:
    drive = Drive("attic", "cellar")
    assert said(drive.see("attic", 2)) == ("attic", State.CANDIDATE)
    drive.see("cellar")
    assert said(drive.see("attic", 3)) == ("attic", State.CANDIDATE)
    judgement = drive.see("attic")
    assert said(judgement) == ("attic", State.TRACKING)
    assert judgement.decision.publish is not None


def test_single_fixes_in_another_map_are_rejected_ones() -> None:
    drive = Drive("attic", "cellar")
    drive.see("attic", 6)
    judgement = drive.see("cellar")
    assert judgement.map_frame == "attic"
    assert judgement.decision.publish is None
    assert "the fix is in cellar" in judgement.decision.detail
    assert said(drive.see("attic")) == ("attic", State.TRACKING)


def test_another_map_wins_once_the_first_is_no_longer_tracked() -> None:
    drive = Drive("attic", "cellar")
    drive.see("attic", 6)
    silent = [drive.see("cellar") for _ in range(10)]
    assert all(judgement.decision.publish is None for judgement in silent)
    winners = [drive.see("cellar") for _ in range(10)]
    assert said(winners[-1]) == ("cellar", State.TRACKING)
    first = next(each for each in winners if each.map_frame == "cellar")
    assert first.decision.recovered, "map to odom jumps on the change"
    # The loser begins anew: its old votes do not help it.
    assert said(drive.see("attic")) == ("cellar", State.TRACKING)
    assert drive.trust._machines["attic"].state is State.INIT


def test_a_tracked_map_is_not_taken_over_by_scattered_fixes_in_another() -> None:
    drive = Drive("attic", "cellar")
    drive.see("attic", 6)
    for _ in range(12):
        drive.see("cellar")
        assert said(drive.see("attic", 2)) == ("attic", State.TRACKING)


def test_an_anchor_in_one_map_ends_trust_in_the_other() -> None:
    drive = Drive("attic", "cellar")
    drive.see("attic", 6)
    judgement = drive.trust.on_prior("cellar", drive.fix(5.0), anchor=True)
    assert (said(judgement), judgement.decision.recovered) == (("cellar", State.DEGRADED), True)


def test_loss_and_reset_reach_every_map() -> None:
    drive = Drive("attic", "cellar")
    drive.see("attic", 6)
    assert said(drive.trust.on_loss("lifted")) == ("attic", State.LOST)
    assert drive.trust.reset(Cause.RESET, "anew").decision.state is State.INIT
    assert VerifiedTrust(RecoverySettings(), OdometryNoise()).on_time(5).decision.cause is Cause.NO_FIX_YET


def test_single_trust_believes_the_latest_image_whatever_it_says() -> None:
    trust, drive = SingleTrust(), Drive()
    fixes = [drive.fix(start_m) for start_m in (0.0, 40.0)]
    for fix in fixes:
        decision = trust.on_fix("map", fix).decision
        assert decision.publish is fix
        assert decision.trusted is fix
        assert decision.recovered
    after = [trust.on_rejected(9, np.eye(4), "dark"), trust.on_time(10), trust.on_prior("map", fixes[0], anchor=False)]
    assert all((each.decision.trusted, each.decision.publish) == (fixes[1], None) for each in after)
    assert trust.on_prior("map", fixes[0], anchor=True).decision.trusted is fixes[0]
    assert trust.on_loss("lifted").decision.trusted is None
    assert trust.reset(Cause.RESET, "anew").decision.state is State.INIT


def test_parameters_reach_the_state_machine() -> None:
    limits = recovery_settings(Settings(votes_to_accept=3.0, planar=True, trust_standing=True, lost_after_s=12.0))
    assert (limits.votes_to_accept, limits.votes_to_switch, limits.votes_with_prior) == (3.0, 5.0, 2.0)
    assert limits.votes_at_first == 12.0
    assert recovery_settings(Settings(votes_to_accept=8.0, votes_at_first=2.0)).votes_at_first == 8.0
    assert limits.planar
    assert limits.trust_standing
    assert (limits.lost_after_s, limits.view_s) == (12.0, math.inf)
    hand_held = recovery_settings(Settings(tf_mode="map_to_camera"))
    assert (hand_held.lost_after_s, hand_held.view_s) == (5.0, 1.0)
    assert isinstance(create_trust(Settings(trust="single")), SingleTrust)
    with pytest.raises(ConfigError, match="degraded_after_s"):
        create_trust(Settings(degraded_after_s=40.0))


@pytest.mark.parametrize(
    ("changes", "odometry", "body"),
    [
        ({}, True, "base"),
        ({"trust": "single"}, True, "base"),
        ({"tf_mode": "off"}, True, "base"),
        ({"tf_mode": "off", "odom_frame": ""}, False, "camera"),
        ({"tf_mode": "off", "trust": "single"}, False, "camera"),
        ({"tf_mode": "off", "trust": "single", "pose_of": "base"}, False, "base"),
        ({"tf_mode": "map_to_camera"}, False, "camera"),
        ({"tf_mode": "map_to_camera", "role": "initializer"}, True, "base"),
    ],
)
def test_odometry_is_asked_for_where_it_is_needed(changes: dict[str, str], odometry: bool, body: str) -> None:
    settings = dataclasses.replace(Settings(), **changes)
    assert (settings.uses_odometry, settings.body) == (odometry, body)
