"""Whole images from the stores of a frozen encoder's features: all patches of random views, scene by scene mixed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from reloc_ros.training.config import TrainConfig
from reloc_ros.training.feature_store import FeatureStore
from reloc_ros.training.views import StepSampler, Tensors, balanced_places


@dataclass(frozen=True, kw_only=True)
class FeatureBatch(Tensors):
    """Views as a frozen encoder sees them; shapes as in `FeatureStore`, scene (B,), poses (B, 3, 3) and (B, 3)."""

    scene: Tensor
    patches: Tensor
    summary: Tensor
    rays: Tensor
    inside: Tensor
    R_map_camera: Tensor
    position_map_m: Tensor


class ImageFeatures:
    """Images of some scenes by their features.

    Args:
        stores: features of each scene.
        config: of the run.
        balance: images of a scene occur (most / own)^balance times in an epoch, rounded.
    """

    def __init__(self, stores: Sequence[FeatureStore], config: TrainConfig, balance: float) -> None:
        self._stores, self._config = stores, config
        self._places = balanced_places([len(store.images) for store in stores], balance)

    def __len__(self) -> int:
        return len(self._places)

    def batches(self, *, first_step: int, rank: int, world: int) -> Iterator[FeatureBatch]:
        """Yield one random view of each image an epoch, without end; the seed and the step alone decide which."""
        for keys in StepSampler(len(self), self._config, first_step=first_step, rank=rank, world=world):
            items = [self._item(step, place) for step, place in keys]
            yield FeatureBatch(
                **{name: torch.stack(values) for name, values in zip(FeatureBatch.__annotations__, zip(*items))}
            )

    def _item(self, step: int, place: int) -> tuple[Tensor, ...]:
        scene, index = self._places[place]
        store = self._stores[scene]
        view = int(np.random.default_rng((self._config.seed, step, place)).integers(store.views))
        entry = index * store.views + view
        T_map_camera = torch.from_numpy(store.images.T_map_camera[index]).float()
        return (
            torch.tensor(scene),
            torch.from_numpy(store.patches[entry].astype(np.float32)),
            torch.from_numpy(store.summary[entry].astype(np.float32)),
            torch.from_numpy(np.array(store.rays[entry])),
            torch.from_numpy(store.inside[entry].astype(np.float32)),
            T_map_camera[:3, :3],
            T_map_camera[:3, 3],
        )
