"""The image as the network wants it, and the camera that belongs to it.

Nothing is undistorted: the image is cropped and resized, the camera follows, and its rays stay exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from reloc_ros.bundle.manifest import CameraAssumption, InputSpec, Manifest
from reloc_ros.cameras.camera import Camera
from reloc_ros.cameras.field_of_view import horizontal_fov_deg
from reloc_ros.localization.camera_cache import CameraCache, cached_ray_grid
from reloc_ros.localization.solve.solution import Failure
from reloc_ros.types import Frame, Image, Outputs, Reason

# Below this difference of aspect ratios pixels are squeezed rather than cropped: the camera model follows exactly, and
# 320x240 against 321x240 should not cost a column of the view.
_ASPECT_TOLERANCE = 0.01
# Images this many times larger than needed are halved first; the rest of the way still averages 1.5 pixels and more.
_HALVED_ABOVE = 3


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What the network sees.

    Args:
        image: (1, height, width, 3) uint8, RGB.
        camera: model of exactly this image.
        contrast: of this image, grey levels.
    """

    image: Image
    camera: Camera
    contrast: float


@dataclass(frozen=True, kw_only=True)
class _Fit:
    """How images of one camera are brought to the network's size; the same for each of its frames."""

    left: int
    top: int
    width: int
    height: int
    camera: Camera


_fits: CameraCache[_Fit | Failure] = CameraCache()


def prepare(frame: Frame, spec: InputSpec, assumption: CameraAssumption) -> Prepared | Failure:
    """Return the frame cut and resized for the network.

    CAMERA_MISMATCH for a camera that it cannot serve, NO_CONTRAST for an image that shows next to nothing.
    """
    fit = _fits.get(frame.camera, (spec, assumption), lambda: _fit(frame.camera, spec, assumption))
    if isinstance(fit, Failure):
        return fit
    cropped = frame.image[fit.top : fit.top + fit.height, fit.left : fit.left + fit.width]
    image = _resized(cropped, spec.width, spec.height)
    found = contrast(image)
    if found < spec.min_contrast:
        detail = f"contrast is {found:.1f} grey levels, the bundle was trained from {spec.min_contrast:.1f} on"
        return Failure(reason=Reason.NO_CONTRAST, detail=detail)
    return Prepared(image=image[np.newaxis], camera=fit.camera, contrast=found)


def contrast(image: Image) -> float:
    """Return the standard deviation of the grey levels of (height, width, 3), the mean of the three colours'."""
    return float(np.mean(cv2.meanStdDev(image)[1]))


def network_inputs(manifest: Manifest, image: Image, camera: Camera) -> Outputs:
    """Return the network's input tensors by name: the image, and the rays of its cells where the network takes them.

    Args:
        manifest: says which tensors there are.
        image: (1, height, width, 3) uint8, as `prepare` made it.
        camera: model of exactly this image.
    """
    inputs: Outputs = {manifest.input.name: image}
    if manifest.rays is not None:
        rays = cached_ray_grid(camera, manifest.rays.rows, manifest.rays.columns)
        inputs[manifest.rays.name] = rays[np.newaxis].astype(np.float32)
    return inputs


def _resized(image: Image, width: int, height: int) -> Image:
    # OpenCV has a fast path for exact halves: 1920x960 to 512x256 takes 2.0 ms this way and 4.5 ms in one step.
    while _can_be_halved(image, width, height):
        image = _scaled(image, image.shape[1] // 2, image.shape[0] // 2, cv2.INTER_AREA)
    shrinks = width * height <= image.shape[1] * image.shape[0]
    return _scaled(image, width, height, cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _can_be_halved(image: Image, width: int, height: int) -> bool:
    rows, columns = image.shape[:2]
    even: bool = rows % 2 == 0 and columns % 2 == 0
    large: bool = rows >= _HALVED_ABOVE * height and columns >= _HALVED_ABOVE * width
    return even and large


def _scaled(image: Image, width: int, height: int, interpolation: int) -> Image:
    return np.asarray(cv2.resize(image, (width, height), interpolation=interpolation), dtype=np.uint8)


def _fit(camera: Camera, spec: InputSpec, assumption: CameraAssumption) -> _Fit | Failure:
    if camera.model != assumption.model:
        detail = f"camera model is {camera.model}, the bundle was trained for {assumption.model}"
        return Failure(reason=Reason.CAMERA_MISMATCH, detail=detail)
    left, top, width, height = central_crop(camera.width, camera.height, spec.width / spec.height)
    whole = (width, height) == (camera.width, camera.height)
    fitted = (camera if whole else camera.cropped(left, top, width, height)).resized(spec.width, spec.height)
    fov_deg = horizontal_fov_deg(fitted)
    low, high = assumption.horizontal_fov_deg_min, assumption.horizontal_fov_deg_max
    if not low <= fov_deg <= high:
        detail = f"horizontal field of view is {fov_deg:.1f} deg, the bundle serves {low:.1f} to {high:.1f} deg"
        return Failure(reason=Reason.CAMERA_MISMATCH, detail=detail)
    return _Fit(left=left, top=top, width=width, height=height, camera=fitted)


def central_crop(width: int, height: int, aspect: float) -> tuple[int, int, int, int]:
    """Return (left, top, width, height) of the largest centred part of an image that has an aspect ratio.

    Args:
        width: image width, pixels.
        height: image height, pixels.
        aspect: wanted width / height.
    """
    if abs(width / height - aspect) <= _ASPECT_TOLERANCE * aspect:
        return 0, 0, width, height
    if width > aspect * height:
        kept = max(1, round(aspect * height))
        return (width - kept) // 2, 0, kept, height
    kept = max(1, round(width / aspect))
    return 0, (height - kept) // 2, width, kept
