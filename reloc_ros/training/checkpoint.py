"""Checkpoints: written whole or not at all, read strictly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from reloc_ros.errors import TrainingError
from reloc_ros.networks.table import NETWORKS

LAST, BEST = "last.pt", "best.pt"


def save(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint so that a kill at any time leaves the old one or the new one."""
    partial = path.with_suffix(".partial")
    torch.save(content, partial)
    partial.replace(path)


def load(path: Path) -> dict[str, Any]:
    """Return a checkpoint.

    Raises:
        TrainingError: the file is missing or is no checkpoint.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise TrainingError(f"checkpoint {path} cannot be read ({error}); train again or give another one") from error
    if not isinstance(content, dict) or "network" not in content:
        raise TrainingError(f"{path} is not a checkpoint of this program; give a run folder or its {BEST}")
    return content


def load_trained(run_or_file: str | Path, method: str | None = None) -> tuple[nn.Module, dict[str, Any]]:
    """Return the best network of a run (or the one in a file) and all the checkpoint says about it.

    Args:
        run_or_file: run folder or checkpoint.
        method: what it must be a network of; None takes any that can localize.

    Raises:
        TrainingError: there is no usable checkpoint, or it is of another method.
    """
    path = Path(run_or_file)
    path = path / BEST if path.is_dir() else path
    content = load(path)
    found = content.get("method")
    if found not in NETWORKS or method not in (None, found):
        raise TrainingError(f"{path} holds a run of {found}; give one of {method or ', '.join(NETWORKS)}")
    return NETWORKS[found].from_checkpoint(content), content


def average_into(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Move the running average of the weights towards the network's; buffers (batch statistics) are copied."""
    with torch.no_grad():
        torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - decay)
        for kept, new in zip(average.buffers(), network.buffers()):
            kept.copy_(new)
