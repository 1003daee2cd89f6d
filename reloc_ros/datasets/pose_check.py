"""Do the poses of a data set agree with its images, and if not, what would?

The matches of image pairs must meet in front of both cameras. Each usual mistake is undone in turn; if the images fit
better then, that mistake is the finding. Positions need no unit for this, so scale is not checked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from reloc_ros.cameras.camera import Camera
from reloc_ros.cameras.pinhole import PinholeCamera
from reloc_ros.datasets.images import PosedImages
from reloc_ros.datasets.matched_pairs import View, matched_pairs
from reloc_ros.datasets.transforms_json import T_OPENGL_OPTICAL
from reloc_ros.errors import DatasetError
from reloc_ros.geometry import se3
from reloc_ros.geometry.two_views import cross_rays, epipolar_errors_rad
from reloc_ros.types import Array

T_BODY_OPTICAL = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
"""Optical axes in a robot's (x forward, y left, z up)."""

AS_GIVEN = "as given"
HYPOTHESES: dict[str, Callable[[Array], Array]] = {
    AS_GIVEN: lambda T: T,
    "poses look inverted (map to camera instead of camera to map)": se3.inverse,
    "camera axes look like OpenGL's (y up, z backward)": lambda T: T @ T_OPENGL_OPTICAL,
    "poses look inverted, with OpenGL's camera axes": lambda T: se3.inverse(T) @ T_OPENGL_OPTICAL,
    "camera axes look like a robot's (x forward, z up)": lambda T: T @ T_BODY_OPTICAL,
    "poses look inverted, with a robot's camera axes": lambda T: se3.inverse(T) @ T_BODY_OPTICAL,
}
"""What may be wrong: how to get T_map_camera from the pose as given."""

Pairs = Sequence[tuple[View, View]]

