"""Results with planted errors, without any network."""

from __future__ import annotations

import numpy as np

from reloc_ros.evaluation.replay import FrameResult
from reloc_ros.geometry import rotation, se3
from reloc_ros.types import Array, Estimate, Localization, Reason, Rejected


def make_result(
    index: int,
    T_map_camera: Array,
    localization: Localization,
    sequence: str = "drive",
    seconds: float = 0.010,
) -> FrameResult:
    """Return a result named after its index, ten frames a second."""
    return FrameResult(
        name=f"{sequence}/{index:06d}.png",
        sequence=sequence,
        stamp_ns=index * 100_000_000,
        T_map_camera=T_map_camera,
        localization=localization,
        seconds=seconds,
        stage_seconds={"prepare": 0.1 * seconds, "infer": 0.8 * seconds},
    )


def estimated(T_map_camera: Array, covariance: Array | None = None) -> Estimate:
    """Return an estimate at a pose."""
    return Estimate(
        T_map_camera=T_map_camera,
        covariance=np.eye(6) * 1e-4 if covariance is None else covariance,
        map_frame="map",
        stamp_ns=0,
        evidence={},
    )


def rejected(reason: Reason = Reason.TOO_UNCERTAIN) -> Rejected:
    """Return a rejection."""
    return Rejected(reason=reason, detail="planted", stamp_ns=0)


def result_with_errors(index: int, translation_m: float, rotation_deg: float) -> FrameResult:
    """Return an accepted result that is off by exactly these errors; infinite errors make it a rejected one."""
    truth = se3.from_rotation_translation(rotation.exp(np.array([0.2, -0.5, 1.0])), np.array([0.1 * index, 2.0, -1.0]))
    if not np.isfinite(translation_m):
        return make_result(index, truth, rejected())
    estimate = se3.from_rotation_translation(
        rotation.exp(np.array([0.0, np.radians(rotation_deg), 0.0])) @ truth[:3, :3],
        truth[:3, 3] + np.array([0.0, 0.6, -0.8]) * translation_m,
    )
    return make_result(index, truth, estimated(estimate))
