"""Weights back into the network that a checkpoint describes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from torch import Tensor, nn

from reloc_ros.errors import ConfigError

N = TypeVar("N", bound=nn.Module)


def restore(network: N, weights: Mapping[str, Tensor]) -> N:
    """Return the network with these weights, in evaluation mode.

    Raises:
        ConfigError: they are not just those of the network.
    """
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ConfigError(f"the checkpoint's weights do not fit its own configuration: {error}") from error
    network.eval()
    return network
