"""The global branch of SPR-Mamba: stacked Mamba blocks that remember all the frames of a sequence (arXiv 2503.19543)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reloc_ros.networks.mamba import MambaBlock, MambaConfig


class GlobalBranch(nn.Module):
    """Frames, and what else is shown of each, to a memory of the sequence up to each.

    Args:
        feature: length of a frame's feature.
        shown: length of what is shown besides.
        hidden: channels that a feature is reduced to.
        config: blocks.
    """

    def __init__(self, feature: int, shown: int, hidden: int, config: MambaConfig) -> None:
        super().__init__()
        self.config = config
        self.reduce = nn.Sequential(nn.Linear(feature, hidden), nn.LayerNorm(hidden), nn.GELU())
        self.enter = nn.Linear(hidden + shown, config.d_model)
        self.blocks = nn.ModuleList(MambaBlock(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.d_model, eps=1e-5)

    def forward(self, features: Tensor, shown: Tensor) -> Tensor:
        """Return the memory (B, T, d_model) of sequences of features (B, T, F) and what is shown (B, T, S)."""
        x: Tensor = self.enter(torch.cat([self.reduce(features), shown], dim=-1))
        # What the blocks add up is not rounded to the run's precision.
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        for block in self.blocks:
            x = block(x)
        return self.norm(x)  # type: ignore[no-any-return]

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the state's tensors, without the batch, by name."""
        shapes: dict[str, tuple[int, ...]] = {}
        for i in range(self.config.layers):
            shapes[f"conv_{i}"] = (self.config.inner, self.config.d_conv - 1)
            shapes[f"ssm_{i}"] = (self.config.inner, self.config.d_state)
        return shapes

    def step(self, feature: Tensor, shown: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the memory (B, d_model) after one more frame (B, F) and (B, S), and the state after it."""
        x: Tensor = self.enter(torch.cat([self.reduce(feature), shown], dim=-1))
        following = {}
        for i, block in enumerate(self.blocks):
            x, following[f"conv_{i}"], following[f"ssm_{i}"] = block.step(x, state[f"conv_{i}"], state[f"ssm_{i}"])
        return self.norm(x), following
