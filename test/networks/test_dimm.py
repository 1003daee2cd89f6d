"""Rays from patch tokens: shapes, the camera's rays as an input, mappers that are independent, and the way to a file."""

from __future__ import annotations

import pytest
import torch

from reloc_ros.errors import ConfigError
from reloc_ros.networks.dimm import (
    Dimm,
    Mappers,
    RayHead,
    RayHeadConfig,
    describe_network,
    encode_rays,
    from_checkpoint,
)
from reloc_ros.networks.token_encoders import PatchTransformer

CENTRE_M = torch.tensor([1.0, -2.0, 0.5])


def _network(**head):
    torch.manual_seed(0)
    config = RayHeadConfig(embedding=32, **head)
    return Dimm(PatchTransformer("patch_transformer_tiny"), config, CENTRE_M, 3.0).eval()


def _inputs(seed=1):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (2, 64, 96, 3), dtype=torch.uint8, generator=generator)
    return images, torch.nn.functional.normalize(torch.randn(2, 24, 3, generator=generator), dim=-1)


def test_one_ray_for_each_patch():
    network = _network()
    directions, moments_m, direction_confidence, moment_confidence = network(*_inputs())
    assert (directions.shape, moments_m.shape) == ((2, 24, 3), (2, 24, 3))
    assert (direction_confidence.shape, moment_confidence.shape) == ((2, 24), (2, 24))
    torch.testing.assert_close(directions.norm(dim=-1), torch.ones(2, 24))
    assert (direction_confidence > 0).all()
    assert (moment_confidence > 0).all()


def test_moments_are_in_metres():
    network = _network()
    moments_m = network(*_inputs())[1]
    network.scale_m.fill_(6.0)
    torch.testing.assert_close(network(*_inputs())[1], 2 * moments_m)


@pytest.mark.parametrize(
    ("tokens", "seen"),
    [
        ({"ray_token": True, "geometric_token": False}, True),
        ({"ray_token": False, "geometric_token": True}, True),
        ({"ray_token": False, "geometric_token": False}, False),
    ],
)
def test_the_cameras_rays_are_seen_through_their_tokens(tokens, seen):
    network = _network(**tokens)
    images, rays = _inputs()
    same = torch.equal(network(images, rays)[0], network(images, rays.flip(1))[0])
    assert same is not seen


def test_a_patch_sees_the_rest_of_the_image_through_the_summary_token():
    head = RayHead(RayHeadConfig(embedding=32, geometric_token=False), 8, 8).eval()
    without = RayHead(RayHeadConfig(embedding=32, geometric_token=False, summary_token=False), 8, 8).eval()
    patches, rays = torch.randn(1, 5, 8), torch.nn.functional.normalize(torch.randn(1, 5, 3), dim=-1)
    first, second = torch.randn(1, 1, 8), torch.randn(1, 1, 8)
    assert not torch.equal(head(patches, first, rays).directions, head(patches, second, rays).directions)
    assert torch.equal(without(patches, first, rays).directions, without(patches, second, rays).directions)


def test_without_the_geometric_token_patches_are_alone():
    """What the buffer of shuffled patches needs: the ray of a patch is the same whatever else is in its batch."""
    head = RayHead(RayHeadConfig(embedding=32, geometric_token=False), 8, 8).eval()
    patches, rays = torch.randn(1, 5, 8), torch.nn.functional.normalize(torch.randn(1, 5, 3), dim=-1)
    summary = torch.randn(1, 1, 8)
    together, alone = head(patches, summary, rays), head(patches[:, 2:3], summary, rays[:, 2:3])
    torch.testing.assert_close(together.directions[:, 2:3], alone.directions)


def test_rays_of_chosen_patches_are_those_of_all():
    network = _network()
    generator = torch.Generator().manual_seed(3)
    patches, summary = torch.randn(2, 12, 64, generator=generator), torch.randn(2, 1, 64, generator=generator)
    rays = torch.nn.functional.normalize(torch.randn(2, 12, 3, generator=generator), dim=-1)
    torch.nn.init.normal_(network.head.read[-1].weight)
    chosen = torch.tensor([[5, 0, 11], [2, 3, 7]])
    of_all, of_some = network.head(patches, summary, rays), network.head(patches, summary, rays, chosen)
    for name in ("directions", "moments", "direction_log", "moment_log"):
        expected = torch.stack([getattr(of_all, name)[index, chosen[index]] for index in range(2)])
        torch.testing.assert_close(getattr(of_some, name), expected)
    assert of_some.fitted.ray.shape == (2, 12, 6)


