"""What a run on sequences learns from: canvases of every frame, and whole sequences to train on or to hold out.

A world is seen in training or it is not: all sequences of a held-out world are held out, whatever their height. Data sets
whose sequences name no world are cut by sequence.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from rich.progress import track

from reloc_ros.cameras.canvas import Canvas
from reloc_ros.datasets.images import PosedImage, PosedImages
from reloc_ros.errors import TrainingError
from reloc_ros.geometry import se3
from reloc_ros.training.config import TrainConfig, config_to_dict
from reloc_ros.training.distributed import World
from reloc_ros.training.material import read_scenes
from reloc_ros.training.sequence_config import SequencesConfig
from reloc_ros.types import Array

# Heights are written in centimetres at most.
_SAME_HEIGHT_M = 0.005


@dataclass(frozen=True, kw_only=True)
class RecordedSequence:
    """One sequence of a store.

    Args:
        name: of the sequence.
        world: where it was recorded; its own name where the data set does not say.
        first: place of its first frame in the store; the others follow.
        height_m: of the camera above the floor; None where the data set does not say.
        T_first_camera: (N, 4, 4) true poses in the frame of the first camera.
        travelled_m: (N,) length of the way up to each frame.
    """

    name: str
    world: str
    first: int
    height_m: float | None
    T_first_camera: Array
    travelled_m: Array

    def __len__(self) -> int:
        return len(self.T_first_camera)


@dataclass(frozen=True, kw_only=True)
class SequenceMaterial:
    """Canvases (M, H, W, 4) of all frames, the sequences of both parts, and where it all came from."""

    canvases: NDArray[np.uint8]
    train: tuple[RecordedSequence, ...]
    val: tuple[RecordedSequence, ...]
    height: int
    width: int
    provenance: dict[str, Any]

    @property
    def count(self) -> dict[str, int]:
        """Number of frames of each part."""
        return {part: sum(len(sequence) for sequence in getattr(self, part)) for part in ("train", "val")}


def read_sequences(
    data: Sequence[str], out: Path, config: TrainConfig, sequences: SequencesConfig, canvas: Canvas, world: World
) -> SequenceMaterial:
    """Return all sequences of the data sets, their frames painted once and kept.

    Args:
        data: data sets as `FORMAT:PATH`, each sequence of them by itself.
        out: run folder; gets `config.yaml`.
        config: of the run; its split names the share of worlds to hold out.
        sequences: which ones, and where canvases are kept.
        canvas: that the network sees.
        world: the processes that train together; the first one writes.

    Raises:
        DatasetError, TrainingError: the data cannot be trained on.
    """
    datasets = tuple(read_scenes(data).values())
    images = _chosen([image for dataset in datasets for image in dataset.images], sequences)
    recorded = _recorded(images)
    val_worlds = _held_out([sequence.world for sequence in recorded], config.split.val_fraction, data)
    folder = Path(sequences.folder or out)
    path = folder / f"canvases_{_digest(images, canvas)}.npy"
    if world.leads:
        out.mkdir(parents=True, exist_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        plain = {"data": list(data), **config_to_dict(config)}
        (out / "config.yaml").write_text(yaml.safe_dump(plain, sort_keys=False), encoding="utf-8")
        if not path.is_file():
            _paint(images, canvas, path)
    world.wait()
    train = tuple(sequence for sequence in recorded if sequence.world not in val_worlds)
    val = tuple(sequence for sequence in recorded if sequence.world in val_worlds)
    return SequenceMaterial(
        canvases=np.load(path, mmap_mode="r"),
        train=train,
        val=val,
        height=canvas.height,
        width=canvas.width,
        provenance=_provenance(data, datasets, train, val),
    )


def keyframes(
    T_first_camera: Array, translation_m: float, rotation_rad: float, start: int = 0, most: int | None = None
) -> list[int]:
    """Return the frames that moved or turned so far since the one before among them, from a start on.

    Args:
        T_first_camera: (N, 4, 4).
        translation_m: a frame that moved as far counts.
        rotation_rad: or turned as far.
        start: the first one.
        most: how many there are at the most; None takes all.
    """
    chosen = [start]
    while most is None or len(chosen) < most:
        last = T_first_camera[chosen[-1]]
        later = T_first_camera[chosen[-1] + 1 :]
        moved_m = np.linalg.norm(later[:, :3, 3] - last[:3, 3], axis=1)
        # The trace is enough to compare by, and quick.
        cosine = (np.einsum("ij,nij->n", last[:3, :3], later[:, :3, :3]) - 1) / 2
        far = np.flatnonzero((moved_m >= translation_m) | (cosine <= np.cos(rotation_rad)))
        if not len(far):
            break
        chosen.append(chosen[-1] + 1 + int(far[0]))
    return chosen


def _chosen(images: list[PosedImage], config: SequencesConfig) -> list[PosedImage]:
    if config.height_m is None:
        return images
    chosen = [
        image
        for image in images
        if image.height_m is not None and abs(image.height_m - config.height_m) < _SAME_HEIGHT_M
    ]
    if not chosen:
        found = sorted({image.height_m for image in images if image.height_m is not None})
        raise TrainingError(
            f"no sequence was recorded at {config.height_m:g} m, there are {found}; change sequences.height_m"
        )
    return chosen


def _recorded(images: Sequence[PosedImage]) -> list[RecordedSequence]:
    # A sequence begins where the name changes, or the time goes back: the next data set may use the same names.
    starts = [
        i
        for i, image in enumerate(images)
        if i == 0 or image.sequence != images[i - 1].sequence or image.stamp_ns < images[i - 1].stamp_ns
    ]
    recorded = []
    for start, end in zip(starts, [*starts[1:], len(images)], strict=True):
        T_world_camera = np.stack([image.T_map_camera for image in images[start:end]])
        steps_m = np.linalg.norm(np.diff(T_world_camera[:, :3, 3], axis=0), axis=1)
        first = images[start]
        sequence = RecordedSequence(
            name=first.sequence,
            world=first.world or first.sequence,
            first=start,
            height_m=first.height_m,
            T_first_camera=se3.inverse(T_world_camera[0]) @ T_world_camera,
            travelled_m=np.concatenate([[0.0], np.cumsum(steps_m)]),
        )
        # A single frame has no motion to learn.
        if len(sequence) > 1:
            recorded.append(sequence)
    return recorded


def _held_out(worlds: Sequence[str], fraction: float, data: Sequence[str]) -> set[str]:
    """Return worlds that their names choose, at least one: those of a data set that grows stay on their side."""
    names = sorted(set(worlds))
    if len(names) < 2:
        raise TrainingError(
            f"{', '.join(data)} holds sequences of {len(names)} world ({', '.join(names)}); at least 2 are needed, one to "
            "train on and one to judge by: `reloc dataset synthesize` makes as many as asked for"
        )
    ranks = {name: int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) / 2**32 for name in names}
    first, *others = sorted(names, key=ranks.__getitem__)
    # The last one stays in training whatever the fraction.
    return {first, *(name for name in others[:-1] if ranks[name] < fraction)}


def _paint(images: Sequence[PosedImage], canvas: Canvas, path: Path) -> None:
    partial = path.with_suffix(".partial")
    shape = (len(images), canvas.height, canvas.width, 4)
    array = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
    for index, image in enumerate(track(images, description="Painting canvases")):
        array[index] = canvas.paint(image.frame().image, image.camera)
    array.flush()
    # Renamed last: a store of that name is whole.
    partial.replace(path)


def _digest(images: Sequence[PosedImage], canvas: Canvas) -> str:
    digest = hashlib.sha256(f"{canvas.width}x{canvas.height}".encode())
    for image in images:
        digest.update(f"{image.sequence}/{image.name}/{image.stamp_ns}/{image.camera.to_dict()}".encode())
        digest.update(np.ascontiguousarray(image.T_map_camera).tobytes())
    return digest.hexdigest()[:20]


def _provenance(
    data: Sequence[str],
    datasets: Sequence[PosedImages],
    train: Sequence[RecordedSequence],
    val: Sequence[RecordedSequence],
) -> dict[str, Any]:
    heights_m = sorted({sequence.height_m for sequence in train if sequence.height_m is not None})
    return {
        "data": list(data),
        "ground_truth": sorted({dataset.ground_truth for dataset in datasets}),
        "sequences": {"train": len(train), "val": len(val)},
        "worlds": {"train": len({s.world for s in train}), "val": sorted({s.world for s in val})},
        "heights_m": heights_m,
        "distance_m": max(float(sequence.travelled_m[-1]) for sequence in train),
    }
