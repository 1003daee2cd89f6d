"""The fit inside the network: points and ranges of patches to the pose, exact where they are, robust where not."""

from __future__ import annotations

import pytest
import torch
from scipy.linalg import polar
from scipy.spatial.transform import Rotation

from reloc_ros.networks.ray_fit import GeometricToken, Pose, affine_fit, inverse_3x3, nearest_rotation, refined, skew

TURN = torch.from_numpy(Rotation.from_quat([1 / 11, 2 / 11, 4 / 11, 10 / 11]).as_matrix())
POSITION = torch.tensor([[[0.4, -0.7, 0.2]]], dtype=torch.float64)
DEVIATIONS = torch.tensor([0.01, 0.1], dtype=torch.float64)


def _scene(patches=80):
    """Rays, ranges and the scene points they meet from (TURN, POSITION)."""
    generator = torch.Generator().manual_seed(8)
    rays = torch.randn(1, patches, 3, generator=generator, dtype=torch.float64) * torch.tensor([0.5, 0.4, 0.0])
    rays = torch.nn.functional.normalize(rays + torch.tensor([0.0, 0.0, 1.0]), dim=-1)
    ranges = 1 + torch.rand(1, patches, generator=generator, dtype=torch.float64)
    return rays, ranges, (ranges[..., None] * rays) @ TURN.T + POSITION


def _nearby():
    off = torch.from_numpy(Rotation.from_rotvec([0.12, -0.2, 0.15]).as_matrix())
    return Pose((off @ TURN).T[None], POSITION + torch.tensor([0.3, -0.2, 0.25]))


def _even(points):
    return torch.full((1, points.shape[1], 1), 1 / points.shape[1], dtype=torch.float64)


def test_steps_lead_to_the_pose_of_exact_points():
    rays, ranges, points = _scene()
    pose = refined(_nearby(), points, ranges, rays, _even(points), DEVIATIONS)
    torch.testing.assert_close(pose.turn[0], TURN.T, atol=1e-4, rtol=0)
    torch.testing.assert_close(pose.position, POSITION, atol=1e-4, rtol=0)


def test_points_that_are_wrong_along_their_rays_hardly_move_the_pose():
    """What implicit scene geometry's solver knows: a rigid alignment of the same points is far off."""
    rays, ranges, points = _scene()
    longer = torch.where(rays[..., 0] > 0, 1.2, 0.9).to(ranges)
    points = (longer * ranges)[..., None] * rays @ TURN.T + POSITION
    linear, centre, middle = affine_fit(ranges[..., None] * rays, points, _even(points))
    turn = nearest_rotation(linear)
    start = Pose(turn, middle - centre @ turn)
    pose = refined(start, points, ranges, rays, _even(points), DEVIATIONS)
    before, after = ((each.position - POSITION).norm() for each in (start, pose))
    assert before > 0.2
    assert after < before / 5


def test_a_third_of_wild_points_hardly_moves_the_pose():
    rays, ranges, points = _scene()
    generator = torch.Generator().manual_seed(3)
    points[:, ::3] += 2 * torch.randn(points[:, ::3].shape, generator=generator, dtype=torch.float64)
    pose = refined(_nearby(), points, ranges, rays, _even(points), DEVIATIONS)
    assert (pose.position - POSITION).norm() < 0.05


def test_what_the_pose_teaches_reaches_points_ranges_and_weights():
    rays, ranges, points = _scene()
    generator = torch.Generator().manual_seed(6)
    points = points + 0.05 * torch.randn(points.shape, generator=generator, dtype=torch.float64)
    taught = [value.requires_grad_() for value in (points, ranges, _even(points), DEVIATIONS.clone())]
    pose = refined(_nearby(), taught[0], taught[1], rays, taught[2], taught[3])
    ((pose.position - POSITION).square().sum() + (pose.turn - TURN.T).square().sum()).backward()
    for value in taught:
        assert torch.isfinite(value.grad).all()
        assert value.grad.abs().max() > 0


@pytest.mark.parametrize("scale", [0.0, 1e-3, 1e3])
def test_points_that_mean_nothing_give_finite_poses(scale):
    """An untrained network's: all at one place, or anywhere."""
    rays, ranges, points = _scene()
    pose = refined(_nearby(), scale * points, ranges, rays, _even(points), DEVIATIONS)
    assert torch.isfinite(pose.turn).all()
    assert torch.isfinite(pose.position).all()


def test_skew_is_the_vector_product():
    first, second = torch.tensor([[0.3, -1.2, 0.7]]), torch.tensor([[2.0, 0.4, -0.9]])
    torch.testing.assert_close((skew(first) @ second[..., None])[..., 0], torch.linalg.cross(first, second))


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
