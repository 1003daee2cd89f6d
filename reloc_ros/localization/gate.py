"""What a pose must be before it may leave: finite, rigid, inside the map, certain enough and of an image that shows enough."""

from __future__ import annotations

import math

import numpy as np

from reloc_ros.bundle.manifest import GateSpec, MapBounds
from reloc_ros.geometry import se3
from reloc_ros.localization.solve.solution import Failure, Solution
from reloc_ros.types import Array, Reason

# A float64 solve is orthonormal to 1e-12; anything beyond this is not a rotation.
_RIGID_TOLERANCE = 1e-6


def gate(solution: Solution, spec: GateSpec, bounds: MapBounds, contrast: float = math.inf) -> Solution | Failure:
    """Return the solution unchanged, or which limit it breaks with the value and the limit.

    Args:
        solution: pose with its calibrated covariance.
        spec: limits.
        bounds: box of training camera positions.
        contrast: of the image, grey levels; inf where nobody measured it.
    """
    T_map_camera, covariance = solution.T_map_camera, solution.covariance
    if not np.all(np.isfinite(T_map_camera)) or not np.all(np.isfinite(covariance)):
        return Failure(reason=Reason.SOLVE_FAILED, detail="pose or covariance is not finite")
    if not se3.is_rigid(T_map_camera, _RIGID_TOLERANCE):
        return Failure(reason=Reason.SOLVE_FAILED, detail="pose is not a rigid transform")
    if not _is_positive_definite(covariance):
        return Failure(reason=Reason.SOLVE_FAILED, detail="covariance is not symmetric and positive definite")
    return (
        _check_bounds(T_map_camera[:3, 3], spec, bounds)
        or _check_std("position", covariance[:3, :3], spec.max_position_std_m, "m")
        or _check_std("rotation", covariance[3:, 3:], spec.max_rotation_std_rad, "rad")
        or _check_contrast(contrast, spec)
        or solution
    )


def _is_positive_definite(covariance: Array) -> bool:
    scale = np.sqrt(np.abs(np.diagonal(covariance)))
    # Metres and radians differ in size; as correlations the entries compare.
    if not np.all(scale > 0) or not np.allclose(covariance, covariance.T, rtol=0, atol=1e-9 * np.outer(scale, scale)):
        return False
    try:
        np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        return False
    return True


def _check_bounds(position_map: Array, spec: GateSpec, bounds: MapBounds) -> Failure | None:
    outside_m = float(np.max(np.maximum(np.subtract(bounds.min_m, position_map), position_map - bounds.max_m)))
    if outside_m <= spec.bounds_margin_m:
        return None
    x, y, z = position_map
    detail = (
        f"position ({x:.2f}, {y:.2f}, {z:.2f}) m is {outside_m:.2f} m outside the mapped box, "
        f"limit {spec.bounds_margin_m:.2f} m"
    )
    return Failure(reason=Reason.OUTSIDE_MAP, detail=detail)


def _check_std(what: str, covariance: Array, limit: float, unit: str) -> Failure | None:
    std = float(np.sqrt(np.linalg.eigvalsh(covariance)[-1]))
    if std <= limit:
        return None
    return Failure(reason=Reason.TOO_UNCERTAIN, detail=f"{what} std is {std:.3g} {unit}, limit {limit:.3g} {unit}")


def _check_contrast(contrast: float, spec: GateSpec) -> Failure | None:
    if contrast >= spec.min_contrast:
        return None
    detail = f"contrast is {contrast:.1f} grey levels, this scene was trained from {spec.min_contrast:.1f} on"
    return Failure(reason=Reason.NO_CONTRAST, detail=detail)
