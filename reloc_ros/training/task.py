"""What a method adds to the training loop: its network, its batches, its loss and its judgement."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from reloc_ros.training.material import Material
from reloc_ros.training.sequence_material import SequenceMaterial


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How good a network is.

    Args:
        headline: the figures that matter most, for the progress bar.
        summary: figures for the metrics log, with names and units.
        score: one figure to choose a checkpoint by; lower is better.
        serving: what a robot needs besides the weights, for the manifest.
    """

    headline: str
    summary: dict[str, Any]
    score: float
    serving: dict[str, Any]


class Task(Protocol):
    """One method on one material.

    Args:
        network: what is trained, or holds what is trained, on the run's device.
        step_images: how many images one step of one process uses, to count epochs; may be a fraction.
    """

    network: Any
    step_images: float

    @property
    def material(self) -> Material | SequenceMaterial:
        """What is learnt from."""

    def trained_part(self, network: nn.Module) -> nn.Module:
        """Return the part of a network that is trained; all of it, or what follows a frozen encoder."""

    def batches(self, first_step: int) -> Iterable[Any]:
        """Return this process's batches without end, from a step on; each has a method `to(device)`."""

    def loss(self, forward: Callable[..., Any], batch: Any, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of a batch and its parts by name.

        Args:
            forward: calls the trained part, in the run's precision and with gradients shared between processes.
            batch: one of `batches`, on the run's device.
            progress: share of the run that is over, 0 to 1.
        """

    def validate(self, network: nn.Module) -> Verdict:
        """Judge a network, in evaluation mode, on held-out images."""

    def describe(self, network: nn.Module) -> dict[str, Any]:
        """Return what makes the network again: its configuration and weights."""
