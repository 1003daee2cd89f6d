"""How a sequence stands, for diagnostics."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SequenceView:
    """How a sequence stands, for diagnostics.

    Args:
        note: what befell it last.
        anchor: who ties it to a map; empty without an anchor.
        travelled_m: since the present origin.
        position_std_m: of the pose in the map, else of that relative to the first frame.
        rotation_std_rad: the same.
    """

    note: str = ""
    anchor: str = ""
    travelled_m: float = 0.0
    position_std_m: float = 0.0
    rotation_std_rad: float = 0.0
