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
_KERNEL_WIDENING = (16.0, 4.0) + 8 * (1.0,)
# Squared residual, in deviations, at which the kernel is a quarter.
_KERNEL_LIMIT = 9.0
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
    residuals = _Residuals(points_map, rays_camera, range_m, weights, angle_std_rad, range_std_log)
    T_camera_map = se3.inverse(T_map_camera)
    for widening in _KERNEL_WIDENING:
        equations = residuals.linearise(T_camera_map, widening)
        step = _solve(equations.information, equations.gradient)
        T_camera_map = se3.from_rotation_translation(rotation.exp(step[3:]), step[:3]) @ T_camera_map
        if widening == 1.0 and np.abs(step).max() < _SMALLEST_STEP:
            break
    equations = residuals.linearise(T_camera_map, 1.0)
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


class _Residuals:
    """The residuals of all points as functions of the pose; arrays have their components first, (3, N), for speed."""

    def __init__(
        self,
        points_map: Array,
        rays: Array,
        range_m: Array,
        weights: Array,
        angle_std_rad: float,
        range_std_log: float,
    ) -> None:
        self._points, self._rays = np.ascontiguousarray(points_map.T), np.ascontiguousarray(rays.T)
        self._across = _tangent_basis(rays)
        self._range_m, self._weights = range_m, weights
        self._deviations = np.array([angle_std_rad, angle_std_rad, range_std_log])[:, None]

    def linearise(self, T_camera_map: Array, widening: float) -> _Equations:
        """Return the normal equations at a pose, with the kernel widened."""
        q = T_camera_map[:3, :3] @ self._points + T_camera_map[:3, 3:]
        depth = np.sum(self._rays * q, axis=0)
        before = depth > 1e-3 * self._range_m
        depth = np.where(before, depth, 1.0)
        residual = np.empty_like(q)
        residual[:2] = np.sum(self._across * q, axis=1) / depth
        residual[2] = np.log(depth / self._range_m)
        angles_rad = np.where(before, np.arctan(np.hypot(residual[0], residual[1])), np.pi)
        # d q = step_t + step_r x q. First axis: the six parameters; second: the three residuals of each point.
        jacobian = np.empty((6, 3, q.shape[1]))
        jacobian[:3, :2] = self._across.swapaxes(0, 1) - self._rays[:, None] * residual[:2]
        jacobian[:3, 2] = self._rays
        jacobian[:3] /= depth * self._deviations
        jacobian[3] = q[1] * jacobian[2] - q[2] * jacobian[1]
        jacobian[4] = q[2] * jacobian[0] - q[0] * jacobian[2]
        jacobian[5] = q[0] * jacobian[1] - q[1] * jacobian[0]
        residual /= self._deviations
        squared = np.sum(residual**2, axis=0)
        limit = _KERNEL_LIMIT * widening**2
        kernel = np.where(before, (limit / (limit + squared)) ** 2, 0.0)
        share = self._weights * kernel
        weighted = (jacobian * share).reshape(6, -1)
        return _Equations(
            information=weighted @ jacobian.reshape(6, -1).T,
            gradient=-weighted @ residual.reshape(-1),
            kernel=kernel,
            angles_rad=angles_rad,
            unit_variance=float(share @ squared / max(3 * share.sum(), 1e-300)),
        )


def _tangent_basis(rays: Array) -> Array:
    """Return (2, 3, N) orthonormal vectors across each (N, 3) unit ray."""
    # The axis least aligned with the ray keeps the cross product long.
    axis = np.eye(3)[np.argmin(np.abs(rays), axis=1)]
    first = np.cross(rays, axis)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    return np.ascontiguousarray(np.stack([first.T, np.cross(rays, first).T]))


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
