"""The network's outputs: shapes, starting values, determinism and the joined borders of a panorama."""

from __future__ import annotations

import pytest
import torch

from reloc_ros.errors import ConfigError
from reloc_ros.networks.implicit_geometry import (
    ImplicitGeometry,
    NetworkConfig,
    describe_network,
    from_checkpoint,
)

CENTRE_M = torch.tensor([1.0, -2.0, 0.5])


def _network(**shape):
    torch.manual_seed(0)
    return ImplicitGeometry(NetworkConfig(encoder="patch_conv_tiny", **shape), CENTRE_M, 3.0).eval()


@pytest.mark.parametrize("stride", [8, 16])
def test_one_prediction_for_each_cell(stride):
    network = _network(stride=stride)
    images = torch.randint(0, 256, (2, 64, 96, 3), dtype=torch.uint8)
    points_map, range_m, weights = network(images)
    cells = (64 // stride) * (96 // stride)
    assert network.config.grid(64, 96) == (64 // stride, 96 // stride)
    assert (points_map.shape, range_m.shape, weights.shape) == ((2, cells, 3), (2, cells), (2, cells))
    assert points_map.dtype == range_m.dtype == weights.dtype == torch.float32


def test_starts_at_the_scenes_centre_and_range():
    points_map, range_m, weights = _network()(torch.full((1, 64, 64, 3), 90, dtype=torch.uint8))
    torch.testing.assert_close(points_map, CENTRE_M.expand_as(points_map), atol=0.3, rtol=0)
    torch.testing.assert_close(range_m, torch.full_like(range_m, 3.0), atol=0.3, rtol=0)
    torch.testing.assert_close(weights, torch.full_like(weights, 0.5), atol=0.05, rtol=0)


def test_float_images_mean_the_same_as_uint8():
    network = _network()
    images = torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)
    for from_bytes, from_floats in zip(network(images), network(images.float())):
        assert torch.equal(from_bytes, from_floats)


def test_a_rolled_panorama_gives_rolled_predictions():
    network = _network(wrap=True)
    torch.nn.init.normal_(network.predict.weight, std=0.5)
    images = torch.nn.functional.interpolate(torch.rand(1, 3, 8, 32) * 255, scale_factor=8, mode="bilinear")
    images = images.permute(0, 2, 3, 1)
    columns = 256 // 8
    plain = network(images)[1].reshape(8, columns)
    rolled = network(images.roll(64, dims=2))[1].reshape(8, columns)
    unwrapped = _network(wrap=False)
    unwrapped.load_state_dict(network.state_dict())
    torn = unwrapped(images)[1].reshape(8, columns)
    seam = (plain.roll(8, dims=1) - rolled).abs().mean()
    torn_seam = (torn.roll(8, dims=1) - unwrapped(images.roll(64, dims=2))[1].reshape(8, columns)).abs().mean()
    assert seam < 0.5 * torn_seam


def test_a_saved_network_computes_the_same(tmp_path):
    network = _network()
    torch.save(describe_network(network), tmp_path / "network.pt")
    images = torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)
    content = torch.load(tmp_path / "network.pt", weights_only=True)
    for before, after in zip(network(images), from_checkpoint(content)(images)):
        assert torch.equal(before, after)


def test_context_is_dropped_for_whole_images_in_training_only():
    network = _network(context_dropout=0.5)
    torch.nn.init.normal_(network.predict.weight, std=0.5)
    images = torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)
    assert torch.equal(network(images)[1], network(images)[1])
    for module in network.modules():
        module.training = not isinstance(module, torch.nn.BatchNorm2d)
    results = {tuple(network(images)[1].flatten().tolist()) for _ in range(20)}
    assert len(results) == 2
    with pytest.raises(ConfigError, match="context_dropout is 1"):
        NetworkConfig(context_dropout=1.0)


def test_an_impossible_stride_is_refused():
    with pytest.raises(ConfigError, match="stride is 12"):
        NetworkConfig(stride=12)
