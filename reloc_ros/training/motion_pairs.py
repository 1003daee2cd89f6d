"""Groups of frames from one stretch of a sequence, and the motions between all of them, in random views.

Each frame of a group is encoded once and compared with all others, in both directions: thirty motions from six frames.
What a group shows is fixed by the run's seed and the step, so that a run resumes exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reloc_ros.cameras.canvas import narrowed, rolled
from reloc_ros.geometry import se3
from reloc_ros.training.config import MotionEncoderConfig
from reloc_ros.training.sequence_config import FIELDS_OF_VIEW_DEG
from reloc_ros.training.sequence_material import RecordedSequence, SequenceMaterial
from reloc_ros.training.views import Tensors
from reloc_ros.types import Array

MIRROR = np.diag([-1.0, 1.0, 1.0, 1.0])
"""T becomes MIRROR @ T @ MIRROR in a world seen through a mirror: x counts the other way."""

# Narrow lenses look where a robot goes, more or less; panoramas look everywhere.
_FORWARD_DEG = 25.0
# The stretch of a group is this share of the largest distance at the least, so that short steps are learnt as well.
_SHORTEST_STRETCH = 0.2


@dataclass(frozen=True, kw_only=True)
class PairBatch(Tensors):
    """Frames and motions between them.

    Args:
        canvases: (B, H, W, 4) uint8.
        before: (P,) index of the first frame of each pair.
        after: (P,) index of the second one.
        translation: (P, 3) metres, the camera after in the axes of the camera before.
        rotation: (P, 3, 3), R_before_after.
    """

    canvases: Tensor
    before: Tensor
    after: Tensor
    translation: Tensor
    rotation: Tensor


def pair_batches(
    material: SequenceMaterial, config: MotionEncoderConfig, *, first_step: int, rank: int
) -> Iterator[PairBatch]:
    """Yield batches without end, each a function of the seed, the step and the rank alone."""
    step = first_step
    while True:
        yield pair_batch(material, config, np.random.default_rng((config.seed, step, rank)))
        step += 1


def pair_batch(material: SequenceMaterial, config: MotionEncoderConfig, generator: np.random.Generator) -> PairBatch:
    """Return one batch; `config.batch_size` counts its frames."""
    lengths = np.array([len(sequence) for sequence in material.train])
    count = max(1, config.batch_size // config.pairs.group)
    canvases: list[NDArray[np.uint8]] = []
    poses: list[Array] = []
    for place in generator.choice(len(lengths), count, p=lengths / lengths.sum()):
        sequence = material.train[place]
        frames = _stretch(sequence, config, generator)
        shown, T_first_camera = _random_view(
            material.canvases[sequence.first + frames], sequence.T_first_camera[frames], config, generator
        )
        canvases.append(shown)
        poses.append(T_first_camera)
    before, after, motions = _pairs(poses, config)
    return PairBatch(
        canvases=torch.from_numpy(np.concatenate(canvases)),
        before=torch.from_numpy(before),
        after=torch.from_numpy(after),
        translation=torch.from_numpy(motions[:, :3, 3]).float(),
        rotation=torch.from_numpy(motions[:, :3, :3]).float(),
    )


def _stretch(
    sequence: RecordedSequence, config: MotionEncoderConfig, generator: np.random.Generator
) -> NDArray[np.intp]:
    """Return places of a group's frames in a sequence, ascending."""
    length_m = config.pairs.distance_m * generator.uniform(_SHORTEST_STRETCH, 1.0)
    anchor = generator.integers(len(sequence))
    start_m = sequence.travelled_m[anchor] - length_m / 2
    near = np.flatnonzero((sequence.travelled_m >= start_m) & (sequence.travelled_m <= start_m + length_m))
    if len(near) < 2:
        near = np.arange(max(0, anchor - 1), min(len(sequence), anchor + 2))
    return np.sort(generator.choice(near, config.pairs.group, replace=len(near) < config.pairs.group))


def _random_view(
    canvases: NDArray[np.uint8], T_first_camera: Array, config: MotionEncoderConfig, generator: np.random.Generator
) -> tuple[NDArray[np.uint8], Array]:
    """Return a group as other cameras on the same way would have seen it: turned, mirrored, with a narrower lens."""
    width = canvases.shape[2]
    narrow = generator.random() < config.sequences.narrow
    fov_deg = generator.choice(FIELDS_OF_VIEW_DEG[1:]) if narrow else FIELDS_OF_VIEW_DEG[0]
    common_deg = generator.normal(0.0, _FORWARD_DEG) if narrow else generator.uniform(0.0, 360.0)
    yaws_deg = common_deg + generator.normal(0.0, config.pairs.roll_deg, len(canvases))
    shown, poses = [], []
    for canvas, T, columns in zip(canvases, T_first_camera, np.round(yaws_deg / 360.0 * width).astype(int)):
        turned, R_rolled_camera = rolled(canvas, columns)
        shown.append(turned)
        poses.append(T @ se3.from_rotation_translation(R_rolled_camera.T, np.zeros(3)))
    views, T_first_view = np.stack(shown), np.stack(poses)
    if generator.random() < 0.5:
        views, T_first_view = views[:, :, ::-1], MIRROR @ T_first_view @ MIRROR
    return narrowed(views, float(fov_deg)), T_first_view


def _pairs(groups: Sequence[Array], config: MotionEncoderConfig) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
    """Return indices of the frames before and after, and T_before_after, of all pairs within the limits."""
    size = len(groups[0])
    first, second = np.nonzero(~np.eye(size, dtype=bool))
    before, after, motions = [], [], []
    for index, T_first_camera in enumerate(groups):
        T_before_after = se3.inverse(T_first_camera[first]) @ T_first_camera[second]
        cosine = (np.trace(T_before_after[:, :3, :3], axis1=1, axis2=2) - 1) / 2
        near = np.linalg.norm(T_before_after[:, :3, 3], axis=1) <= config.pairs.distance_m
        near &= cosine >= np.cos(np.radians(config.pairs.rotation_deg))
        before.append(index * size + first[near])
        after.append(index * size + second[near])
        motions.append(T_before_after[near])
    return np.concatenate(before), np.concatenate(after), np.concatenate(motions)
