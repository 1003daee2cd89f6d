"""The nouns that cross package boundaries: what goes into a localization and what comes out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reloc_ros.errors import ImageError

if TYPE_CHECKING:
    from reloc_ros.cameras.camera import Camera

Array = NDArray[np.float64]
Image = NDArray[np.uint8]


class Reason(str, Enum):
    """Why a frame produced no pose: one name for code, diagnostics and README."""

    BAD_IMAGE = "bad_image"
    CAMERA_MISMATCH = "camera_mismatch"
    NO_CAMERA_INFO = "no_camera_info"
    PREPARE_FAILED = "prepare_failed"
    INFERENCE_FAILED = "inference_failed"
    SOLVE_FAILED = "solve_failed"
    GATE_FAILED = "gate_failed"
    DEGENERATE = "degenerate"
    TOO_FEW_INLIERS = "too_few_inliers"
    UNSURE_SCENE = "unsure_scene"
    TOO_UNCERTAIN = "too_uncertain"
    OUTSIDE_MAP = "outside_map"
    NO_CONTRAST = "no_contrast"
    NO_TRANSFORM = "no_transform"
    INCOMPLETE_RIG = "incomplete_rig"
    OUT_OF_ORDER = "out_of_order"
    OUTPUT_FAILED = "output_failed"
    NOT_PUBLISHED = "not_published"


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One image as it left the camera.

    Args:
        image: (H, W, 3) uint8, RGB, not undistorted.
        camera: model whose size is (W, H); gives one ray for each pixel.
        stamp_ns: time of exposure, nanoseconds of message time.
        frame_id: optical frame of the camera (z forward, x right, y down).
    """

    image: Image
    camera: Camera
    stamp_ns: int = 0
    frame_id: str = "camera_optical_frame"

    def __post_init__(self) -> None:
        expected = (self.camera.height, self.camera.width, 3)
        if self.image.dtype != np.uint8 or self.image.shape != expected:
            raise ImageError(
                f"image is {self.image.dtype} {self.image.shape}, expected uint8 {expected} (height, width, RGB) "
                "as its camera says; use the camera_info that belongs to this image"
            )


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A pose that passed every gate.

    Args:
        T_map_camera: (4, 4), camera optical frame to map, metres.
        covariance: (6, 6), order x, y, z, rotX, rotY, rotZ (m, rad); translation along and rotation about the fixed
            axes of the map frame: R_true = Exp(delta_rot) R, t_true = t + delta_t.
        map_frame: name of the frame the pose lives in.
        stamp_ns: stamp of the image the pose belongs to.
        evidence: what the solver saw, for diagnostics (inlier ratio, residual in metres, ...).
        scene: name of the place, for relocalizers that know several.
        cell_weights: (rows, columns) what each cell of the image given to the network counted for, for pictures.
    """

    T_map_camera: Array
    covariance: Array
    map_frame: str
    stamp_ns: int
    evidence: dict[str, float]
    scene: str = ""
    cell_weights: Array | None = None


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """A frame that gave no pose, and why. It counts as an infinite error in every evaluation."""

    reason: Reason
    detail: str
    stamp_ns: int


Localization = Estimate | Rejected
Outputs = dict[str, NDArray[Any]]
