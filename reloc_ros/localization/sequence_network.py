"""The two graphs of a sequence bundle: canvas to feature, and feature with state to pose with the next state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reloc_ros.bundle.manifest import Manifest, SequenceSpec
from reloc_ros.errors import BundleError
from reloc_ros.geometry import se3
from reloc_ros.inference.backend import Backend
from reloc_ros.types import Array, Image

_PREVIOUS = "previous"
"""State of networks that compare each frame with the one that fed the state last."""

StateArrays = Mapping[str, NDArray[np.float32]]

_RIGID_TOLERANCE = 1e-3
"""Rotations come in float32; what is farther off is none."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """What the network says of one frame.

    Args:
        T_origin_camera: (4, 4) to the frame that the state began with.
        T_previous_camera: (4, 4) to the frame that fed the state last.
        position_m2: variance of each axis of the position.
        rotation_rad2: variance of the rotation about each axis.
        arrays: the state with this frame in it, by name.
    """

    T_origin_camera: Array
    T_previous_camera: Array
    position_m2: float
    rotation_rad2: float
    arrays: dict[str, NDArray[np.float32]]


class SequenceNetwork:
    """Runs encoder and step.

    Args:
        manifest: of a sequence bundle.
        encoder: runs `encoder.onnx`.
        step: runs `model.onnx`.

    Raises:
        BundleError: the bundle is none of a sequence.
    """

    def __init__(self, manifest: Manifest, encoder: Backend, step: Backend) -> None:
        self.spec = sequence_spec(manifest)
        self._canvas = manifest.input.name
        self._encoder, self._step = encoder, step

    @property
    def knows_motion(self) -> bool:
        """Whether it says how the camera moved since the frame that fed the state last: it remembers that frame."""
        return _PREVIOUS in {state.name for state in self.spec.state}

    def fresh(self) -> dict[str, NDArray[np.float32]]:
        """Return the state before any frame: all zeros."""
        return {state.name: np.zeros(state.shape, np.float32) for state in self.spec.state}

    def encode(self, canvas: Image) -> NDArray[np.float32]:
        """Return the feature (1, F) of a canvas (H, W, 4)."""
        return np.asarray(self._encoder.run({self._canvas: canvas[np.newaxis]})["feature"], np.float32)

    def step(self, feature: NDArray[np.float32], arrays: StateArrays) -> Step:
        """Return what a frame's feature means after a state, which stays as it is.

        Raises:
            DegenerateGeometryError: the network gave something that is not finite, or no rotation.
        """
        inputs: dict[str, NDArray[Any]] = {"feature": feature}
        inputs.update({f"state_{name}": array for name, array in arrays.items()})
        outputs = self._step.run(inputs)
        # Twice the square of its scale is the variance of a Laplace distribution.
        position_m2, rotation_rad2 = 2.0 * np.exp(2.0 * np.asarray(outputs["log_scale"], np.float64).reshape(2))
        return Step(
            T_origin_camera=_pose(outputs["rotation_first"], outputs["translation_first_m"]),
            T_previous_camera=_pose(outputs["inter_rotation"], outputs["inter_translation_m"]),
            position_m2=float(position_m2),
            rotation_rad2=float(rotation_rad2),
            arrays={name: np.asarray(outputs[f"next_{name}"], np.float32) for name in arrays},
        )


def sequence_spec(manifest: Manifest) -> SequenceSpec:
    """Return what a manifest says about its sequence.

    Raises:
        BundleError: it says nothing: the bundle is of another method.
    """
    if manifest.sequence is None:
        raise BundleError(f"a bundle of {manifest.method} localizes single images; give one of a sequence (spr_mamba)")
    return manifest.sequence


def _pose(rotation: NDArray[Any], translation: NDArray[Any]) -> Array:
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = np.asarray(rotation).reshape(3, 3), np.asarray(translation).reshape(3)
    return se3.nearest_rigid(T, _RIGID_TOLERANCE)
