"""Rigid transforms as (..., 4, 4) matrices: `T_a_b` maps points given in frame b to frame a."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from reloc_ros.errors import DegenerateGeometryError
from reloc_ros.geometry import rotation
from reloc_ros.types import Array


def from_rotation_translation(R: ArrayLike, t: ArrayLike) -> Array:
    """Return the (..., 4, 4) transforms of (..., 3, 3) rotations and (..., 3) translations (shapes broadcast)."""
    rotations, translations = np.asarray(R, dtype=np.float64), np.asarray(t, dtype=np.float64)
    transforms = np.zeros((*np.broadcast_shapes(rotations.shape[:-2], translations.shape[:-1]), 4, 4))
    transforms[..., :3, :3] = rotations
    transforms[..., :3, 3] = translations
    transforms[..., 3, 3] = 1.0
    return transforms


def inverse(T: ArrayLike) -> Array:
    """Return the (..., 4, 4) inverses of rigid transforms: [R^T, -R^T t]."""
    transforms = np.asarray(T, dtype=np.float64)
    R_transposed = np.swapaxes(transforms[..., :3, :3], -1, -2)
    return from_rotation_translation(R_transposed, -(R_transposed @ transforms[..., :3, 3:])[..., 0])


def from_quat_xyzw_translation(quat_xyzw: ArrayLike, translation: ArrayLike) -> Array:
    """Return the (..., 4, 4) transforms of (..., 4) quaternions and (..., 3) translations.

    Raises:
        DegenerateGeometryError: a quaternion is zero or not finite.
    """
    return from_rotation_translation(rotation.from_quat_xyzw(quat_xyzw), translation)


def to_quat_xyzw_translation(T: ArrayLike) -> tuple[Array, Array]:
    """Return the (..., 4) unit quaternions with w >= 0 and the (..., 3) translations of rigid transforms.

    Raises:
        DegenerateGeometryError: the rotation part is not a rotation.
    """
    transforms = np.asarray(T, dtype=np.float64)
    return rotation.to_quat_xyzw(transforms[..., :3, :3]), transforms[..., :3, 3].copy()


def interpolate(T_a: ArrayLike, T_b: ArrayLike, fraction: float) -> Array:
    """Return the (4, 4) transform between a (fraction 0) and b (fraction 1): slerp, and a straight line.

    Rotation and translation are interpolated apart, as tf2 does, so a point of the path does not depend on where the
    map has its origin. Fractions outside [0, 1] extrapolate.
    """
    start, end = np.asarray(T_a, dtype=np.float64), np.asarray(T_b, dtype=np.float64)
    turn = rotation.log(start[:3, :3].T @ end[:3, :3])
    return from_rotation_translation(
        start[:3, :3] @ rotation.exp(fraction * turn), (1.0 - fraction) * start[:3, 3] + fraction * end[:3, 3]
    )


def transform_points(T: ArrayLike, points: ArrayLike) -> Array:
    """Return (..., N, 3) points moved by (..., 4, 4) transforms."""
    transforms = np.asarray(T, dtype=np.float64)
    moved: Array = np.asarray(points, dtype=np.float64) @ np.swapaxes(transforms[..., :3, :3], -1, -2)
    return moved + transforms[..., None, :3, 3]


def is_rigid(T: ArrayLike, tolerance: float = 1e-6) -> bool:
    """Whether a matrix is (4, 4), finite, right-handed, orthonormal and with last row 0 0 0 1, each to `tolerance`."""
    transform = np.asarray(T, dtype=np.float64)
    if transform.shape != (4, 4) or not np.all(np.isfinite(transform)):
        return False
    R = transform[:3, :3]
    orthonormal = np.max(np.abs(R.T @ R - np.eye(3))) <= tolerance
    last_row = np.max(np.abs(transform[3] - (0.0, 0.0, 0.0, 1.0))) <= tolerance
    return bool(orthonormal and last_row and np.linalg.det(R) > 0.0)


def nearest_rigid(T: ArrayLike, tolerance: float) -> Array:
    """Return the exactly rigid (4, 4) transform nearest to one that was rounded when it was written to a file.

    Raises:
        DegenerateGeometryError: the matrix is further than `tolerance` from rigid, so rounding is not the cause.
    """
    transform = np.asarray(T, dtype=np.float64)
    if not is_rigid(transform, tolerance):
        raise DegenerateGeometryError(
            f"matrix {transform.tolist()} is not a rigid transform to within {tolerance:g}: it must be 4x4 and finite "
            "with an orthonormal right-handed rotation and last row 0 0 0 1"
        )
    left, _, right = np.linalg.svd(transform[:3, :3])
    return from_rotation_translation(left @ right, transform[:3, 3])