def test_mappers_are_the_perceptrons_they_stand_for():
    torch.manual_seed(2)
    mappers = Mappers(3, 16, 2)
    x = torch.randn(4, 7, 16)
    for bias in mappers.biases:
        torch.nn.init.normal_(bias)
    found = mappers(x)
    assert found.shape == (4, 7, 3, 16)
    for index in range(3):
        y = x
        for layer in range(3):
            y = y @ mappers.weights[layer][index] + mappers.biases[layer][index]
            y = torch.nn.functional.gelu(y) if layer < 2 else y
        torch.testing.assert_close(found[..., index, :], y)


def test_attention_weighs_the_mappers_by_the_patch():
    """With attention off every patch mixes the mappers alike; with it on, the semantic embedding decides."""
    torch.manual_seed(3)
    head = RayHead(RayHeadConfig(embedding=32, mappers=4), 8, 8).eval()
    patches, summary = torch.randn(1, 6, 8), torch.randn(1, 1, 8)
    rays = torch.nn.functional.normalize(torch.randn(1, 6, 3), dim=-1)
    torch.nn.init.normal_(head.read[-1].weight)
    before = head(patches, summary, rays).directions
    torch.nn.init.normal_(head.semantic[-1].weight, std=3.0)
    assert not torch.allclose(before, head(patches, summary, rays).directions, atol=1e-4)
    plain = RayHead(RayHeadConfig(embedding=32, mappers=4, attention=False), 8, 8).eval()
    plain.load_state_dict(head.state_dict())
    first = plain(patches, summary, rays).directions
    torch.nn.init.normal_(plain.semantic[-1].weight, std=3.0)
    assert torch.equal(first, plain(patches, summary, rays).directions)


def test_the_ray_token_by_literals():
    encoded = encode_rays(torch.tensor([[0.5, 0.0, -0.25]]), 2)
    expected = [0.5, 0, -0.25, 1, 0, -(0.5**0.5), 0, 0, -1, 0, 1, 0.5**0.5, -1, 1, 0]
    torch.testing.assert_close(encoded[0], torch.tensor(expected, dtype=torch.float32), atol=1e-6, rtol=0)


def test_a_saved_network_computes_the_same(tmp_path):
    network = _network(mappers=3)
    torch.save(describe_network(network), tmp_path / "network.pt")
    again = from_checkpoint(torch.load(tmp_path / "network.pt", weights_only=True))
    for before, after in zip(network(*_inputs()), again(*_inputs())):
        assert torch.equal(before, after)


@pytest.mark.parametrize("name", ["embedding", "mappers", "mapper_depth", "frequencies"])
def test_a_head_of_nothing_is_refused(name):
    with pytest.raises(ConfigError, match=rf"head\.{name} is 0"):
        RayHeadConfig(**{name: 0})


def test_context_is_dropped_for_whole_images_in_training_only():
    torch.manual_seed(6)
    head = RayHead(RayHeadConfig(embedding=32, context_dropout=0.5), 8, 3)
    patches, summary = torch.randn(64, 5, 8), torch.randn(64, 1, 8).expand(64, 5, 8)
    kept_patches, kept_summary = head._with_or_without_context(patches, summary)
    assert torch.equal(kept_patches[..., :3], patches[..., :3])
    without = (kept_summary == 0).all(-1).all(-1)
    assert 15 < int(without.sum()) < 50
    assert torch.equal(without, (kept_patches[..., 3:] == 0).all(-1).all(-1))
    head.eval()
    assert torch.equal(head._with_or_without_context(patches, summary)[1], summary)


def test_points_need_three_values():
    with pytest.raises(ConfigError, match="geometric_values is 2"):
        RayHeadConfig(geometric_values=2)
