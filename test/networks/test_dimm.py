"""Rays from patch tokens: shapes, the camera's rays as an input, mappers that are independent, and the way to a file."""

from __future__ import annotations

import pytest
import torch
from scipy.linalg import polar
from scipy.spatial.transform import Rotation

from reloc_ros.errors import ConfigError
from reloc_ros.networks.dimm import (
    Dimm,
    GeometricToken,
    Mappers,
    RayHead,
    RayHeadConfig,
    affine_fit,
    describe_network,
    encode_rays,
    from_checkpoint,
    inverse_3x3,
    nearest_rotation,
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


def test_the_fit_of_scene_points_is_the_pose():
    generator = torch.Generator().manual_seed(4)
    rotation = torch.linalg.qr(torch.randn(2, 3, 3, generator=generator, dtype=torch.float64))[0]
    points = torch.randn(2, 40, 3, generator=generator, dtype=torch.float64)
    position = torch.randn(2, 1, 3, generator=generator, dtype=torch.float64)
    values = points @ rotation.transpose(1, 2) + position
    weights = torch.rand(2, 40, 1, generator=generator, dtype=torch.float64)
    # A wild point without weight changes nothing.
    values[:, 7], weights[:, 7] = 100.0, 0.0
    linear, centre, middle = affine_fit(points, values, weights / weights.sum(1, keepdim=True))
    offset = middle - centre @ linear
    # The ridge draws it a little towards zero.
    torch.testing.assert_close(linear, rotation.transpose(1, 2), atol=0.05, rtol=0)
    torch.testing.assert_close(offset, position, atol=0.05, rtol=0)


def test_a_fit_through_one_point_is_finite():
    points, values = torch.full((1, 9, 3), 0.3), torch.full((1, 9, 4), 2.0)
    linear, _, middle = affine_fit(points, values, torch.full((1, 9, 1), 1 / 9))
    torch.testing.assert_close(linear, torch.zeros(1, 3, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(middle, torch.full((1, 1, 4), 2.0))


def test_the_nearest_rotation_of_a_scaled_and_a_sheared_one():
    """The polar decomposition of scipy is the reference: a fit with a ridge is a little too short in one direction."""
    turn = torch.from_numpy(Rotation.from_quat([1 / 11, 2 / 11, 4 / 11, 10 / 11]).as_matrix())
    sheared = turn @ torch.diag(torch.tensor([1.0, 0.9, 0.6], dtype=torch.float64)) @ turn.T @ turn
    found = nearest_rotation(torch.stack([turn, 0.3 * turn, sheared]))
    torch.testing.assert_close(found[:2], torch.stack([turn, turn]), atol=1e-6, rtol=0)
    torch.testing.assert_close(found[2], torch.from_numpy(polar(sheared.numpy())[0]), atol=1e-3, rtol=0)


def test_the_fitted_pose_gives_the_ray_of_every_patch():
    """A head that has learnt nothing yet answers with the pose of its fit: here points that are seen without error."""
    generator = torch.Generator().manual_seed(8)
    turn = torch.from_numpy(Rotation.from_quat([1 / 11, 2 / 11, 4 / 11, 10 / 11]).as_matrix()).float()
    position = torch.tensor([0.4, -0.7, 0.2])
    rays = torch.nn.functional.normalize(torch.randn(1, 40, 3, generator=generator), dim=-1)
    ranges = 1 + torch.rand(1, 40, generator=generator)
    token = GeometricToken(8, 16, 5).eval()
    points = (ranges[..., None] * rays) @ turn.T + position
    token.read = torch.nn.Identity()
    read = torch.cat(
        [points, torch.randn(1, 40, 2, generator=generator), ranges.log()[..., None], torch.zeros(1, 40, 1)], -1
    )
    fitted = token(read, rays)
    directions = rays @ turn.T
    moments = torch.linalg.cross(position.expand_as(directions), directions)
    torch.testing.assert_close(fitted.ray, torch.cat([directions, moments], -1), atol=5e-3, rtol=0)


def test_inverses_by_cofactors():
    matrix = torch.randn(6, 3, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    torch.testing.assert_close(inverse_3x3(matrix), torch.linalg.inv(matrix))


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
