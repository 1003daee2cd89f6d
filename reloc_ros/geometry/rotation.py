"""Rotations as (..., 3, 3) matrices, rotation vectors and quaternions in x, y, z, w order (ROS and scipy).

All functions are vectorised over leading dimensions and well conditioned at 0 and at pi: angles come from
2 atan2(|xyz|, w) of the quaternion, never from acos of a trace or a division by sin.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from reloc_ros.errors import DegenerateGeometryError
from reloc_ros.types import Array

_MEAN_EIGENVALUE_GAP = 1e-9
"""Relative gap of the two largest eigenvalues below which a mean rotation is arbitrary (opposite rotations)."""


def exp(rotvec: ArrayLike) -> Array:
    """Return the (..., 3, 3) rotation matrices of (..., 3) rotation vectors (axis times angle, radians)."""
    vectors = np.asarray(rotvec, dtype=np.float64)
    matrices = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix()
    return cast(Array, matrices.reshape(*vectors.shape[:-1], 3, 3))


def log(R: ArrayLike) -> Array:
    """Return the (..., 3) rotation vectors of (..., 3, 3) rotation matrices, angle in [0, pi].

    At exactly pi both signs of the axis are right; one of them is returned.

    Raises:
        DegenerateGeometryError: a matrix is not finite or is not a rotation (determinant <= 0).
    """
    rotations, shape = _rotations(R)
    return cast(Array, rotations.as_rotvec().reshape(*shape, 3))


def skew(vector: ArrayLike) -> Array:
    """Return the (..., 3, 3) matrices for which `skew(a) @ b == cross(a, b)`."""
    x, y, z = np.moveaxis(np.asarray(vector, dtype=np.float64), -1, 0)
    zero = np.zeros_like(x)
    rows = [np.stack(row, axis=-1) for row in ((zero, -z, y), (z, zero, -x), (-y, x, zero))]
    return np.stack(rows, axis=-2)


def angle_between_rad(R_a: ArrayLike, R_b: ArrayLike) -> NDArray[Any]:
    """Return the (...) angles in [0, pi] that turn (..., 3, 3) rotations a into rotations b (shapes broadcast)."""
    difference = np.swapaxes(np.asarray(R_a, dtype=np.float64), -1, -2) @ np.asarray(R_b, dtype=np.float64)
    rotations, shape = _rotations(difference)
    return cast("NDArray[Any]", np.reshape(rotations.magnitude(), shape))


def from_quat_xyzw(quat_xyzw: ArrayLike) -> Array:
    """Return the (..., 3, 3) rotation matrices of (..., 4) quaternions; they need not be normalised.

    Raises:
        DegenerateGeometryError: a quaternion is zero or not finite.
    """
    rotations, shape = _rotations_of_quat(quat_xyzw)
    return cast(Array, rotations.as_matrix().reshape(*shape, 3, 3))


def to_quat_xyzw(R: ArrayLike) -> Array:
    """Return the (..., 4) unit quaternions with w >= 0 of (..., 3, 3) rotation matrices.

    Raises:
        DegenerateGeometryError: a matrix is not finite or is not a rotation (determinant <= 0).
    """
    rotations, shape = _rotations(R)
    quaternions = rotations.as_quat().reshape(*shape, 4)
    return cast(Array, np.where(quaternions[..., 3:] < 0.0, -quaternions, quaternions))


def log_quat(quat_xyzw: ArrayLike) -> Array:
    """Return the (..., 3) logarithms of (..., 4) quaternions: *half* the rotation vector, length in [0, pi / 2].

    q and -q have the same logarithm, except at a turn by exactly pi, where both signs of the axis are right. The
    quaternions need not be normalised.

    Raises:
        DegenerateGeometryError: a quaternion is zero or not finite.
    """
    rotations, shape = _rotations_of_quat(quat_xyzw)
    return cast(Array, 0.5 * rotations.as_rotvec().reshape(*shape, 3))


def exp_log_quat(log_quat: ArrayLike) -> Array:
    """Return the (..., 4) unit quaternions with w >= 0 of (..., 3) logarithms (half rotation vectors) of any length."""
    logarithms = np.asarray(log_quat, dtype=np.float64)
    quaternions = Rotation.from_rotvec(2.0 * logarithms.reshape(-1, 3)).as_quat().reshape(*logarithms.shape[:-1], 4)
    return cast(Array, np.where(quaternions[..., 3:] < 0.0, -quaternions, quaternions))


def align_hemisphere(quat_xyzw: ArrayLike, reference_xyzw: ArrayLike) -> Array:
    """Return the (..., 4) quaternions, negated where they point away from the reference (shapes broadcast).

    q and -q are the same rotation; differences and averages make sense only within one hemisphere.
    """
    quaternions, reference = np.asarray(quat_xyzw, dtype=np.float64), np.asarray(reference_xyzw, dtype=np.float64)
    away = np.sum(quaternions * reference, axis=-1, keepdims=True) < 0.0
    return np.where(away, -quaternions, quaternions)


def mean_quat_xyzw(quat_xyzw: ArrayLike, weights: ArrayLike | None = None) -> Array:
    """Return the (4,) mean with w >= 0 of (N, 4) quaternions, whatever the sign of each.

    The mean maximises sum_i w_i (q . q_i)^2: the leading eigenvector of sum_i w_i q_i q_i^T (Markley 2007, eq. 12-13).

    Args:
        quat_xyzw: (N, 4), unit length.
        weights: (N,) non-negative; equal when left out.

    Raises:
        DegenerateGeometryError: there is no unique mean (no weight at all, or rotations that cancel).
    """
    quaternions = np.asarray(quat_xyzw, dtype=np.float64)
    weight = np.ones(len(quaternions)) if weights is None else np.asarray(weights, dtype=np.float64)
    eigenvalues, eigenvectors = np.linalg.eigh((quaternions * weight[:, None]).T @ quaternions)
    if not eigenvalues[3] - eigenvalues[2] > _MEAN_EIGENVALUE_GAP * eigenvalues[3]:
        raise DegenerateGeometryError(
            f"{len(quaternions)} rotations have no unique mean: the two largest eigenvalues {eigenvalues[3]:.6g} and "
            f"{eigenvalues[2]:.6g} must differ; average rotations that lie closer together"
        )
    mean = eigenvectors[:, 3]
    return -mean if mean[3] < 0.0 else mean


def _rotations(R: ArrayLike) -> tuple[Rotation, tuple[int, ...]]:
    """Return the flat scipy rotations and the leading shape of (..., 3, 3) matrices, checked."""
    matrices = np.asarray(R, dtype=np.float64)
    finite = bool(np.all(np.isfinite(matrices)))
    lowest = np.min(np.linalg.det(matrices), initial=np.inf) if finite else np.nan
    if not lowest > 0.0:
        raise DegenerateGeometryError(
            f"not a rotation: the least determinant is {lowest:.6g} and must be 1; a mirrored matrix usually means "
            "that an axis convention was mixed up"
        )
    return Rotation.from_matrix(matrices.reshape(-1, 3, 3)), matrices.shape[:-2]


def _rotations_of_quat(quat_xyzw: ArrayLike) -> tuple[Rotation, tuple[int, ...]]:
    """Return the flat scipy rotations and the leading shape of (..., 4) quaternions, checked."""
    quaternions = np.asarray(quat_xyzw, dtype=np.float64)
    norm = np.linalg.norm(quaternions, axis=-1)
    if not np.all(np.isfinite(norm) & (norm > np.finfo(np.float64).tiny)):
        raise DegenerateGeometryError(
            f"quaternion x, y, z, w = {quaternions.tolist()} has no direction: "
            "its length must be finite and > 0; check the source of this orientation"
        )
    return Rotation.from_quat(quaternions.reshape(-1, 4)), quaternions.shape[:-1]
