"""The main path: true poses come out, a planted fault in any stage is named, and the next frame localizes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fake_bundles import (
    CAMERA,
    INPUT,
    frame_number,
    make_manifest,
    make_scene,
    write_scenes_bundle,
    write_truth_bundle,
)

from reloc_ros.bundle.manifest import CovarianceSpec
from reloc_ros.errors import BundleError, ConfigError
from reloc_ros.evaluation.pose_error import rotation_error_deg, translation_error_m
from reloc_ros.geometry import rotation, se3
from reloc_ros.inference.backend import Backend, create_backend
from reloc_ros.localization import localizer as localizer_module
from reloc_ros.localization.localizer import Localizer
from reloc_ros.localization.stages import FAULT_OF_STAGE
from reloc_ros.types import Estimate, Reason, Rejected

if TYPE_CHECKING:
    from pathlib import Path

    from reloc_ros.bundle.load import Bundle

POSES = [
    se3.from_rotation_translation(rotation.exp(np.array(rotvec)), np.array(position))
    for rotvec, position in (
        ((0.1, -0.2, 0.3), (1.0, -2.0, 0.5)),
        ((-1.5, 0.4, 2.0), (-3.0, 1.0, 2.0)),
        ((0.0, np.pi, 0.0), (0.2, 0.3, -0.4)),
    )
]
OUTSIDE = se3.from_rotation_translation(np.eye(3), np.array([40.0, 0.0, 0.0]))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_truth_bundle(tmp_path_factory.mktemp("localizer") / "bundle", [*POSES, OUTSIDE])


@pytest.fixture(scope="module")
def backend(bundle: Bundle) -> Iterator[Backend]:
    backend = create_backend("onnxruntime", bundle, threads=1)
    yield backend
    backend.close()


class Broken:
    """A stage that fails when told to and else does its work."""

    def __init__(self, works: Any) -> None:
        self.works = works
        self.broken = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.broken:
            raise ZeroDivisionError("planted")
        return self.works(*args, **kwargs)


def test_the_true_pose_comes_out(bundle: Bundle, backend: Backend) -> None:
    localizer = Localizer(bundle.manifest, backend)
    for number, T_map_camera in enumerate(POSES):
        result = localizer.localize(frame_number(number))
        assert isinstance(result, Estimate)
        # Clouds are float32: 3 m have 2e-7 m steps.
        assert translation_error_m(result.T_map_camera, T_map_camera) < 1e-5
        assert rotation_error_deg(result.T_map_camera, T_map_camera) < 1e-3
        assert result.stamp_ns == number * 100_000_000
        assert result.map_frame == "map"
        assert list(localizer.stage_seconds) == ["prepare", "infer", "solve", "gate"]


def test_two_localizers_agree_bit_for_bit(bundle: Bundle, backend: Backend) -> None:
    rng = np.random.default_rng(3)
    noisy = replace(frame_number(1), image=rng.integers(0, 2, (96, 128, 3), dtype=np.uint8))
    first = [Localizer(bundle.manifest, backend).localize(noisy) for _ in range(3)]
    assert all(isinstance(result, Estimate) for result in first)
    for result in first[1:]:
        assert np.array_equal(result.T_map_camera, first[0].T_map_camera)
        assert np.array_equal(result.covariance, first[0].covariance)
        assert result.evidence == first[0].evidence


def test_the_covariance_is_calibrated_as_the_bundle_says(bundle: Bundle, backend: Backend) -> None:
    spec = CovarianceSpec(position_scale=2.0, rotation_scale=3.0, position_floor_m=0.01, rotation_floor_rad=0.02)
    plain = Localizer(bundle.manifest, backend).localize(frame_number(0))
    scaled = Localizer(replace(bundle.manifest, scenes=(make_scene(covariance=spec),)), backend).localize(
        frame_number(0)
    )
    assert isinstance(plain, Estimate)
    assert isinstance(scaled, Estimate)
    expected = plain.covariance * np.kron([[4.0, 6.0], [6.0, 9.0]], np.ones((3, 3)))
    np.testing.assert_allclose(scaled.covariance, expected + np.diag([1e-4] * 3 + [4e-4] * 3), rtol=1e-12)


@pytest.mark.parametrize("stage", FAULT_OF_STAGE)
def test_a_planted_fault_is_named_and_the_next_frame_localizes(
    bundle: Bundle, backend: Backend, stage: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    localizer = Localizer(bundle.manifest, backend)
    places = {
        "prepare": (localizer_module, "prepare"),
        "infer": (backend, "run"),
        "solve": (localizer, "_solver"),
        "gate": (localizer_module, "gate"),
    }
    target, name = places[stage]
    fault = Broken(getattr(target, name))
    monkeypatch.setattr(target, name, fault)

    result = localizer.localize(frame_number(0))
    assert isinstance(result, Rejected)
    assert result.reason is FAULT_OF_STAGE[stage]
    assert result.detail == "ZeroDivisionError: planted"
    assert result.stamp_ns == 0
    assert list(localizer.stage_seconds)[-1] == stage
    assert f"stage {stage} failed" in caplog.text

    fault.broken = False
    assert isinstance(localizer.localize(frame_number(1)), Estimate)


def test_a_pose_outside_the_map_is_rejected(bundle: Bundle, backend: Backend) -> None:
    result = Localizer(bundle.manifest, backend).localize(frame_number(len(POSES)))
    assert isinstance(result, Rejected)
    assert result.reason is Reason.OUTSIDE_MAP


def test_a_camera_of_another_kind_never_reaches_the_network(bundle: Bundle, backend: Backend) -> None:
    localizer = Localizer(bundle.manifest, backend)
    narrow = CAMERA.cropped(32, 24, 64, 48)
    result = localizer.localize(frame_number(0, narrow))
    assert isinstance(result, Rejected)
    assert result.reason is Reason.CAMERA_MISMATCH
    assert list(localizer.stage_seconds) == ["prepare"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"output_kind": "tea_leaves"}, "'tea_leaves'"),
        ({"solve": {"rows": 6}}, "solve has the keys"),
    ],
)
def test_a_bundle_that_cannot_be_solved_is_refused_at_once(
    backend: Backend, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(BundleError, match=message):
        Localizer(make_manifest(**changes), backend)


# Frame 0 is rather in the kitchen, frame 1 surely in the office, frame 2 in either.
SCENE_LOGITS = [[0.7, 0.0], [0.0, 5.0], [0.0, 0.0]]


@pytest.fixture
def scenes(tmp_path: Path) -> Iterator[Localizer]:
    bundle = write_scenes_bundle(tmp_path / "scenes", POSES, SCENE_LOGITS)
    backend = create_backend("onnxruntime", bundle, threads=1)
    yield Localizer(bundle.manifest, backend)
    backend.close()


def test_the_scene_picks_the_map_frame(scenes: Localizer) -> None:
    for number, (scene, cell) in enumerate((("kitchen", (0, 0)), ("office", (5, 6)))):
        result = scenes.localize(frame_number(number))
        assert isinstance(result, Estimate)
        assert (result.scene, result.map_frame) == (scene, f"{scene}_map")
        np.testing.assert_allclose(result.T_map_camera, POSES[number], atol=1e-6)
        assert np.argwhere(result.cell_weights).tolist() == [list(cell)]


def test_a_hint_tips_the_scales_but_does_not_overrule_a_sure_network(scenes: Localizer) -> None:
    unsure = scenes.localize(frame_number(2))
    assert isinstance(unsure, Rejected)
    assert unsure.reason is Reason.UNSURE_SCENE
    assert scenes.hint_scene("  at the grey desks ").startswith("office 95 %")
    assert scenes.scene_hint == "at the grey desks"
    assert [scenes.localize(frame_number(number)).scene for number in range(3)] == ["office"] * 3  # type: ignore[union-attr]
    assert scenes.hint_scene("beside the stove").startswith("kitchen 95 %")
    assert [scenes.localize(frame_number(number)).scene for number in range(3)] == ["kitchen", "office", "kitchen"]  # type: ignore[union-attr]
    assert scenes.hint_scene(" ") == "no scene is preferred any more"
    assert scenes.scene_hint == ""
    assert isinstance(scenes.localize(frame_number(2)), Rejected)


def test_a_refused_hint_leaves_the_old_one(scenes: Localizer) -> None:
    scenes.hint_scene("stove")
    with pytest.raises(ConfigError, match="'not'"):
        scenes.hint_scene("not in the kitchen")
    assert scenes.scene_hint == "stove"


def test_with_one_scene_there_is_nothing_to_choose_from(bundle: Bundle, backend: Backend) -> None:
    localizer = Localizer(bundle.manifest, backend)
    assert localizer.hint_scene("stove") == "there is nothing to choose from: this bundle knows room only"
    assert localizer.scene_hint == ""
    assert isinstance(localizer.localize(frame_number(0)), Estimate)


def test_the_network_view_is_what_the_network_gets(bundle: Bundle, backend: Backend) -> None:
    localizer = Localizer(bundle.manifest, backend)
    seen = localizer.network_view(frame_number(2))
    assert seen is not None
    assert (seen.shape, int(seen.min()), int(seen.max())) == ((INPUT.height, INPUT.width, 3), 2, 2)
    assert localizer.network_view(frame_number(0, CAMERA.cropped(32, 24, 64, 48))) is None


def test_a_known_scene_is_not_asked_for(scenes: Localizer) -> None:
    told = Localizer(scenes._manifest, scenes._backend, "kitchen")
    found = [told.localize(frame_number(number)) for number in range(3)]
    assert [result.map_frame for result in found if isinstance(result, Estimate)] == ["kitchen_map"] * 3
    with pytest.raises(ConfigError, match="scene is 'attic', the bundle knows kitchen, office"):
        Localizer(scenes._manifest, scenes._backend, "attic")
