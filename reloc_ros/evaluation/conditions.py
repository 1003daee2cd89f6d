"""Errors against what a frame was taken under: distance from the mapping path, speed, turning, light."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from reloc_ros.evaluation.metrics import quantile
from reloc_ros.evaluation.pose_error import rotation_error_deg, translation_error_m
from reloc_ros.evaluation.replay import FrameResult
from reloc_ros.evaluation.timeline import is_step
from reloc_ros.types import Array

_BINS = 6
_FRAMES_PER_BIN = 5


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One number for each frame.

    Args:
        name: key in the report.
        label: of the axis.
        values: (N,) in the order of the results; NaN where it is not known.
    """

    name: str
    label: str
    values: Array


def conditions(results: Sequence[FrameResult], mapped_positions: Array | None, unit: str) -> list[Condition]:
    """Return every condition that is known.

    Args:
        results: at least one.
        mapped_positions: (M, 3) camera positions that the model was trained on; None leaves the off-trajectory curve out.
        unit: of lengths in the map.
    """
    speed, turn = _speeds(results)
    found = [
        Condition(name="speed_mps", label=f"speed [{unit}/s]", values=speed),
        Condition(name="turn_degps", label="turning [deg/s]", values=turn),
        Condition(
            name="light", label="mean grey level, 0 to 1", values=np.array([result.brightness for result in results])
        ),
    ]
    if mapped_positions is not None:
        distance = distance_from_path_m(results, mapped_positions)
        label = f"distance from the nearest learned camera position [{unit}]"
        found.insert(0, Condition(name="distance_from_mapping_m", label=label, values=distance))
    return [condition for condition in found if np.isfinite(condition.values).any()]


def distance_from_path_m(results: Sequence[FrameResult], mapped_positions: Array) -> Array:
    """Return (N,) distance of each frame's true position to the nearest of (M, 3) positions that were learned from."""
    distances, _ = cKDTree(mapped_positions).query(np.array([result.T_map_camera[:3, 3] for result in results]))
    return np.asarray(distances, dtype=float)


def by_condition(results: Sequence[FrameResult], found: Sequence[Condition]) -> dict[str, list[dict[str, Any]]]:
    """Return the figures of about equally many frames each, in ascending order of each condition."""
    return {condition.name: [_figures(results, condition, part) for part in bins(condition)] for condition in found}


def bins(condition: Condition) -> list[Array]:
    """Return indices of the frames of each bin; frames of unknown condition are in none."""
    known = np.flatnonzero(np.isfinite(condition.values))
    ordered = known[np.argsort(condition.values[known], kind="stable")]
    return list(np.array_split(ordered, min(_BINS, max(1, len(ordered) // _FRAMES_PER_BIN))))


def _figures(results: Sequence[FrameResult], condition: Condition, part: Array) -> dict[str, Any]:
    chosen = [results[i] for i in part]
    return {
        "from": float(condition.values[part[0]]),
        "to": float(condition.values[part[-1]]),
        "frames": len(part),
        "rejection_rate": sum(result.pose is None for result in chosen) / len(part),
        "median_translation_error_m": quantile([result.translation_error_m for result in chosen], 0.5),
        "median_rotation_error_deg": quantile([result.rotation_error_deg for result in chosen], 0.5),
    }


def _speeds(results: Sequence[FrameResult]) -> tuple[Array, Array]:
    """Return (N,) metres and degrees per second of the true motion, from the frame before to the one after."""
    follows = is_step(results)
    speed, turn = np.full(len(results), np.nan), np.full(len(results), np.nan)
    for i in range(len(results)):
        first = i - 1 if i > 0 and follows[i - 1] else i
        last = i + 1 if i < len(follows) and follows[i] else i
        if first != last:
            before, after = results[first], results[last]
            seconds = (after.stamp_ns - before.stamp_ns) / 1e9
            speed[i] = translation_error_m(after.T_map_camera, before.T_map_camera) / seconds
            turn[i] = rotation_error_deg(after.T_map_camera, before.T_map_camera) / seconds
    return speed, turn
