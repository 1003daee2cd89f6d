"""Which frames feed the state of a sequence: those that moved far enough since the last one that did.

Frames in between get a pose as well, from a step whose state is thrown away. So neither the frame rate nor standing
still changes what the network has seen.
"""

from __future__ import annotations

from dataclasses import dataclass

from reloc_ros.localization.fusion import motion
from reloc_ros.types import Array


@dataclass(frozen=True, kw_only=True)
class KeyframePolicy:
    """How far a frame must be from the last keyframe.

    Args:
        translation_m: to be one itself.
        rotation_rad: the same, for turning on the spot.
        max_translation_m: beyond this two frames see too little in common to be compared.
        max_rotation_rad: the same for the rotation.
    """

    translation_m: float
    rotation_rad: float
    max_translation_m: float
    max_rotation_rad: float

    def is_keyframe(self, T_keyframe_camera: Array) -> bool:
        """Tell whether a frame that moved so far feeds the state."""
        metres, radians = motion(T_keyframe_camera)
        return metres >= self.translation_m or radians >= self.rotation_rad

    def too_far(self, T_keyframe_camera: Array) -> str:
        """Return how a motion exceeds what the network can compare; empty where it does not."""
        metres, radians = motion(T_keyframe_camera)
        if metres <= self.max_translation_m and radians <= self.max_rotation_rad:
            return ""
        limits = f"limits {self.max_translation_m:.2f} m, {self.max_rotation_rad:.2f} rad"
        return f"{metres:.2f} m, {radians:.2f} rad since the last keyframe, {limits}"
