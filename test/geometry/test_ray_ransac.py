"""Pose from rays: exact on exact rays, deaf to the wrong half, and its covariance is the spread of its errors."""

from __future__ import annotations

from dataclasses import replace

import box_room
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from reloc_ros.cameras.camera import ray_grid
from reloc_ros.errors import DegenerateGeometryError
from reloc_ros.geometry import rotation, se3
from reloc_ros.geometry.ray_ransac import centre_from_moments, pose_from_rays, rotation_from_directions
from reloc_ros.geometry.ray_refinement import MapRays

CAMERAS = {"pinhole": box_room.pinhole(160, 120), "panorama": box_room.panorama(160, 80)}
STDS = {"direction_std_rad": 0.02, "moment_std_m": 0.05}
# A quarter turn about z and a place, so that the moments can be written out.
T_LITERAL = se3.from_rotation_translation([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], [1.0, 2.0, 4.0])


def _random_pose(generator: np.random.Generator, distance_m: float = 2.0) -> np.ndarray:
    axis, place = generator.normal(size=(2, 3))
    turn = rotation.exp(axis / np.linalg.norm(axis) * generator.uniform(0, np.pi))
    return se3.from_rotation_translation(turn, distance_m * place)


def _rays(T_map_camera: np.ndarray, camera=CAMERAS["pinhole"], rows: int = 12, columns: int = 16) -> MapRays:
    rays = ray_grid(camera, rows, columns)
    directions = rays @ T_map_camera[:3, :3].T
    moments_m, even = np.cross(T_map_camera[:3, 3], directions), np.ones(len(rays))
    return MapRays(
        rays_camera=rays, directions_map=directions, moments_m=moments_m,
        direction_weights=even, moment_weights=even, **STDS,
    )  # fmt: skip


def _noisy(rays: MapRays, generator: np.random.Generator, spread: float = 0.5) -> MapRays:
    """Return the rays with the noise that their deviations promise and weights that differ from ray to ray."""
    shape = rays.moments_m.shape
    weights = np.exp(generator.normal(0, spread, (2, shape[0], 1)))
    weights /= weights.mean(axis=1, keepdims=True)
    return replace(
        rays,
        directions_map=rays.directions_map + generator.normal(0, STDS["direction_std_rad"], shape) / weights[0] ** 0.5,
        moments_m=rays.moments_m + generator.normal(0, STDS["moment_std_m"], shape) / weights[1] ** 0.5,
        direction_weights=weights[0, :, 0],
        moment_weights=weights[1, :, 0],
    )


def _solve(rays: MapRays, seed: int = 0):
    return pose_from_rays(rays, hypotheses=64, generator=np.random.default_rng(seed))


def _error(T_true: np.ndarray, T_found: np.ndarray) -> np.ndarray:
    """Return (dt, dr) of T_true = T_found moved by them, the project's convention."""
    return np.concatenate([T_true[:3, 3] - T_found[:3, 3], rotation.log(T_true[:3, :3] @ T_found[:3, :3].T)])


def test_literal_rays():
    rays_camera = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    rays = MapRays(
        rays_camera=rays_camera,
        # Twice as long as a unit: only where a direction points counts.
        directions_map=np.array([[0.0, 2.0, 0.0], [-2.0, 0.0, 0.0], [0.0, 0.0, 2.0]]),
        # (1, 2, 4) x (0, 1, 0), x (-1, 0, 0) and x (0, 0, 1).
        moments_m=np.array([[-4.0, 0.0, 1.0], [0.0, -4.0, 2.0], [2.0, -1.0, 0.0]]),
        direction_weights=np.ones(3), moment_weights=np.ones(3), **STDS,
    )  # fmt: skip
    assert_allclose(_solve(rays).refined.T_map_camera, T_LITERAL, atol=1e-9)


@pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_exact_rays_give_the_exact_pose_in_every_stage(camera, seed):
    generator = np.random.default_rng(seed)
    T_true = _random_pose(generator)
    rays = _rays(T_true, camera)
    R_found = rotation_from_directions(rays, hypotheses=16, generator=generator)
    assert_allclose(R_found, T_true[:3, :3], atol=1e-7)
    centre_m = centre_from_moments(rays, R_found, hypotheses=16, generator=generator)
    assert_allclose(centre_m, T_true[:3, 3], atol=1e-6)
    found = _solve(rays, seed)
    assert_allclose(found.refined.T_map_camera, T_true, atol=1e-9)
    assert found.direction_inliers.all()
    assert found.moment_inliers.all()


@pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), share=st.floats(0.4, 0.5))
def test_half_of_wrong_rays_does_not_move_the_pose(camera, seed, share):
    generator = np.random.default_rng(seed)
    T_true = _random_pose(generator)
    rays = _rays(T_true, camera)
    count = len(rays.rays_camera)
    # Not the same half: a ray may have a good direction and a wrong moment.
    wrong_direction, wrong_moment = (generator.permutation(count)[: int(share * count)] for _ in range(2))
    rays.directions_map[wrong_direction] = _unit(generator.normal(size=(len(wrong_direction), 3)))
    rays.moments_m[wrong_moment] += generator.normal(0, 3.0, (len(wrong_moment), 3))
    found = _solve(rays, seed)
    # What lies near enough to count pulls a little: a tenth of one ray's deviation.
    assert np.abs(_error(T_true, found.refined.T_map_camera)).max() < 0.005
    assert found.direction_inliers.mean() == pytest.approx(1 - share, abs=0.06)
    assert found.moment_inliers.mean() == pytest.approx(1 - share, abs=0.06)


