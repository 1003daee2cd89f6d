from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from reloc_ros.cameras.canvas import roll_rotation
from reloc_ros.networks.frame_encoder import FrameConfig
from reloc_ros.networks.turn_back import TurnBack

FRAME = FrameConfig(rows=2, columns=16, channels=3, summary=4)


def smooth_feature() -> torch.Tensor:
    """A feature whose cells change slowly along the circle, differently in every channel."""
    azimuth = (torch.arange(16, dtype=torch.float64) + 0.5) / 16 * 2 * torch.pi - torch.pi
    cells = torch.stack([azimuth.sin(), azimuth.cos(), (azimuth + 0.5).sin()], dim=-1).expand(2, 16, 3)
    coverage = (azimuth.cos().expand(2, 16) + 1) / 2
    return torch.cat([cells.flatten(), coverage.flatten(), torch.arange(4.0, dtype=torch.float64)])


@pytest.mark.parametrize("columns", [0, 3, -5, 8])
def test_a_turned_camera_is_turned_back(columns: int) -> None:
    first = smooth_feature()
    R_first_camera = torch.from_numpy(np.ascontiguousarray(roll_rotation(columns / 16).T))
    turned = FRAME.rolled(first, columns)
    back = TurnBack(FRAME).double()(turned, R_first_camera)
    assert columns == 0 or float((turned - first).abs().max()) > 0.5
    assert_allclose(back.numpy(), first.numpy(), atol=0.01)


def test_tilt_does_not_count_and_headings_of_a_batch_are_their_own() -> None:
    features = torch.stack([FRAME.rolled(smooth_feature(), k) for k in (1, 4, 7)]).unsqueeze(0)
    tilts = Rotation.from_euler("zx", [[3, 5], [-4, 2], [1, -6]], degrees=True).as_matrix()
    rotations = torch.from_numpy(np.stack([roll_rotation(k / 16).T @ tilt for k, tilt in zip((1, 4, 7), tilts)]))
    back = TurnBack(FRAME).double()(features, rotations.unsqueeze(0))
    assert back.shape == (1, 3, FRAME.size)
    for one in back[0]:
        assert_allclose(one.numpy(), smooth_feature().numpy(), atol=0.02)


def test_no_gradient_reaches_the_heading() -> None:
    features = smooth_feature().unsqueeze(0).requires_grad_()
    rotation = torch.eye(3, dtype=torch.float64).unsqueeze(0).requires_grad_()
    TurnBack(FRAME).double()(features, rotation).square().sum().backward()
    assert rotation.grad is None
    assert features.grad is not None
