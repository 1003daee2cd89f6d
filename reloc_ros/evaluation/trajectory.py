"""Errors of a trajectory against a reference, as evo defines them: absolute (APE, ATE) and relative (RPE).

Definitions: Sturm et al. 2012, *A Benchmark for the Evaluation of RGB-D SLAM Systems*; alignment: Umeyama 1991.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reloc_ros.errors import ConfigError, DatasetError, DegenerateGeometryError
from reloc_ros.evaluation.trajectory_files import Trajectory
from reloc_ros.geometry import rotation, se3
from reloc_ros.geometry.kabsch import MIN_CONDITIONING, Alignment, align
from reloc_ros.types import Array

ALIGNMENTS = ("none", "se3", "sim3")
DELTA_UNITS = ("f", "m")
MAX_STAMP_DIFFERENCE_S = 0.01
_MIN_POSES_TO_ALIGN = 3


@dataclass(frozen=True, kw_only=True)
class Delta:
    """How far apart the two poses of an RPE pair are; pairs follow each other without overlap.

    Args:
        size: frames (a whole number) or metres travelled by the aligned estimate, at least.
        unit: `f` or `m`.
        from_first_pose: with `m`, whether the first pose begins a pair. evo counts that pair from 1.38.0 on; earlier
            versions, and so most published figures, begin where the distance is reached for the first time.
    """

    size: float
    unit: str
    from_first_pose: bool = False

    def __post_init__(self) -> None:
        if self.unit not in DELTA_UNITS:
            raise ConfigError(f"delta unit is {self.unit!r}, must be one of {', '.join(DELTA_UNITS)}")
        if not (np.isfinite(self.size) and self.size > 0.0):
            raise ConfigError(f"delta is {self.size:g}, must be above 0")
        if self.unit == "f" and not float(self.size).is_integer():
            raise ConfigError(f"delta is {self.size:g} frames, must be a whole number; use unit m for distances")


@dataclass(frozen=True, kw_only=True)
class Errors:
    """Errors at some poses.

    Args:
        index: (M,) pose each error belongs to; for a pair, its second.
        translation_m: (M,) metres, or the unit of the reference.
        rotation_deg: (M,) degrees in 0 to 180.
    """

    index: NDArray[np.intp]
    translation_m: Array
    rotation_deg: Array


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A trajectory beside its reference, pose by pose.

    Args:
        reference: (N, 4, 4).
        estimate: (N, 4, 4), aligned.
        stamps_s: (N,) of the estimate; None where the files have none.
        T_reference_estimate: (4, 4), applied after scaling.
        scale: the estimated positions were multiplied by it.
        ape: absolute errors.
        rpe: relative errors.
    """

    reference: Array
    estimate: Array
    stamps_s: Array | None
    T_reference_estimate: Array
    scale: float
    ape: Errors
    rpe: Errors


def compare(reference: Trajectory, estimate: Trajectory, *, alignment: str, delta: Delta) -> Comparison:
    """Return the errors of an estimate.

    Args:
        reference: true poses.
        estimate: poses to judge; associated by stamp, or by index where there are no stamps.
        alignment: `none`, `se3` or `sim3`.
        delta: of the relative errors.

    Raises:
        ConfigError: the trajectory holds no pair that far apart.
        DatasetError: the trajectories do not belong together.
        DegenerateGeometryError: the positions do not determine the alignment.
    """
    reference, estimate = associate(reference, estimate)
    found = _align(reference.poses, estimate.poses, alignment)
    scaled = estimate.poses.copy()
    scaled[:, :3, 3] *= found.scale
    aligned = found.T_map_camera @ scaled
    return Comparison(
        reference=reference.poses,
        estimate=aligned,
        stamps_s=estimate.stamps_s,
        T_reference_estimate=found.T_map_camera,
        scale=found.scale,
        ape=_absolute_errors(reference.poses, aligned),
        rpe=_relative_errors(reference.poses, aligned, delta),
    )


def associate(reference: Trajectory, estimate: Trajectory) -> tuple[Trajectory, Trajectory]:
    """Return both trajectories with one pose of each for every common moment.

    Each pose of the one with fewer poses (of the estimate, if equally many) takes the pose of the other that is nearest
    in time, if it is no further than `MAX_STAMP_DIFFERENCE_S`; that one may be taken more than once. Without stamps the
    numbers of poses must agree.

    Raises:
        DatasetError: there is no common moment, or the numbers of poses differ.
    """
    if reference.stamps_s is None or estimate.stamps_s is None:
        if len(reference.poses) != len(estimate.poses):
            raise DatasetError(
                f"reference has {len(reference.poses)} poses and estimate {len(estimate.poses)}: without stamps they "
                "are compared line by line, so the numbers must agree; use a format with stamps"
            )
        return reference, estimate
    if len(estimate.poses) <= len(reference.poses):
        own, other = _nearest_in_time(estimate.stamps_s, reference.stamps_s)
    else:
        other, own = _nearest_in_time(reference.stamps_s, estimate.stamps_s)
    if not len(own):
        ranges = ", ".join(
            f"{name} {stamps_s[0]:.6f} to {stamps_s[-1]:.6f} s"
            for name, stamps_s in (("reference", reference.stamps_s), ("estimate", estimate.stamps_s))
        )
        raise DatasetError(
            f"no stamp of one trajectory is within {MAX_STAMP_DIFFERENCE_S} s of one of the other ({ranges}); "
            "are both of the same drive and on the same clock?"
        )
    return (
        Trajectory(poses=reference.poses[other], stamps_s=reference.stamps_s[other]),
        Trajectory(poses=estimate.poses[own], stamps_s=estimate.stamps_s[own]),
    )


