"""What the node believes: one state machine for each map frame, of which one at most is trusted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from reloc_ros.localization.decision import Cause, Decision, State
from reloc_ros.localization.fusion import Belief, OdometryNoise
from reloc_ros.localization.recovery import Recovery
from reloc_ros.localization.recovery_settings import RecoverySettings
from reloc_ros.node.settings import Settings
from reloc_ros.types import Array

_NOTHING_YET = Decision(state=State.INIT, cause=Cause.NO_FIX_YET, detail="no image was tried yet")
_BY_SEQUENCE_STD_M, _BY_SEQUENCE_STD_RAD = 1.0, 0.35
_NEAREST_TO_TRUST = (State.INIT, State.LOST, State.CANDIDATE)


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """A decision, and the map frame of its poses."""

    decision: Decision
    map_frame: str = ""


NOTHING_YET = Judgement(decision=_NOTHING_YET)


class Trust(Protocol):
    """Steps as in `Recovery`, for several map frames. Not thread-safe: call it under one lock."""

    def serve(self, map_frames: tuple[str, ...]) -> None:
        """Say which map frames there are."""

    def on_fix(self, map_frame: str, fix: Belief) -> Judgement:
        """Step with the pose of one image."""

    def on_rejected(self, stamp_ns: int, T_odom_body: Array, detail: str) -> Judgement:
        """Step with an image that gave no pose."""

    def on_time(self, stamp_ns: int) -> Judgement:
        """Step with the mere passing of time."""

    def on_loss(self, detail: str) -> Judgement:
        """Step with word that the robot is lost."""

    def on_prior(self, map_frame: str, prior: Belief, *, anchor: bool) -> Judgement:
        """Step with a pose from elsewhere."""

    def reset(self, cause: Cause, detail: str) -> Judgement:
        """Forget everything."""


def create_trust(settings: Settings, *, by_sequence: bool = False) -> Trust:
    """Return the rule that the parameter `trust` names.

    Args:
        settings: current parameters.
        by_sequence: a sequence tells of the motion where there is no odometry.

    Raises:
        ConfigError: the limits contradict each other.
    """
    if settings.trust == "single":
        return SingleTrust()
    unaided = OdometryNoise.of_sequence() if by_sequence else OdometryNoise.hand_held()
    noise = OdometryNoise() if settings.uses_odometry else unaided
    return VerifiedTrust(recovery_settings(settings, by_sequence=by_sequence), noise)


def recovery_settings(settings: Settings, *, by_sequence: bool = False) -> RecoverySettings:
    """Return the limits of the state machine that the parameters mean.

    Raises:
        ConfigError: they contradict each other.
    """
    motion_is_known = settings.uses_odometry or by_sequence
    limits = RecoverySettings() if motion_is_known else RecoverySettings.hand_held()
    if by_sequence and not settings.uses_odometry:
        # Carried by a network instead of wheels, a pose is soon as uncertain as wheels never make it.
        limits = replace(limits, lost_position_std_m=_BY_SEQUENCE_STD_M, lost_rotation_std_rad=_BY_SEQUENCE_STD_RAD)
    limits = limits.with_votes(settings.votes_to_accept)
    at_first = max(settings.votes_to_accept, settings.votes_at_first) if motion_is_known else limits.votes_at_first
    return replace(
        limits,
        votes_at_first=at_first,
        planar=settings.planar,
        trust_standing=settings.trust_standing,
        degraded_after_s=settings.degraded_after_s,
        # Without odometry dead reckoning is a guess, and its own limit the longest.
        lost_after_s=settings.lost_after_s if motion_is_known else min(limits.lost_after_s, settings.lost_after_s),
        lost_after_m=settings.lost_after_m,
    )


class SingleTrust:
    """Believes each image that passed the gates, at once and until the next, whatever happens."""

    def __init__(self) -> None:
        self._latest = NOTHING_YET

    def serve(self, map_frames: tuple[str, ...]) -> None:
        """Take any frame."""

    def on_fix(self, map_frame: str, fix: Belief) -> Judgement:
        """Believe it."""
        return self._believe(map_frame, fix, Cause.ACCEPTED, "each image is believed by itself", publish=fix)

    def on_rejected(self, stamp_ns: int, T_odom_body: Array, detail: str) -> Judgement:  # noqa: ARG002
        """Go on with the pose of the image before."""
        return self._latest

    def on_time(self, stamp_ns: int) -> Judgement:  # noqa: ARG002
        """Go on with the latest pose."""
        return self._latest

    def on_loss(self, detail: str) -> Judgement:
        """Forget the latest pose; the next image is believed again."""
        return self._forget(State.LOST, Cause.LOSS_SIGNAL, detail)

    def on_prior(self, map_frame: str, prior: Belief, *, anchor: bool) -> Judgement:
        """Believe an anchor until the next image."""
        if not anchor:
            return self._latest
        return self._believe(map_frame, prior, Cause.ANCHORED, "a pose was given")

    def reset(self, cause: Cause, detail: str) -> Judgement:
        """Forget the latest pose."""
        return self._forget(State.INIT, cause, detail)

    def _believe(
        self, map_frame: str, belief: Belief, cause: Cause, detail: str, *, publish: Belief | None = None
    ) -> Judgement:
        decision = Decision(state=State.TRACKING, cause=cause, detail=detail, trusted=belief)
        self._latest = Judgement(decision=decision, map_frame=map_frame)
        return replace(self._latest, decision=replace(decision, publish=publish, recovered=True))

    def _forget(self, state: State, cause: Cause, detail: str) -> Judgement:
        self._latest = Judgement(decision=Decision(state=state, cause=cause, detail=detail))
        return self._latest


class VerifiedTrust:
    """Believes what images agree on through odometry.

    A fix in another map frame than the trusted one counts as a rejected one. The other frame wins when it has earned
    trust by itself while the trusted one is no longer tracked; whoever wins, the others begin anew.

    Args:
        settings: limits.
        noise: of odometry.
    """

    def __init__(self, settings: RecoverySettings, noise: OdometryNoise) -> None:
        self._create: Callable[[], Recovery] = lambda: Recovery(settings, noise)
        self._machines: dict[str, Recovery] = {}
        self._trusted_frame = ""

    def serve(self, map_frames: tuple[str, ...]) -> None:
        """Give each frame its state machine."""
        for map_frame in map_frames:
            if map_frame not in self._machines:
                self._machines[map_frame] = self._create()

    def on_fix(self, map_frame: str, fix: Belief) -> Judgement:
        """Step with the pose of one image."""
        self.serve((map_frame,))
        elsewhere = f"the fix is in {map_frame}"
        return self._settle(
            {
                frame: machine.on_fix(fix)
                if frame == map_frame
                else machine.on_rejected(fix.stamp_ns, fix.T_odom_body, elsewhere)
                for frame, machine in self._machines.items()
            },
            latest=map_frame,
        )

    def on_rejected(self, stamp_ns: int, T_odom_body: Array, detail: str) -> Judgement:
        """Step with an image that gave no pose."""
        return self._each(lambda machine: machine.on_rejected(stamp_ns, T_odom_body, detail))

    def on_time(self, stamp_ns: int) -> Judgement:
        """Step with the mere passing of time."""
        return self._each(lambda machine: machine.on_time(stamp_ns))

    def on_loss(self, detail: str) -> Judgement:
        """Step with word that the robot is lost."""
        return self._each(lambda machine: machine.on_loss(detail))

    def on_prior(self, map_frame: str, prior: Belief, *, anchor: bool) -> Judgement:
        """Step with a pose from elsewhere: where the others stood counts no more."""
        self.serve((map_frame,))
        self._trusted_frame = ""
        return self._settle(
            {
                frame: machine.on_prior(prior, anchor=anchor)
                if frame == map_frame
                else machine.reset(detail=f"a pose was given in {map_frame}")
                for frame, machine in self._machines.items()
            },
            latest=map_frame,
        )

    def reset(self, cause: Cause, detail: str) -> Judgement:
        """Forget everything."""
        return self._each(lambda machine: machine.reset(cause, detail))

    def _each(self, step: Callable[[Recovery], Decision]) -> Judgement:
        return self._settle({frame: step(machine) for frame, machine in self._machines.items()})

    def _settle(self, decisions: dict[str, Decision], latest: str = "") -> Judgement:
        """Let one frame at most be trusted, and return what it says; else what the one nearest to trust says."""
        if not decisions:
            return NOTHING_YET
        ours = decisions.get(self._trusted_frame)
        if ours is None or ours.trusted is None:
            self._trusted_frame = ""
        is_tracking = bool(self._trusted_frame) and self._machines[self._trusted_frame].state is State.TRACKING
        rivals = [
            frame for frame, each in decisions.items() if each.trusted is not None and frame != self._trusted_frame
        ]
        if rivals and not is_tracking:
            self._trusted_frame, losers = rivals[0], [frame for frame in decisions if frame != rivals[0]]
        else:
            losers = rivals
        for frame in losers:
            decisions[frame] = self._machines[frame].reset(detail=f"{self._trusted_frame} is trusted")
        if self._trusted_frame:
            return Judgement(decision=decisions[self._trusted_frame], map_frame=self._trusted_frame)
        # Equals: the frame of the latest fix speaks.
        frame = max(decisions, key=lambda each: (_NEAREST_TO_TRUST.index(decisions[each].state), each == latest))
        return Judgement(decision=decisions[frame], map_frame=frame)
