"""What the node believes of a sequence: where its first frame is in a map, and for how long that holds.

anchored     by `initialpose`, by absolute fixes that were accepted, or by the last trusted pose: poses are in the
             map. Those between two fixes are carried by the sequence, their state is `degraded` and their
             covariance grows with the way since the anchor; beyond the gate the anchor is given up.
not anchored poses are in `spr_origin`, relative to the first frame, and no transform is broadcast.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from reloc_ros.bundle.manifest import GateSpec
from reloc_ros.geometry import se3
from reloc_ros.localization import planar
from reloc_ros.localization.decision import Cause, Decision, State
from reloc_ros.localization.fusion import NS_PER_S, Belief, OdometryNoise, predict
from reloc_ros.localization.sequence import SequenceEstimate
from reloc_ros.localization.sequence_anchor import ORIGIN_FRAME, Anchor, History, Passage
from reloc_ros.localization.solve.solution import Failure
from reloc_ros.node.sequence_frames import SequenceFrames
from reloc_ros.node.sequence_view import SequenceView
from reloc_ros.node.settings import Settings
from reloc_ros.node.transforms import Placed
from reloc_ros.node.trust import NOTHING_YET, Judgement, Trust, create_trust
from reloc_ros.types import Array

FROM_SEQUENCE = (Cause.CARRIED, Cause.NO_ANCHOR)
"""Causes of poses that no absolute fix stands behind."""

_LOSSES = (Cause.CONTRADICTED, Cause.LOSS_SIGNAL, Cause.ODOMETRY_JUMP, Cause.CLOCK_BACKWARD, Cause.RESET)
_ODOMETRY = OdometryNoise()
_GIVEN = "initialpose"


def sequence_trust(settings: Settings, frames: SequenceFrames) -> SequenceTrust:
    """Return the trust in a sequence, and in the fixes of the absolute bundle beside it if there is one.

    Raises:
        ConfigError: the limits contradict each other.
    """
    fixes = None if frames.fixes is None else create_trust(settings, by_sequence=True)
    return SequenceTrust(settings, frames.gate, fixes=fixes, accepted=frames.sequence.checkpoint)


class SequenceTrust:
    """Believes anchors, and the sequence between them.

    Args:
        settings: the node's parameters.
        gate: beyond it a carried pose is no pose.
        fixes: judges the fixes of an absolute bundle; None without one.
        accepted: told of each anchor that an accepted fix made.
    """

    def __init__(
        self, settings: Settings, gate: GateSpec, *, fixes: Trust | None, accepted: Callable[[Anchor], None]
    ) -> None:
        self._settings = settings
        self._gate = gate
        self._fixes = fixes
        self._accepted = accepted
        self._given: tuple[str, Belief, bool] | None = None
        self._clear()
        self._latest = NOTHING_YET
        self.view = SequenceView(note="no frame yet")

    def serve(self, map_frames: tuple[str, ...]) -> None:
        """Say which map frames there are."""
        if self._fixes is not None:
            self._fixes.serve(map_frames)

    def on_sequence(self, placed: Placed, fix: Placed | Failure) -> Judgement:
        """Step with one image: its pose in the sequence, and the absolute fix of the same image or why there is none."""
        estimate = placed.estimate
        if not isinstance(estimate, SequenceEstimate):
            raise TypeError(f"expected an estimate of a sequence, found {type(estimate).__name__}")
        now = Passage(stamp_ns=estimate.stamp_ns, T_first_body=placed.fix.T_map_body, drift=estimate.drift)
        if estimate.chain != self._chain:
            self._begin(estimate, placed, now)
        self._history.note(now)
        self._use_given(placed, now)
        judged = None if self._fixes is None else self._judge_fix(self._fixes, placed, now, fix)
        judgement = self._answer(placed, now, judged)
        self._look(estimate, judgement)
        return self._keep(judgement)

    def on_fix(self, map_frame: str, fix: Belief) -> Judgement:
        """Step with an absolute fix of an image that has no place in the sequence."""
        if self._fixes is None:
            return self._latest
        # Without odometry nobody knows how this fix lies to the others.
        known = self._settings.uses_odometry
        judged = self._fixes.on_fix(map_frame, fix) if known else self._fixes.on_time(fix.stamp_ns)
        return self._keep(self._unless_carried(judged))

    def on_rejected(self, stamp_ns: int, T_odom_body: Array, detail: str) -> Judgement:
        """Step with an image that has no place in the sequence, and no fix."""
        if self._fixes is None:
            return self._keep(self._still(Cause.NO_FIX, detail))
        known = self._settings.uses_odometry
        judged = self._fixes.on_rejected(stamp_ns, T_odom_body, detail) if known else self._fixes.on_time(stamp_ns)
        return self._keep(self._unless_carried(judged))

    def on_time(self, stamp_ns: int) -> Judgement:
        """Step with the mere passing of time: without images, nothing carries the pose."""
        newest = self._history.newest
        silent_s = 0.0 if newest is None else (stamp_ns - newest.stamp_ns) / NS_PER_S
        if self._anchor is not None and silent_s > self._settings.lost_after_s:
            detail = f"no image for {silent_s:.1f} s (limit {self._settings.lost_after_s:g} s)"
            self._give_up()
            self._keep(Judgement(decision=Decision(state=State.LOST, cause=Cause.TIMED_OUT, detail=detail)))
        if self._fixes is None:
            return self._latest
        judged = self._unless_carried(self._fixes.on_time(stamp_ns))
        # What was said of the last image holds until the next.
        is_carried = self._anchor is not None and self._latest.decision.cause is Cause.CARRIED
        return self._latest if is_carried else self._keep(judged)

    def on_loss(self, detail: str) -> Judgement:
        """Step with word that the robot is lost: where it was counts no more."""
        self._give_up()
        if self._fixes is not None:
            return self._keep(self._fixes.on_loss(detail))
        return self._keep(Judgement(decision=Decision(state=State.LOST, cause=Cause.LOSS_SIGNAL, detail=detail)))

    def on_prior(self, map_frame: str, prior: Belief, *, anchor: bool) -> Judgement:
        """Step with a pose from elsewhere; the next image says where in the sequence it belongs.

        A pose that nobody vouches for needs fixes that agree with it, and counts for nothing without an absolute bundle.
        """
        if not anchor and self._fixes is None:
            return self._latest
        self._given = map_frame, prior, anchor
        return self._latest

    def reset(self, cause: Cause, detail: str) -> Judgement:
        """Forget everything."""
        self._clear()
        if self._fixes is not None:
            self._fixes.reset(cause, detail)
        return self._keep(Judgement(decision=Decision(state=State.INIT, cause=cause, detail=detail)))

    def _clear(self) -> None:
        self._chain = -1
        self._history = History()
        self._anchor: Anchor | None = None
        self._carried: Belief | None = None
        self._given = None
        self._idle = State.INIT
        self._limit_m, self._limit_rad = self._gate.max_position_std_m, self._gate.max_rotation_std_rad

    def _begin(self, estimate: SequenceEstimate, placed: Placed, now: Passage) -> None:
        """Another sequence begins: what the old one carried, odometry may carry on."""
        is_first, self._chain = self._chain < 0, estimate.chain
        self._history.clear()
        before, belief = self._anchor, self._carried
        self._anchor = self._carried = None
        if self._settings.uses_odometry:
            if before is not None and belief is not None:
                belief = predict(belief, placed.fix.T_odom_body, now.stamp_ns, _ODOMETRY)
                self._tie("last trusted pose", before.map_frame, belief, now)
        elif self._fixes is not None and not is_first:
            self._fixes.on_loss(f"the sequence, which told of the motion, began anew: {estimate.note}")
        if before is not None and self._anchor is None:
            self._idle = State.LOST

    def _use_given(self, placed: Placed, now: Passage) -> None:
        """Tie the sequence to the pose that was given, once its place in the sequence is known."""
        if self._given is None:
            return
        map_frame, prior, anchor = self._given
        if self._settings.uses_odometry:
            belief = predict(prior, placed.fix.T_odom_body, now.stamp_ns, _ODOMETRY)
        else:
            newest, found = self._history.newest, self._history.at(prior.stamp_ns)
            if found is None and newest is not None and prior.stamp_ns > newest.stamp_ns:
                return  # it belongs to an image that is still to come
            self._given = None
            if found is None:
                detail = f"the given pose is of {prior.stamp_ns / NS_PER_S:.3f} s, but {self._history.span()}"
                self._latest = self._still(Cause.NO_ANCHOR, detail)
                return
            given = Anchor(
                source=_GIVEN,
                map_frame=map_frame,
                T_map_body=prior.T_map_body,
                covariance=prior.covariance,
                at=found,
            )
            T_map_body, covariance = given.carry(now)
            belief = replace(placed.fix, T_map_body=T_map_body, covariance=covariance)
        self._given = None
        if self._fixes is not None:
            self._fixes.on_prior(map_frame, replace(belief, T_odom_body=self._motion_at(placed)), anchor=anchor)
        if anchor:
            self._tie(_GIVEN, map_frame, belief, now)

    def _judge_fix(self, fixes: Trust, placed: Placed, now: Passage, fix: Placed | Failure) -> Judgement:
        """Return what the absolute fix of this image means; without odometry the sequence tells of the motion."""
        T_odom_body = self._motion_at(placed)
        if isinstance(fix, Failure):
            return fixes.on_rejected(now.stamp_ns, T_odom_body, f"{fix.reason.value}: {fix.detail}")
        judged = fixes.on_fix(fix.map_frame, replace(fix.fix, T_odom_body=T_odom_body))
        belief = judged.decision.publish
        if belief is not None:
            self._tie("absolute fix", judged.map_frame, belief, now)
            if self._anchor is not None:
                self._accepted(self._anchor)
        elif judged.decision.cause in _LOSSES:
            self._give_up()
        return judged

    def _motion_at(self, placed: Placed) -> Array:
        """Return what tells the fixes of the motion: odometry, else the sequence from keyframe to keyframe."""
        estimate = placed.estimate
        if self._settings.uses_odometry or not isinstance(estimate, SequenceEstimate):
            return placed.fix.T_odom_body
        return estimate.T_first_chained @ se3.inverse(placed.T_body_camera)

    def _answer(self, placed: Placed, now: Passage, judged: Judgement | None) -> Judgement:
        if judged is not None and judged.decision.publish is not None:
            self._carried = judged.decision.publish
            return judged
        if self._anchor is None:
            if judged is not None and judged.decision.trusted is not None:
                return judged
            return self._unanchored(placed, judged)
        return self._carry(self._anchor, placed, now, judged)

    def _carry(self, anchor: Anchor, placed: Placed, now: Passage, judged: Judgement | None) -> Judgement:
        T_map_body, covariance = anchor.carry(now)
        belief = replace(placed.fix, T_map_body=T_map_body, covariance=covariance)
        if self._settings.planar:
            belief = planar.flatten_belief(belief)
        std_m, std_rad = belief.position_std_m, belief.rotation_std_rad
        doubt = f"{std_m:.2f} m, {std_rad:.3f} rad uncertain (limits {self._limit_m:.2f} m, {self._limit_rad:.3f} rad)"
        if std_m > self._limit_m or std_rad > self._limit_rad:
            self._give_up()
            if judged is not None and judged.decision.trusted is not None:
                return judged
            detail = f"the sequence carried the pose until it was {doubt}"
            return Judgement(decision=Decision(state=State.LOST, cause=Cause.UNCERTAIN, detail=detail))
        began, self._carried = self._latest.decision.trusted is None, belief
        if self._fixes is not None and judged is not None and judged.decision.cause is Cause.TIMED_OUT:
            # What dead reckoning lost, the sequence still has: few fixes that agree with it are enough to return.
            T_odom_body = self._motion_at(placed)
            self._fixes.on_prior(anchor.map_frame, replace(belief, T_odom_body=T_odom_body), anchor=False)
        trusted, state, why = belief, State.DEGRADED, ""
        if judged is not None:
            why = f"; {judged.decision.cause.value}: {judged.decision.detail}"
            state = State.TRACKING if judged.decision.state is State.TRACKING else State.DEGRADED
            # What odometry carries is the steadier base of map to odom.
            if self._settings.uses_odometry and judged.decision.trusted is not None:
                trusted = judged.decision.trusted
        seconds = (now.stamp_ns - anchor.at.stamp_ns) / NS_PER_S
        detail = f"carried by the sequence for {seconds:.1f} s since the {anchor.source}, {doubt}{why}"
        decision = Decision(
            state=state, cause=Cause.CARRIED, detail=detail, trusted=trusted, publish=belief, recovered=began
        )
        return Judgement(decision=decision, map_frame=anchor.map_frame)

    def _unanchored(self, placed: Placed, judged: Judgement | None) -> Judgement:
        state, detail = self._idle, "poses are relative to the first frame; give an initialpose"
        if judged is not None:
            state = judged.decision.state
            detail = f"poses are relative to the first frame; {judged.decision.cause.value}: {judged.decision.detail}"
        decision = Decision(state=state, cause=Cause.NO_ANCHOR, detail=detail, publish=placed.fix)
        return Judgement(decision=decision, map_frame=ORIGIN_FRAME)

    def _tie(self, source: str, map_frame: str, belief: Belief, at: Passage) -> None:
        self._anchor = Anchor(
            source=source, map_frame=map_frame, T_map_body=belief.T_map_body, covariance=belief.covariance, at=at
        )
        self._carried = belief
        self._idle = State.LOST
        # As in `recovery`, an anchor may start beyond the limits: it ends when its doubt has doubled.
        self._limit_m = max(self._gate.max_position_std_m, 2.0 * belief.position_std_m)
        self._limit_rad = max(self._gate.max_rotation_std_rad, 2.0 * belief.rotation_std_rad)

    def _give_up(self) -> None:
        self._idle = State.INIT if self._anchor is None and self._idle is State.INIT else State.LOST
        self._anchor = self._carried = self._given = None

    def _unless_carried(self, judged: Judgement) -> Judgement:
        """Return what the fixes say, but for the end of their trust while the sequence still carries the pose."""
        if judged.decision.cause in _LOSSES:
            self._give_up()
        if self._anchor is None or judged.decision.trusted is not None:
            return judged
        return self._still(judged.decision.cause, judged.decision.detail)

    def _still(self, cause: Cause, detail: str) -> Judgement:
        """Return what was believed before, for another cause."""
        decision = replace(self._latest.decision, cause=cause, detail=detail, publish=None, recovered=False)
        return replace(self._latest, decision=decision)

    def _keep(self, judgement: Judgement) -> Judgement:
        decision = replace(judgement.decision, publish=None, recovered=False)
        self._latest = replace(judgement, decision=decision)
        return judgement

    def _look(self, estimate: SequenceEstimate, judgement: Judgement) -> None:
        belief = judgement.decision.publish
        self.view = SequenceView(
            note=estimate.note,
            anchor="" if self._anchor is None else self._anchor.source,
            travelled_m=estimate.evidence.get("travelled_m", 0.0),
            position_std_m=0.0 if belief is None else belief.position_std_m,
            rotation_std_rad=0.0 if belief is None else belief.rotation_std_rad,
        )
