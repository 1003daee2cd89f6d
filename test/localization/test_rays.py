"""The rays solver: exact on exact rays, robust on broken ones, and honest when there is nothing to solve."""

from __future__ import annotations

import box_room
import numpy as np
import pytest

from reloc_ros.cameras.camera import ray_grid
from reloc_ros.errors import BundleError
from reloc_ros.localization.solve import create_solver, rays
from reloc_ros.localization.solve.solution import Failure, Solution
from reloc_ros.types import Reason

CENTRE_M = np.array([100.0, -40.0, 7.0])
SETTINGS = {
    "rows": 8,
    "columns": 10,
    "centre_x_m": 100.0,
    "centre_y_m": -40.0,
    "centre_z_m": 7.0,
    "direction_std_rad": 0.01,
    "moment_std_m": 0.03,
    "hypotheses": 64,
    "seed": 3,
    "min_inlier_ratio": 0.4,
}
CAMERAS = {"pinhole": box_room.pinhole(80, 64), "panorama": box_room.panorama(160, 64)}
T_TRUE = box_room.pose(101.4, -41.3, 7.8, 2.1)


def _outputs(camera=CAMERAS["pinhole"]):
    directions = ray_grid(camera, 8, 10) @ T_TRUE[:3, :3].T
    moments_m = np.cross(T_TRUE[:3, 3] - CENTRE_M, directions)
    return {
        # A network's directions have any length.
        "directions_map": (directions * np.linspace(0.3, 3.0, 80)[:, None])[np.newaxis].astype(np.float32),
        "moments_m": moments_m[np.newaxis].astype(np.float32),
        "direction_confidence": np.full((1, 80), 4.0, np.float32),
        "moment_confidence": np.full((1, 80), 9.0, np.float32),
    }


def _noisy(seed: int):
    generator = np.random.default_rng(seed)
    outputs = _outputs()
    outputs["directions_map"] /= np.linalg.norm(outputs["directions_map"], axis=2, keepdims=True)
    for name, std in (("directions_map", 0.01), ("moments_m", 0.03)):
        outputs[name] += generator.normal(0, std, (1, 80, 3)).astype(np.float32)
    return outputs


def _solve(outputs, camera=CAMERAS["pinhole"], **changes):
    return create_solver("rays", {**SETTINGS, **changes})(outputs, camera)


@pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS)
def test_exact_rays_give_the_exact_pose(camera):
    solution = _solve(_outputs(camera), camera)
    assert isinstance(solution, Solution)
    np.testing.assert_allclose(solution.T_map_camera, T_TRUE, atol=1e-6)
    assert solution.scene == 0
    assert solution.evidence["direction_inlier_ratio"] == pytest.approx(1.0)
    assert solution.evidence["moment_inlier_ratio"] == pytest.approx(1.0)
    assert solution.evidence["median_angle_rad"] < 1e-6
    assert solution.evidence["median_moment_error_m"] < 1e-6
    assert solution.evidence["mean_direction_confidence"] == pytest.approx(4.0)
    assert solution.evidence["mean_moment_confidence"] == pytest.approx(9.0)


def test_noisy_rays_are_as_far_off_as_the_covariance_says():
    solution = _solve(_noisy(1))
    errors_m = np.abs(solution.T_map_camera[:3, 3] - T_TRUE[:3, 3])
    deviations_m = np.sqrt(np.diagonal(solution.covariance)[:3])
    assert np.all(errors_m < 4 * deviations_m)
    assert deviations_m.max() < 0.02


def test_a_third_of_wrong_rays_does_not_move_the_pose():
    outputs = _outputs()
    outputs["directions_map"][0, :26] = np.roll(outputs["directions_map"][0, :26], 1, axis=1)
    outputs["moments_m"][0, 50:76] += np.float32([1.0, -0.7, 0.4])
    solution = _solve(outputs)
    np.testing.assert_allclose(solution.T_map_camera, T_TRUE, atol=5e-3)
    assert solution.evidence["direction_inlier_ratio"] == pytest.approx(54 / 80, abs=0.02)
    assert solution.evidence["moment_inlier_ratio"] == pytest.approx(54 / 80, abs=0.02)


