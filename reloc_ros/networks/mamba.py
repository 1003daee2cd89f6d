"""Mamba blocks that run over whole sequences in training and frame by frame on the robot."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from reloc_ros.errors import ConfigError
from reloc_ros.networks.selective_scan import selective_scan, selective_step

# Gu and Dao 2023, section 3.6 and appendix: step sizes start log-uniform in these limits.
_DT_MIN, _DT_MAX = 1e-3, 1e-1


@dataclass(frozen=True, kw_only=True)
class MambaConfig:
    """Shape of a stack of Mamba blocks.

    Args:
        d_model: channels of the sequence.
        d_state: N, numbers of state for each inner channel.
        d_conv: frames that the causal convolution sees.
        expand: inner channels for each channel of the sequence.
        layers: blocks.
    """

    d_model: int = 384
    d_state: int = 16
    d_conv: int = 4
    expand: int = 2
    layers: int = 4

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            least = 2 if name == "d_conv" else 1
            if value < least:
                raise ConfigError(f"mamba.{name} is {value}; expected {least} or more")

    @property
    def inner(self) -> int:
        """Channels inside a block."""
        return self.expand * self.d_model


class MambaBlock(nn.Module):
    """One residual block (Gu and Dao 2023, figure 3) with the selective state-space model of its algorithm 2.

    The recurrence is computed in single precision whatever the run's: rounding adds up over thousands of frames.
    """

    def __init__(self, config: MambaConfig) -> None:
        super().__init__()
        inner, self.rank = config.inner, math.ceil(config.d_model / 16)
        self.d_state = config.d_state
        self.norm = nn.RMSNorm(config.d_model, eps=1e-5)
        self.enter = nn.Linear(config.d_model, 2 * inner, bias=False)
        self.conv = nn.Conv1d(inner, inner, config.d_conv, groups=inner)
        self.select = nn.Linear(inner, self.rank + 2 * config.d_state, bias=False)
        self.dt = nn.Linear(self.rank, inner)
        self.a_log = nn.Parameter(torch.log(torch.arange(1.0, config.d_state + 1)).repeat(inner, 1))
        self.d = nn.Parameter(torch.ones(inner))
        self.leave = nn.Linear(inner, config.d_model, bias=False)
        with torch.no_grad():
            dt = torch.exp(torch.empty(inner).uniform_(math.log(_DT_MIN), math.log(_DT_MAX)))
            self.dt.weight.uniform_(-(self.rank**-0.5), self.rank**-0.5)
            # The inverse of softplus.
            self.dt.bias.copy_(dt + torch.log(-torch.expm1(-dt)))

    def forward(self, x: Tensor) -> Tensor:
        """Return the sequences (B, T, d_model) after the block; a frame sees itself and those before it."""
        u, gate = self.enter(self.norm(x)).chunk(2, dim=-1)
        before = self.conv.kernel_size[0] - 1
        u = nn.functional.silu(self.conv(nn.functional.pad(u.transpose(1, 2), (before, 0)))).transpose(1, 2)
        with torch.autocast(x.device.type, enabled=False):
            y = selective_scan(*self._selected(u))
        return x + self.leave(y.to(gate) * nn.functional.silu(gate))

    def step(self, x: Tensor, conv: Tensor, ssm: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return one frame (B, d_model) after the block, and the state of the block after it.

        Args:
            x: (B, d_model).
            conv: (B, inner, d_conv - 1) inputs of the convolution from the frames before, oldest first.
            ssm: (B, inner, d_state).
        """
        u, gate = self.enter(self.norm(x)).chunk(2, dim=-1)
        window = torch.cat([conv, u.unsqueeze(-1)], dim=-1)
        u = nn.functional.silu((window * self.conv.weight.squeeze(1)).sum(-1) + self.conv.bias)
        y, ssm = selective_step(*self._selected(u), ssm)
        return x + self.leave(y * nn.functional.silu(gate)), window[..., 1:], ssm

    def _selected(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return the arguments of the scan for its inputs (..., inner), in single precision or better."""
        u = u.to(torch.promote_types(u.dtype, torch.float32))
        dt, b, c = self.select(u).split([self.rank, self.d_state, self.d_state], dim=-1)
        dt = nn.functional.softplus(self.dt(dt))
        return u, dt, -torch.exp(self.a_log), b, c, self.d
