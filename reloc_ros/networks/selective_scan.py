"""The selective scan of Mamba: a readable reference and a fast form of the same values and gradients.

Gu and Dao 2023 (Mamba, arXiv 2312.00752), equations 2 with the discretisation of section 3.2 (zero-order hold of A, Euler
for B), algorithm 2:

    h_t = exp(dt_t A) h_{t-1} + dt_t B_t u_t,    y_t = C_t h_t + D u_t

with a state of N numbers for each channel, A diagonal and negative, dt, B and C depending on the input.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


def selective_scan_reference(u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """Return the outputs y (B, T, D), computed frame by frame as the equation says.

    Args:
        u: (B, T, D) inputs.
        dt: (B, T, D) step sizes, above 0.
        a: (D, N) decay rates, below 0.
        b: (B, T, N) how the input enters the state.
        c: (B, T, N) how the state is read.
        d: (D,) share of the input that passes by the state.
    """
    state = u.new_zeros(u.shape[0], u.shape[2], a.shape[1])
    outputs = []
    for t in range(u.shape[1]):
        y, state = selective_step(u[:, t], dt[:, t], a, b[:, t], c[:, t], d, state)
        outputs.append(y)
    return torch.stack(outputs, dim=1) if outputs else torch.zeros_like(u)


def selective_step(
    u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the output y (B, D) of one frame and the state (B, D, N) after it.

    Args:
        u: (B, D) input; dt (B, D), b (B, N) and c (B, N) are of the same frame.
        dt: see `selective_scan_reference`.
        a: (D, N).
        b: see `selective_scan_reference`.
        c: see `selective_scan_reference`.
        d: (D,).
        state: (B, D, N) after the frame before.
    """
    state = torch.exp(dt.unsqueeze(-1) * a) * state + (dt * u).unsqueeze(-1) * b.unsqueeze(-2)
    return (state * c.unsqueeze(-2)).sum(-1) + d * u, state


def selective_scan(u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """Return what `selective_scan_reference` returns, in about 2 sqrt(T) steps instead of T."""
    decay = torch.exp(dt.unsqueeze(-1) * a)
    states = linear_recurrence(decay, (dt * u).unsqueeze(-1) * b.unsqueeze(-2))
    return (states @ c.unsqueeze(-1)).squeeze(-1) + d * u


def linear_recurrence(decay: Tensor, inputs: Tensor, *, backwards: bool = False) -> Tensor:
    """Return h (B, T, ...) with h_t = decay_t h_{t-1} + inputs_t for all t at once; nothing is before the first frame.

    Args:
        decay: (B, T, ...), of magnitude up to 1.
        inputs: of the same shape.
        backwards: from the last frame to the first: h_t = decay_t h_{t+1} + inputs_t.
    """
    states: Tensor = _LinearRecurrence.apply(decay, inputs, backwards)
    return states


class _LinearRecurrence(torch.autograd.Function):
    """The gradient of a linear recurrence is one that runs the other way: autograd need not remember each step."""

    @staticmethod
    def forward(ctx: Any, decay: Tensor, inputs: Tensor, backwards: bool) -> Tensor:  # noqa: FBT001 (autograd's way)
        states = _chunked(decay, inputs, backwards=backwards)
        ctx.save_for_backward(decay, states)
        ctx.backwards = backwards
        return states

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        decay, states = ctx.saved_tensors
        # g_t = dL/dh_t + decay_{t+1} g_{t+1}, so dL/d inputs_t = g_t and dL/d decay_t = g_t h_{t-1}.
        step = -1 if ctx.backwards else 1
        grad = linear_recurrence(_moved(decay, -step), grads[0], backwards=not ctx.backwards)
        return grad * _moved(states, step), grad, None


def _moved(x: Tensor, step: int) -> Tensor:
    """Return (B, T, ...) with every frame one place later (step 1) or earlier (-1), and a zero where none came from."""
    zero = torch.zeros_like(x[:, :1])
    return torch.cat([zero, x[:, :-1]] if step > 0 else [x[:, 1:], zero], dim=1)


def _chunked(decay: Tensor, inputs: Tensor, *, backwards: bool) -> Tensor:
    """Scan chunks of about sqrt(T) frames side by side, then hand the state at each chunk's end to the next.

    Nothing is divided by a product of decays, so long sequences and fast decays stay exact.
    """
    frames = inputs.shape[1]
    if frames <= 1:
        return inputs.clone()
    length = math.isqrt(frames - 1) + 1
    chunks = -(-frames // length)
    # Padding comes last and is zero: it gives nothing to the frames before it either.
    padding = [0, 0] * (inputs.dim() - 2) + [0, chunks * length - frames]
    decay, inputs = (torch.nn.functional.pad(x, padding).unflatten(1, (chunks, length)) for x in (decay, inputs))
    states, carried = torch.empty_like(inputs), torch.empty_like(inputs)
    before, first = (1, length - 1) if backwards else (-1, 0)
    states[:, :, first], carried[:, :, first] = inputs[:, :, first], decay[:, :, first]
    for t in range(length - 2, -1, -1) if backwards else range(1, length):
        torch.addcmul(inputs[:, :, t], decay[:, :, t], states[:, :, t + before], out=states[:, :, t])
        torch.mul(decay[:, :, t], carried[:, :, t + before], out=carried[:, :, t])
    last = length - 1 - first
    for chunk in range(chunks - 2, -1, -1) if backwards else range(1, chunks):
        states[:, chunk] += carried[:, chunk] * states[:, chunk + before, last, None]
    return states.flatten(1, 2)[:, :frames]
