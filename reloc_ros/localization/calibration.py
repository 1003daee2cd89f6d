"""From the covariance a solver computes to one that says how large the errors are.

A solver takes the cells of an image for independent. They err together, so its covariance is too small; and it is far
too sure of how the errors of position and rotation go together. What is missing does not shrink with the residuals of
one image: a floor under the variance of each axis. With one scale for the position and one for the rotation,

    C = D S D + F,    D = diag(s_p I, s_r I),    F = diag(f_p^2 I, f_r^2 I).                       (1)
"""

from __future__ import annotations

import numpy as np

from reloc_ros.bundle.manifest import CovarianceSpec
from reloc_ros.types import Array

PARTS = {"joint": slice(0, 6), "position": slice(0, 3), "rotation": slice(3, 6)}
"""Entries of an error or a covariance that are judged together."""


def calibrated(covariance: Array, spec: CovarianceSpec) -> Array:
    """Return the (..., 6, 6) covariances of a solver after equation (1)."""
    scale = np.repeat([spec.position_scale, spec.rotation_scale], 3)
    floor = np.repeat([spec.position_floor_m, spec.rotation_floor_rad], 3)
    return np.asarray(covariance * np.outer(scale, scale) + np.diag(floor**2))


def squared_mahalanobis(errors: Array, covariances: Array, part: str = "joint") -> Array:
    """Return the squared errors relative to their covariances: chi-square when those are right.

    Args:
        errors: (N, 6) truth minus estimate, order and axes of `reloc_ros.types.Estimate.covariance`.
        covariances: (N, 6, 6).
        part: of `PARTS`; chi-square has as many freedoms as it has entries.

    Returns:
        (N,).
    """
    entries = PARTS[part]
    chosen = np.asarray(errors)[:, entries, np.newaxis]
    weighted = np.linalg.solve(np.asarray(covariances)[:, entries, entries], chosen)
    return np.asarray(np.sum(chosen * weighted, axis=(1, 2)))