@pytest.mark.parametrize("seed", range(8))
def test_rays_in_one_plane_give_a_rotation_and_no_reflection(seed):
    T_true = _random_pose(np.random.default_rng(seed))
    rays = _rays(T_true, CAMERAS["panorama"], rows=1, columns=40)
    assert np.ptp(rays.rays_camera[:, 1]) < 1e-12
    R_found = rotation_from_directions(rays, hypotheses=16, generator=np.random.default_rng(seed))
    assert_allclose(R_found, T_true[:3, :3], atol=1e-7)
    assert_allclose(_solve(rays).refined.T_map_camera, T_true, atol=1e-9)


def test_weights_sharpen_every_stage():
    generator = np.random.default_rng(11)
    errors = {"weighted": [], "even": []}
    for _ in range(60):
        T_true = _random_pose(generator)
        weighted = _noisy(_rays(T_true), generator, spread=1.5)
        even = replace(weighted, direction_weights=np.ones(192), moment_weights=np.ones(192))
        for name, rays in (("weighted", weighted), ("even", even)):
            drawing = np.random.default_rng(0)
            R_found = rotation_from_directions(rays, hypotheses=64, generator=drawing)
            centre_m = centre_from_moments(rays, R_found, hypotheses=64, generator=drawing)
            refined = _error(T_true, _solve(rays).refined.T_map_camera)
            # Each in deviations of one ray.
            errors[name].append([
                rotation.angle_between_rad(T_true[:3, :3], R_found) / STDS["direction_std_rad"],
                np.linalg.norm(T_true[:3, 3] - centre_m) / STDS["moment_std_m"],
                np.linalg.norm(refined[3:]) / STDS["direction_std_rad"],
                np.linalg.norm(refined[:3]) / STDS["moment_std_m"],
            ])  # fmt: skip
    rms = {name: np.sqrt(np.mean(np.square(values), axis=0)) for name, values in errors.items()}
    assert np.all(rms["weighted"] < 0.85 * rms["even"]), rms


def test_few_hypotheses_suffice_because_contradictory_pairs_are_not_tried():
    generator = np.random.default_rng(8)
    found = []
    for _ in range(40):
        T_true = _random_pose(generator)
        rays = _rays(T_true)
        # Of two rays both are right in one draw of eleven: 12 draws would miss every third pose.
        wrong = generator.permutation(192)[:134]
        rays.directions_map[wrong] = _unit(generator.normal(size=(134, 3)))
        rays.moments_m[wrong] += generator.normal(0, 3.0, (134, 3))
        R_found = rotation_from_directions(rays, hypotheses=12, generator=generator)
        centre_m = centre_from_moments(rays, T_true[:3, :3], hypotheses=12, generator=generator)
        found.append([
            rotation.angle_between_rad(T_true[:3, :3], R_found) < 0.01,
            np.linalg.norm(T_true[:3, 3] - centre_m) < 0.02,
        ])  # fmt: skip
    assert np.all(np.mean(found, axis=0) > 0.9), np.mean(found, axis=0)


def test_a_pose_that_most_rays_agree_on_yields_to_one_with_more_weight():
    T_true, T_other = _random_pose(np.random.default_rng(1)), _random_pose(np.random.default_rng(2))
    right, wrong = _rays(T_true), _rays(T_other)
    believed = np.arange(192) % 3 == 0
    weights = np.where(believed, 1.0, 0.1)
    mixed = replace(
        right,
        directions_map=np.where(believed[:, None], right.directions_map, wrong.directions_map),
        moments_m=np.where(believed[:, None], right.moments_m, wrong.moments_m),
        direction_weights=weights,
        moment_weights=weights,
    )
    assert_allclose(_solve(mixed).refined.T_map_camera, T_true, atol=5e-3)
    unweighted = replace(mixed, direction_weights=np.ones(192), moment_weights=np.ones(192))
    assert_allclose(_solve(unweighted).refined.T_map_camera, T_other, atol=5e-3)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    shift_m=st.tuples(*(st.floats(-20.0, 20.0),) * 3),
    scale=st.floats(0.05, 50.0),
    weight=st.sampled_from([1e-30, 1e-3, 1e3, 1e300]),
)
def test_another_origin_unit_or_scale_of_weights_is_the_same_pose(seed, shift_m, scale, weight):
    generator = np.random.default_rng(seed)
    T_true = _random_pose(generator)
    rays = _rays(T_true)
    moved = replace(rays, moments_m=rays.moments_m - np.cross(shift_m, rays.directions_map))
    assert_allclose(_solve(moved).refined.T_map_camera[:3, 3] + shift_m, T_true[:3, 3], atol=1e-8)
    noisy = _noisy(rays, generator)
    first = _solve(noisy).refined
    other_unit = replace(noisy, moments_m=scale * noisy.moments_m, moment_std_m=scale * noisy.moment_std_m)
    second = _solve(replace(other_unit, moment_weights=weight * noisy.moment_weights)).refined
    assert_allclose(second.T_map_camera[:3, 3], scale * first.T_map_camera[:3, 3], rtol=1e-4)
    assert_allclose(second.T_map_camera[:3, :3], first.T_map_camera[:3, :3], atol=1e-5)
    units = np.repeat([scale, 1.0], 3)
    deviations = np.sqrt(np.diagonal(first.covariance)) * units
    assert_allclose(second.covariance / np.outer(deviations, deviations),
                    first.covariance * np.outer(units, units) / np.outer(deviations, deviations), atol=1e-3)  # fmt: skip


