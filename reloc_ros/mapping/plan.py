"""What a run of `reloc map` will take: frames, minutes, disk."""

from __future__ import annotations

from dataclasses import dataclass

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

# All 750 frames of RedKitchen reach their best in about 20 minutes; small places need time to form at all.
_MINUTES_AT_LEAST, _MINUTES_AT_MOST, _MINUTES_EACH = 5.0, 60.0, 20 / 750

HELD_OUT = 0.15
"""Share of the kept frames that the verdict rests on."""


def training_minutes(frames: int, max_minutes: float | None) -> float:
    """Return how long to train on so many frames, at most as long as allowed."""
    minutes = round(min(_MINUTES_AT_LEAST + frames * _MINUTES_EACH, _MINUTES_AT_MOST), 1)
    return minutes if max_minutes is None else min(minutes, max_minutes)


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
        held_out = round(kept * HELD_OUT)
        return [
            ("select", f"look at {self.images} images for blur and motion", self.images * decode_s),
            ("extract", f"write up to {kept} frames", kept * decode_s),
            ("train", f"learn from about {kept - held_out} frames", 60 * self.minutes),
            ("export", "ONNX graph, checked against the network", _EXPORT_S),
            ("validate", f"localize about {held_out} held-out frames, verdict", held_out * _LOCALIZE_S + _REPORT_S),
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