MIN_PAIRS = 3
_AGREES_PX = 4.0
# Matches that miss by more are wrong matches or wrong poses; how far they miss says no more.
_CAP_PX = 10.0
_MIN_PARALLAX_RAD = np.radians(0.5)
# A hypothesis must fit clearly better than the poses as given before it is believed.
_CLEARLY = 0.8
_FOCAL_SCALES = np.geomspace(0.6, 1 / 0.6, 35)
_FOCAL_TOLERANCE = 0.05
_FOCAL_CLEARLY = 0.87
# Where the focal length hardly shows (a car driving ahead) another one fits better by a few hundredths of a pixel.
_FOCAL_GAIN_PX = 0.1
_MIN_AGREEING = 0.5


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How well matches and poses agree: the median error, px, and the share of matches within a few pixels."""

    median_px: float
    agreeing: float
    cost_px: float


@dataclass(frozen=True, kw_only=True)
class PoseCheck:
    """What was found.

    Args:
        pairs: image pairs used.
        matches: SIFT matches in them.
        fits: of every hypothesis with the focal length as given.
        best: the hypothesis that fits best; `AS_GIVEN` unless another is clearly better.
        focal_scale: factor on the focal length that fits best; 1 unless another is clearly better.
        findings: what looks wrong; nothing when poses and images agree.
    """

    pairs: int
    matches: int
    fits: dict[str, Fit]
    best: str
    focal_scale: float
    findings: tuple[str, ...]


def check_poses(dataset: PosedImages) -> PoseCheck:
    """Return whether the poses agree with the images.

    Raises:
        DatasetError: too few pairs of images match, or an image cannot be read.
    """
    pairs = list(matched_pairs(dataset.images))
    if len(pairs) < MIN_PAIRS:
        raise DatasetError(
            f"{dataset.name}: only {len(pairs)} pairs of neighbouring images show the same things, at least {MIN_PAIRS} "
            "are needed to check poses; use a sequence with texture and motion"
        )
    errors_px = {name: _errors_px(pairs, undo, 1.0) for name, undo in HYPOTHESES.items()}
    fits = {name: _fit(errors) for name, errors in errors_px.items()}
    best = min(fits, key=lambda name: fits[name].cost_px)
    if fits[best].cost_px > _CLEARLY * fits[AS_GIVEN].cost_px:
        best = AS_GIVEN
    findings = [] if best == AS_GIVEN else [best]
    focal_scale, scaled_px = _focal_scale(pairs, HYPOTHESES[best], errors_px[best])
    if focal_scale != 1.0:
        findings.append(_about_focal(dataset.images[0].camera, focal_scale))
    agreeing = _fit(scaled_px).agreeing
    if agreeing < _MIN_AGREEING:
        findings.append(f"only {100 * agreeing:.0f} % of the matches agree with the poses, whatever is tried")
    return PoseCheck(
        pairs=len(pairs),
        matches=sum(len(first.pixels_px) for first, _ in pairs),
        fits=fits,
        best=best,
        focal_scale=focal_scale,
        findings=tuple(findings),
    )


def _about_focal(camera: Camera, scale: float) -> str:
    focal_px = camera.to_dict()["K"][0][0]
    return f"focal length looks {scale:.2f} times as long: about {focal_px * scale:.0f} px instead of {focal_px:.0f} px"


def _focal_scale(pairs: Pairs, undo: Callable[[Array], Array], errors_px: Array) -> tuple[float, Array]:
    """Return the factor on the focal length that clearly fits better than 1, or 1, and the errors with it."""
    if not all(isinstance(view.camera, PinholeCamera) for pair in pairs for view in pair):
        return 1.0, errors_px
    trials = {float(scale): _errors_px(pairs, undo, float(scale)) for scale in _FOCAL_SCALES}
    scale = min(trials, key=lambda scale: _fit(trials[scale]).cost_px)
    # Wrong matches cost the same with any focal length and would hide what the right ones say.
    right = trials[scale] < _CAP_PX
    before, after = _fit(errors_px[right]).cost_px, _fit(trials[scale][right]).cost_px
    clear = abs(scale - 1.0) > _FOCAL_TOLERANCE and after < min(_FOCAL_CLEARLY * before, before - _FOCAL_GAIN_PX)
    return (scale, trials[scale]) if clear else (1.0, errors_px)


def _fit(errors_px: Array) -> Fit:
    return Fit(
        median_px=float(np.median(errors_px)),
        agreeing=float(np.mean(errors_px <= _AGREES_PX)),
        cost_px=float(np.mean(np.minimum(errors_px, _CAP_PX))),
    )


def _errors_px(pairs: Pairs, undo: Callable[[Array], Array], focal_scale: float) -> Array:
    """Return how far each match misses, px at the centre of the image; inf where the rays meet behind a camera."""
    return np.concatenate([_pair_errors_px(pair, undo, focal_scale) for pair in pairs])


def _pair_errors_px(pair: tuple[View, View], undo: Callable[[Array], Array], focal_scale: float) -> Array:
    cameras = [_scaled(view.camera, focal_scale) for view in pair]
    T_map = [undo(view.T_map_camera) for view in pair]
    rays = [camera.rays(view.pixels_px) for camera, view in zip(cameras, pair, strict=True)]
    errors_rad = epipolar_errors_rad(rays[0], rays[1], se3.inverse(T_map[0]) @ T_map[1])
    first, second = (ray @ T[:3, :3].T for ray, T in zip(rays, T_map, strict=True))
    crossing = cross_rays(T_map[0][:3, 3], first, T_map[1][:3, 3], second)
    behind = (crossing.range_first < 0) | (crossing.range_second < 0)
    errors_rad = np.where(behind & (crossing.parallax_rad > _MIN_PARALLAX_RAD), np.inf, errors_rad)
    return np.asarray(errors_rad / _pixel_rad(cameras[0]))


def _scaled(camera: Camera, focal_scale: float) -> Camera:
    if focal_scale == 1.0 or not isinstance(camera, PinholeCamera):
        return camera
    K = camera.K * np.array([[focal_scale, 1.0, 1.0], [1.0, focal_scale, 1.0], [1.0, 1.0, 1.0]])
    return PinholeCamera(camera.width, camera.height, K, camera.distortion_model, camera.distortion)


def _pixel_rad(camera: Camera) -> float:
    """Return the angle of one pixel at the centre of the image."""
    centre = np.array([[camera.width / 2, camera.height / 2], [camera.width / 2 + 1, camera.height / 2]])
    one, beside = camera.rays(centre)
    return float(np.linalg.norm(beside - one))
