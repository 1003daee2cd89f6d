"""The camera pose at which a patch's ray meets what the patch shows, found inside the network.

Each patch names a point of the scene and its range. An affine map through all of them gives a first pose, and a few
steps of Gauss-Newton the final one. Points lie wrong along their rays far more than across them, so the steps weigh
the two apart, as the solver of implicit scene geometry does; of its points a rigid alignment alone makes 10 cm where the
steps make 3.6 (7-Scenes RedKitchen). Everything here is sums and 3 x 3 cofactors: TensorRT knows no factorisation.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

# Of the points' spread, in squared scene units: a fit through points in one plane must stay finite.
_RIDGE = 1e-2
# Squared length of the matrix that the iteration starts from: a rotation has 3, and from 9 on one may turn over.
_START = 2.5
_ITERATIONS = 5
_STEPS = 5
# Squared residual, in mean ones of the image, at which a kernel is a quarter.
_KERNEL_LIMIT = 4.0
# Radians, and logarithms of ranges: no patch is known better, and nothing is divided by nought.
_LEAST_RESIDUAL = 1e-4
# Of the equations' size: what keeps a step finite where the rays leave it open.
_DAMPING = 1e-4
# Scene units: nearer to the camera nothing is seen, further from the centre no camera is.
_NEAREST, _FURTHEST = 0.02, 8.0


class Fitted(NamedTuple):
    """What a fit of the patches' rays to what they show says of each patch, in scene units about the scene's centre.

    Args:
        token: (B, N, 2 V) the fitted map at the patch's ray, and its offset.
        ray: (B, N, 6) direction and moment of the patch's ray from the fitted pose.
        points: (B, N, 3) scene points that the fit rests on.
        ranges: (B, N) their ranges along the rays.
    """

    token: Tensor
    ray: Tensor
    points: Tensor
    ranges: Tensor


class Pose(NamedTuple):
    """Cameras: `turn` (B, 3, 3) takes rows of rays to rows of map directions, `position` is (B, 1, 3)."""

    turn: Tensor
    position: Tensor


class GeometricToken(nn.Module):
    """What the patches of an image say together, at each patch's ray.

    Each patch reads from its own token some quantities of the scene, a range and a weight. An affine map takes the points
    in the camera to the quantities; with scene points as the quantities it is near the camera's pose, from which the
    refined one starts. What else is fitted is learnt.
    """

    def __init__(self, channels: int, width: int, values: int) -> None:
        super().__init__()
        self.values = values
        self.read = nn.Sequential(
            nn.Linear(channels, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), nn.Linear(width, values + 2)
        )
        # Of a point across its ray, rad, and of the logarithm of its range; what one is worth beside the other is learnt.
        self.log_deviations = nn.Parameter(torch.tensor([0.01, 0.1]).log())

    def forward(self, patches: Tensor, rays: Tensor) -> Fitted:
        """Return the fit at each patch.

        Args:
            patches: (B, N, C).
            rays: (B, N, 3) unit rays in the camera.
        """
        # In single precision whatever the run's: a difference of two half-precision means would be all rounding.
        read = self.read(patches).float()
        with torch.autocast(patches.device.type, enabled=False):
            values, ranges = read[..., : self.values], read[..., -2].clamp(-4.0, 3.0).exp()
            weights = read[..., -1:].softmax(1)
            linear, centre, middle = affine_fit(ranges[..., None] * rays, values, weights)
            offset = middle - centre @ linear
            token = torch.cat([rays @ linear, offset.expand(-1, rays.shape[1], -1)], dim=-1)
            turn = nearest_rotation(linear[..., :3])
            start = Pose(turn, middle[..., :3] - centre @ turn)
            pose = refined(start, values[..., :3], ranges, rays, weights, self.log_deviations.exp())
            directions = rays @ pose.turn
            moments = cross(pose.position.expand_as(directions), directions)
        return Fitted(token, torch.cat([directions, moments], dim=-1), values[..., :3], ranges)


def affine_fit(points: Tensor, values: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the affine map of points that fits values best, with a ridge.

    It is (point - centre) @ linear + middle: linear (B, 3, V), centre (B, 1, 3) of the points, middle (B, 1, V) of the
    values.

    Args:
        points: (B, N, 3).
        values: (B, N, V).
        weights: (B, N, 1), of sum 1.
    """
    centre, middle = (weights * points).sum(1, keepdim=True), (weights * values).sum(1, keepdim=True)
    spread = (weights * (points - centre)).transpose(1, 2)
    covariance = spread @ (points - centre) + _RIDGE * torch.eye(3, device=points.device)
    linear = inverse_3x3(covariance) @ (spread @ (values - middle))
    return linear, centre, middle