@pytest.mark.parametrize(
    ("camera", "distance_m", "claimed"),
    [("pinhole", 2.0, STDS), ("panorama", 10.0, STDS), ("pinhole", 2.0, {"direction_std_rad": 0.01})],
    ids=["pinhole", "panorama_far_away", "twice_the_promised_noise"],
)
def test_covariance_is_the_spread_of_the_errors(camera, distance_m, claimed):
    generator = np.random.default_rng(5)
    normalised = []
    for _ in range(200):
        T_true = _random_pose(generator, distance_m)
        found = _solve(replace(_noisy(_rays(T_true, CAMERAS[camera]), generator), **claimed)).refined
        error = _error(T_true, found.T_map_camera)
        normalised.append(error @ np.linalg.solve(found.covariance, error))
    # Chi-square with six freedoms has mean 6.
    assert 5.0 < np.mean(normalised) < 7.0


def test_moments_sharpen_the_rotation_far_from_the_origin():
    generator = np.random.default_rng(3)
    angles = []
    for _ in range(40):
        T_true = _random_pose(generator, 20.0)
        rays = _noisy(_rays(T_true), generator)
        R_directions = rotation_from_directions(rays, hypotheses=64, generator=generator)
        R_both = _solve(rays).refined.T_map_camera[:3, :3]
        angles.append([rotation.angle_between_rad(T_true[:3, :3], R) for R in (R_directions, R_both)])
    alone, both = np.median(angles, axis=0)
    assert both < 0.6 * alone


def test_the_same_seed_gives_the_same_bits():
    rays = _noisy(_rays(T_LITERAL), np.random.default_rng(0))
    first, second = (_solve(rays, seed=7).refined for _ in range(2))
    assert first.T_map_camera.tobytes() == second.T_map_camera.tobytes()
    assert first.covariance.tobytes() == second.covariance.tobytes()


def test_nearly_parallel_rays_are_refused():
    narrow = box_room.pinhole(160, 120)
    K = np.array([[80 * 60.0, 0.0, 79.5], [0.0, 80 * 60.0, 59.5], [0.0, 0.0, 1.0]])
    with pytest.raises(DegenerateGeometryError, match=r"pairs of rays is 2\.9 degrees or more apart"):
        _solve(_rays(T_LITERAL, replace(narrow, K=K)))


def test_weight_on_one_ray_alone_is_refused():
    alone = np.where(np.arange(192) == 100, 1.0, 0.0)
    with pytest.raises(DegenerateGeometryError, match="degrees or more apart"):
        _solve(replace(_rays(T_LITERAL), direction_weights=alone))


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("name", "row", "value", "message"),
    [
        ("directions_map", 5, (0.0, 0.0, 0.0), "it points nowhere"),
        ("directions_map", 5, (np.nan, 0.0, 1.0), "directions_map is .* with 1 values that are not"),
        ("moments_m", 5, (0.0, np.inf, 0.0), "moments_m is .* with 1 values that are not"),
        ("rays_camera", 5, (np.nan, np.nan, 0.0), "rays_camera is .* with 2 values that are not"),
        ("direction_weights", slice(None), 0.0, "direction_weights .* with one above 0"),
        ("moment_weights", slice(None), 0.0, "moment_weights .* with one above 0"),
        ("moment_weights", 3, -1.0, "moment_weights .* 0 or more"),
        ("direction_weights", 3, np.nan, "direction_weights .* finite"),
    ],
)
def test_broken_rays_are_refused(name, row, value, message):
    rays = _rays(T_LITERAL)
    broken = getattr(rays, name).copy()
    broken[row] = value
    with pytest.raises(DegenerateGeometryError, match=message):
        replace(rays, **{name: broken})


def test_one_ray_is_too_few():
    rays = _rays(T_LITERAL)
    one = {name: getattr(rays, name)[:1] for name in
           ("rays_camera", "directions_map", "moments_m", "direction_weights", "moment_weights")}  # fmt: skip
    with pytest.raises(DegenerateGeometryError, match="2 rays or more"):
        replace(rays, **one)
