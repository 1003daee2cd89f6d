"""Pinhole cameras with the distortion models of sensor_msgs/CameraInfo."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reloc_ros.cameras.distortion import BrownLens, EquidistantLens, Lens
from reloc_ros.errors import CameraError
from reloc_ros.types import Array

DISTORTION_MODELS: dict[str, tuple[Callable[[tuple[float, ...]], Lens], tuple[int, ...]]] = {
    "plumb_bob": (BrownLens, (0, 4, 5)),
    "rational_polynomial": (BrownLens, (0, 4, 5, 8)),
    "equidistant": (EquidistantLens, (0, 4)),
}
"""Name in CameraInfo: the lens, and how many coefficients it may be given (none means an ideal lens)."""


# No camera has numbers beyond these, and their powers overflow.
_LEAST_FOCAL_PX = 1e-3
_LARGEST = 1e6


@dataclass(frozen=True, eq=False)
class PinholeCamera:
    """A camera with focal lengths, principal point and lens distortion; two with equal values are equal.

    Args:
        width: pixels.
        height: pixels.
        K: (3, 3) [[fx, 0, cx], [0, fy, cy], [0, 0, 1]], pixels; the centre of the top-left pixel is (0, 0).
        distortion_model: a key of `DISTORTION_MODELS`, as in sensor_msgs/CameraInfo.
        distortion: k1 k2 p1 p2 [k3 [k4 k5 k6]], or k1 k2 k3 k4 of an equidistant (fisheye) lens.

    Raises:
        CameraError: a size or focal length is not positive, K is not of that form or the distortion is unknown.
    """

    width: int
    height: int
    K: Array
    distortion_model: str = "plumb_bob"
    distortion: tuple[float, ...] = ()
    lens: Lens = field(init=False, repr=False)

    def __post_init__(self) -> None:
        matrix = _checked_matrix(self.K)
        distortion = tuple(float(value) for value in self.distortion)
        object.__setattr__(self, "K", matrix)
        object.__setattr__(self, "distortion", distortion)
        object.__setattr__(self, "lens", _create_lens(self.distortion_model, distortion))
        if self.width < 1 or self.height < 1:
            raise CameraError(f"camera size is {self.width} x {self.height} pixels; both must be at least 1")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PinholeCamera) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    @property
    def model(self) -> str:
        """`pinhole`."""
        return "pinhole"

    def rays(self, pixels_px: Array) -> Array:
        """Return (N, 3) unit rays in the camera frame through (N, 2) pixels (u, v).

        Pixels outside the range of the distortion model (the black corners of a fisheye) get its outermost ray.
        """
        pixels = np.asarray(pixels_px, dtype=np.float64)
        return self.lens.directions((pixels - self.K[:2, 2]) / (self.K[0, 0], self.K[1, 1]))

    def project(self, points_camera: Array) -> tuple[Array, NDArray[np.bool_]]:
        """Return (N, 2) pixels of (N, 3) points and (N,) whether each lies in the image and before the camera.

        A point without an image (at or behind the camera) has NaN pixels.
        """
        plane, covered = self.lens.project(np.asarray(points_camera, dtype=np.float64))
        pixels = plane * (self.K[0, 0], self.K[1, 1]) + self.K[:2, 2]
        within = np.all((pixels >= -0.5) & (pixels <= (self.width - 0.5, self.height - 0.5)), axis=1)
        return pixels, covered & within

    def resized(self, width: int, height: int) -> PinholeCamera:
        """Return the camera of the same image resized to width x height: u becomes (u + 0.5) * s - 0.5."""
        scale_x, scale_y = width / self.width, height / self.height
        # With half a pixel moved out and in again, scaling K is one product.
        half = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
        matrix = np.linalg.inv(half) @ np.diag([scale_x, scale_y, 1.0]) @ half @ self.K
        return PinholeCamera(width, height, matrix, self.distortion_model, self.distortion)

    def cropped(self, left: int, top: int, width: int, height: int) -> PinholeCamera:
        """Return the camera of the sub-image whose top-left pixel is (left, top); it may reach over the border."""
        matrix = self.K - np.array([[0.0, 0.0, left], [0.0, 0.0, top], [0.0, 0.0, 0.0]])
        return PinholeCamera(width, height, matrix, self.distortion_model, self.distortion)

    def to_dict(self) -> dict[str, Any]:
        """Return the plain description that `camera_from_dict` reads back."""
        return {
            "model": self.model,
            "width": self.width,
            "height": self.height,
            "K": self.K.tolist(),
            "distortion_model": self.distortion_model,
            "distortion": list(self.distortion),
        }

    def _key(self) -> tuple[object, ...]:
        return (self.width, self.height, self.K.tobytes(), self.distortion_model, self.distortion)


def _checked_matrix(K: Any) -> Array:
    try:
        matrix = np.array(K, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise CameraError(f"K is {K!r}, expected a (3, 3) matrix of numbers; check the calibration") from error
    if matrix.shape != (3, 3) or not np.all(np.isfinite(matrix)):
        raise CameraError(f"K is {matrix.tolist()}, expected a finite (3, 3) matrix; check the calibration")
    if not (matrix[0, 0] > 0.0 and matrix[1, 1] > 0.0):
        raise CameraError(
            f"focal lengths fx = {matrix[0, 0]:g}, fy = {matrix[1, 1]:g} px must be > 0; an all-zero K means an "
            "uncalibrated camera: calibrate it or fill in its camera_info"
        )
    if min(matrix[0, 0], matrix[1, 1]) < _LEAST_FOCAL_PX or np.max(np.abs(matrix)) > _LARGEST:
        raise CameraError(
            f"K is {matrix.tolist()}, expected focal lengths from {_LEAST_FOCAL_PX:g} px and nothing beyond {_LARGEST:g}; "
            "check the calibration"
        )
    form = np.array([[matrix[0, 0], 0.0, matrix[0, 2]], [0.0, matrix[1, 1], matrix[1, 2]], [0.0, 0.0, 1.0]])
    if not np.array_equal(matrix, form):
        raise CameraError(f"K is {matrix.tolist()}, expected [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] without skew")
    matrix.setflags(write=False)
    return matrix


def _create_lens(model: str, distortion: tuple[float, ...]) -> Lens:
    if model not in DISTORTION_MODELS:
        raise CameraError(f"distortion model '{model}' is unknown; use one of {', '.join(DISTORTION_MODELS)}")
    create, counts = DISTORTION_MODELS[model]
    if len(distortion) not in counts:
        raise CameraError(f"'{model}' was given {len(distortion)} distortion coefficients, expected one of {counts}")
    if not np.all(np.isfinite(distortion)):
        raise CameraError(f"distortion {distortion} is not finite; check the calibration")
    if max(map(abs, distortion), default=0.0) > _LARGEST:
        raise CameraError(f"distortion {distortion} has a coefficient beyond {_LARGEST:g}; check the calibration")
    return create(distortion)
