"""What is believed of a sequence, event by event, without ROS messages or a clock."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy (a ROS 2 installation or the ros_from_pip overlay)")

from fake_bundles import AS_SOLVED, make_scene
from hypothesis import given, settings
from hypothesis import strategies as st

from reloc_ros.geometry import rotation, se3
from reloc_ros.localization.decision import Cause, State
from reloc_ros.localization.fusion import Belief
from reloc_ros.localization.sequence import SequenceEstimate
from reloc_ros.localization.sequence_anchor import Anchor, Drift
from reloc_ros.localization.solve.solution import Failure
from reloc_ros.node.sequence_trust import SequenceTrust
from reloc_ros.node.settings import Settings
from reloc_ros.node.transforms import Placed
from reloc_ros.node.trust import Judgement, create_trust
from reloc_ros.types import Array, Reason

S = 1_000_000_000
GATE = make_scene(covariance=AS_SOLVED).gate
NOTHING = Failure(reason=Reason.DEGENERATE, detail="nothing to see")
T_MAP_FIRST = se3.from_rotation_translation(rotation.exp([0.0, 0.0, 1.1]), [7.0, -3.0, 0.0])
CERTAIN = np.diag([0.02, 0.02, 0.02, 0.01, 0.01, 0.01]) ** 2
ALONE = Settings(tf_mode="map_to_camera", trust="single")
WITH_ODOMETRY = Settings()


def at(step: int) -> Array:
    """Return T_first_body after a number of steps of 0.2 m."""
    return se3.from_rotation_translation(rotation.exp([0.0, 0.0, 0.05 * step]), [0.2 * step, 0.0, 0.0])


def placed(step: int, *, chain: int = 0, T_odom_body: Array | None = None, variance: float | None = None) -> Placed:
    """Return the place of an image in the sequence."""
    stamp_ns = (100 + step) * S
    drift = Drift(position_m2=1e-3 * step if variance is None else variance, rotation_rad2=1e-5 * step)
    covariance = np.diag([drift.position_m2 + 1e-6] * 3 + [drift.rotation_rad2 + 1e-6] * 3)
    estimate = SequenceEstimate(
        T_map_camera=at(step),
        covariance=covariance,
        map_frame="spr_origin",
        stamp_ns=stamp_ns,
        evidence={"travelled_m": 0.2 * step},
        chain=chain,
        T_first_chained=at(step),
        drift=drift,
        is_keyframe=True,
        note="first frame",
    )
    odometry = np.eye(4) if T_odom_body is None else T_odom_body
    fix = Belief(T_map_body=at(step), covariance=covariance, T_odom_body=odometry, stamp_ns=stamp_ns)
    return Placed(estimate=estimate, fix=fix, map_frame="spr_origin", camera_frame="camera", T_body_camera=np.eye(4))


def fix(step: int) -> Placed:
    """Return the absolute fix of an image: the truth."""
    ours = placed(step)
    belief = replace(ours.fix, T_map_body=T_MAP_FIRST @ at(step), covariance=CERTAIN)
    return replace(ours, fix=belief, map_frame="map")


def trust(node: Settings = ALONE, *, fixes: bool = True, accepted: list[Anchor] | None = None) -> SequenceTrust:
    noted = [] if accepted is None else accepted
    inner = create_trust(node, by_sequence=True) if fixes else None
    return SequenceTrust(node, GATE, fixes=inner, accepted=noted.append)


def prior(step: int, *, std_m: float = 0.1) -> Belief:
    covariance = np.diag([std_m, std_m, std_m, 0.05, 0.05, 0.05]) ** 2
    stamp_ns = (100 + step) * S
    return Belief(T_map_body=T_MAP_FIRST @ at(step), covariance=covariance, T_odom_body=np.eye(4), stamp_ns=stamp_ns)


def told(judgement: Judgement) -> tuple[str, State, Cause, bool]:
    decision = judgement.decision
    return judgement.map_frame, decision.state, decision.cause, decision.publish is not None


def test_fixes_are_published_and_kept_as_anchors_and_the_sequence_carries_between_them() -> None:
    accepted: list[Anchor] = []
    ours = trust(accepted=accepted)
    assert told(ours.on_sequence(placed(0), NOTHING)) == ("spr_origin", State.INIT, Cause.NO_ANCHOR, True)
    assert told(ours.on_sequence(placed(1), fix(1))) == ("map", State.TRACKING, Cause.ACCEPTED, True)
    assert [anchor.source for anchor in accepted] == ["absolute fix"]
    stds_m = []
    for step in range(2, 12):
        judgement = ours.on_sequence(placed(step), NOTHING)
        assert told(judgement) == ("map", State.TRACKING, Cause.CARRIED, True)
        belief = judgement.decision.publish
        assert belief is not None
        np.testing.assert_allclose(belief.T_map_body, T_MAP_FIRST @ at(step), atol=1e-9)
        stds_m.append(belief.position_std_m)
    assert np.all(np.diff(stds_m) > 0.0)
    again = ours.on_sequence(placed(12), fix(12)).decision.publish
    assert again is not None
    assert again.position_std_m < stds_m[0]


def test_beyond_the_gate_it_is_silent_once_and_then_relative_to_the_first_frame() -> None:
    ours = trust(fixes=False)
    ours.on_sequence(placed(0), NOTHING)
    ours.on_prior("map", prior(1), anchor=True)
    assert told(ours.on_sequence(placed(1), NOTHING)) == ("map", State.DEGRADED, Cause.CARRIED, True)
    limit_m = GATE.max_position_std_m
    frame, state, cause, publishes = told(ours.on_sequence(placed(2, variance=limit_m**2), NOTHING))
    assert (frame, state, cause, publishes) == ("", State.LOST, Cause.UNCERTAIN, False)
    assert told(ours.on_sequence(placed(3, variance=limit_m**2), NOTHING))[:3] == (
        "spr_origin",
        State.LOST,
        Cause.NO_ANCHOR,
    )


def test_an_anchor_that_is_less_certain_than_the_gate_holds_until_its_doubt_has_doubled() -> None:
    ours = trust(fixes=False)
    ours.on_sequence(placed(0), NOTHING)
    ours.on_prior("map", prior(1, std_m=2.0), anchor=True)
    assert told(ours.on_sequence(placed(1), NOTHING))[0] == "map"
    assert told(ours.on_sequence(placed(2, variance=11.0), NOTHING))[0] == "map"
    assert told(ours.on_sequence(placed(3, variance=13.0), NOTHING))[0] == ""


def test_a_pose_that_nobody_vouches_for_is_no_anchor() -> None:
    ours = trust(fixes=False)
    ours.on_sequence(placed(0), NOTHING)
    ours.on_prior("map", prior(0), anchor=False)
    assert told(ours.on_sequence(placed(1), NOTHING))[0] == "spr_origin"


def test_where_the_sequence_breaks_the_last_trusted_pose_is_carried_on_by_odometry() -> None:
    ours = trust(WITH_ODOMETRY, fixes=False)
    ours.on_sequence(placed(0, T_odom_body=at(0)), NOTHING)
    ours.on_prior("map", replace(prior(0), T_odom_body=at(0)), anchor=True)
    ours.on_sequence(placed(1, T_odom_body=at(1)), NOTHING)
    # Another chain: its first frame is here, where odometry says step 5.
    first = replace(placed(5, chain=1, T_odom_body=at(5)))
    first = replace(first, fix=replace(first.fix, T_map_body=np.eye(4)))
    judgement = ours.on_sequence(first, NOTHING)
    assert told(judgement)[0] == "map"
    assert ours.view.anchor == "last trusted pose"
    assert judgement.decision.publish is not None
    np.testing.assert_allclose(judgement.decision.publish.T_map_body, T_MAP_FIRST @ at(5), atol=1e-9)


def test_where_the_sequence_breaks_without_odometry_the_map_is_lost() -> None:
    ours = trust(fixes=False)
    ours.on_sequence(placed(0), NOTHING)
    ours.on_prior("map", prior(0), anchor=True)
    assert told(ours.on_sequence(placed(1), NOTHING))[0] == "map"
    assert told(ours.on_sequence(placed(2, chain=1), NOTHING))[:3] == ("spr_origin", State.LOST, Cause.NO_ANCHOR)


def test_a_loss_and_a_reset_untie_the_map() -> None:
    for end, state in (
        (lambda o: o.on_loss("kidnapped"), State.LOST),
        (lambda o: o.reset(Cause.RESET, "so"), State.INIT),
    ):
        ours = trust(fixes=False)
        ours.on_sequence(placed(0), NOTHING)
        ours.on_prior("map", prior(0), anchor=True)
        ours.on_sequence(placed(1), NOTHING)
        assert end(ours).decision.trusted is None
        assert told(ours.on_sequence(placed(2), NOTHING))[:2] == ("spr_origin", state)


def test_fixes_that_agree_with_the_carried_pose_return_to_trust_sooner_than_they_earned_it() -> None:
    node = Settings(tf_mode="map_to_camera", votes_at_first=6.0, degraded_after_s=1.0, lost_after_s=3.0)
    ours = trust(node)
    earned = next(step for step in range(30) if told(ours.on_sequence(placed(step), fix(step)))[1] is State.TRACKING)
    blind = [ours.on_sequence(placed(step), NOTHING) for step in range(earned + 1, earned + 9)]
    assert "timed_out" in " ".join(judgement.decision.detail for judgement in blind)
    assert all(told(judgement)[0] == "map" for judgement in blind)
    returned = next(
        step
        for step in range(30)
        if told(ours.on_sequence(placed(earned + 9 + step), fix(earned + 9 + step)))[2] is not Cause.CARRIED
    )
    assert 0 < returned < 0.5 * earned


def test_without_images_the_pose_ends() -> None:
    ours = trust(fixes=False)
    ours.on_sequence(placed(0), NOTHING)
    ours.on_prior("map", prior(0), anchor=True)
    ours.on_sequence(placed(1), NOTHING)
    assert ours.on_time(110 * S).decision.trusted is not None
    late = ours.on_time(140 * S).decision
    assert (late.state, late.cause, late.trusted) == (State.LOST, Cause.TIMED_OUT, None)


def test_an_image_without_a_place_in_the_sequence_is_named_and_publishes_nothing() -> None:
    ours = trust(fixes=False)
    ours.on_sequence(placed(0), NOTHING)
    judgement = ours.on_rejected(101 * S, np.eye(4), "degenerate: dark")
    assert told(judgement)[2:] == (Cause.NO_FIX, False)
    assert judgement.decision.detail == "degenerate: dark"


_EVENTS = st.lists(
    st.sampled_from(["sequence", "fix", "rejected", "time", "loss", "prior", "saved", "reset", "break", "far"]),
    min_size=1,
    max_size=30,
)


def _quiet(ours: SequenceTrust, event: str, step: int) -> Judgement:
    """Take an event that is no image with a place in the sequence."""
    steps = {
        "rejected": lambda: ours.on_rejected((100 + step) * S, at(step), "dark"),
        "time": lambda: ours.on_time((100 + step) * S),
        "loss": lambda: ours.on_loss("so"),
        "reset": lambda: ours.reset(Cause.RESET, "so"),
    }
    return steps[event]()


@settings(deadline=None)
@given(_EVENTS, st.sampled_from([True, False]), st.sampled_from([ALONE, WITH_ODOMETRY]))
def test_whatever_happens_the_map_needs_an_anchor_and_doubt_shrinks_by_news_alone(
    events: list[str], fixes: bool, node: Settings
) -> None:
    ours, chain, variance, known, least_m = trust(node, fixes=fixes), 0, 1e-4, False, 0.0
    for step, event in enumerate(events):
        variance += 0.3 if event == "far" else 1e-3
        image: dict[str, Any] = {"chain": chain, "T_odom_body": at(step), "variance": variance}
        judgement = None
        if event in ("sequence", "far"):
            judgement = ours.on_sequence(placed(step, **image), NOTHING)
        elif event == "fix":
            known, least_m = known or fixes, 0.0
            judgement = ours.on_sequence(placed(step, **image), fix(step))
        elif event == "break":
            chain, variance = chain + 1, 1e-4
            known, least_m = known and node.uses_odometry, 0.0
        elif event == "prior":
            known, least_m = True, 0.0
            ours.on_prior("map", replace(prior(step), T_odom_body=at(step)), anchor=True)
        elif event == "saved":
            known, least_m = known or fixes, 0.0
            ours.on_prior("map", replace(prior(step), T_odom_body=at(step)), anchor=False)
        else:
            known = known and event not in ("loss", "reset")
            assert _quiet(ours, event, step).decision.publish is None
        if judgement is None or judgement.decision.publish is None:
            continue
        belief = judgement.decision.publish
        if judgement.map_frame == "spr_origin":
            assert judgement.decision.trusted is None
            least_m = 0.0
            continue
        assert known
        assert judgement.map_frame == "map"
        np.testing.assert_array_equal(belief.covariance, belief.covariance.T)
        assert belief.position_std_m >= least_m - 1e-9
        least_m = belief.position_std_m if event != "fix" else 0.0
