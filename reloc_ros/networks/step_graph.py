"""One step of a sequence network as a graph: what is exported, and what an exported step is compared with."""

from __future__ import annotations

from torch import Tensor, nn

from reloc_ros.networks.spr_mamba import SprMamba


class StepGraph(nn.Module):
    """The step with its state as one argument each, and no time without a frame before it."""

    def __init__(self, network: SprMamba) -> None:
        super().__init__()
        self.network = network
        self.names = tuple(network.state_shapes())

    def forward(self, feature: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Return the poses of one more frame (1, F), then the state after it, in the order of `names`."""
        poses, following = self.network.step(feature, dict(zip(self.names, state, strict=True)))
        return (*poses, *(following[name] for name in self.names))
