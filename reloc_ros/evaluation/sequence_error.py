"""How far a followed sequence is from its truth, as a function of the distance travelled.

Poses are in the frame of the sequence's first camera. A frame without a pose (NaN) is an infinite error: it moves every
quantile.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reloc_ros.evaluation.metrics import quantile
from reloc_ros.geometry import rotation, se3
from reloc_ros.types import Array

DISTANCE_BINS_M = (0.0, 2.0, 5.0, 10.0, 15.0, 20.0)
"""Edges of the travelled distance; what went further than the last is a bin of its own."""

STANDING_STILL = "standing still"
CHAINED = "chained"


@dataclass(frozen=True, kw_only=True)
class FollowedSequence:
    """One sequence, and what each method made of it.

    Args:
        name: of the sequence.
        T_world_camera: (N, 4, 4) true poses in time order.
        T_first_camera: (N, 4, 4) poses by method, NaN where a frame has none.
        height_m: of the camera above the floor; None where the data set does not say.
        fov_deg: horizontal field of view that the network was shown.
        covariance: (N, 6, 6) of the first method's poses in the first camera's axes, NaN where there is none.
    """

    name: str
    T_world_camera: Array
    T_first_camera: Mapping[str, Array]
    height_m: float | None = None
    fov_deg: float = 360.0
    covariance: Array | None = None


@dataclass(frozen=True, kw_only=True)
class FrameErrors:
    """Errors of frames of one or more sequences, first frames left out: (M,) each."""

    travelled_m: Array
    translation_m: Array
    rotation_deg: Array

    def __len__(self) -> int:
        return len(self.travelled_m)


def first_frame_truth(T_world_camera: Array) -> Array:
    """Return (N, 4, 4) true poses in the frame of the first camera."""
    return np.asarray(se3.inverse(T_world_camera[0]) @ T_world_camera)


def travelled_m(T_world_camera: Array) -> Array:
    """Return (N,) length of the way up to each frame."""
    steps_m = np.linalg.norm(np.diff(T_world_camera[:, :3, 3], axis=0), axis=1)
    return np.concatenate([[0.0], np.cumsum(steps_m)])


def chained(T_previous_camera: Array) -> Array:
    """Return (N, 4, 4) poses in the first camera's frame from the pose of each frame in the previous one's.

    Args:
        T_previous_camera: (N, 4, 4); the first is not looked at. A NaN pose leaves all that follow without one.
    """
    T_first_camera = np.empty_like(T_previous_camera)
    T_first_camera[0] = np.eye(4)
    for index in range(1, len(T_previous_camera)):
        T_first_camera[index] = T_first_camera[index - 1] @ T_previous_camera[index]
    return T_first_camera


def frame_errors(sequences: Iterable[FollowedSequence], method: str) -> FrameErrors:
    """Return the errors of one method in all sequences. The first frame is the origin, it can have none."""
    travelled, translation, angle = [], [], []
    for sequence in sequences:
        truth = first_frame_truth(sequence.T_world_camera)[1:]
        found = np.asarray(sequence.T_first_camera[method])[1:]
        missing = np.asarray(~np.isfinite(found).all(axis=(1, 2)))
        filled = np.where(missing[:, None, None], np.eye(4), found)
        error_m = np.linalg.norm(filled[:, :3, 3] - truth[:, :3, 3], axis=1)
        error_deg = np.degrees(rotation.angle_between_rad(filled[:, :3, :3], truth[:, :3, :3]))
        travelled.append(travelled_m(sequence.T_world_camera)[1:])
        translation.append(np.where(missing, np.inf, error_m))
        angle.append(np.where(missing, np.inf, error_deg))
    return FrameErrors(
        travelled_m=np.concatenate([*travelled, []]),
        translation_m=np.concatenate([*translation, []]),
        rotation_deg=np.concatenate([*angle, []]),
    )


def with_standing_still(sequence: FollowedSequence) -> Mapping[str, Array]:
    """Return the poses of all methods and those of one that never moves."""
    still = np.broadcast_to(np.eye(4), sequence.T_world_camera.shape)
    return {**sequence.T_first_camera, STANDING_STILL: still}


def by_distance(errors: FrameErrors, edges_m: Sequence[float] = DISTANCE_BINS_M) -> list[dict[str, Any]]:
    """Return median errors of each bin of travelled distance, bins without frames left out.

    A frame at an edge belongs to the bin above it.

    Args:
        errors: of the frames.
        edges_m: ascending, the first not above any distance.
    """
    bins = []
    for low, high in zip(edges_m, (*edges_m[1:], np.inf), strict=True):
        inside = (errors.travelled_m >= low) & (errors.travelled_m < high)
        if inside.any():
            bins.append(
                {
                    "from_m": low,
                    "to_m": None if np.isinf(high) else high,
                    "frames": int(inside.sum()),
                    **medians(errors.translation_m[inside], errors.rotation_deg[inside]),
                }
            )
    return bins


def medians(translation_m: Array, rotation_deg: Array) -> dict[str, float]:
    """Return the middle and the spread of both errors, by their names in reports.

    Args:
        translation_m: (M,), at least one; infinite where there is no pose.
        rotation_deg: (M,), likewise.
    """
    return {
        "median_translation_error_m": quantile(translation_m.tolist(), 0.5),
        "median_rotation_error_deg": quantile(rotation_deg.tolist(), 0.5),
        "p90_translation_error_m": quantile(translation_m.tolist(), 0.9),
        "p90_rotation_error_deg": quantile(rotation_deg.tolist(), 0.9),
    }
