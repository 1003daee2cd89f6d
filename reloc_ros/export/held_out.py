"""Images that a run did not learn from, to compare poses on."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from reloc_ros.bundle.manifest import Manifest
from reloc_ros.cameras.canvas import Canvas
from reloc_ros.errors import TrainingError
from reloc_ros.training.config import SprMambaTrainConfig, config_from_dict
from reloc_ros.training.distributed import World
from reloc_ros.training.sequence_material import keyframes, read_sequences
from reloc_ros.types import Image


def held_out_images(run: Path, number: int) -> list[Image]:
    """Return held-out images of a run as the network takes them, evenly spread over its scenes and, there, in time.

    Args:
        run: folder that `reloc train` wrote.
        number: that are wanted; there are fewer where the run has fewer, and none where its folder was thinned out.
    """
    parts = [np.load(store, mmap_mode="r") for store in sorted(run.glob("*val.npy"))]
    shares = [number // len(parts) + (place < number % len(parts)) for place in range(len(parts))]
    return [
        images[index]
        for images, share in zip(parts, shares, strict=True)
        for index in np.unique(np.linspace(0, len(images) - 1, share).astype(int))
    ]


def held_out_way(run: Path, content: dict[str, Any], manifest: Manifest, number: int) -> list[NDArray[np.uint8]]:
    """Return (H, W, 4) canvases of a held-out sequence from its first frame on, as far apart as keyframes.

    Args:
        run: folder that `reloc train` wrote.
        content: its checkpoint.
        manifest: of a bundle of it.
        number: that are wanted at most.

    Raises:
        DatasetError: the run's data is not where it was.
        TrainingError: the run is of another method.
    """
    config = config_from_dict(content["method"], content["train_config"])
    spec = manifest.sequence
    if not isinstance(config, SprMambaTrainConfig) or spec is None:
        raise TrainingError(f"{run} is a run of {content['method']}, which has no sequences")
    kept = replace(config.sequences, folder=config.sequences.folder or str(run))
    alone = World(rank=0, size=1, device=torch.device("cpu"))
    canvas = Canvas(manifest.input.width, manifest.input.height)
    # The folder gets a configuration, as that of a run does.
    with tempfile.TemporaryDirectory() as scratch:
        material = read_sequences(content["provenance"]["data"], Path(scratch), config, kept, canvas, alone)
    ways = [
        [
            sequence.first + frame
            for frame in keyframes(
                sequence.T_first_camera, spec.keyframe_translation_m, spec.keyframe_rotation_rad, most=number
            )
        ]
        for sequence in material.val
    ]
    return [material.canvases[frame] for frame in max(ways, key=len)]
