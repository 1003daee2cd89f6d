"""Ways through sequences to learn from: keyframes from a random start on, at random spacing, seen in random views.

Everything is fixed by the run's seed and the step, so that a run resumes exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reloc_ros.cameras.canvas import roll_rotation
from reloc_ros.geometry import se3
from reloc_ros.networks.frame_encoder import FrameConfig
from reloc_ros.training.config import SprMambaTrainConfig
from reloc_ros.training.motion_pairs import MIRROR
from reloc_ros.training.sequence_config import FIELDS_OF_VIEW_DEG
from reloc_ros.training.sequence_features import VIEWS, FrameView
from reloc_ros.training.sequence_material import RecordedSequence, SequenceMaterial, keyframes
from reloc_ros.training.views import Tensors
from reloc_ros.types import Array

# Between half and double the robot's spacing, so that neither frame rate nor speed is learnt by heart.
_SPACING = 2.0
# How far the camera turns at each keyframe when it looks around.
_LOOK_DEG = 15.0


@dataclass(frozen=True, kw_only=True)
class WalkBatch(Tensors):
    """Ways, the shorter ones followed by nothing.

    Args:
        features: (B, T, F).
        mask: (B, T) true for frames that are there.
        translation: (B, T, 3) metres, in the first frame's axes.
        rotation: (B, T, 3, 3), R_first_frame.
    """

    features: Tensor
    mask: Tensor
    translation: Tensor
    rotation: Tensor

    def shortened(self, frames: int) -> WalkBatch:
        """Return the beginnings of the ways."""
        return WalkBatch(**{name: value[:, :frames] for name, value in vars(self).items()})


class Walks:
    """Random ways through a material's training sequences.

    Args:
        material: sequences.
        features: (M, views, F) of their frames.
        frame: layout of a feature.
        config: of the run.
    """

    def __init__(
        self,
        material: SequenceMaterial,
        features: NDArray[np.float16],
        frame: FrameConfig,
        config: SprMambaTrainConfig,
    ) -> None:
        self._material, self._features, self._frame, self._config = material, features, frame, config
        lengths = np.array([len(sequence) for sequence in material.train], np.float64)
        self._shares = lengths / lengths.sum()

    def batches(self, first_step: int, rank: int) -> Iterator[WalkBatch]:
        """Yield batches without end, from a step on."""
        step = first_step
        while True:
            yield self.batch(np.random.default_rng((self._config.seed, step, rank)))
            step += 1

    def batch(self, generator: np.random.Generator) -> WalkBatch:
        """Return `config.batch_size` ways."""
        places = generator.choice(len(self._shares), self._config.batch_size, p=self._shares)
        return stacked([self._walk(self._material.train[place], generator) for place in places])

    def _walk(self, sequence: RecordedSequence, generator: np.random.Generator) -> tuple[Tensor, Array]:
        """Return features (T, F) and poses (T, 4, 4) of one way."""
        config = self._config.walks
        spacing = float(np.exp(generator.uniform(-1.0, 1.0) * np.log(_SPACING)))
        frames = keyframes(
            sequence.T_first_camera,
            config.keyframe_translation_m * spacing,
            float(np.radians(config.keyframe_rotation_deg)) * spacing,
            # Early more often: long ways are what is hard.
            start=int((len(sequence) - 1) * generator.random() ** 2),
            most=config.frames,
        )
        view = self._view(generator)
        features, T_first_camera = seen(sequence, frames, self._features, view)
        if view.fov_deg == FIELDS_OF_VIEW_DEG[0]:
            features, T_first_camera = self._turned(features, T_first_camera, generator)
        return features, T_first_camera

    def _view(self, generator: np.random.Generator) -> FrameView:
        narrow = generator.random() < self._config.sequences.narrow
        views = [view for view in VIEWS if (view.fov_deg < FIELDS_OF_VIEW_DEG[0]) == narrow]
        return views[generator.integers(len(views))]

    def _turned(self, features: Tensor, T_first_camera: Array, generator: np.random.Generator) -> tuple[Tensor, Array]:
        """Return the way of a robot whose panorama faces elsewhere: all the way alike, or differently at every frame."""
        columns = np.full(len(features), generator.integers(self._frame.columns))
        if generator.random() < self._config.walks.look_around:
            look = generator.normal(0.0, _LOOK_DEG / 360.0 * self._frame.columns, len(features))
            columns = columns + np.round(look).astype(columns.dtype)
        rolled = torch.stack([self._frame.rolled(f, int(c)) for f, c in zip(features, columns)])
        R_rolled_camera = roll_rotation(columns / self._frame.columns)
        T_camera_rolled = se3.inverse(se3.from_rotation_translation(R_rolled_camera, np.zeros(3)))
        return rolled, from_first(T_first_camera @ T_camera_rolled)


def seen(
    sequence: RecordedSequence, frames: list[int], features: NDArray[np.float16], view: FrameView
) -> tuple[Tensor, Array]:
    """Return features (T, F) and poses (T, 4, 4) relative to the first, of some frames of a sequence in one view."""
    shown = torch.from_numpy(features[sequence.first + np.array(frames), VIEWS.index(view)].astype(np.float32))
    T_first_camera = from_first(sequence.T_first_camera[frames])
    return shown, MIRROR @ T_first_camera @ MIRROR if view.mirrored else T_first_camera


def stacked(ways: list[tuple[Tensor, Array]]) -> WalkBatch:
    """Return ways of different lengths as one batch."""
    longest = max(len(features) for features, _ in ways)
    padded = torch.zeros(len(ways), longest, ways[0][0].shape[-1])
    poses = np.tile(np.eye(4), (len(ways), longest, 1, 1))
    for index, (features, T_first_camera) in enumerate(ways):
        padded[index, : len(features)] = features
        poses[index, : len(features)] = T_first_camera
    lengths = torch.tensor([len(features) for features, _ in ways])
    return WalkBatch(
        features=padded,
        mask=torch.arange(longest) < lengths[:, None],
        translation=torch.from_numpy(poses[..., :3, 3]).float(),
        rotation=torch.from_numpy(poses[..., :3, :3]).float(),
    )


def from_first(T_world_camera: Array) -> Array:
    """Return (T, 4, 4) poses relative to the first of them."""
    return np.asarray(se3.inverse(T_world_camera[0]) @ T_world_camera)
