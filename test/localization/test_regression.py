"""The regression solver: the likeliest scene, the mean of its heads, and a covariance from how far they disagree."""

from __future__ import annotations

import box_room
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reloc_ros.errors import BundleError
from reloc_ros.geometry import covariance, rotation
from reloc_ros.localization.solve import create_solver, regression
from reloc_ros.localization.solve.regression import RegressionSolver
from reloc_ros.localization.solve.solution import Failure, Solution
from reloc_ros.types import Reason

SETTINGS = {
    "rows": 2,
    "columns": 3,
    "min_scene_probability": 0.6,
    "min_position_std_m": 0.02,
    "min_rotation_std_rad": 0.01,
}
NUMBERS = regression.RegressionSettings(**SETTINGS)
CAMERA = box_room.pinhole()
PROBABILITIES = np.array([0.1, 0.7, 0.2])
# The middle scene's camera; the others are told apart by their place.
POSITION_M, ROTVEC = np.array([1.0, -2.0, 4.0]), np.array([0.2, -0.5, 1.1])


def _outputs(heads: int = 5, spread_m: float = 0.1, spread_rad: float = 0.05, seed: int = 0):
    generator = np.random.default_rng(seed)
    offsets_m, turns_rad = (generator.normal(0, spread, (heads, 3)) for spread in (spread_m, spread_rad))
    turned = rotation.exp(turns_rad) @ rotation.exp(ROTVEC)
    positions_m = np.stack([POSITION_M + 10 * (k - 1) + offsets_m for k in range(3)])
    return {
        "scene_logits": (np.log(PROBABILITIES) + 3.0)[np.newaxis].astype(np.float32),
        "positions_m": positions_m[np.newaxis].astype(np.float32),
        "log_quats": np.broadcast_to(rotation.log(turned) / 2, (1, 3, heads, 3)).astype(np.float32),
        "attention": np.arange(18.0, dtype=np.float32).reshape(1, 3, 6),
    }


def _solve(outputs, **changes):
    return create_solver("regression", {**SETTINGS, **changes})(outputs, CAMERA)


def test_heads_that_agree_give_their_pose_in_the_likeliest_scene():
    solution = _solve(_outputs(spread_m=0.0, spread_rad=0.0))
    assert isinstance(solution, Solution)
    assert solution.scene == 1
    np.testing.assert_allclose(solution.T_map_camera[:3, 3], POSITION_M, atol=1e-6)
    np.testing.assert_allclose(solution.T_map_camera[:3, :3], rotation.exp(ROTVEC), atol=1e-6)
    assert solution.evidence["scene_probability"] == pytest.approx(0.7, abs=1e-6)
    assert solution.evidence["runner_up_probability"] == pytest.approx(0.2, abs=1e-6)
    np.testing.assert_allclose(solution.cell_weights, [[6, 7, 8], [9, 10, 11]])
    # What is left is the floor.
    np.testing.assert_allclose(solution.covariance, np.diag([4e-4] * 3 + [1e-4] * 3), atol=1e-9)


def test_logarithms_are_half_the_rotation_vector():
    outputs = _outputs()
    outputs["log_quats"][0, 1] = 0.0, 0.0, np.pi / 4
    quarter_turn_about_z = [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    np.testing.assert_allclose(_solve(outputs).T_map_camera[:3, :3], quarter_turn_about_z, atol=1e-6)


def test_the_mean_is_across_heads_and_hemispheres():
    outputs = _outputs(heads=2)
    outputs["positions_m"][0, 1] = [[0.0, 1.0, 2.0], [2.0, 5.0, 2.0]]
    # 0.1 rad on either side of half a turn about y: as numbers they are nearly opposite.
    outputs["log_quats"][0, 1] = [[0.0, np.pi / 2 - 0.05, 0.0], [0.0, -np.pi / 2 + 0.05, 0.0]]
    solution = _solve(outputs)
    np.testing.assert_allclose(solution.T_map_camera[:3, 3], [1.0, 3.0, 2.0], atol=1e-6)
    np.testing.assert_allclose(solution.T_map_camera[:3, :3], np.diag([-1.0, 1.0, -1.0]), atol=1e-6)
    assert solution.evidence["rotation_spread_rad"] == pytest.approx(0.1, abs=1e-6)
    assert solution.evidence["position_spread_m"] == pytest.approx(5**0.5, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), angle=st.sampled_from([0.0, 1e-9, 1e-4, 1.0, np.pi - 1e-4, np.pi]))
def test_logarithms_near_zero_and_half_a_turn_keep_their_rotation(seed, angle):
    axis = np.random.default_rng(seed).normal(size=3)
    rotvec = angle * axis / np.linalg.norm(axis)
    outputs = _outputs(spread_m=0.0, spread_rad=0.0)
    outputs["log_quats"][0, 1] = rotvec / 2
    np.testing.assert_allclose(_solve(outputs).T_map_camera[:3, :3], rotation.exp(rotvec), atol=1e-6)


