"""Covariance of a pose: 6x6, order x, y, z, rotX, rotY, rotZ, translation along and rotation about fixed map axes.

Convention (that of geometry_msgs): the true pose is R_true = Exp(dr) R and t_true = t + dt, and C = E[d d^T] for
d = (dt, dr). The rotation error turns the camera *about its own centre*, round axes parallel to those of the map: it
does not move t. A left perturbation Exp(rho, dr) T, which turns about the map origin, would have dt = rho + dr x t.

In that convention (with q = R p, the lever from the camera centre to the point, in map axes) a camera point p lies at
    Exp(dr) q + t + dt  ~=  q + t + dt + dr x q  =  (q + t) + J d,    J = [I, -skew(q)].            (1)
"""

from __future__ import annotations

import numpy as np

from reloc_ros.errors import DegenerateGeometryError
from reloc_ros.geometry import rotation
from reloc_ros.geometry.rotation import skew
from reloc_ros.types import Array

_MAX_CONDITION = 1e13
"""Condition number of a scaled information matrix above which float64 cannot invert it to a useful digit."""

_FREE_PER_POINT = 3.0
_POSE_PARAMETERS = 6.0


def difference(T_map_body: Array, T_map_body_other: Array) -> Array:
    """Return d (6,), what must be added to the first pose to reach the other, in the order and axes of a covariance.

    x, y, z metres, rotX, rotY, rotZ radians: t_other = t + d[:3], R_other = Exp(d[3:]) R.
    """
    R_correction = T_map_body_other[:3, :3] @ T_map_body[:3, :3].T
    return np.concatenate([T_map_body_other[:3, 3] - T_map_body[:3, 3], rotation.log(R_correction)])


def pose_covariance(
    points_map: Array, points_camera: Array, weights: Array, T_map_camera: Array, *, noise_floor_m: float = 0.0
) -> Array:
    """Return the first-order covariance of a pose found by weighted alignment, from its own residuals.

    With e_i = p_map_i - T p_camera_i and (1), the minimum of sum_i w_i |e_i - J_i d|^2 is d = A^-1 sum_i w_i J_i^T e_i
    with A = sum_i w_i J_i^T J_i. Its covariance for independent points of unknown, unequal noise is (White 1980)
        C = f A^-1 (sum_i w_i^2 J_i^T (e_i e_i^T + s^2 I) J_i) A^-1.                                  (2)
    The weights need not be inverse variances and their scale cancels. s is `noise_floor_m`; f = 3n / (3n - 6) with
    n = (sum w)^2 / sum w^2 makes up for residuals that the fit has made small. Neighbouring points with a common error
    count as independent here, so that a calibrated factor has to follow.

    Args:
        points_map: (N, 3) metres.
        points_camera: (N, 3) metres, same order.
        weights: (N,) non-negative.
        T_map_camera: (4, 4), the minimum of the weighted residuals.
        noise_floor_m: noise of each coordinate of a point that residuals cannot show.

    Returns:
        (6, 6).

    Raises:
        DegenerateGeometryError: the points do not determine all six directions, or weigh no more than two points.
    """
    scale = np.max(weights, initial=0.0)
    effective = np.sum(weights / scale) ** 2 / np.sum((weights / scale) ** 2) if scale > 0.0 else 0.0
    spare = _FREE_PER_POINT * effective - _POSE_PARAMETERS
    if not spare > 1e-9:
        raise DegenerateGeometryError(
            f"an effective number of {effective:.3g} points has no residual to judge a pose by: more than 2 are needed"
        )
    share = np.asarray(weights, dtype=np.float64) / np.sum(weights)
    levers = np.asarray(points_camera, dtype=np.float64) @ T_map_camera[:3, :3].T
    residuals = points_map - (levers + T_map_camera[:3, 3])
    jacobians = point_jacobians(levers)
    inverse = invert_information(np.einsum("n,nij,nik->jk", share, jacobians, jacobians))
    scores = np.einsum("n,nij,ni->nj", share, jacobians, residuals)
    floor = np.einsum("n,nij,nik->jk", (share * noise_floor_m) ** 2, jacobians, jacobians)
    covariance = inverse @ (scores.T @ scores + floor) @ inverse
    return _symmetric(covariance * (_FREE_PER_POINT * effective / spare))