def test_inlier_ratios_are_shares_of_the_confidence():
    outputs = _outputs()
    outputs["moments_m"][0, :20] += np.float32([1.0, -0.7, 0.4])
    outputs["moment_confidence"][0, :20] = 1.0
    outputs["moment_confidence"][0, 20:] = 3.0
    ratio = _solve(outputs).evidence["moment_inlier_ratio"]
    assert ratio == pytest.approx(180 / 200, abs=0.005)


def test_cell_weights_are_the_confidence_row_by_row():
    outputs = _outputs()
    outputs["direction_confidence"][0, 13] = 64.0
    cells = _solve(outputs).cell_weights
    assert cells.shape == (8, 10)
    assert np.unravel_index(np.argmax(cells), cells.shape) == (1, 3)
    # Both confidences count alike: sixteen times the one is four times their geometric mean.
    assert cells[1, 3] / cells[0, 0] == pytest.approx(4.0)


def test_the_same_outputs_give_the_same_bits_whatever_came_before():
    solver = create_solver("rays", SETTINGS)
    first = solver(_noisy(1), CAMERAS["pinhole"])
    solver(_noisy(2), CAMERAS["pinhole"])
    again = solver(_noisy(1), CAMERAS["pinhole"])
    assert first.T_map_camera.tobytes() == again.T_map_camera.tobytes()
    assert first.covariance.tobytes() == again.covariance.tobytes()
    assert first.evidence == again.evidence


def test_the_seed_of_the_settings_draws_the_pairs():
    generator = np.random.default_rng(0)
    # Nothing agrees with anything, so what is found depends on what is tried.
    outputs = {**_outputs(), **{name: generator.normal(size=(1, 80, 3)) for name in ("directions_map", "moments_m")}}
    first, again, other = (_solve(outputs, seed=seed, min_inlier_ratio=0).T_map_camera for seed in (1, 1, 2))
    assert first.tobytes() == again.tobytes()
    assert np.abs(first - other).max() > 1e-3


@pytest.mark.parametrize("name", ["directions_map", "moments_m"])
def test_scattered_rays_have_too_few_inliers(name):
    outputs = _outputs()
    outputs[name][0] = np.random.default_rng(0).normal(0, 2, (80, 3))
    result = _solve(outputs)
    assert isinstance(result, Failure)
    assert result.reason is Reason.TOO_FEW_INLIERS
    assert "limit 40%" in result.detail


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("directions_map", np.nan),
        ("directions_map", 0.0),
        ("moments_m", np.inf),
        ("direction_confidence", np.nan),
        ("direction_confidence", 0.0),
        ("moment_confidence", np.inf),
        ("moment_confidence", -1.0),
    ],
)
def test_outputs_that_say_nothing_are_degenerate(name, value):
    outputs = _outputs()
    outputs[name][0, :] = value
    result = _solve(outputs)
    assert isinstance(result, Failure)
    assert result.reason is Reason.DEGENERATE
    assert name.removesuffix("_confidence").split("_")[0].removesuffix("s") in result.detail


@pytest.mark.parametrize(
    "change",
    [
        {"rows": 0},
        {"columns": 2.5},
        {"centre_x_m": float("nan")},
        {"centre_y_m": "left"},
        {"direction_std_rad": 0.0},
        {"moment_std_m": -1.0},
        {"hypotheses": True},
        {"seed": -1},
        {"min_inlier_ratio": 1.5},
        {"sigma": 1.0},
    ],
)
def test_nonsense_settings_are_refused(change):
    with pytest.raises(BundleError, match=rf"{next(iter(change))}.*reloc export"):
        rays.create({**SETTINGS, **change})


def test_a_missing_setting_is_refused():
    with pytest.raises(BundleError, match=r"rays solver needs .*'seed'"):
        rays.create({name: value for name, value in SETTINGS.items() if name != "seed"})
