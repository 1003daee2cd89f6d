"""What a run of `reloc map` will take: frames, minutes, disk."""

from __future__ import annotations

from dataclasses import dataclass

from reloc_ros.datasets.splits import Split
from reloc_ros.mapping.frames import Choice

# Measured on two cores of a server CPU (AMD EPYC of 2024) with VGA images; other machines differ by a small factor.
_SECONDS_PER_PIXEL = 4e-8
_LOOK_S = 0.004
_LOCALIZE_S = 0.06
_EXPORT_S, _REPORT_S = 40.0, 20.0
_JPEG_BYTES_PER_PIXEL = 0.45
_PREPARED_BYTES = 3 * 256 * 192
_FIXED_BYTES = 120e6
"""Checkpoints with the state of the optimizer, the bundle and the report."""

# Measured: the error of held-out frames of RedKitchen still falls after 20 minutes. Half an hour for all stages together is
# kept up to 750 frames; longer drives take time in proportion, and small places need time to form at all.
_MINUTES_AT_LEAST, _MINUTES_EACH, _MINUTES_USUAL = 12.0, 1 / 40, 25.0
_MINUTES_EACH_OF_MANY, _MINUTES_AT_MOST = 1 / 30, 60.0

PASSES = 2000
"""Over the frames at most: on a CPU the minutes are over long before, on a GPU these are enough."""

_HELD_OUT, _HELD_OUT_AT_MOST, _HELD_OUT_FRAMES = 0.15, 0.35, 40
_BLOCKS, _LONGEST_BLOCK, _SHORTEST_BLOCK = 3, 25, 5
_GUARD_OF_BLOCK, _LEAST_GUARD = 1 / 5, 2


def training_minutes(frames: int, max_minutes: float | None) -> float:
    """Return how long to train on so many frames, at most as long as allowed."""
    usual = min(_MINUTES_AT_LEAST + frames * _MINUTES_EACH, _MINUTES_USUAL)
    minutes = round(min(max(usual, frames * _MINUTES_EACH_OF_MANY), _MINUTES_AT_MOST), 1)
    return minutes if max_minutes is None else min(minutes, max_minutes)


def held_out(frames: int) -> Split:
    """Return what the verdict on a map of so many frames rests on.

    Short drives hold out a larger share, for a verdict asks for forty frames; and every drive at least three blocks, so
    that it is judged in three places.
    """
    share = min(max(_HELD_OUT_FRAMES / frames, _HELD_OUT), _HELD_OUT_AT_MOST)
    block = max(_SHORTEST_BLOCK, min(int(share * frames / _BLOCKS), _LONGEST_BLOCK))
    return Split(val_fraction=share, block=block, guard=max(_LEAST_GUARD, round(block * _GUARD_OF_BLOCK)))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What lies ahead.

    Args:
        images: with a pose, in the bag.
        without_pose: images that have none.
        width: of an image, pixels.
        height: of it.
        choice: what would be kept, blur not yet seen.
        minutes: of training.
    """

    images: int
    without_pose: int
    width: int
    height: int
    choice: Choice
    minutes: float

    @property
    def disk_bytes(self) -> float:
        """Space that the work folder and the bundle take."""
        kept = len(self.choice.kept)
        return kept * (self.width * self.height * _JPEG_BYTES_PER_PIXEL + _PREPARED_BYTES) + _FIXED_BYTES

    def stages(self) -> list[tuple[str, str, float]]:
        """Return name, what is done and expected seconds of each stage."""
        decode_s = _LOOK_S + self.width * self.height * _SECONDS_PER_PIXEL
        kept = len(self.choice.kept)
        judged = round(kept * held_out(kept).val_fraction)
        return [
            ("select", f"look at {self.images} images for blur and motion", self.images * decode_s),
            ("extract", f"write up to {kept} frames", kept * decode_s),
            ("train", f"learn from about {kept - judged} frames", 60 * self.minutes),
            ("export", "ONNX graph, checked against the network", _EXPORT_S),
            ("validate", f"localize about {judged} held-out frames, verdict", judged * _LOCALIZE_S + _REPORT_S),
            ("report", "HTML", 1.0),
        ]

    def lines(self) -> list[str]:
        """Return the plan for people."""
        counts = {reason: count for reason, count in self.choice.counts().items() if count}
        dropped = "; ".join(f"{count} {reason}" for reason, count in counts.items()) or "none dropped"
        stages = self.stages()
        total_min = sum(seconds for _, _, seconds in stages) / 60
        return [
            f"images: {self.images} with a pose, {self.without_pose} without; {self.width} x {self.height} pixels",
            f"frames: {len(self.choice.kept)} before blur is judged ({dropped})",
            f"jumps of the reference: {len(self.choice.jumps)}",
            *(f"{name:9} {_duration(seconds):>8}  {what}" for name, what, seconds in stages),
            f"in all about {total_min:.0f} min and {self.disk_bytes / 1e6:.0f} MB",
        ]


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s"
