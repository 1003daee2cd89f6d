"""What a solver gives back: a pose with its uncertainty, or why there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from reloc_ros.cameras.camera import Camera
from reloc_ros.types import Array, Outputs, Reason


@dataclass(frozen=True, kw_only=True)
class Solution:
    """A pose as solved from the network's outputs, before any gate.

    Args:
        T_map_camera: (4, 4), metres.
        covariance: (6, 6), order and axes as in `reloc_ros.types.Estimate`; first order, before calibration.
        evidence: what the solver saw (inlier ratio, residual in metres, ...), for diagnostics.
        scene: index of the scene the pose lives in, in the order of the manifest.
        cell_weights: (rows, columns) what each cell of the image counted for, non-negative, for pictures.
    """

    T_map_camera: Array
    covariance: Array
    evidence: dict[str, float]
    scene: int = 0
    cell_weights: Array | None = None


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a stage gave nothing: becomes `Rejected` once the frame's stamp is added."""

    reason: Reason
    detail: str


# The camera is that of the image the network saw.
Solver = Callable[[Outputs, Camera], Solution | Failure]
