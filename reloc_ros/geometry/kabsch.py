"""Weighted alignment of two clouds with known correspondence, rigid or with a scale (Kabsch 1976, Umeyama 1991)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reloc_ros.errors import DegenerateGeometryError
from reloc_ros.geometry import se3
from reloc_ros.types import Array

MIN_CONDITIONING = 1e-10
"""Stiffness ratio below which rounding alone decides the rotation: float64 leaves about 1e-15 of the largest singular
value as noise; the margin of 1e5 covers clouds far from their origin. Gates for noisy clouds ask for far more."""

_MIN_EXTENT = 1e-12
"""Extent of a cloud relative to its largest coordinate below which it is one point, up to rounding."""


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """An alignment `p_map = T_map_camera @ (scale * p_camera)` and how firmly the clouds determine it.

    Args:
        T_map_camera: (4, 4), rigid.
        conditioning: in [0, 1], least over greatest rotational stiffness, (s2 + d s3) / (s1 + s2) with the singular
            values s1 >= s2 >= s3 of the weighted cross-covariance and d = -1 where the fit had to undo a reflection:
            0 for a line, 1/2 for a round disc, 1 for a ball.
        scale: of the camera cloud; 1 unless asked for.
    """

    T_map_camera: Array
    conditioning: float
    scale: float = 1.0


def weighted_kabsch(points_map: Array, points_camera: Array, weights: Array) -> Array:
    """Return the rigid transform that best maps camera points onto map points.

    Minimises sum_i w_i |p_map_i - (R p_camera_i + t)|^2 (Kabsch 1976; Umeyama 1991 eq. 40-43).

    Args:
        points_map: (N, 3) metres.
        points_camera: (N, 3) metres, same order.
        weights: (N,) non-negative; scale does not matter.

    Returns:
        T_map_camera, (4, 4), with a proper rotation even where a reflection would fit better.

    Raises:
        DegenerateGeometryError: fewer than two independent directions carry weight, or an input is not finite.
    """
    alignment = align(points_map, points_camera, weights)
    if not alignment.conditioning > MIN_CONDITIONING:
        raise DegenerateGeometryError(
            f"{len(points_map)} weighted points do not determine a rotation: stiffness ratio "
            f"{alignment.conditioning:.3g}, must exceed {MIN_CONDITIONING:g}; points with weight must span a plane"
        )
    return alignment.T_map_camera


def conditioning(points_map: Array, points_camera: Array, weights: Array) -> float:
    """Return how firmly two (N, 3) clouds determine their rotation: see `Alignment.conditioning`; 0 for one point."""
    return align(points_map, points_camera, weights).conditioning


def align(points_map: Array, points_camera: Array, weights: Array, *, with_scale: bool = False) -> Alignment:
    """Return the best alignment with its conditioning, even where it is arbitrary (conditioning near 0).

    Args:
        points_map: (N, 3) metres.
        points_camera: (N, 3) metres, same order.
        weights: (N,) non-negative; scale does not matter.
        with_scale: also find the scale of the camera cloud.

    Raises:
        DegenerateGeometryError: there is no weight, a weight is negative, or an input is not finite.
    """
    points_map, points_camera = np.asarray(points_map, np.float64), np.asarray(points_camera, np.float64)
    share = _shares(points_map, points_camera, np.asarray(weights, np.float64))
    centroid_map, centroid_camera = share @ points_map, share @ points_camera
    centred_map, centred_camera = points_map - centroid_map, points_camera - centroid_camera
    left, singular, right = np.linalg.svd((share[:, None] * centred_map).T @ centred_camera)
    # Umeyama 1991 eq. 43: flip the least certain axis when U V^T would be a reflection.
    sign = np.sign(np.linalg.det(left) * np.linalg.det(right))
    R_map_camera = (left * (1.0, 1.0, sign)) @ right
    collapsed = any(
        np.sqrt(share @ np.sum(centred**2, axis=1)) <= _MIN_EXTENT * np.max(np.abs(points))
        for centred, points in ((centred_map, points_map), (centred_camera, points_camera))
    )
    degenerate = collapsed or not singular[0] > 0.0
    scale = 1.0
    if with_scale and not degenerate:
        # Umeyama 1991 eq. 42; the denominator is the weighted variance of the camera cloud.
        scale = float(singular @ (1.0, 1.0, sign) / (share @ np.sum(centred_camera**2, axis=1)))
    T_map_camera = se3.from_rotation_translation(R_map_camera, centroid_map - scale * R_map_camera @ centroid_camera)
    if degenerate:
        return Alignment(T_map_camera=T_map_camera, conditioning=0.0)
    ratio = (singular[1] + sign * singular[2]) / (singular[0] + singular[1])
    return Alignment(T_map_camera=T_map_camera, conditioning=float(max(ratio, 0.0)), scale=scale)


def _shares(points_map: Array, points_camera: Array, weights: Array) -> Array:
    """Return the (N,) weights scaled to sum 1, after checking all three inputs."""
    if not (points_map.ndim == 2 and points_map.shape == points_camera.shape == (len(weights), 3)):
        raise DegenerateGeometryError(
            f"points_map {points_map.shape}, points_camera {points_camera.shape} and weights {weights.shape} "
            "must be (N, 3), (N, 3) and (N,)"
        )
    if not (np.all(np.isfinite(points_map)) and np.all(np.isfinite(points_camera))):
        raise DegenerateGeometryError("a point is not finite; leave out points that were not measured")
    if not (len(weights) and np.all(np.isfinite(weights)) and np.min(weights) >= 0.0 and np.max(weights) > 0.0):
        raise DegenerateGeometryError(
            f"{len(weights)} weights must be finite and non-negative with at least one above 0; "
            "a network that gives no weight anywhere saw nothing it knows"
        )
    # Dividing by the largest first keeps the sum finite.
    scaled: Array = weights / np.max(weights)
    return scaled / np.sum(scaled)
