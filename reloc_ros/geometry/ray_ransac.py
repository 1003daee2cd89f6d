"""A camera pose from Pluecker rays, many of them wrong: RANSAC in two stages (DIMM, ICCV 2025), then all at once.

The rotation comes from the directions alone, which then correct the rays, and the centre comes from the moments about
the corrected rays. Either stage draws pairs by their weights, solves all pairs at once in closed form, and refits its
best on the inliers. Both ends meet in `ray_refinement.refine`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reloc_ros.errors import DegenerateGeometryError
from reloc_ros.geometry import se3
from reloc_ros.geometry.ray_refinement import MapRays, RefinedPose, refine
from reloc_ros.types import Array

# Errors below this many deviations are inliers: 97 % of three Gaussian components, 99 % of two.
_INLIER_DEVIATIONS = 3.0
_REFITS = 3
# Sine of the angle between the two rays of a pair, below which they say too little: 3 degrees.
_SMALLEST_SINE = 0.05
# Square of about the angle that inliers must spread over for a refit; else the best pair stands, and its few inliers
# say enough.
_LEAST_SPREAD = 1e-4
# Pairs drawn for each hypothesis; those that contradict themselves most are never solved.
_PAIRS_PER_HYPOTHESIS = 4

Mask = NDArray[np.bool_]
Generator = np.random.Generator


@dataclass(frozen=True, kw_only=True, eq=False)
class RayPose:
    """Result of `pose_from_rays`.

    Args:
        refined: the pose, its covariance and what is left over of each ray.
        direction_inliers: (N,) rays whose direction agrees with the refined rotation.
        moment_inliers: (N,) rays whose moment agrees with the refined pose.
    """

    refined: RefinedPose
    direction_inliers: Mask
    moment_inliers: Mask


def pose_from_rays(rays: MapRays, *, hypotheses: int, generator: Generator) -> RayPose:
    """Return the pose that most of the weight of the rays agrees with.

    Args:
        rays: directions and moments in map axes, moments about the map's origin: one near the cameras, as float32
            moments lose digits with the distance.
        hypotheses: poses tried in either stage.
        generator: draws the pairs; the same state gives the same bits.

    Raises:
        DegenerateGeometryError: the rays are nearly parallel, or what agrees does not determine a pose.
    """
    R_map_camera = rotation_from_directions(rays, hypotheses=hypotheses, generator=generator)
    centre_m = centre_from_moments(rays, R_map_camera, hypotheses=hypotheses, generator=generator)
    refined = refine(se3.from_rotation_translation(R_map_camera, centre_m), rays)
    return RayPose(
        refined=refined,
        direction_inliers=refined.angles_rad < _INLIER_DEVIATIONS * rays.direction_std_rad,
        moment_inliers=refined.moment_errors_m < _INLIER_DEVIATIONS * rays.moment_std_m,
    )


def rotation_from_directions(rays: MapRays, *, hypotheses: int, generator: Generator) -> Array:
    """Return R_map_camera, (3, 3), from the directions alone.

    Raises:
        DegenerateGeometryError: no two rays with weight are 3 degrees apart.
    """
    camera, directions = rays.rays_camera, rays.directions_map
    first, second = _draw_pairs(rays.direction_weights, _PAIRS_PER_HYPOTHESIS * hypotheses, generator)
    # Both ends of a pair must enclose the same angle.
    angle_camera, angle_map = (_angles(side[first], side[second]) for side in (camera, directions))
    wide = np.minimum(np.sin(angle_camera), np.sin(angle_map)) > _SMALLEST_SINE
    first, second = _most_consistent(first, second, np.abs(angle_camera - angle_map), wide, hypotheses)
    R_map_camera = _frames(directions[first], directions[second]) @ np.swapaxes(
        _frames(camera[first], camera[second]), -1, -2
    )
    # d . R r for all hypotheses and rays is one matrix product of R with the outer products d r^T.
    outer = (directions[:, :, None] * camera[:, None, :]).reshape(-1, 9)
    limit = (_INLIER_DEVIATIONS * rays.direction_std_rad) ** 2

    def squared_angles(candidates: Array) -> Array:
        return np.asarray(2.0 - 2.0 * candidates.reshape(-1, 9) @ outer.T)

    best: Array = R_map_camera[_best(squared_angles(R_map_camera), rays.direction_weights, limit)]
    for _ in range(_REFITS):
        share = rays.direction_weights * (squared_angles(best)[0] < limit)
        # Wahba's problem (Markley 1988): the rotation nearest to the attitude profile matrix.
        left, singular, right = np.linalg.svd((share @ outer).reshape(3, 3))
        if not singular[1] > _LEAST_SPREAD * singular[0]:
            break
        best = (left * (1.0, 1.0, np.sign(np.linalg.det(left) * np.linalg.det(right)))) @ right
    return best


def centre_from_moments(rays: MapRays, R_map_camera: Array, *, hypotheses: int, generator: Generator) -> Array:
    """Return the camera's centre, (3,) metres, from the moments about rays that the rotation corrects.

    Raises:
        DegenerateGeometryError: no two rays with weight are 3 degrees apart.
    """
    directions, moments_m, weights = rays.rays_camera @ R_map_camera.T, rays.moments_m, rays.moment_weights
    first, second = _draw_pairs(weights, _PAIRS_PER_HYPOTHESIS * hypotheses, generator)
    # Lines that meet have a reciprocal product of 0; its noise does not depend on the angle between them.
    apart = np.abs(np.sum(directions[first] * moments_m[second] + directions[second] * moments_m[first], axis=1))
    wide = np.sin(_angles(directions[first], directions[second])) > _SMALLEST_SINE
    first, second = _most_consistent(first, second, apart, wide, hypotheses)
    # m = c x d gives d x m = (I - d d^T) c: the point nearest to lines is linear in their sums.
    projectors = np.eye(3) - directions[:, :, None] * directions[:, None, :]
    feet_m = np.cross(directions, moments_m)
    centres_m = np.linalg.solve(projectors[first] + projectors[second], (feet_m[first] + feet_m[second])[:, :, None])[
        :, :, 0
    ]
    # |m - c x d|^2 = c^T (I - d d^T) c - 2 c . (d x m) + |m|^2, again one matrix product.
    quadratics = np.hstack([projectors.reshape(-1, 9), -2.0 * feet_m]).T
    squared_moments = np.sum(moments_m**2, axis=1)
    limit = (_INLIER_DEVIATIONS * rays.moment_std_m) ** 2

    def squared_errors(candidates: Array) -> Array:
        squares = (candidates[..., :, None] * candidates[..., None, :]).reshape(-1, 9)
        return np.asarray(np.hstack([squares, candidates.reshape(-1, 3)]) @ quadratics + squared_moments)

    best: Array = centres_m[_best(squared_errors(centres_m), weights, limit)]
    for _ in range(_REFITS):
        share = weights * (squared_errors(best)[0] < limit)
        total = (share @ projectors.reshape(-1, 9)).reshape(3, 3)
        spread = np.linalg.eigvalsh(total)
        if not spread[0] > _LEAST_SPREAD * spread[2]:
            break
        best = np.linalg.solve(total, share @ feet_m)
    return best


def _draw_pairs(weights: Array, count: int, generator: Generator) -> NDArray[np.intp]:
    """Return (2, count) indices drawn by weight; a ray that is paired with itself falls out as parallel."""
    cumulated = np.cumsum(weights)
    drawn = np.searchsorted(cumulated, generator.uniform(0.0, cumulated[-1], (2, count)), side="right")
    return np.minimum(drawn, len(weights) - 1)


def _most_consistent(
    first: NDArray[np.intp], second: NDArray[np.intp], mismatch: Array, wide: Mask, count: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the `count` wide pairs of least mismatch: a cheap test that spares the pairs with an outlier."""
    if not wide.any():
        raise DegenerateGeometryError(
            f"none of {len(wide)} pairs of rays is {np.degrees(_SMALLEST_SINE):.1f} degrees or more apart; a pose "
            "needs rays that spread: a wider field of view, or weight on more of the image"
        )
    order = np.argsort(np.where(wide, mismatch, np.inf), kind="stable")[: min(count, np.count_nonzero(wide))]
    return first[order], second[order]


def _angles(a: Array, b: Array) -> Array:
    """Return the (N,) angles between (N, 3) unit vectors; atan2 keeps its digits where arccos loses half of them."""
    return np.asarray(2.0 * np.arctan2(np.linalg.norm(a - b, axis=1), np.linalg.norm(a + b, axis=1)))


def _frames(a: Array, b: Array) -> Array:
    """Return (N, 3, 3) right-handed frames of pairs of unit vectors: along their sum, difference and cross product.

    Two such frames differ by the least-squares rotation of the pairs: both vectors share the error evenly.
    """
    total, difference = a + b, a - b
    total /= np.linalg.norm(total, axis=1, keepdims=True)
    difference /= np.linalg.norm(difference, axis=1, keepdims=True)
    return np.stack([total, difference, np.cross(total, difference)], axis=-1)


def _best(squared: Array, weights: Array, limit: float) -> int:
    """Return the row of (H, N) squared errors with the most weight below the limit, the more so the further below."""
    closeness = limit - squared
    np.maximum(closeness, 0.0, out=closeness)
    return int(np.argmax(closeness @ weights))
