"""What two frames say of the motion between them, and the poses read from it."""

from __future__ import annotations

import pytest
import torch
from scipy.spatial.transform import Rotation
from tiny_spr import FRAME

from reloc_ros.errors import ConfigError
from reloc_ros.networks.frame_encoder import FrameConfig
from reloc_ros.networks.frame_pair import FramePair, LocalBranch, PairConfig
from reloc_ros.networks.pose_head import PoseHead, compose, rotation_from_6d


def _features(*shape, seed=0):
    return torch.randn(*shape, FRAME.size, generator=torch.Generator().manual_seed(seed))


def test_columns_are_compared_with_those_beside_them():
    frame = FrameConfig(rows=1, columns=6, channels=6, summary=1)
    pair = FramePair(frame, PairConfig(shifts=2))
    # Each column of the first frame has a channel of its own; the second frame is rolled right by one column.
    before = torch.zeros(1, frame.size)
    before[0, : 6 * 6] = 10 * torch.eye(6).flatten()
    seen = []
    pair.column[0].register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0]))
    pair(before, frame.rolled(before, 1))
    # Column c looks like the column at its left, shift -1 of -2..2, all the way round.
    alike = seen[0][0, :, -5:]
    torch.testing.assert_close(alike, torch.tensor([0.0, 1, 0, 0, 0]).expand(6, 5), atol=1e-3, rtol=0)


def test_without_the_search_only_differences_are_seen():
    assert FramePair(FRAME, PairConfig(shifts=0)).column[0].in_features == FRAME.rows * 2 * (FRAME.channels + 1)
    assert FramePair(FRAME, PairConfig(shifts=2)).column[0].in_features == FRAME.rows * (2 * (FRAME.channels + 1) + 5)


def test_no_column_is_sought_twice():
    assert FramePair(FRAME, PairConfig(shifts=50)).column[0].in_features == FRAME.rows * (2 * (FRAME.channels + 1) + 7)


def test_the_order_of_frames_matters_and_their_number_does_not():
    pair = FramePair(FRAME, PairConfig())
    before, after = _features(2, 3), _features(2, 3, seed=1)
    together = pair(before, after)
    assert together.shape == (2, 3, 128)
    torch.testing.assert_close(pair(before[1, 2], after[1, 2]), together[1, 2])
    assert (pair(after, before) - together).abs().max() > 1e-3


def test_an_untrained_branch_says_nothing_moved():
    motion = LocalBranch(FRAME, PairConfig())(_features(4), _features(4, seed=1))
    assert not motion.translation.any()
    assert torch.equal(motion.rotation, torch.eye(3).expand(4, 3, 3))


def test_six_numbers_are_a_rotation_by_its_first_two_rows():
    turn = torch.randn(20, 6, dtype=torch.float64)
    rotation = rotation_from_6d(turn)
    torch.testing.assert_close(rotation @ rotation.transpose(1, 2), torch.eye(3).double().expand(20, 3, 3))
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(20).double())
    wanted = torch.from_numpy(Rotation.from_rotvec([0.3, -0.5, 0.7]).as_matrix())
    torch.testing.assert_close(rotation_from_6d(wanted[:2].flatten() - torch.eye(3)[:2].flatten()), wanted)


def test_poses_compose_as_matrices_do():
    torch.manual_seed(0)
    first, second = (torch.from_numpy(Rotation.random(random_state=seed).as_matrix()) for seed in (1, 2))
    a, b = torch.randn(2, 3, dtype=torch.float64)
    translation, rotation = compose(a, first, b, second)
    torch.testing.assert_close(translation, a + first @ b)
    torch.testing.assert_close(rotation, first @ second)


def test_long_chains_stay_rotations():
    step = torch.from_numpy(Rotation.from_rotvec([0.1, 0.02, -0.3]).as_matrix()).float()
    place = torch.zeros(3), torch.eye(3)
    for _ in range(5000):
        place = compose(*place, torch.tensor([0.1, 0.0, 0.0]), step)
    torch.testing.assert_close(place[1] @ place[1].T, torch.eye(3), atol=1e-6, rtol=0)


def test_half_precision_ends_at_the_pose():
    translation, rotation = PoseHead(8).to(torch.bfloat16)(torch.randn(2, 8, dtype=torch.bfloat16))
    assert translation.dtype == rotation.dtype == torch.float32


@pytest.mark.parametrize("change", [{"shifts": -1}, {"column": 0}])
def test_sizes_are_checked(change):
    with pytest.raises(ConfigError, match=rf"pair\.{next(iter(change))} is"):
        PairConfig(**change)