def refined(pose: Pose, points: Tensor, ranges: Tensor, rays: Tensor, weights: Tensor, deviations: Tensor) -> Pose:
    """Return the poses after steps of robust Gauss-Newton on where points lie across and along their rays.

    Minimises sum_i w_i (rho(a_i^2) / s_a^2 + rho(l_i^2) / s_l^2) with the angle a_i between a point and its ray, the logarithm
    l_i of its distance over its range, and Geman-McClure's rho, whose width follows the residuals of the image: while
    little is known yet no patch is left out, later few of those that disagree count.

    Args:
        pose: where to start.
        points: (B, N, 3) in the scene.
        ranges: (B, N) what the patches say about their distances.
        rays: (B, N, 3) unit rays in the camera.
        weights: (B, N, 1), of sum 1.
        deviations: (2,) s_a in rad and s_l.
    """
    across_kernel = along_kernel = torch.ones_like(weights)
    for _ in range(_STEPS):
        forward = rays @ pose.turn
        seen = points - pose.position
        depth = (seen * forward).sum(-1, keepdim=True)
        across, distance = seen - depth * forward, depth.clamp_min(_NEAREST)
        along = distance - ranges[..., None]
        angles = across.square().sum(-1, keepdim=True).add(1e-12).sqrt() / distance
        logs = (distance / ranges[..., None]).log().abs()
        across_kernel = _kernel(angles, weights, across_kernel)
        along_kernel = _kernel(logs, weights, along_kernel)
        by_across = weights * across_kernel / (deviations[0] * distance).square()
        by_along = weights * along_kernel / (deviations[1] * distance).square()
        pose = _step(pose, forward, distance, across, along, by_across, by_along)
    return pose


def _kernel(residuals: Tensor, weights: Tensor, kernel: Tensor) -> Tensor:
    """Return the kernels (B, N, 1) of absolute residuals, given those of the step before; they are not learnt through.

    Their mean, unlike that of their squares, stays near the many when a few are wild.
    """
    residuals, share = residuals.detach(), weights.detach() * kernel
    mean = (share * residuals).sum(1, keepdim=True) / share.sum(1, keepdim=True) + _LEAST_RESIDUAL
    return (_KERNEL_LIMIT / (_KERNEL_LIMIT + (residuals / mean).square())).square()


def _step(
    pose: Pose, forward: Tensor, distance: Tensor, across: Tensor, along: Tensor, by_across: Tensor, by_along: Tensor
) -> Pose:
    """Return the poses after one step: with W = a (I - g g^T) + l g g^T of a ray g at distance d, sum W e = sum W J x.

    J = [I, -skew(d g)] of a move in position and a turn in map axes. All sums have closed forms, because g x g = 0.
    """
    total = by_across.sum(1, keepdim=True)
    by_across, by_along = by_across / total, by_along / total
    one = torch.eye(3, device=forward.device)
    beside = forward.transpose(1, 2) @ ((by_along - by_across) * forward)
    move_move = (1 + _DAMPING) * one + beside
    lever = by_across * distance
    move_turn = -skew((lever * forward).sum(1))
    stiffness = lever * distance
    turn_turn = stiffness.sum(1, keepdim=True) * (1 + _DAMPING) * one - forward.transpose(1, 2) @ (stiffness * forward)
    pulled = (by_across * across + by_along * along * forward).sum(1, keepdim=True)
    twisted = (lever * cross(forward, across)).sum(1, keepdim=True)
    inverse = inverse_3x3(move_move)
    # Row vectors: x = b A^-1, with the blocks eliminated by Schur's complement.
    schur = inverse_3x3(turn_turn - move_turn.transpose(1, 2) @ inverse @ move_turn)
    turned = (twisted - pulled @ inverse @ move_turn) @ schur
    moved = (pulled - turned @ move_turn.transpose(1, 2)) @ inverse
    # Rows of directions turn by d + r x d = d (I + skew(r))^T.
    turn = nearest_rotation(pose.turn @ (one - skew(turned[:, 0])))
    return Pose(turn, (pose.position + moved).clamp(-_FURTHEST, _FURTHEST))


def nearest_rotation(matrix: Tensor) -> Tensor:
    """Return the orthogonal matrices nearest to (B, 3, 3), by Newton's iteration (Higham 1986, in its inverse-free form).

    Exact for matrices near a rotation times a scale, as fits of posed points are.
    """
    x = matrix * (_START / (matrix.square().sum((-2, -1), keepdim=True) + 1e-9)).sqrt()
    for _ in range(_ITERATIONS):
        x = 1.5 * x - 0.5 * x @ x.transpose(-2, -1) @ x
    return x


def inverse_3x3(matrix: Tensor) -> Tensor:
    """Return the inverses of (B, 3, 3) regular matrices by cofactors."""
    first, second, third = matrix.unbind(-2)
    columns = [cross(second, third), cross(third, first), cross(first, second)]
    determinant = (first * columns[0]).sum(-1)[:, None, None]
    return torch.stack(columns, dim=-1) / determinant


def cross(a: Tensor, b: Tensor) -> Tensor:
    """Return the vector products of (..., 3), spelled out as every run time knows them."""
    (ax, ay, az), (bx, by, bz) = a.unbind(-1), b.unbind(-1)
    return torch.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], dim=-1)


def skew(vector: Tensor) -> Tensor:
    """Return the matrices (B, 3, 3) of the vector products with (B, 3) vectors."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
