"""Poses over time, as found in a bag: one track of transforms, and the tree of /tf and /tf_static."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reloc_ros.errors import DatasetError
from reloc_ros.geometry import se3
from reloc_ros.types import Array


@dataclass(frozen=True)
class Track:
    """Transforms T_parent_child at increasing stamps.

    Args:
        stamps_ns: (N,) increasing.
        transforms: (N, 4, 4).
        static: valid at any time; there is one transform.
    """

    stamps_ns: NDArray[np.int64]
    transforms: Array
    static: bool = False

    @classmethod
    def from_samples(cls, samples: Iterable[tuple[int, Array]], *, static: bool = False) -> Track:
        """Return the track of at least one (stamp_ns, transform); of equal stamps the last counts."""
        by_stamp = dict(samples)
        if static:
            by_stamp = dict([by_stamp.popitem()])
        stamps = sorted(by_stamp)
        return cls(np.array(stamps, dtype=np.int64), np.stack([by_stamp[stamp] for stamp in stamps]), static)

    def at(self, stamp_ns: int, max_gap_ns: int) -> Array | None:
        """Return the (4, 4) transform at a stamp, interpolated between two that lie at most `max_gap_ns` apart.

        None where the stamp lies outside the track or in a larger gap: nothing is extrapolated.
        """
        if self.static:
            return np.asarray(self.transforms[0])
        after = int(np.searchsorted(self.stamps_ns, stamp_ns))
        if after < len(self.stamps_ns) and self.stamps_ns[after] == stamp_ns:
            return np.asarray(self.transforms[after])
        if after in (0, len(self.stamps_ns)):
            return None
        gap_ns = int(self.stamps_ns[after] - self.stamps_ns[after - 1])
        if gap_ns > max_gap_ns:
            return None
        fraction = (stamp_ns - int(self.stamps_ns[after - 1])) / gap_ns
        return se3.interpolate(self.transforms[after - 1], self.transforms[after], fraction)


@dataclass(frozen=True)
class TransformTree:
    """Every frame's parent and its track T_parent_child."""

    parents: dict[str, tuple[str, Track]]

    @classmethod
    def from_samples(cls, samples: Iterable[tuple[str, str, int, Array, bool]]) -> TransformTree:
        """Return the tree of (parent, child, stamp_ns, T_parent_child, whether static) samples.

        Raises:
            DatasetError: a frame has two parents.
        """
        tracks: dict[str, list[tuple[int, Array]]] = {}
        parents: dict[str, tuple[str, bool]] = {}
        for parent, child, stamp_ns, T_parent_child, static in samples:
            known, _ = parents.setdefault(child, (parent, static))
            if known != parent:
                raise DatasetError(f"frame '{child}' has two parents in /tf, '{known}' and '{parent}'")
            tracks.setdefault(child, []).append((stamp_ns, T_parent_child))
        return cls(
            {
                child: (parent, Track.from_samples(tracks[child], static=static))
                for child, (parent, static) in parents.items()
            }
        )

    def lookup(self, target: str, source: str, stamp_ns: int, max_gap_ns: int) -> Array | None:
        """Return the (4, 4) T_target_source at a stamp; None where an edge between them has no transform then.

        Raises:
            DatasetError: the frames are not connected.
        """
        targets, sources = self._upwards(target), self._upwards(source)
        common = next((frame for frame in sources if frame in targets), None)
        if common is None:
            frames = sorted({*self.parents, *(parent for parent, _ in self.parents.values())})
            raise DatasetError(
                f"/tf and /tf_static do not connect '{target}' and '{source}'; frames: {', '.join(frames) or 'none'}"
            )
        T_common_target = self._climb(target, common, stamp_ns, max_gap_ns)
        T_common_source = self._climb(source, common, stamp_ns, max_gap_ns)
        if T_common_target is None or T_common_source is None:
            return None
        return se3.inverse(T_common_target) @ T_common_source

    def _upwards(self, frame: str) -> list[str]:
        """Return a frame and its ancestors up to the root."""
        frames = [frame]
        while frames[-1] in self.parents:
            parent = self.parents[frames[-1]][0]
            if parent in frames:
                raise DatasetError(f"/tf has a loop through '{parent}'")
            frames.append(parent)
        return frames

    def _climb(self, frame: str, ancestor: str, stamp_ns: int, max_gap_ns: int) -> Array | None:
        T_ancestor_frame = np.eye(4)
        while frame != ancestor:
            parent, track = self.parents[frame]
            T_parent_frame = track.at(stamp_ns, max_gap_ns)
            if T_parent_frame is None:
                return None
            T_ancestor_frame = T_parent_frame @ T_ancestor_frame
            frame = parent
        return T_ancestor_frame
