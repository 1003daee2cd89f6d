"""From where a sequence is to where that is in a map: T_map_body = T_map_k T_k_body, with k the anchor.

An anchor is a pose that is known in the map at one moment of the sequence. What the sequence adds to its doubt is the
difference of the drift then and now: errors made before the anchor do not count.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass

import numpy as np

from reloc_ros.geometry import covariance, se3
from reloc_ros.localization.fusion import NS_PER_S
from reloc_ros.types import Array

ORIGIN_FRAME = "spr_origin"
"""Where poses live that no anchor ties to a map: the first frame of the sequence."""

_HISTORY = 400
"""Poses kept for anchors that come late: 13 s at 30 Hz."""


@dataclass(frozen=True, kw_only=True)
class Drift:
    """How uncertain a sequence has become since its first frame. Never shrinks along a sequence.

    Args:
        position_m2: variance of each axis of the position.
        rotation_rad2: variance of the rotation about each axis.
        turned_rad2: the part of `rotation_rad2` from before the latest origin: what comes after it swings about it.
        walked_m2: variance of each axis of the position after so long a way, whatever the network says of itself.
        walked_rad2: the same for the rotation.
    """

    position_m2: float = 0.0
    rotation_rad2: float = 0.0
    turned_rad2: float = 0.0
    walked_m2: float = 0.0
    walked_rad2: float = 0.0

    def since(self, other: Drift, distance_m: float) -> Array:
        """Return the (6, 6) covariance gathered since another moment, at a distance from where that was."""
        turned = max(self.turned_rad2 - other.turned_rad2, 0.0)
        position = max(self.position_m2 - other.position_m2, 0.0) + turned * distance_m**2
        return np.diag([position] * 3 + [max(self.rotation_rad2 - other.rotation_rad2, 0.0)] * 3)

    def walked_since(self, other: Drift) -> Array:
        """Return the (6, 6) covariance of the way alone since another moment.

        A network knows how far off it is from its first frame. Of the way between two others the difference of that
        says too little: errors of the two are not the same one grown.
        """
        position, turned = self.walked_m2 - other.walked_m2, self.walked_rad2 - other.walked_rad2
        return np.diag([max(position, 0.0)] * 3 + [max(turned, 0.0)] * 3)


@dataclass(frozen=True, kw_only=True)
class Passage:
    """Where a sequence is at one stamp.

    Args:
        stamp_ns: message time.
        T_first_body: (4, 4) body to the first frame of the sequence.
        drift: so far.
    """

    stamp_ns: int
    T_first_body: Array
    drift: Drift


@dataclass(frozen=True, kw_only=True)
class Anchor:
    """A pose in a map at one moment of a sequence.

    Args:
        source: who says so, in words.
        map_frame: name of the frame it is in.
        T_map_body: (4, 4).
        covariance: (6, 6) of it.
        at: the sequence at that moment.
    """

    source: str
    map_frame: str
    T_map_body: Array
    covariance: Array
    at: Passage

    def carry(self, now: Passage) -> tuple[Array, Array]:
        """Return T_map_body (4, 4) and its covariance (6, 6) where the sequence is now.

        The anchor's own doubt is carried exactly (its rotation error swings the way since then); the sequence's is
        added.
        """
        T_anchor_body = se3.inverse(self.at.T_first_body) @ now.T_first_body
        carried = covariance.change_body_frame(self.covariance, self.T_map_body, T_anchor_body)
        grown = now.drift.since(self.at.drift, float(np.linalg.norm(T_anchor_body[:3, 3])))
        return self.T_map_body @ T_anchor_body, carried + np.maximum(grown, now.drift.walked_since(self.at.drift))


class History:
    """The latest passages, for poses whose stamp lies in the past. Bounded."""

    def __init__(self) -> None:
        self._passages: deque[Passage] = deque(maxlen=_HISTORY)

    def note(self, passage: Passage) -> None:
        """Keep a passage, newer than all before."""
        self._passages.append(passage)

    def clear(self) -> None:
        """Forget all: another sequence begins."""
        self._passages.clear()

    @property
    def newest(self) -> Passage | None:
        """The latest one."""
        return self._passages[-1] if self._passages else None

    def at(self, stamp_ns: int) -> Passage | None:
        """Return the passage at a stamp, between two frames by interpolation; None before the first, after the last."""
        stamps_ns = [passage.stamp_ns for passage in self._passages]
        index = bisect_left(stamps_ns, stamp_ns)
        if index == len(stamps_ns):
            return None
        after = self._passages[index]
        if after.stamp_ns == stamp_ns:
            return after
        if index == 0:
            return None
        before = self._passages[index - 1]
        fraction = (stamp_ns - before.stamp_ns) / (after.stamp_ns - before.stamp_ns)
        T_first_body = se3.interpolate(before.T_first_body, after.T_first_body, fraction)
        # The later one's drift: less growth would be counted from here than there was.
        return Passage(stamp_ns=stamp_ns, T_first_body=T_first_body, drift=before.drift)

    def span(self) -> str:
        """Say which stamps are known."""
        if not self._passages:
            return "no frame of this sequence so far"
        first, last = (passage.stamp_ns / NS_PER_S for passage in (self._passages[0], self._passages[-1]))
        return f"frames of {first:.3f} s to {last:.3f} s are known"
