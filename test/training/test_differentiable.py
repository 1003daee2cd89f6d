"""The torch twin of Kabsch equals the numpy one, and its gradient is right and finite."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from reloc_ros.geometry.kabsch import weighted_kabsch as numpy_kabsch
from reloc_ros.training.differentiable import rotation_angle_rad, weighted_kabsch


def _clouds(seed, count=12, noise_m=0.1):
    generator = np.random.default_rng(seed)
    rotation = Rotation.random(random_state=generator).as_matrix()
    points_camera = generator.normal(size=(count, 3))
    points_map = points_camera @ rotation.T + generator.normal(size=3) * 5
    weights = generator.uniform(0.05, 1.0, count)
    return points_map + noise_m * generator.normal(size=(count, 3)), points_camera, weights


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), noise_m=st.sampled_from([0.0, 0.1, 2.0]))
def test_equals_the_numpy_solver(seed, noise_m):
    clouds = _clouds(seed, noise_m=noise_m)
    rotation, position = weighted_kabsch(*(torch.from_numpy(values)[None] for values in clouds))
    expected = numpy_kabsch(*clouds)
    np.testing.assert_allclose(rotation[0].numpy(), expected[:3, :3], atol=1e-7)
    np.testing.assert_allclose(position[0].numpy(), expected[:3, 3], atol=1e-6)


def test_gradients_are_those_of_finite_differences():
    inputs = tuple(torch.from_numpy(values)[None].requires_grad_() for values in _clouds(3))
    assert torch.autograd.gradcheck(weighted_kabsch, inputs, atol=1e-6)


@pytest.mark.parametrize("angle_rad", [0.0, 1e-7, 1e-3, 0.5, np.pi - 1e-3, np.pi])
def test_angles_and_their_gradients_at_the_ends(angle_rad):
    turned = torch.from_numpy(Rotation.from_rotvec([0, angle_rad, 0]).as_matrix())[None].requires_grad_()
    angle = rotation_angle_rad(torch.eye(3, dtype=torch.float64)[None], turned)
    angle.sum().backward()
    assert angle.item() == pytest.approx(angle_rad, abs=3e-3)
    assert torch.isfinite(turned.grad).all()
