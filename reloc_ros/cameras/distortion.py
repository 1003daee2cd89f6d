"""Lenses: how directions before a pinhole camera become points of the normalised image plane (u - cx) / fx, and back.

OpenCV's `undistortPoints` is a fixed-point iteration that diverges for strong barrel distortion (100 px at the corners
with k1 = -0.45, k2 = 0.25) and its fisheye functions stop short of 90 degrees, so the inversions here are a bracketed
Newton method. Both lenses know how far their polynomial increases: beyond it the model folds back and means nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.polynomial import Polynomial
from numpy.typing import NDArray

from reloc_ros.types import Array

_MAX_SLOPE = 100.0
"""Largest tangent of the view angle the Brown model is asked for: 89.4 degrees, where a plane image has no more use."""
_ITERATIONS = 60
_CONVERGED = 1e-14
_NEGLIGIBLE = 1e-15
_REAL = 1e-9
_POLE_MARGIN = 1e-6


class Lens(Protocol):
    """A direction for each point of the normalised image plane."""

    def directions(self, plane: Array) -> Array:
        """Return (N, 3) unit rays through (N, 2) points; points beyond the model's range get its outermost ray."""

    def project(self, points_camera: Array) -> tuple[Array, NDArray[np.bool_]]:
        """Return (N, 2) plane points of (N, 3) points (NaN without an image) and (N,) whether the model covers them."""


@dataclass(frozen=True)
class BrownLens:
    """Brown-Conrady distortion with optional rational denominator (OpenCV: k1 k2 p1 p2 k3 k4 k5 k6).

    x_d = x f + 2 p1 x y + p2 (r^2 + 2 x^2), y_d = y f + p1 (r^2 + 2 y^2) + 2 p2 x y,
    f = (1 + k1 r^2 + k2 r^4 + k3 r^6) / (1 + k4 r^2 + k5 r^4 + k6 r^6), on the plane z = 1.
    """

    coefficients: tuple[float, ...]
    max_slope: float = field(init=False)
    """Distance from the axis, on the plane z = 1, up to which r f(r) increases."""

    def __post_init__(self) -> None:
        numerator, denominator = self._radial()
        s = Polynomial([0.0, 1.0])
        # d(r f)/dr = 0 with s = r^2, or just before a pole of f: whichever comes first.
        slope = numerator * denominator + 2 * s * (numerator.deriv() * denominator - numerator * denominator.deriv())
        limit = min(_first_root(slope, _MAX_SLOPE**2), (1.0 - _POLE_MARGIN) * _first_root(denominator, _MAX_SLOPE**2))
        object.__setattr__(self, "max_slope", float(np.sqrt(limit)))

    def directions(self, plane: Array) -> Array:
        """Return (N, 3) unit rays; see `Lens`."""
        radius_distorted = np.hypot(plane[:, 0], plane[:, 1])
        numerator, denominator = self._radial()
        factor_slope = numerator.deriv() * denominator - numerator * denominator.deriv()

        def distorted(radius: Array) -> tuple[Array, Array]:
            s = radius**2
            below = denominator(s)
            factor = numerator(s) / below
            return radius * factor, factor + 2 * s * factor_slope(s) / below**2

        radius = _invert_increasing(distorted, radius_distorted, self.max_slope)
        shrink = np.divide(radius, radius_distorted, out=np.ones_like(radius), where=radius_distorted > 0.0)
        slopes = self._refine(plane * shrink[:, None], plane, radius < self.max_slope)
        rays = np.column_stack([slopes, np.ones(len(slopes))])
        return np.asarray(rays / np.linalg.norm(rays, axis=1, keepdims=True))

    def project(self, points_camera: Array) -> tuple[Array, NDArray[np.bool_]]:
        """Return (N, 2) plane points and (N,) validity; see `Lens`. Points with z <= 0 have no image."""
        depth = np.where(points_camera[:, 2] > 0.0, points_camera[:, 2], np.nan)
        slopes = points_camera[:, :2] / depth[:, None]
        with np.errstate(invalid="ignore", over="ignore"):
            covered = np.hypot(slopes[:, 0], slopes[:, 1]) <= self.max_slope
            return self._distort(slopes), covered

    def _radial(self) -> tuple[Polynomial, Polynomial]:
        """Return numerator and denominator of f as polynomials of r^2."""
        k1, k2, _, _, k3, k4, k5, k6 = _padded(self.coefficients, 8)
        return Polynomial([1.0, k1, k2, k3]), Polynomial([1.0, k4, k5, k6])

    def _distort(self, slopes: Array) -> Array:
        _, _, p1, p2 = _padded(self.coefficients, 8)[:4]
        numerator, denominator = self._radial()
        x, y = slopes[:, 0], slopes[:, 1]
        s = x * x + y * y
        factor = numerator(s) / denominator(s)
        return np.column_stack(
            [
                x * factor + 2 * p1 * x * y + p2 * (s + 2 * x * x),
                y * factor + p1 * (s + 2 * y * y) + 2 * p2 * x * y,
            ]
        )

    def _refine(self, slopes: Array, plane: Array, inside: NDArray[np.bool_]) -> Array:
        """Add the tangential part to a radial solution by Newton steps, each kept only where it helps."""
        _, _, p1, p2 = _padded(self.coefficients, 8)[:4]
        if p1 == p2 == 0.0:
            return slopes
        numerator, denominator = self._radial()
        factor_slope = numerator.deriv() * denominator - numerator * denominator.deriv()
        residual = plane - self._distort(slopes)
        for _ in range(_ITERATIONS):
            x, y = slopes[:, 0], slopes[:, 1]
            s = x * x + y * y
            below = denominator(s)
            f, df = numerator(s) / below, factor_slope(s) / below**2
            dxx = f + 2 * x * x * df + 2 * p1 * y + 6 * p2 * x
            dyy = f + 2 * y * y * df + 6 * p1 * y + 2 * p2 * x
            dxy = 2 * x * y * df + 2 * p1 * x + 2 * p2 * y
            determinant = dxx * dyy - dxy * dxy
            step = (
                np.column_stack(
                    [
                        dyy * residual[:, 0] - dxy * residual[:, 1],
                        dxx * residual[:, 1] - dxy * residual[:, 0],
                    ]
                )
                / np.where(determinant == 0.0, np.inf, determinant)[:, None]
            )
            candidate_residual = plane - self._distort(slopes + step)
            better = np.sum(candidate_residual**2, axis=1) < np.sum(residual**2, axis=1)
            moved = (better & inside)[:, None]
            slopes = np.where(moved, slopes + step, slopes)
            residual = np.where(moved, candidate_residual, residual)
            if not np.any(moved & (np.abs(step) > _CONVERGED)):
                break
        return slopes