def point_jacobians(levers: Array) -> Array:
    """Return (N, 3, 6) J = [I, -skew(q)] of equation (1) for (N, 3) levers q = R_map_camera p_camera."""
    jacobians = np.zeros((len(levers), 3, 6))
    jacobians[:, :, :3] = np.eye(3)
    jacobians[:, :, 3:] = -skew(levers)
    return jacobians


def invert_information(information: Array) -> Array:
    """Return the inverse of a (6, 6) information matrix sum_i J_i^T J_i / sigma_i^2, whatever the units of its rows.

    Raises:
        DegenerateGeometryError: a direction of the pose is not determined (singular or not finite).
    """
    scale = np.sqrt(np.diagonal(information))
    if np.all(np.isfinite(information)) and np.all(scale > 0.0):
        scaled = information / np.outer(scale, scale)
        eigenvalues, eigenvectors = np.linalg.eigh(scaled)
        if eigenvalues[0] * _MAX_CONDITION > eigenvalues[-1]:
            return _symmetric((eigenvectors / eigenvalues) @ eigenvectors.T / np.outer(scale, scale))
    raise DegenerateGeometryError(
        f"the pose is not determined: information diagonal {np.diagonal(information).tolist()} needs six independent "
        f"directions (condition number below {_MAX_CONDITION:g}); points with weight must not lie on one line"
    )


def adjoint(T: Array) -> Array:
    """Return the (6, 6) matrix that carries a small motion (rho, dr) through T: T Exp(x) = Exp(adjoint(T) x) T.

    [[R, skew(t) R], [0, R]] in the order translation, rotation.
    """
    R = T[:3, :3]
    matrix = np.zeros((6, 6))
    matrix[:3, :3] = matrix[3:, 3:] = R
    matrix[:3, 3:] = skew(T[:3, 3]) @ R
    return matrix


def change_map_frame(covariance: Array, R_new_map: Array) -> Array:
    """Return the (6, 6) covariance of T_new_map @ T_map_camera, T_new_map exact with rotation (3, 3).

    R_new Exp(dr) R = Exp(R_new dr) R_new R and R_new dt: both halves turn, the translation between maps drops out.
    """
    turn = np.zeros((6, 6))
    turn[:3, :3] = turn[3:, 3:] = R_new_map
    return _symmetric(turn @ covariance @ turn.T)


def change_body_frame(covariance: Array, T_map_camera: Array, T_camera_base: Array) -> Array:
    """Return the (6, 6) covariance of T_map_base = T_map_camera @ T_camera_base, T_camera_base exact.

    t_base = t + R t_camera_base, hence with the lever l = R t_camera_base: dt_base = dt + dr x l = dt - skew(l) dr.
    """
    lever = np.eye(6)
    lever[:3, 3:] = -skew(T_map_camera[:3, :3] @ T_camera_base[:3, 3])
    return _symmetric(lever @ covariance @ lever.T)


def from_left_perturbation(covariance_left: Array, T_map_camera: Array) -> Array:
    """Return the (6, 6) covariance, in our convention, of one given for T_true = Exp(rho, dr) T (about the map origin).

    dt = rho + dr x t = rho - skew(t) dr.
    """
    lever = np.eye(6)
    lever[:3, 3:] = -skew(T_map_camera[:3, 3])
    return _symmetric(lever @ covariance_left @ lever.T)


def _symmetric(matrix: Array) -> Array:
    return np.asarray(0.5 * (matrix + matrix.T))
