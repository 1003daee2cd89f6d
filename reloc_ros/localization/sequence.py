"""The way of one image of a sequence to its pose: prepare -> infer -> solve -> gate. Start reading here.

As in `localizer`, but the pose is relative to the first frame, and what the frame does to the sequence is the tracker's.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reloc_ros.bundle.manifest import Manifest
from reloc_ros.cameras.canvas import Canvas
from reloc_ros.cameras.equirectangular import EquirectangularCamera
from reloc_ros.cameras.rig import RigCamera
from reloc_ros.inference.backend import Backend
from reloc_ros.localization.followed import Followed, SequenceFrame
from reloc_ros.localization.gate import gate
from reloc_ros.localization.roll_check import widened_by_roll
from reloc_ros.localization.sequence_anchor import ORIGIN_FRAME, Anchor, Drift
from reloc_ros.localization.sequence_network import SequenceNetwork, StateArrays, Step
from reloc_ros.localization.sequence_state import SequenceState, restore
from reloc_ros.localization.sequence_tracker import SequenceLimits, SequenceTracker
from reloc_ros.localization.solve.solution import Failure, Solution
from reloc_ros.localization.stages import run_stage
from reloc_ros.types import Array, Estimate, Frame, Image, Reason, Rejected

_BLANK_CONTRAST = 8
"""Grey values between the darkest and the brightest pixel of an image that shows nothing: a covered lens, a black-out."""


@dataclass(frozen=True, kw_only=True)
class SequenceEstimate(Estimate):
    """A pose relative to the first frame of a sequence, which is the map of this estimate.

    Args:
        chain: number of this sequence; poses of different ones have nothing to do with each other.
        T_first_chained: (4, 4) of the camera by nothing but the motions from keyframe to keyframe: it never jumps.
        drift: since the first frame.
        is_keyframe: whether the frame fed the state.
        note: what befell the sequence last, in words: how it began, or why it has a new origin.
    """

    chain: int
    T_first_chained: Array
    drift: Drift
    is_keyframe: bool
    note: str


class SequenceLocalizer:
    """Localizes the frames of a sequence relative to its first one, each at the same cost.

    Not thread-safe, but for `reset`, which may be called at any time.

    Args:
        manifest: of a sequence bundle.
        encoder: runs `encoder.onnx`.
        step: runs `model.onnx`.
        limits: when frames can no longer be compared.

    Raises:
        BundleError: the bundle is none of a sequence.
    """

    def __init__(
        self, manifest: Manifest, encoder: Backend, step: Backend, limits: SequenceLimits | None = None
    ) -> None:
        self._network = SequenceNetwork(manifest, encoder, step)
        self._scene = manifest.scenes[0]
        self._canvas = Canvas(manifest.input.width, manifest.input.height)
        self._limits = limits or SequenceLimits()
        self._tracker = SequenceTracker(self._network, self._scene.covariance, self._limits)
        self._resets: deque[str] = deque()
        self.stage_seconds: dict[str, float] = {}
        """Duration of each stage that ran in the last call, seconds."""

    def localize(self, frame: Frame, T_odom_camera: Array | None = None) -> SequenceEstimate | Rejected:
        """Return the pose of the frame's camera in the sequence's first frame, or why there is none. Never raises.

        Args:
            frame: newer than the last one.
            T_odom_camera: (4, 4) of the camera at the frame's stamp, where the robot has odometry.
        """
        self.stage_seconds = {}
        canvas = run_stage("prepare", self.stage_seconds, self._prepare, frame)
        feature = run_stage("infer", self.stage_seconds, self._network.encode, canvas)
        followed = run_stage("solve", self.stage_seconds, self._follow, feature, canvas, frame, T_odom_camera)
        accepted = run_stage("gate", self.stage_seconds, self._gate, followed)
        return self._answer(frame, accepted)

    def reset(self, why: str) -> None:
        """Make the next frame the first one. May be called while another thread localizes."""
        self._resets.append(why)

    @property
    def state(self) -> SequenceState | None:
        """The state after the last keyframe; None before the first. `SequenceState.save` makes bytes of it."""
        return self._tracker.state

    @property
    def note(self) -> str:
        """What befell the sequence last, in words."""
        return self._tracker.note

    def checkpoint(self, anchor: Anchor | None = None) -> None:
        """Keep the state, to go on from there when the sequence breaks: an absolute pose was accepted here."""
        self._tracker.checkpoint(anchor)

    def restore(self, saved: bytes) -> SequenceState:
        """Go on where a saved sequence was; poses are relative to its first frame.

        Raises:
            BundleError: it is not a state of this network.
        """
        state = restore(saved, self._network.spec)
        self._tracker.resume(state)
        return state

    def network_view(self, frame: Frame) -> Image:
        """Return the frame (H, W, 3) as the network sees it; for pictures."""
        return self._paint(frame)[..., :3]

    def _prepare(self, frame: Frame) -> Image | Failure:
        while self._resets:
            self._tracker.begin(self._resets.popleft())
        refused = self._tracker.admit(frame.stamp_ns)
        if refused is not None:
            return refused
        canvas = self._paint(frame)
        if _is_blank(canvas[canvas[..., 3] > 0, :3]):
            return Failure(reason=Reason.DEGENERATE, detail="the image shows nothing: a covered lens, or darkness")
        return canvas

    def _paint(self, frame: Frame) -> Image:
        if isinstance(frame.camera, RigCamera):
            # A covered lens of several: the others still see.
            views = [view for view in frame.camera.views(frame.image) if not _is_blank(view.image)]
            # A panorama sees it all, in one exposure.
            panoramas = [view for view in views if isinstance(view.camera, EquirectangularCamera)]
            return self._canvas.paint_rig(panoramas[:1] or views)
        return self._canvas.paint(frame.image, frame.camera)

    def _follow(
        self, feature: NDArray[np.float32], canvas: Image, frame: Frame, T_odom_camera: Array | None
    ) -> Followed:
        def check(step: Step, arrays: StateArrays) -> Step:
            return widened_by_roll(step, canvas, self._network, arrays) if self._limits.roll_check else step

        return self._tracker.follow(
            SequenceFrame(stamp_ns=frame.stamp_ns, feature=feature, T_odom_camera=T_odom_camera, check=check)
        )

    def _gate(self, followed: Followed) -> Followed | Failure:
        solution = Solution(T_map_camera=followed.T_origin_camera, covariance=np.diag(followed.variances), evidence={})
        judged = gate(solution, self._scene.gate, self._scene.map_bounds)
        return judged if isinstance(judged, Failure) else followed

    def _answer(self, frame: Frame, accepted: Followed | Failure) -> SequenceEstimate | Rejected:
        if isinstance(accepted, Failure):
            return Rejected(reason=accepted.reason, detail=accepted.detail, stamp_ns=frame.stamp_ns)
        self._tracker.accept(accepted)
        T_first_camera = accepted.T_first_origin @ accepted.T_origin_camera
        return SequenceEstimate(
            T_map_camera=T_first_camera,
            covariance=accepted.drift.since(Drift(), float(np.linalg.norm(T_first_camera[:3, 3]))),
            map_frame=ORIGIN_FRAME,
            stamp_ns=frame.stamp_ns,
            evidence={"travelled_m": accepted.travelled_m},
            scene=self._scene.name,
            chain=self._tracker.chain,
            T_first_chained=accepted.T_first_chained,
            drift=accepted.drift,
            is_keyframe=accepted.is_keyframe,
            note=self._tracker.note,
        )


def _is_blank(pixels: Image) -> bool:
    """Tell whether (..., 3) pixels show nothing."""
    return pixels.size == 0 or int(pixels.max()) - int(pixels.min()) < _BLANK_CONTRAST
