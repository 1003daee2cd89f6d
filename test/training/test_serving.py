"""What the manifest says of a scene: fitted on all solved images, gates cut after the calibration."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from reloc_ros.bundle.manifest import CovarianceSpec, SceneSpec
from reloc_ros.bundle.strict import read_dataclass
from reloc_ros.cameras.pinhole import PinholeCamera
from reloc_ros.geometry import rotation, se3
from reloc_ros.localization.solve.solution import Failure, Solution
from reloc_ros.training.serving import SceneFit, fit_scene, serving_of
from reloc_ros.types import Array, Reason

IMAGES = 60
# What the solver says; the planted errors are five times as far as that in position and twice in rotation.
COVARIANCE = np.diag([4e-4, 4e-4, 4e-4, 1e-4, 1e-4, 1e-4])
TIMES_TOO_SURE = np.repeat([5.0, 2.0], 3)


class Images(SimpleNamespace):
    """What is looked at of an image store."""

    def __len__(self) -> int:
        return len(self.T_map_camera)


def moved(T_map_camera: Array, error: Array) -> Array:
    R = rotation.exp(error[3:]) @ T_map_camera[:3, :3]
    return se3.from_rotation_translation(R, T_map_camera[:3, 3] + error[:3])


@pytest.fixture(scope="module")
def fit() -> SceneFit:
    rng = np.random.default_rng(6)
    solutions: list[Solution | Failure] = []
    truth = []
    for index in range(IMAGES):
        T = se3.from_rotation_translation(rotation.exp(rng.normal(size=3)), rng.uniform(-2.0, 2.0, 3))
        solutions.append(Solution(T_map_camera=T, covariance=COVARIANCE, evidence={"inlier_ratio": 0.5}))
        truth.append(moved(T, TIMES_TOO_SURE * np.sqrt(np.diagonal(COVARIANCE)) * rng.normal(size=6)))
        if index % 10 == 0:
            solutions[-1] = Failure(reason=Reason.DEGENERATE, detail="planted")
    poses = np.stack(truth)
    camera = PinholeCamera(8, 6, K=np.array([[8.0, 0.0, 4.0], [0.0, 8.0, 3.0], [0.0, 0.0, 1.0]]))
    # Checkered in two greys 80 levels apart, 40 in one image.
    images = np.full((3, 6, 8, 3), 90, np.uint8)
    images[:2, ::2] += 80
    images[2, ::2] += 40
    train = Images(T_map_camera=poses, cameras=(camera,), images=images)
    scene: Any = SimpleNamespace(name="lab", train=train, val=Images(T_map_camera=poses, cameras=(camera,)))
    return fit_scene(scene, solutions)


def total_std(fit: SceneFit) -> tuple[float, float]:
    """Return the calibrated std of position and rotation, metres and radians: constant, so scale and floor are one."""
    spec = fit.covariance
    position_m = np.hypot(spec.position_scale * 0.02, spec.position_floor_m)
    rotation_rad = np.hypot(spec.rotation_scale * 0.01, spec.rotation_floor_rad)
    return float(position_m), float(rotation_rad)


def test_errors_are_taken_in_the_convention_of_covariances(fit: SceneFit) -> None:
    assert len(fit.solved) == IMAGES - 6
    assert total_std(fit) == pytest.approx((5 * 0.02, 2 * 0.01), rel=0.15)


def test_gates_are_cut_after_the_calibration(fit: SceneFit) -> None:
    gate = fit.spec()["gate"]
    assert (gate["max_position_std_m"], gate["max_rotation_std_rad"]) == pytest.approx(total_std(fit))


def test_gates_do_not_open_as_wide_as_a_bad_model_errs(fit: SceneFit) -> None:
    lost = CovarianceSpec(position_scale=1000.0, rotation_scale=1000.0, position_floor_m=9.0, rotation_floor_rad=3.0)
    gate = replace(fit, covariance=lost).spec()["gate"]
    positions = fit.scene.train.T_map_camera[:, :3, 3]
    assert gate["max_position_std_m"] == pytest.approx(0.25 * np.linalg.norm(np.ptp(positions, axis=0)))
    assert gate["max_rotation_std_rad"] == 0.5


def test_the_entry_is_one_the_manifest_reads(fit: SceneFit) -> None:
    entry = {**fit.spec("a lab"), "map_frame": "map"}
    spec = read_dataclass(SceneSpec, entry, "scene")
    assert spec.covariance == fit.covariance
    assert spec.description == "a lab"


def test_images_must_show_half_of_what_the_faintest_of_their_scene_did(fit: SceneFit) -> None:
    brighter = Images(**{**vars(fit.scene.train), "images": fit.scene.train.images[:2]})
    other = replace(fit, scene=SimpleNamespace(**{**vars(fit.scene), "name": "hall", "train": brighter}))
    serving = serving_of([other, fit], {}, log_zoom=0.1)
    assert serving["min_contrast"] == pytest.approx(0.5 * 20)
    assert [scene["gate"]["min_contrast"] for scene in serving["scenes"]] == pytest.approx([0.5 * 40, 0.5 * 20])


def test_a_scene_without_a_solved_image_lets_no_pose_pass(fit: SceneFit) -> None:
    nothing = fit_scene(fit.scene, [Failure(reason=Reason.DEGENERATE, detail="planted")] * IMAGES)
    assert nothing.covariance.position_scale == 1.0
    assert nothing.spec()["gate"]["max_position_std_m"] < 1e-6