def test_many_heads_show_their_covariance_in_map_axes():
    outputs = _outputs(heads=20_000)
    generator = np.random.default_rng(4)
    mix = generator.normal(0, 0.05, (6, 6))
    deviations = generator.normal(size=(20_000, 6)) @ mix.T
    outputs["positions_m"][0, 1] = POSITION_M + deviations[:, :3]
    outputs["log_quats"][0, 1] = rotation.log(rotation.exp(deviations[:, 3:]) @ rotation.exp(ROTVEC)) / 2
    found = _solve(outputs, min_position_std_m=1e-6, min_rotation_std_rad=1e-6).covariance
    np.testing.assert_allclose(found, mix @ mix.T, atol=0.05 * np.abs(mix @ mix.T).max())


@pytest.mark.parametrize("heads", [1, 2, 4, 8])
def test_few_heads_give_a_well_conditioned_covariance_above_the_floor(heads):
    scale = np.repeat([0.02, 0.01], 3)
    covariances = [_solve(_outputs(heads, seed=seed)).covariance / np.outer(scale, scale) for seed in range(100)]
    eigenvalues = np.linalg.eigvalsh(covariances)
    assert eigenvalues.min() >= 1.0 - 1e-6
    # 0.1 m and 0.05 rad are five times the floor, so that variances add up to 26 of it on average.
    expected = 1.0 if heads == 1 else 26.0
    np.testing.assert_allclose(np.diagonal(np.mean(covariances, axis=0)), expected, rtol=0.25)
    # Two heads alone would give 1 and 150; shrinkage keeps the axes within reach of each other.
    assert np.median(eigenvalues[:, -1] / eigenvalues[:, 0]) < 60


def test_covariance_turns_with_the_map():
    outputs = _outputs(heads=3)
    R_new_map = rotation.exp([0.7, -0.3, 2.0])
    turned = {**outputs, "positions_m": outputs["positions_m"].astype(np.float64) @ R_new_map.T}
    turned["log_quats"] = rotation.log(R_new_map @ rotation.exp(2.0 * outputs["log_quats"])) / 2
    expected = covariance.change_map_frame(_solve(outputs).covariance, R_new_map)
    np.testing.assert_allclose(_solve(turned).covariance, expected, atol=1e-9)


def test_an_unsure_scene_is_no_pose():
    result = _solve(_outputs(), min_scene_probability=0.75)
    assert isinstance(result, Failure)
    assert result.reason is Reason.UNSURE_SCENE
    assert result.detail == "scene 1 has probability 0.70, limit 0.75"


def test_a_single_scene_is_certain():
    outputs = {name: values[:, 1:2] for name, values in _outputs().items()}
    solution = _solve(outputs)
    assert solution.scene == 0
    assert solution.evidence["scene_probability"] == 1.0
    assert solution.evidence["runner_up_probability"] == 0.0


@pytest.mark.parametrize("scene", [0, 1, 2])
def test_a_known_scene_is_taken_whatever_its_probability(scene):
    solution = RegressionSolver(numbers=NUMBERS, scene=scene)(_outputs(spread_m=0.0), CAMERA)
    assert solution.scene == scene
    np.testing.assert_allclose(solution.T_map_camera[:3, 3], POSITION_M + 10 * (scene - 1), atol=1e-5)
    assert solution.evidence["scene_probability"] == pytest.approx(PROBABILITIES[scene], abs=1e-6)
    assert solution.evidence["runner_up_probability"] == pytest.approx([0.7, 0.2, 0.7][scene], abs=1e-6)
    np.testing.assert_allclose(solution.cell_weights.ravel(), np.arange(6) + 6 * scene)


def test_the_same_outputs_give_the_same_bits():
    first, second = (_solve(_outputs(seed=3)) for _ in range(2))
    assert first.T_map_camera.tobytes() == second.T_map_camera.tobytes()
    assert first.covariance.tobytes() == second.covariance.tobytes()


@pytest.mark.parametrize("name", ["scene_logits", "positions_m", "log_quats", "attention"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_outputs_that_are_not_finite_are_degenerate(name, value):
    outputs = _outputs()
    outputs[name][0, 1, ...] = value
    result = _solve(outputs)
    assert isinstance(result, Failure)
    assert result.reason is Reason.DEGENERATE
    assert name in result.detail


def test_heads_that_look_in_opposite_ways_have_no_mean():
    outputs = _outputs(heads=2)
    # In float32 half a turn is not exact, and the mean would lie on one side.
    outputs["log_quats"] = outputs["log_quats"].astype(np.float64)
    outputs["log_quats"][0, 1] = [[0.0, 0.0, 0.0], [np.pi / 2, 0.0, 0.0]]
    result = _solve(outputs)
    assert isinstance(result, Failure)
    assert result.reason is Reason.DEGENERATE


@pytest.mark.parametrize(
    "change",
    [
        {"rows": 0},
        {"columns": 2.5},
        {"min_scene_probability": 1.2},
        {"min_position_std_m": 0.0},
        {"min_rotation_std_rad": float("nan")},
        {"temperature": 1.0},
    ],
)
def test_nonsense_settings_are_refused(change):
    with pytest.raises(BundleError, match=rf"{next(iter(change))}.*reloc export"):
        regression.create({**SETTINGS, **change})
