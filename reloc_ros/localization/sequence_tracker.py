"""What a frame does to a sequence: nothing, when it moved too little; a keyframe; a new origin; a new beginning.

The network keeps what it saw in a state of constant size. Its poses are relative to the *origin*, the frame that the
state began with; the tracker ties each origin to the first frame, so that what comes out is relative to that throughout.

    keyframe     moved far enough since the last one: it feeds the state.
    new origin   the way is longer than the network was trained for, or the frame cannot be compared with the last
                 keyframe but odometry knows the way between.
    resumed      it cannot be compared with the last keyframe, but with that of the checkpoint.
    begun anew   none of these: it is the first frame of another chain.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from reloc_ros.bundle.manifest import CovarianceSpec
from reloc_ros.geometry import se3
from reloc_ros.localization.calibration import calibrated
from reloc_ros.localization.followed import Followed, SequenceFrame, joined
from reloc_ros.localization.fusion import NS_PER_S, OdometryNoise, motion
from reloc_ros.localization.keyframes import KeyframePolicy
from reloc_ros.localization.sequence_anchor import Anchor, Drift
from reloc_ros.localization.sequence_network import SequenceNetwork, Step
from reloc_ros.localization.sequence_state import SequenceState
from reloc_ros.localization.solve.solution import Failure
from reloc_ros.types import Array, Reason

_log = logging.getLogger(__name__)

_RESTART_NS = NS_PER_S
"""An image this much older than the last one is no late delivery: a bag was started again."""

_ODOMETRY, _BY_NETWORK = OdometryNoise(), OdometryNoise.of_sequence()

_ALIKE = 1.5
"""Two frames are of one place when their features differ by no more than so many times those of two keyframes do."""

_NEWS = 0.1
"""Share of the latest keyframe in the running mean."""


@dataclass(frozen=True, kw_only=True)
class SequenceLimits:
    """What a sequence may do to its next frame.

    Args:
        max_gap_s: longest time between two frames that are compared where no odometry tells of the motion.
        max_motion_m: largest motion between two keyframes: that of the pairs the network was trained on.
        max_motion_rad: the same for the rotation.
        roll_check: compare the answer with that to the panorama turned; doubles the cost.
    """

    max_gap_s: float = 2.0
    max_motion_m: float = 1.5
    max_motion_rad: float = 1.05
    roll_check: bool = False


class SequenceTracker:
    """Follows a sequence with the network.

    Args:
        network: encoder and step.
        calibration: of the network's variances.
        limits: when frames can no longer be compared.
    """

    def __init__(self, network: SequenceNetwork, calibration: CovarianceSpec, limits: SequenceLimits) -> None:
        self.state: SequenceState | None = None
        """After the last keyframe; None before the first."""
        self.chain = 0
        """Number of the sequence at hand; poses of different ones have nothing to do with each other."""
        self.note = "no frame yet"
        """What befell the sequence last, in words."""
        self._network = network
        self._calibration = calibration
        self._limits = limits
        spec = network.spec
        self._policy = KeyframePolicy(
            translation_m=spec.keyframe_translation_m,
            rotation_rad=spec.keyframe_rotation_rad,
            max_translation_m=limits.max_motion_m,
            max_rotation_rad=limits.max_motion_rad,
        )
        self._checkpoint: SequenceState | None = None
        self._newest_ns = 0

    def begin(self, why: str) -> None:
        """Forget everything; the next frame is the first one."""
        self.state = self._checkpoint = None
        self._newest_ns = 0
        self.chain += 1
        self._say(why)

    def admit(self, stamp_ns: int) -> Failure | None:
        """Return why a frame of this stamp is not used, or None. A jump back of the clock begins another sequence."""
        back_ns = self._newest_ns - stamp_ns
        if back_ns > _RESTART_NS:
            self.begin(f"first frame after stamps went back by {back_ns / NS_PER_S:.3f} s")
        elif self._newest_ns > 0 and back_ns >= 0:
            detail = f"stamp {stamp_ns / NS_PER_S:.3f} s is not after {self._newest_ns / NS_PER_S:.3f} s"
            return Failure(reason=Reason.OUT_OF_ORDER, detail=f"{detail}, which the sequence has seen")
        return None

    def checkpoint(self, anchor: Anchor | None = None) -> None:
        """Keep the state, to go on from there when the sequence breaks."""
        if self.state is not None:
            self.state = self._checkpoint = replace(self.state, anchor=anchor)

    def resume(self, state: SequenceState) -> None:
        """Go on from a saved state."""
        self.begin(f"restored to the state of {state.stamp_ns / NS_PER_S:.3f} s")
        self.state = self._checkpoint = state
        self._newest_ns = state.stamp_ns

    def follow(self, frame: SequenceFrame) -> Followed:
        """Return the frame in its place, and let it do to the state what it does.

        Raises:
            BackendError: the network does not run; the state is what it was.
        """
        state = self.state
        followed = self._first(frame) if state is None else self._compared(frame, state)
        self._newest_ns = frame.stamp_ns
        return followed

    def accept(self, followed: Followed) -> None:
        """Let the drift of a frame that passed the gates count from now on."""
        if self.state is not None and self.state.T_first_origin is followed.T_first_origin:
            walked = self.state.peak
            peak = replace(followed.peak, walked_m2=walked.walked_m2, walked_rad2=walked.walked_rad2)
            self.state = replace(self.state, peak=peak)

    def _compared(self, frame: SequenceFrame, state: SequenceState) -> Followed:
        gap_s = (frame.stamp_ns - self._newest_ns) / NS_PER_S
        by_odometry = _between(state.T_odom_keyframe, frame.T_odom_camera)
        if by_odometry is None and gap_s > self._limits.max_gap_s:
            return self._broken(frame, f"no frame for {gap_s:.1f} s (limit {self._limits.max_gap_s:g} s)")
        step = self._network.step(frame.feature, state.arrays)
        T_keyframe_camera = self._moved(step, state) if by_odometry is None else by_odometry
        too_far = self._policy.too_far(T_keyframe_camera)
        if not too_far:
            return self._next(frame, step, state, T_keyframe_camera)
        if by_odometry is None:
            return self._broken(frame, too_far)
        return self._bridged(frame, state, by_odometry, too_far)

    def _moved(self, step: Step, state: SequenceState) -> Array:
        """Return the motion since the last keyframe by the network's own word, where there is no odometry."""
        if self._network.knows_motion:
            return step.T_previous_camera
        return se3.inverse(state.T_origin_keyframe) @ step.T_origin_camera

    def _first(self, frame: SequenceFrame) -> Followed:
        """The frame is the first of a sequence."""
        step = self._network.step(frame.feature, self._network.fresh())
        self.state = self._fresh_state(frame, step)
        return self._placed(step, self.state, np.eye(4), 0.0, is_keyframe=True)

    def _next(self, frame: SequenceFrame, step: Step, state: SequenceState, T_keyframe_camera: Array) -> Followed:
        """The frame goes on from the last keyframe; it becomes one when it moved enough."""
        is_keyframe = self._policy.is_keyframe(T_keyframe_camera)
        seconds = (frame.stamp_ns - state.stamp_ns) / NS_PER_S
        checked = frame.check(step, state.arrays)
        followed = self._placed(checked, state, T_keyframe_camera, seconds, is_keyframe=is_keyframe)
        if not is_keyframe:
            self.state = state
            return followed
        moved_m, _ = motion(se3.inverse(state.T_origin_keyframe) @ step.T_origin_camera)
        self.state = replace(
            state,
            arrays=step.arrays,
            stamp_ns=frame.stamp_ns,
            keyframes=state.keyframes + 1,
            feature=frame.feature,
            usual_change=_blend(state.usual_change, _change(frame.feature, state.feature)),
            travelled_m=state.travelled_m + moved_m,
            T_origin_keyframe=step.T_origin_camera,
            T_first_chained=followed.T_first_chained,
            peak=replace(state.peak, walked_m2=followed.peak.walked_m2, walked_rad2=followed.peak.walked_rad2),
            T_odom_keyframe=frame.T_odom_camera,
        )
        if not self._in_range(self.state):
            self._move_origin(frame, followed)
        return followed

    def _in_range(self, state: SequenceState) -> bool:
        spec = self._network.spec
        return state.travelled_m < spec.trained_distance_m and state.keyframes < spec.trained_frames

    def _move_origin(self, frame: SequenceFrame, followed: Followed) -> None:
        """Go on from this keyframe as if it were the first; the drift so far stays, and later ways swing about it."""
        step = self._network.step(frame.feature, self._network.fresh())
        T_first_origin = followed.T_first_origin @ followed.T_origin_camera
        self._say(f"new origin after {followed.travelled_m:.1f} m, of which the network was trained on no more")
        spent = replace(followed.drift, turned_rad2=followed.drift.rotation_rad2)
        usual_change = 0.0 if self.state is None else self.state.usual_change
        fresh = self._fresh_state(frame, step)
        chained = followed.T_first_chained
        self.state = replace(
            fresh, T_first_origin=T_first_origin, T_first_chained=chained, spent=spent, usual_change=usual_change
        )

    def _bridged(self, frame: SequenceFrame, state: SequenceState, T_keyframe_camera: Array, why: str) -> Followed:
        """The frame cannot be compared with the last keyframe, but odometry knows the way between."""
        metres, radians = motion(T_keyframe_camera)
        seconds = (frame.stamp_ns - state.stamp_ns) / NS_PER_S
        position_m2, rotation_rad2 = _ODOMETRY.variances(travel_m=metres, turn_rad=radians, seconds=seconds)
        drift = joined(state.spent, state.peak)
        turned_rad2 = drift.rotation_rad2 + rotation_rad2
        spent = Drift(position_m2=drift.position_m2 + position_m2, rotation_rad2=turned_rad2, turned_rad2=turned_rad2)
        spent = replace(spent, walked_m2=drift.walked_m2 + position_m2, walked_rad2=drift.walked_rad2 + rotation_rad2)
        step = self._network.step(frame.feature, self._network.fresh())
        T_first_origin = state.T_first_origin @ state.T_origin_keyframe @ T_keyframe_camera
        self._say(f"new origin, tied by odometry: {why}")
        fresh = self._fresh_state(frame, step)
        self.state = replace(
            fresh,
            T_first_origin=T_first_origin,
            T_first_chained=state.T_first_chained @ T_keyframe_camera,
            spent=spent,
            usual_change=state.usual_change,
        )
        return self._placed(step, self.state, np.eye(4), 0.0, is_keyframe=True)

    def _broken(self, frame: SequenceFrame, why: str) -> Followed:
        """The way to the last keyframe is lost: go on from the checkpoint if the frame is near it, else begin anew."""
        checkpoint = self._checkpoint
        if checkpoint is not None and self.state is not None and checkpoint.stamp_ns != self.state.stamp_ns:
            step = self._network.step(frame.feature, checkpoint.arrays)
            T_keyframe_camera = self._moved(step, checkpoint)
            # Of places that it never saw together the network says anything; their features must be alike as well.
            alike = _change(frame.feature, checkpoint.feature) <= _ALIKE * checkpoint.usual_change
            if alike and not self._policy.too_far(T_keyframe_camera):
                self._say(f"went on from the state of {checkpoint.stamp_ns / NS_PER_S:.3f} s: {why}")
                return self._next(frame, step, checkpoint, T_keyframe_camera)
        self.begin(f"first frame: {why}")
        return self._first(frame)

    def _fresh_state(self, frame: SequenceFrame, step: Step) -> SequenceState:
        return SequenceState(
            version=self._network.spec.state_version,
            arrays=step.arrays,
            stamp_ns=frame.stamp_ns,
            feature=frame.feature,
            T_odom_keyframe=frame.T_odom_camera,
        )

    def _placed(
        self, step: Step, state: SequenceState, T_keyframe_camera: Array, seconds: float, *, is_keyframe: bool
    ) -> Followed:
        raw = np.diag([step.position_m2] * 3 + [step.rotation_rad2] * 3)
        variances = np.diagonal(calibrated(raw, self._calibration))
        metres, radians = motion(T_keyframe_camera)
        walked_m2, walked_rad2 = _BY_NETWORK.variances(travel_m=metres, turn_rad=radians, seconds=seconds)
        peak = Drift(
            position_m2=max(state.peak.position_m2, float(variances[0])),
            rotation_rad2=max(state.peak.rotation_rad2, float(variances[3])),
            walked_m2=state.peak.walked_m2 + walked_m2,
            walked_rad2=state.peak.walked_rad2 + walked_rad2,
        )
        return Followed(
            T_origin_camera=step.T_origin_camera,
            T_first_origin=state.T_first_origin,
            T_first_chained=state.T_first_chained @ T_keyframe_camera,
            variances=variances,
            spent=state.spent,
            peak=peak,
            is_keyframe=is_keyframe,
            travelled_m=state.travelled_m,
        )

    def _say(self, note: str) -> None:
        self.note = note
        _log.info("sequence: %s", note)


def _between(T_odom_one: Array | None, T_odom_other: Array | None) -> Array | None:
    """Return the transform from the other to the one through odometry, where both are known."""
    return None if T_odom_one is None or T_odom_other is None else se3.inverse(T_odom_one) @ T_odom_other


def _change(feature: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.linalg.norm(feature - other))


def _blend(usual: float, latest: float) -> float:
    """Return the running mean with another value in it; the first is taken whole."""
    return latest if usual == 0.0 else usual + _NEWS * (latest - usual)
