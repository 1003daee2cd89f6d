"""The fast scan is the reference: values, gradients, all lengths, fast and slow decays, single and double precision."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reloc_ros.networks.selective_scan import (
    linear_recurrence,
    selective_scan,
    selective_scan_reference,
    selective_step,
)

TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-12}
LENGTHS = (1, 2, 3, 4, 5, 16, 17, 31, 64, 100)


def _inputs(frames, dtype=torch.float64, seed=0, batch=2, channels=3, states=4):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator).to(dtype)

    u, b, c = draw(batch, frames, channels), draw(batch, frames, states), draw(batch, frames, states)
    # From steps that remember everything to steps that forget at once.
    dt = draw(batch, frames, channels).mul(2).exp()
    return [x.requires_grad_() for x in (u, dt, -draw(channels, states).exp(), b, c, draw(channels))]


def _with_gradients(scan, inputs):
    weights = torch.linspace(-1, 2, inputs[0].numel(), dtype=inputs[0].dtype).reshape(inputs[0].shape)
    y = scan(*inputs)
    return y.detach(), torch.autograd.grad((y * weights).sum(), inputs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("frames", LENGTHS)
def test_values_and_gradients_are_the_references(frames, dtype):
    inputs = _inputs(frames, dtype)
    values, gradients = _with_gradients(selective_scan, inputs)
    expected, expected_gradients = _with_gradients(selective_scan_reference, inputs)
    assert values.dtype == dtype
    for found, true in ((values, expected), *zip(gradients, expected_gradients)):
        torch.testing.assert_close(found, true, rtol=0, atol=TOLERANCE[dtype] * float(1 + true.abs().max()))


def test_gradients_are_those_of_finite_differences():
    assert torch.autograd.gradcheck(selective_scan, _inputs(5))


@pytest.mark.parametrize("backwards", [False, True])
def test_gradients_have_gradients_either_way(backwards):
    decay, inputs = (torch.rand(1, 7, 2, dtype=torch.float64, requires_grad=True) for _ in range(2))

    def scan(decay, inputs):
        return linear_recurrence(decay, inputs, backwards=backwards)

    assert torch.autograd.gradcheck(scan, (decay, inputs))
    assert torch.autograd.gradgradcheck(scan, (decay, inputs))


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 40), st.booleans())
def test_a_recurrence_is_what_it_says_at_every_length(frames, backwards):
    generator = torch.Generator().manual_seed(frames)
    decay, inputs = torch.rand(2, 2, frames, 3, dtype=torch.float64, generator=generator)
    state, expected = torch.zeros(2, 3, dtype=torch.float64), torch.empty_like(inputs)
    for t in reversed(range(frames)) if backwards else range(frames):
        state = decay[:, t] * state + inputs[:, t]
        expected[:, t] = state
    torch.testing.assert_close(linear_recurrence(decay, inputs, backwards=backwards), expected)


def test_inputs_that_are_views_in_another_order_are_read_right():
    u, dt, a, b, c, d = (x.detach() for x in _inputs(9))
    turned = [x.transpose(0, 1).contiguous().transpose(0, 1) for x in (u, dt, b, c)]
    assert not turned[0].is_contiguous()
    found = selective_scan(turned[0], turned[1], a.T.contiguous().T, turned[2], turned[3], d)
    torch.testing.assert_close(found, selective_scan_reference(u, dt, a, b, c, d))


def test_a_long_sequence_that_forgets_at_once_stays_finite():
    u, dt, a, b, c, d = (x.detach() for x in _inputs(500, torch.float32))
    dt = dt * 0 + 50.0
    assert torch.isfinite(selective_scan(u, dt, a, b, c, d)).all()
    torch.testing.assert_close(selective_scan(u, dt, a, b, c, d), selective_scan_reference(u, dt, a, b, c, d))


def test_a_step_by_hand():
    one = torch.ones(1, 1, dtype=torch.float64)
    rate, step = -torch.log(torch.tensor(2.0, dtype=torch.float64)) * one, one
    # decay 1/2, input 3 through b = 2: 0.5 * 8 + 3 * 2 = 10; read by c = 5, plus 7 * 3.
    y, state = selective_step(3 * one, step, rate, 2 * one, 5 * one, 7 * one[0], 8 * one[None])
    assert state.item() == pytest.approx(10.0)
    assert y.item() == pytest.approx(5 * 10.0 + 7 * 3.0)