def statistics(errors: Array) -> dict[str, float]:
    """Return rmse, mean, median, std, min, max and sse (sum of squares) of (M,) errors; std is that of all, not n - 1."""
    squared = errors**2
    return {
        "rmse": float(np.sqrt(np.mean(squared))),
        "mean": float(np.mean(errors)),
        "median": float(np.median(errors)),
        "std": float(np.std(errors)),
        "min": float(np.min(errors)),
        "max": float(np.max(errors)),
        "sse": float(np.sum(squared)),
    }


def _nearest_in_time(few_s: Array, many_s: Array) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return indices of those `few` that have a partner, and of the partners; of two equally near, the earlier."""
    after = np.minimum(np.searchsorted(many_s, few_s, side="right"), len(many_s) - 1)
    before = np.maximum(after - 1, 0)
    later_is_nearer = many_s[after] - few_s < few_s - many_s[before]
    partner = np.where(later_is_nearer, after, before)
    difference_s = np.where(later_is_nearer, many_s[after] - few_s, few_s - many_s[before])
    # A difference of exactly the limit must round as evo rounds it: at the ends it compares stamps, not differences.
    inside = (few_s >= many_s[0] - MAX_STAMP_DIFFERENCE_S) & (few_s <= many_s[-1] + MAX_STAMP_DIFFERENCE_S)
    kept = np.flatnonzero(inside & (difference_s <= MAX_STAMP_DIFFERENCE_S))
    return kept, partner[kept]


def _align(reference: Array, estimate: Array, alignment: str) -> Alignment:
    if alignment not in ALIGNMENTS:
        raise ConfigError(f"alignment is {alignment!r}, must be one of {', '.join(ALIGNMENTS)}")
    if alignment == "none":
        return Alignment(T_map_camera=np.eye(4), conditioning=1.0)
    if len(estimate) < _MIN_POSES_TO_ALIGN:
        raise DegenerateGeometryError(
            f"{len(estimate)} common poses, alignment {alignment} needs at least {_MIN_POSES_TO_ALIGN}; "
            "compare longer trajectories or use alignment none"
        )
    found = align(reference[:, :3, 3], estimate[:, :3, 3], np.ones(len(estimate)), with_scale=alignment == "sim3")
    if not found.conditioning > MIN_CONDITIONING:
        raise DegenerateGeometryError(
            f"the positions do not determine alignment {alignment}: stiffness ratio {found.conditioning:.3g}, must "
            f"exceed {MIN_CONDITIONING:g}; both trajectories must leave a straight line, or use alignment none"
        )
    return found


def _absolute_errors(reference: Array, estimate: Array) -> Errors:
    return Errors(
        index=np.arange(len(estimate)),
        translation_m=np.linalg.norm(estimate[:, :3, 3] - reference[:, :3, 3], axis=1),
        rotation_deg=np.degrees(rotation.angle_between_rad(estimate[:, :3, :3], reference[:, :3, :3])),
    )


def _relative_errors(reference: Array, estimate: Array, delta: Delta) -> Errors:
    ends = _pair_ends(estimate, delta)
    if len(ends) < 2:
        length_m = float(np.sum(_steps_m(estimate)))
        raise ConfigError(
            f"no two poses are {delta.size:g} {delta.unit} apart: the estimate has {len(estimate)} common poses over "
            f"{length_m:.3g} m; use a smaller delta"
        )
    start, end = ends[:-1], ends[1:]
    motion_reference = se3.inverse(reference[start]) @ reference[end]
    motion_estimate = se3.inverse(estimate[start]) @ estimate[end]
    difference = se3.inverse(motion_reference) @ motion_estimate
    return Errors(
        index=end,
        translation_m=np.linalg.norm(difference[:, :3, 3], axis=1),
        rotation_deg=np.degrees(rotation.angle_between_rad(motion_reference[:, :3, :3], motion_estimate[:, :3, :3])),
    )


def _pair_ends(poses: Array, delta: Delta) -> NDArray[np.intp]:
    """Return the poses at which one pair ends and the next begins: wherever delta is reached."""
    if delta.unit == "f":
        return np.arange(0, len(poses), int(delta.size))
    ends, travelled_m = [0] if delta.from_first_pose else [], 0.0
    for i, step_m in enumerate(_steps_m(poses), start=1):
        travelled_m += step_m
        if travelled_m >= delta.size:
            ends.append(i)
            travelled_m = 0.0
    return np.array(ends, dtype=np.intp)


def _steps_m(poses: Array) -> Array:
    steps: Array = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1)
    return steps
