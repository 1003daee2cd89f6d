"""Batches of augmented views in an order that depends on the seed and the step alone, so that a run resumes exactly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from reloc_ros.cameras.camera import cell_centres
from reloc_ros.training.augment import random_view
from reloc_ros.training.config import TrainConfig
from reloc_ros.training.image_store import ImageStore

Key = tuple[int, int]
T = TypeVar("T", bound="Tensors")


class Tensors:
    """A dataclass of tensors only, which move together."""

    def to(self: T, device: torch.device) -> T:  # noqa: PYI019 (Self came with Python 3.11)
        """Return the batch on a device."""
        return type(self)(**{name: value.to(device, non_blocking=True) for name, value in vars(self).items()})


@dataclass(frozen=True, kw_only=True)
class Batch(Tensors):
    """Views as tensors; shapes as in `reloc_ros.training.losses.Labels`, images (B, H, W, 3) uint8, scene (B,)."""

    scene: Tensor
    images: Tensor
    rays: Tensor
    inside: Tensor
    R_map_camera: Tensor
    position_map_m: Tensor


class Views(Dataset[tuple[Tensor, ...]]):
    """Random views of the stored images of some scenes; a view is fixed by (step, index) and the run's seed.

    Args:
        stores: images of each scene.
        grid: rows and columns of cells.
        config: of the run.
        balance: images of a scene occur (most / own)^balance times, rounded.
    """

    def __init__(
        self, stores: Sequence[ImageStore], grid: tuple[int, int], config: TrainConfig, balance: float = 0.0
    ) -> None:
        self._stores = stores
        self._config = config
        height, width = stores[0].images.shape[1:3]
        self._cells_px = cell_centres(height, width, *grid)
        self._places = balanced_places([len(store) for store in stores], balance)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, key: Key) -> tuple[Tensor, ...]:
        step, place = key
        scene, index = self._places[place]
        store = self._stores[scene]
        generator = np.random.default_rng((self._config.seed, step, place))
        image = np.array(store.images[index])
        view = random_view(image, store.cameras[index], self._cells_px, self._config.augment, generator)
        T_map_camera = torch.from_numpy(store.T_map_camera[index]).float()
        return (
            torch.tensor(scene),
            torch.from_numpy(view.image),
            torch.from_numpy(view.rays),
            torch.from_numpy(view.inside).float(),
            T_map_camera[:3, :3],
            T_map_camera[:3, 3],
        )


def balanced_places(counts: Sequence[int], balance: float) -> list[tuple[int, int]]:
    """Return (scene, image) for each image of an epoch; those of a scene occur (most / own)^balance times, rounded."""
    return [
        (scene, index)
        for scene, count in enumerate(counts)
        for index in list(range(count)) * max(1, round((max(counts) / count) ** balance))
    ]


class StepSampler(Sampler[list[Key]]):
    """Endless batches of (step, index) from a given step on; each process of `world` takes its own part of a batch."""

    def __init__(self, count: int, config: TrainConfig, *, first_step: int, rank: int, world: int) -> None:
        self._count, self._batch, self._seed = count, min(config.batch_size, count), config.seed
        self._first_step, self._rank, self._world = first_step, rank, world

    def __iter__(self) -> Iterator[list[Key]]:
        together = self._batch * self._world
        step = self._first_step
        while True:
            places = range(step * together + self._rank, (step + 1) * together, self._world)
            yield [(step, self._index_at(place)) for place in places]
            step += 1

    def _index_at(self, place: int) -> int:
        epoch, offset = divmod(place, self._count)
        return int(self._permutation(epoch)[offset])

    def _permutation(self, epoch: int) -> np.ndarray:
        if getattr(self, "_epoch", None) != epoch:
            self._epoch = epoch
            self._order = np.random.default_rng((self._seed, epoch)).permutation(self._count)
        return self._order


def view_loader(views: Views, config: TrainConfig, *, first_step: int, rank: int, world: int) -> Iterable[Batch]:
    """Return an endless loader of batches."""
    loader: Iterable[Batch] = DataLoader(
        views,
        batch_sampler=StepSampler(len(views), config, first_step=first_step, rank=rank, world=world),
        num_workers=config.workers,
        collate_fn=_collate,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=config.workers > 0,
    )
    return loader


def _collate(items: list[tuple[Tensor, ...]]) -> Batch:
    return Batch(**{name: torch.stack(values) for name, values in zip(Batch.__annotations__, zip(*items))})
