"""A frame's way where the bundle is one of a sequence: localized twice, in the sequence and, with an absolute bundle, in the map."""

from __future__ import annotations

from typing import Any

from reloc_ros.cameras.equirectangular import EquirectangularCamera
from reloc_ros.localization.solve.solution import Failure
from reloc_ros.node.frame_intake import Arrival
from reloc_ros.node.frame_path import NO_IMAGE, FramePath, Judged, undated
from reloc_ros.node.rig_images import RigImages, RigSource
from reloc_ros.node.sequence_frames import SequenceFrames
from reloc_ros.node.transforms import Placed
from reloc_ros.types import Estimate, Frame, Image, Reason, Rejected

_ASPECT_TOLERANCE = 0.02
_NO_FIX = Failure(reason=Reason.DEGENERATE, detail="no absolute bundle was asked")


class SequencePath(FramePath):
    """Takes one arrived image, or one of each camera of a rig, to its pose on the wire.

    Args:
        frames: localizes.
        rig: makes frames of a rig's images; None for a single camera.
        others: as for `FramePath`.
    """

    def __init__(self, frames: SequenceFrames, rig: RigSource | None, **others: Any) -> None:
        super().__init__(**others)
        self._frames = frames
        self._rig = rig
        self._fix: Placed | Failure = _NO_FIX

    def _to_frame(self, arrival: Arrival) -> Frame | Failure:
        if isinstance(arrival.message, RigImages) and self._rig is not None:
            return undated(arrival.stamp_ns) if arrival.stamp_ns <= 0 else self._rig.frame(arrival.message)
        frame = super()._to_frame(arrival)
        if isinstance(frame, Failure) or not isinstance(frame.camera, EquirectangularCamera):
            return frame
        width, height = frame.camera.width, frame.camera.height
        if abs(width - 2 * height) > _ASPECT_TOLERANCE * width:
            detail = f"image is {width}x{height} px, a panorama is twice as wide as high; set camera_model to pinhole"
            return Failure(reason=Reason.CAMERA_MISMATCH, detail=detail)
        return frame

    def _localize(self, frame: Frame) -> Estimate | Failure:
        T_odom_camera = self._transforms.camera_odometry(frame.stamp_ns, frame.frame_id)
        localized = self._frames.localize(frame, T_odom_camera)
        absolute = self._frames.fix(frame)
        self._fix = _NO_FIX
        if isinstance(absolute, Rejected):
            self._fix = Failure(reason=absolute.reason, detail=absolute.detail)
        elif absolute is not None:
            self._fix = self._transforms.place(absolute, frame.frame_id)
        if isinstance(localized, Rejected):
            return Failure(reason=localized.reason, detail=localized.detail)
        return localized

    def _seen(self, arrival: Arrival, frame: Frame | Failure) -> Image:
        if isinstance(frame, Failure) and isinstance(arrival.message, RigImages):
            return NO_IMAGE
        return super()._seen(arrival, frame)

    def _judge(self, placed: Placed, arrival: Arrival) -> Judged:
        return Judged(placed, self._navigation.on_sequence(placed, self._fix, arrival.received_ns))
