"""The sequence network: frame by frame as in one pass, from a fresh state, in every variant, and the way to a file."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_spr import FRAME, VARIANTS, tiny_config, tiny_model, tiny_sequence_network

from reloc_ros.errors import ConfigError
from reloc_ros.networks.mamba import MambaBlock, MambaConfig
from reloc_ros.networks.pose_head import compose
from reloc_ros.networks.selective_scan import selective_scan_reference
from reloc_ros.networks.spr_mamba import SprMamba, SprMambaConfig, describe_network, from_checkpoint, untrained

NETWORKS = {name: tiny_sequence_network(**changes).double() for name, changes in VARIANTS.items()}


def _features(batch, frames, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, frames, FRAME.size, dtype=torch.float64, generator=generator)


def _step_by_step(network, features):
    state, outputs = network.zero_state(len(features)), []
    for feature in features.unbind(1):
        poses, state = network.step(feature, state)
        outputs.append(poses)
    return [torch.stack(values, dim=1) for values in zip(*outputs)]


@pytest.mark.parametrize("name", NETWORKS)
@settings(deadline=None, max_examples=12)
@given(frames=st.integers(1, 30), seed=st.integers(0, 99))
def test_step_by_step_is_the_pass_over_all_frames(name, frames, seed):
    features = _features(2, frames, seed)
    with torch.no_grad():
        for found, expected in zip(_step_by_step(NETWORKS[name], features), NETWORKS[name](features)):
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_first_frame_is_at_the_origin_and_sure_of_it(name):
    network, features = NETWORKS[name], _features(3, 2)
    poses, _ = network.step(features[:, 0], network.zero_state(3))
    assert not poses.translation.any()
    assert not poses.inter_translation.any()
    for rotation in (poses.rotation, poses.inter_rotation):
        assert torch.equal(rotation, torch.eye(3).double().expand(3, 3, 3))
    assert (poses.log_scale == -6.0).all()
    assert (network(features).translation[:, 1] != 0).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_fresh_state_is_zeros_and_every_number_of_it_is_kept(name):
    network = NETWORKS[name]
    state = network.zero_state()
    assert not any(value.any() for value in state.values())
    for feature in _features(1, 3).unbind(1):
        _, following = network.step(feature, state)
        assert {key: value.shape for key, value in following.items()} == {k: v.shape for k, v in state.items()}
        state = following
    assert all(value.any() for value in state.values())


@pytest.mark.parametrize("name", NETWORKS)
def test_rotations_are_rotations(name):
    rotation = NETWORKS[name](_features(1, 40)).rotation
    torch.testing.assert_close(rotation @ rotation.transpose(-1, -2), torch.eye(3).double().expand_as(rotation))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_future_does_not_matter_and_the_past_does(name):
    network, features = NETWORKS[name], _features(1, 12)
    poses = network(features)
    later, earlier = features.clone(), features.clone()
    later[:, 8:] += 1.0
    earlier[:, 2] += 1.0
    torch.testing.assert_close(network(later).translation[:, :8], poses.translation[:, :8])
    assert (network(earlier).translation[:, 11] - poses.translation[:, 11]).abs().max() > 1e-9


def test_frames_that_are_not_there_change_nothing():
    network, features = NETWORKS["dual"], _features(2, 10)
    mask = torch.arange(10) < torch.tensor([[10], [6]])
    features[1, 6:] = float("inf")
    poses, alone = network(features.nan_to_num(posinf=7.0), mask), network(features[1:, :6])
    torch.testing.assert_close(poses.translation[1, :6], alone.translation[0])
    assert torch.isfinite(poses.translation).all()


def test_training_starts_at_the_odometer():
    torch.manual_seed(0)
    network = SprMamba(FRAME, tiny_config()).double()
    with torch.no_grad():
        network.local.head.read[-1].weight.normal_(std=0.1)
    poses = network(_features(1, 6))
    place = torch.zeros(3).double(), torch.eye(3).double()
    for t in range(6):
        place = compose(*place, poses.inter_translation[0, t], poses.inter_rotation[0, t])
        torch.testing.assert_close(poses.translation[0, t], place[0])
        torch.testing.assert_close(poses.rotation[0, t], place[1])
    assert poses.translation[0, -1].abs().max() > 0.01


def test_local_is_chaining_and_nothing_else():
    poses = NETWORKS["local"](_features(1, 5))
    place = torch.zeros(3).double(), torch.eye(3).double()
    for t in range(5):
        place = compose(*place, poses.inter_translation[0, t], poses.inter_rotation[0, t])
    torch.testing.assert_close(poses.translation[0, -1], place[0])


def test_global_says_nothing_of_steps():
    poses = NETWORKS["global"](_features(1, 5))
    assert not poses.inter_translation.any()
    assert NETWORKS["global"].local is None


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_learns(name):
    network = tiny_sequence_network(**VARIANTS[name])
    poses = network(_features(2, 7).float())
    sum(value.square().sum() for value in poses).backward()
    idle = [key for key, value in network.named_parameters() if value.grad is None or not value.grad.any()]
    assert idle == []


def test_states_stay_in_single_precision_under_autocast():
    network = tiny_sequence_network()
    with torch.autocast("cpu", torch.bfloat16):
        poses = network(_features(1, 50).float())
    reference = network(_features(1, 50).float())
    assert all(value.dtype == torch.float32 for value in poses)
    assert (poses.translation - reference.translation).abs().max() < 0.2
    rotation = poses.rotation
    torch.testing.assert_close(
        rotation @ rotation.transpose(-1, -2), torch.eye(3).expand_as(rotation), atol=1e-5, rtol=0
    )


def test_a_block_scans_as_the_reference_does():
    torch.manual_seed(0)
    block, x = MambaBlock(MambaConfig(d_model=8, d_state=4, layers=1)).double(), torch.randn(2, 9, 8).double()
    u, gate = block.enter(block.norm(x)).chunk(2, dim=-1)
    u = torch.nn.functional.silu(block.conv(torch.nn.functional.pad(u.transpose(1, 2), (3, 0)))).transpose(1, 2)
    expected = x + block.leave(selective_scan_reference(*block._selected(u)) * torch.nn.functional.silu(gate))
    torch.testing.assert_close(block(x), expected)


def test_step_sizes_start_between_a_thousandth_and_a_tenth():
    steps = torch.nn.functional.softplus(MambaBlock(MambaConfig(d_model=64, layers=1)).dt.bias)
    assert 9e-4 < steps.min() < 5e-3
    assert 5e-2 < steps.max() < 0.11


def test_the_network_is_restored_from_its_description():
    model = tiny_model()
    canvases = torch.randint(0, 256, (1, 3, 32, 64, 4), dtype=torch.uint8)
    again = from_checkpoint(describe_network(model))
    for found, expected in zip(again(canvases), model(canvases)):
        assert torch.equal(found, expected)


def test_a_training_configuration_has_a_random_form():
    config = {
        "encoder": {"kind": "panorama_conv_tiny"},
        "frame": {"rows": 2, "columns": 8, "channels": 4, "summary": 6},
        "network": {"mamba": {"d_model": 16, "layers": 1}, "pair": {"shifts": 2}, "hidden": 16},
    }
    assert from_checkpoint(untrained(config)).sequence.config.mamba == MambaConfig(d_model=16, layers=1)
    with pytest.raises(ConfigError, match="dinov2 has no random weights"):
        untrained({**config, "encoder": {"kind": "dinov2"}})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"branches": "both"}, "choose one of dual, global, local"),
        ({"branches": "global"}, "no inter-frame poses to chain"),
        ({"branches": "local"}, "set odometer to true, compare_first to false"),
        ({"hidden": 0}, r"network\.hidden is 0"),
    ],
)
def test_nonsense_is_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        replace(SprMambaConfig(), **change)
    with pytest.raises(ConfigError, match=r"mamba\.d_conv is 1"):
        MambaConfig(d_conv=1)
