"""One process or many: `torchrun` sets the environment, everything else is the same."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn

from reloc_ros.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class World:
    """The processes that train together: this one's rank, how many they are, and this one's device."""

    rank: int
    size: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this process writes files and talks to people."""
        return self.rank == 0

    def agree(self, value: float) -> float:
        """Return the first process's value in every process."""
        if self.size == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=self.device)
        dist.broadcast(shared, 0)
        return float(shared.item())

    def wait(self) -> None:
        """Return when every process got here."""
        if self.size > 1:
            dist.barrier()

    def wrap(self, network: nn.Module) -> nn.Module:
        """Return the network with its gradients averaged over the processes."""
        if self.size == 1:
            return network
        if self.device.type == "cuda":
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
            return nn.parallel.DistributedDataParallel(network, device_ids=[self.device.index])
        return nn.parallel.DistributedDataParallel(network)


@contextmanager
def join_world(device: str | None = None) -> Iterator[World]:
    """Join the processes that torchrun started, or be the only one.

    Args:
        device: `cpu` or `cuda`, where each process takes the GPU of its local rank; None takes cuda where there is one.

    Raises:
        ConfigError: cuda was asked for and torch sees no GPU.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device is cuda, but torch sees no CUDA GPU; use cpu or install a CUDA build of torch")
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    size = int(os.environ.get("WORLD_SIZE", "1"))
    rank = int(os.environ.get("RANK", "0"))
    place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if device == "cuda" else torch.device("cpu")
    if place.type == "cuda":
        torch.cuda.set_device(place)
    if size > 1:
        dist.init_process_group("nccl" if place.type == "cuda" else "gloo")
    world = World(rank=rank, size=size, device=place)
    try:
        yield world
        # All leave together: a process that closes its connections early takes the others down with it.
        world.wait()
    finally:
        if size > 1:
            dist.destroy_process_group()
