"""Two rays to one point: where they meet, and how far they miss each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from reloc_ros.geometry.rotation import skew
from reloc_ros.types import Array


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """Nearest points of N pairs of rays.

    Args:
        points: (N, 3) middle between the nearest points of the two rays.
        range_first: (N,) distance of the nearest point along the first ray; negative behind its origin.
        range_second: (N,) the same of the second ray.
        gap: (N,) distance between the two nearest points.
        parallax_rad: (N,) angle between the rays; ranges mean little where it is small.
    """

    points: Array
    range_first: Array
    range_second: Array
    gap: Array
    parallax_rad: Array


def cross_rays(origin_first: ArrayLike, rays_first: Array, origin_second: ArrayLike, rays_second: Array) -> Crossing:
    """Return where pairs of rays come nearest to each other.

    Args:
        origin_first: (3,) in the map.
        rays_first: (N, 3) unit directions in the map.
        origin_second: (3,) in the map.
        rays_second: (N, 3) unit directions in the map.
    """
    start, other_start = np.asarray(origin_first, dtype=np.float64), np.asarray(origin_second, dtype=np.float64)
    baseline = other_start - start
    cosine = np.einsum("ni,ni->n", rays_first, rays_second)
    parallel = 1.0 - cosine**2 <= np.finfo(np.float64).eps
    denominator = np.where(parallel, 1.0, 1.0 - cosine**2)
    along_first, along_second = rays_first @ baseline, rays_second @ baseline
    range_first = (along_first - cosine * along_second) / denominator
    range_second = (cosine * along_first - along_second) / denominator
    nearest_first = start + range_first[:, None] * rays_first
    nearest_second = other_start + range_second[:, None] * rays_second
    return Crossing(
        points=(nearest_first + nearest_second) / 2,
        range_first=range_first,
        range_second=range_second,
        gap=np.asarray(np.linalg.norm(nearest_first - nearest_second, axis=1)),
        parallax_rad=np.arccos(np.clip(cosine, -1.0, 1.0)),
    )


def epipolar_errors_rad(rays_first: Array, rays_second: Array, T_first_second: ArrayLike) -> Array:
    """Return (N,) angles by which pairs of rays, each in its camera, miss the epipolar constraint; inf without baseline.

    First-order distance of both rays to the constraint (Sampson; Hartley and Zisserman, 2nd edition, eq. 11.9), on unit
    rays instead of pixels, so that it serves every camera.
    """
    transform = np.asarray(T_first_second, dtype=np.float64)
    essential = skew(transform[:3, 3]) @ transform[:3, :3]
    normals_first, normals_second = rays_second @ essential.T, rays_first @ essential
    residual = np.abs(np.einsum("ni,ni->n", rays_first, normals_first))
    size = np.sqrt(np.sum(normals_first**2, axis=1) + np.sum(normals_second**2, axis=1))
    return np.asarray(np.divide(residual, size, out=np.full(len(residual), np.inf), where=size > 0.0))
