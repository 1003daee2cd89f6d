"""The localizer behind the node where the bundle is one of a sequence, with or without an absolute one beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING

from reloc_ros.bundle.load import Bundle
from reloc_ros.bundle.manifest import GateSpec
from reloc_ros.cameras.rig import RigCamera
from reloc_ros.geometry import covariance, se3
from reloc_ros.inference.backend import Backend
from reloc_ros.inference.serving import serve
from reloc_ros.localization.sequence import SequenceEstimate, SequenceLocalizer
from reloc_ros.localization.sequence_tracker import SequenceLimits
from reloc_ros.node.settings import Settings
from reloc_ros.types import Array, Frame, Image, Localization, Rejected

if TYPE_CHECKING:
    from reloc_ros.node.model import FrameLocalizer


class SequenceFrames:
    """Localizes each frame in its sequence, and in the map where an absolute bundle is there to do it.

    Args:
        sequence: relative to the first frame.
        gate: beyond it a pose carried by the sequence is no pose.
        fixes: absolute; None without an `anchor_bundle`.
    """

    def __init__(self, sequence: SequenceLocalizer, gate: GateSpec, fixes: FrameLocalizer | None = None) -> None:
        self.sequence = sequence
        self.gate = gate
        self.fixes = fixes
        self.stage_seconds: dict[str, float] = {}

    def localize(self, frame: Frame, T_odom_camera: Array | None = None) -> SequenceEstimate | Rejected:
        """Return the pose relative to the first frame; `T_odom_camera` where there is odometry. Never raises."""
        answer = self.sequence.localize(frame, T_odom_camera)
        self.stage_seconds = dict(self.sequence.stage_seconds)
        return answer

    def fix(self, frame: Frame) -> Localization | None:
        """Return the absolute pose of the same frame, or None where nothing finds any. Never raises.

        Of a rig its first camera is localized, and the pose is that of the rig.
        """
        if self.fixes is None:
            return None
        start = perf_counter()
        answer = self.fixes.localize(_first_of_rig(frame))
        self.stage_seconds["fix"] = perf_counter() - start
        if isinstance(answer, Rejected) or not isinstance(frame.camera, RigCamera):
            return answer
        T_camera_rig = se3.inverse(frame.camera.T_rig_cameras[0])
        return replace(
            answer,
            T_map_camera=answer.T_map_camera @ T_camera_rig,
            covariance=covariance.change_body_frame(answer.covariance, answer.T_map_camera, T_camera_rig),
        )

    def hint_scene(self, sentence: str) -> str:
        """Give a sentence about where the robot is to who finds absolute poses."""
        if self.fixes is None:
            return "there is nothing to choose from: a sequence knows no scenes"
        return self.fixes.hint_scene(sentence)

    @property
    def scene_hint(self) -> str:
        """The sentence that is in force; empty without one."""
        return "" if self.fixes is None else self.fixes.scene_hint

    def network_view(self, frame: Frame) -> Image:
        """Return the frame as the sequence's network sees it."""
        return self.sequence.network_view(frame)


def _first_of_rig(frame: Frame) -> Frame:
    """Return the image of a rig's first camera, or the frame itself where it is of one camera."""
    if not isinstance(frame.camera, RigCamera):
        return frame
    view = frame.camera.views(frame.image)[0]
    return replace(frame, image=view.image, camera=view.camera)


@dataclass(frozen=True, kw_only=True)
class SequenceServing:
    """A sequence bundle's networks, loaded.

    Args:
        frames: localizes with them.
        backend: runs the encoder, the larger one.
        engine: says how the searches for engines stand.
        close: frees both.
    """

    frames: SequenceFrames
    backend: Backend
    engine: Callable[[], str]
    close: Callable[[], None]


def serve_sequence(bundle: Bundle, settings: Settings, fixes: FrameLocalizer | None) -> SequenceServing:
    """Load a sequence bundle's networks.

    Args:
        bundle: verified bundle of a sequence.
        settings: the node's parameters.
        fixes: finds absolute poses; None without.

    Raises:
        BackendError: the back end cannot be used.
    """
    manifest, name, period_s = bundle.manifest, settings.backend, settings.engine_search_period_s
    encoder = serve(bundle.encoder(), name, settings.threads, period_s)
    try:
        step = serve(bundle, name, settings.threads, period_s)
    except Exception:
        encoder.close()
        raise
    limits = SequenceLimits(max_gap_s=settings.sequence_max_gap_s, roll_check=settings.sequence_roll_check)
    sequence = SequenceLocalizer(manifest, encoder.backend, step.backend, limits)

    def close() -> None:
        encoder.close()
        step.close()

    def engine() -> str:
        found = [f"{graph}: {said}" for graph, said in (("encoder", encoder.engine()), ("step", step.engine())) if said]
        return "; ".join(found)

    frames = SequenceFrames(sequence, manifest.scenes[0].gate, fixes)
    return SequenceServing(frames=frames, backend=encoder.backend, engine=engine, close=close)