@dataclass(frozen=True)
class EquidistantLens:
    """Kannala-Brandt fisheye: distance from the axis theta (1 + k1 theta^2 + k2 theta^4 + k3 theta^6 + k4 theta^8)."""

    coefficients: tuple[float, ...]
    max_angle_rad: float = field(init=False)
    """Angle from the axis up to which the distance increases, at most pi."""

    def __post_init__(self) -> None:
        slope_of_square = Polynomial([1.0, *(k * n for k, n in zip(_padded(self.coefficients, 4), (3, 5, 7, 9)))])
        limit = _first_root(slope_of_square, np.pi**2)
        object.__setattr__(self, "max_angle_rad", float(np.sqrt(limit)))

    def directions(self, plane: Array) -> Array:
        """Return (N, 3) unit rays; see `Lens`."""
        distance = np.hypot(plane[:, 0], plane[:, 1])
        series = self._series()
        slope = series.deriv()
        angle = _invert_increasing(lambda theta: (series(theta), slope(theta)), distance, self.max_angle_rad)
        sideways = np.divide(np.sin(angle), distance, out=np.ones_like(distance), where=distance > 0.0)
        return np.column_stack([plane * sideways[:, None], np.cos(angle)])

    def project(self, points_camera: Array) -> tuple[Array, NDArray[np.bool_]]:
        """Return (N, 2) plane points and (N,) validity; see `Lens`. The camera centre has no image."""
        off_axis = np.hypot(points_camera[:, 0], points_camera[:, 1])
        angle = np.arctan2(off_axis, points_camera[:, 2])
        covered = (angle < self.max_angle_rad) & ((off_axis > 0.0) | (points_camera[:, 2] > 0.0))
        scale = np.divide(self._series()(angle), off_axis, out=np.ones_like(angle), where=off_axis > 0.0)
        plane = points_camera[:, :2] * scale[:, None]
        return np.where(covered[:, None], plane, np.nan), covered

    def _series(self) -> Polynomial:
        k1, k2, k3, k4 = _padded(self.coefficients, 4)
        return Polynomial([0.0, 1.0, 0.0, k1, 0.0, k2, 0.0, k3, 0.0, k4])


def _padded(coefficients: tuple[float, ...], count: int) -> tuple[float, ...]:
    return (*coefficients, *(0.0,) * (count - len(coefficients)))


def _first_root(polynomial: Polynomial, upper: float) -> float:
    """Return the least root in (0, upper], or `upper`."""
    # On (0, 1] a coefficient counts by its size; a vanishing leading one would send the other roots to rounding noise.
    scaled = np.asarray(polynomial.coef, dtype=np.float64) * upper ** np.arange(len(polynomial.coef))
    roots = Polynomial(scaled).trim(_NEGLIGIBLE * np.max(np.abs(scaled))).roots()
    real = roots.real[np.abs(roots.imag) <= _REAL * np.abs(roots.real)]
    return upper * float(np.min(real[real > 0.0], initial=1.0))


def _invert_increasing(function: Callable[[Array], tuple[Array, Array]], targets: Array, upper: float) -> Array:
    """Return x in [0, upper] with function(x) = target, clamped to upper, by Newton steps kept within a bracket.

    `function` returns its values and its derivatives, and increases from 0 on [0, upper].
    """
    low, high = np.zeros_like(targets), np.full_like(targets, upper)
    x = np.minimum(targets, upper)
    for _ in range(_ITERATIONS):
        value, slope = function(x)
        low, high = np.where(value <= targets, x, low), np.where(value >= targets, x, high)
        with np.errstate(divide="ignore", invalid="ignore"):
            newton = x - (value - targets) / slope
        following = np.where((newton >= low) & (newton <= high), newton, 0.5 * (low + high))
        change = np.max(np.abs(following - x), initial=0.0)
        x = following
        if change <= _CONVERGED:
            break
    return x
