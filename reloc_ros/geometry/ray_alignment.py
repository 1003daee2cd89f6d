"""Refine a camera pose so that map points fall on their rays, at their ranges.

Kabsch weighs an error along the ray like one across it, yet a network knows the direction of a point far better than
its range. Here the two have their own standard deviation, so the pose is the maximum-likelihood one; with an infinite
range deviation it is a weighted perspective-n-point solution on unit rays, which serves panoramas as well as pinholes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reloc_ros.errors import DegenerateGeometryError
from reloc_ros.geometry import rotation, se3
from reloc_ros.types import Array

# Graduated non-convexity: the robust kernel starts wide, so that a poor first pose is pulled in, and ends at its scale.
_KERNEL_WIDENING = (16.0, 8.0, 4.0, 2.0) + 8 * (1.0,)
# Metres and radians; a step this small at the final kernel changes nothing that could be measured.
_SMALLEST_STEP = 1e-5


@dataclass(frozen=True, kw_only=True)
class RayAlignment:
    """Result of `align_rays`.

    Args:
        T_map_camera: (4, 4), refined.
        covariance: (6, 6), inverse of the information of the residuals, taken as independent, times their variance
            of unit weight; x, y, z, rotX, rotY, rotZ about the map's fixed axes (m, rad).
        angles_rad: (N,) angle between each ray and its map point seen from the refined pose.
        kernel: (N,) robust weight in 0 to 1 that each point kept.
    """

    T_map_camera: Array
    covariance: Array
    angles_rad: Array
    kernel: Array


def align_rays(
    T_map_camera: Array,
    points_map: Array,
    rays_camera: Array,
    range_m: Array,
    weights: Array,
    *,
    angle_std_rad: float,
    range_std_log: float,
) -> RayAlignment:
    """Refine a pose by robust Gauss-Newton on tangent-plane and log-range residuals.

    Minimises sum_i w_i rho(|B_i q_i / (ray_i . q_i)|^2 / angle_std^2 + log(ray_i . q_i / range_i)^2 / range_std^2) with
    q_i = inverse(T_map_camera) p_i, B_i an orthonormal basis across ray i and rho Geman-McClure's kernel.

    Args:
        T_map_camera: (4, 4) first guess.
        points_map: (N, 3) metres.
        rays_camera: (N, 3) unit.
        range_m: (N,) metres along the rays.
        weights: (N,) non-negative.
        angle_std_rad: deviation of a point across its ray.
        range_std_log: deviation of the logarithm of its range.

    Raises:
        DegenerateGeometryError: the residuals do not determine all six parameters.
    """
    across = _tangent_basis(rays_camera)
    T_camera_map = se3.inverse(T_map_camera)
    for widening in _KERNEL_WIDENING:
        equations = _normal_equations(
            T_camera_map, points_map, rays_camera, across, range_m, weights, angle_std_rad, range_std_log, widening
        )
        step = _solve(equations.information, equations.gradient)
        T_camera_map = se3.from_rotation_translation(rotation.exp(step[3:]), step[:3]) @ T_camera_map
        if widening == 1.0 and np.abs(step).max() < _SMALLEST_STEP:
            break
    equations = _normal_equations(
        T_camera_map, points_map, rays_camera, across, range_m, weights, angle_std_rad, range_std_log, 1.0
    )
    T_map_camera = se3.inverse(T_camera_map)
    # A step in the camera frame moves the map pose the other way: dt = -R_map_camera step_t, dr = -R_map_camera step_r.
    to_map = np.kron(np.eye(2), -T_map_camera[:3, :3])
    covariance = equations.unit_variance * to_map @ _invert(equations.information) @ to_map.T
    return RayAlignment(
        T_map_camera=T_map_camera,
        covariance=covariance,
        angles_rad=equations.angles_rad,
        kernel=equations.kernel,
    )


@dataclass(frozen=True, kw_only=True)
class _Equations:
    """Gauss-Newton's (6, 6) information and (6,) gradient, the kernel and angle of each point, the variance of unit weight.

    The last is the mean squared residual, in deviations, of what the kernel kept.
    """

    information: Array
    gradient: Array
    kernel: Array
    angles_rad: Array
    unit_variance: float


def _tangent_basis(rays: Array) -> Array:
    """Return (N, 2, 3) orthonormal vectors across each (N, 3) unit ray."""
    # The axis least aligned with the ray keeps the cross product long.
    axis = np.eye(3)[np.argmin(np.abs(rays), axis=1)]
    first = np.cross(rays, axis)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    return np.stack([first, np.cross(rays, first)], axis=1)


def _normal_equations(
    T_camera_map: Array,
    points_map: Array,
    rays: Array,
    across: Array,
    range_m: Array,
    weights: Array,
    angle_std_rad: float,
    range_std_log: float,
    widening: float,
) -> _Equations:
    q = se3.transform_points(T_camera_map, points_map)
    depth = np.einsum("ni,ni->n", rays, q)
    before = depth > 1e-3 * range_m
    safe = np.where(before, depth, 1.0)
    sideways = np.einsum("nki,ni->nk", across, q) / safe[:, None]
    stretch = np.log(safe / range_m)
    residual = np.concatenate([sideways / angle_std_rad, (stretch / range_std_log)[:, None]], axis=1)
    squared = np.einsum("nk,nk->n", residual, residual)
    limit = 9.0 * widening**2
    kernel = np.where(before, (limit / (limit + squared)) ** 2, 0.0)
    # d q = step_t + step_r x q; rows of `toward` are d residual / d q.
    toward = np.concatenate(
        [
            (across - sideways[:, :, None] * rays[:, None, :]) / (safe[:, None, None] * angle_std_rad),
            (rays / (safe[:, None] * range_std_log))[:, None, :],
        ],
        axis=1,
    )
    turn = toward @ rotation.skew(q).swapaxes(1, 2)
    jacobian = np.concatenate([toward, turn], axis=2).reshape(-1, 6)
    weighted = jacobian * np.repeat(weights * kernel, 3)[:, None]
    angles_rad = np.where(before, np.arctan(np.linalg.norm(sideways, axis=1)), np.pi)
    share = weights * kernel
    return _Equations(
        information=weighted.T @ jacobian,
        gradient=-weighted.T @ residual.reshape(-1),
        kernel=kernel,
        angles_rad=angles_rad,
        unit_variance=float(share @ squared / max(3 * share.sum(), 1e-300)),
    )


def _solve(information: Array, gradient: Array) -> Array:
    try:
        return np.linalg.solve(information + 1e-9 * np.trace(information) * np.eye(6), gradient)
    except np.linalg.LinAlgError as error:
        raise DegenerateGeometryError("the rays do not determine a pose: no point carries weight") from error


def _invert(information: Array) -> Array:
    values, vectors = np.linalg.eigh(information)
    if not np.isfinite(values).all() or values[0] <= 1e-12 * max(values[-1], 1e-300):
        raise DegenerateGeometryError(
            f"the rays do not determine a pose: smallest eigenvalue of the information is {values[0]:.2e} of "
            f"{values[-1]:.2e}, limit 1e-12; the points are too few or lie on one line"
        )
    covariance: Array = (vectors / values) @ vectors.T
    return covariance
