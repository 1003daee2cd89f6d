"""What trainings on sequences can be told: which sequences, which pairs of their frames, which ways through them."""

from __future__ import annotations

from dataclasses import dataclass

from reloc_ros.training.image_config import require

FIELDS_OF_VIEW_DEG = (360.0, 180.0, 90.0)
"""That frames are shown at in training and judged at: all of the panorama, and the narrower lenses of robots."""


@dataclass(frozen=True, kw_only=True)
class SequencesConfig:
    """Which sequences are learnt from, and where what is made of them is kept.

    Args:
        height_m: only those recorded at this height above the floor; None takes all.
        folder: where canvases and features are kept, so that runs on the same data share them; None is the run folder.
        narrow: probability of a field of view that is narrower than the canvas shows.
    """

    height_m: float | None = None
    folder: str | None = None
    narrow: float = 0.4

    def __post_init__(self) -> None:
        require(0.0 <= self.narrow <= 1.0, f"sequences.narrow is {self.narrow}", "a probability, 0 to 1")


@dataclass(frozen=True, kw_only=True)
class PairsConfig:
    """Pairs of frames whose motion is learnt.

    Args:
        group: frames that are taken from one stretch of a sequence and paired with each other.
        distance_m: the largest distance between the frames of a pair, metres.
        rotation_deg: the largest angle.
        roll_deg: standard deviation of the yaw that is added to each frame by rolling it.
    """

    group: int = 6
    distance_m: float = 1.5
    rotation_deg: float = 60.0
    roll_deg: float = 12.0

    def __post_init__(self) -> None:
        require(self.group >= 2, f"pairs.group is {self.group}", "2 or more")
        require(self.distance_m > 0, f"pairs.distance_m is {self.distance_m}", "above 0")
        require(0 < self.rotation_deg <= 180, f"pairs.rotation_deg is {self.rotation_deg}", "above 0, at most 180")
        require(self.roll_deg >= 0, f"pairs.roll_deg is {self.roll_deg}", "0 or more")


@dataclass(frozen=True, kw_only=True)
class WalksConfig:
    """Ways through sequences that are learnt from: keyframes from a random start on.

    Args:
        frames: the largest number of keyframes of a way.
        first_frames: the number at the start of the training; it grows to `frames` over `growth` of it.
        growth: share of the training over which ways grow.
        keyframe_translation_m: motion after which a frame becomes a keyframe, metres; training varies it by half
            and double.
        keyframe_rotation_deg: the same for the angle.
        look_around: probability that the camera looks elsewhere at every keyframe: each frame is rolled by itself.
    """

    frames: int = 96
    first_frames: int = 12
    growth: float = 0.5
    keyframe_translation_m: float = 0.25
    keyframe_rotation_deg: float = 15.0
    look_around: float = 0.2

    def __post_init__(self) -> None:
        require(
            2 <= self.first_frames <= self.frames, f"walks.first_frames is {self.first_frames}", "2 to walks.frames"
        )
        require(0 < self.growth <= 1, f"walks.growth is {self.growth}", "above 0, at most 1")
        for name in ("keyframe_translation_m", "keyframe_rotation_deg"):
            require(getattr(self, name) > 0, f"walks.{name} is {getattr(self, name)}", "above 0")
        require(0 <= self.look_around <= 1, f"walks.look_around is {self.look_around}", "a probability, 0 to 1")
