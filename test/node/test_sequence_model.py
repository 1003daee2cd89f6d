"""Bundles of sequences as the node opens them: real files, real graphs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy (a ROS 2 installation or the ros_from_pip overlay)")

from driving_robot import COVARIANCE, ScriptedLocalizer
from fake_bundles import make_scene, write_truth_bundle
from fake_sequences import START_NS, drive, panorama, truth_localizer, write_sequence_bundle

from reloc_ros.cameras.equirectangular import EquirectangularCamera
from reloc_ros.cameras.pinhole import PinholeCamera
from reloc_ros.cameras.rig import RigCamera
from reloc_ros.errors import ConfigError
from reloc_ros.geometry import rotation, se3
from reloc_ros.localization.sequence import SequenceEstimate
from reloc_ros.node.model import open_model
from reloc_ros.node.sequence_frames import SequenceFrames
from reloc_ros.node.settings import Settings
from reloc_ros.types import Estimate, Frame, Localization, Rejected

POSES = drive(60)
SHIPPED = Path(__file__).parents[2] / "models" / "spr_small"


@pytest.fixture(scope="module")
def sequence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sequence_bundle(tmp_path_factory.mktemp("bundles") / "sequence", POSES).path


@pytest.fixture(scope="module")
def absolute(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_truth_bundle(tmp_path_factory.mktemp("bundles") / "absolute", [np.eye(4)] * 3).path


def test_both_graphs_of_a_sequence_bundle_are_run(sequence: Path) -> None:
    model = open_model(Settings(bundle=str(sequence)))()
    assert model.sequence is not None
    assert model.map_frames == ("map",)
    assert model.camera_model == "equirectangular"
    for number in range(10, 60, 2):
        found = model.localizer.localize(panorama(number, START_NS + number * 100_000_000))
        assert isinstance(found, SequenceEstimate), found
    # The mark is in the red channel alone.
    np.testing.assert_allclose(found.T_map_camera, se3.inverse(POSES[10]) @ POSES[58], atol=1e-4)
    assert model.sequence.fix(panorama(1, START_NS)) is None
    assert "knows no scenes" in model.localizer.hint_scene("kitchen")
    model.close()


def test_an_absolute_bundle_stands_beside_it(sequence: Path, absolute: Path) -> None:
    model = open_model(Settings(bundle=str(sequence), anchor_bundle=str(absolute), map_frame="floor_2"))()
    assert model.sequence is not None
    assert model.sequence.fixes is not None
    assert model.method == "spr_mamba anchored by implicit_geometry"
    assert model.map_frames == ("floor_2",)
    alone = open_model(Settings(bundle=str(absolute)))()
    assert model.fingerprint == alone.fingerprint
    model.close()
    alone.close()


def test_what_does_not_go_together_is_refused_by_name(sequence: Path, absolute: Path) -> None:
    with pytest.raises(ConfigError, match="knows no map"):
        open_model(Settings(bundle=str(sequence), anchor_bundle=str(sequence)))
    with pytest.raises(ConfigError, match="anchor_bundle is set, but implicit_geometry localizes single images"):
        open_model(Settings(bundle=str(absolute), anchor_bundle=str(absolute)))
    with pytest.raises(ConfigError, match="rig_cameras is set"):
        open_model(Settings(bundle=str(absolute), rig_cameras="a,b", rig_frame="rig"))
    with pytest.raises(ConfigError, match="trained for pinhole"):
        open_model(Settings(bundle=str(absolute), camera_model="equirectangular"))


def test_the_first_camera_of_a_rig_is_localized_and_the_pose_is_that_of_the_rig() -> None:
    camera = PinholeCamera(40, 30, np.array([[30.0, 0.0, 19.5], [0.0, 30.0, 14.5], [0.0, 0.0, 1.0]]))
    T_rig_camera = se3.from_rotation_translation(rotation.exp([0.1, 0.7, -0.2]), [0.3, -0.1, 0.2])
    rig = RigCamera((camera, camera), (T_rig_camera, np.eye(4)))
    T_map_camera = se3.from_rotation_translation(rotation.exp([-0.4, 0.2, 1.0]), [4.0, 1.0, -2.0])

    class Fixes(ScriptedLocalizer):
        def localize(self, frame: Frame) -> Localization:
            assert frame.camera == camera
            assert frame.image.max() == 7
            return super().localize(frame)

    fixes = Fixes()
    fixes.T_map_camera[START_NS] = T_map_camera
    localizer, _, _ = truth_localizer([np.eye(4)])
    frames = SequenceFrames(localizer, make_scene().gate, fixes)
    pixels = [np.full((30, 40, 3), 7, np.uint8), np.full((30, 40, 3), 90, np.uint8)]
    found = frames.fix(Frame(image=rig.join(pixels), camera=rig, stamp_ns=START_NS))
    assert isinstance(found, Estimate)
    np.testing.assert_allclose(found.T_map_camera @ T_rig_camera, T_map_camera, atol=1e-12)
    assert found.covariance[0, 0] > COVARIANCE[0, 0]
    assert isinstance(frames.fix(Frame(image=rig.join(pixels), camera=rig, stamp_ns=START_NS + 1)), Rejected)


@pytest.mark.skipif(not (SHIPPED / "manifest.yaml").is_file(), reason=f"no bundle in {SHIPPED}")
def test_the_shipped_bundle_goes_on_from_its_saved_state() -> None:
    model = open_model(Settings(bundle=str(SHIPPED), threads=1))()
    other = open_model(Settings(bundle=str(SHIPPED), threads=1))()
    assert model.sequence is not None
    assert other.sequence is not None
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (8, 16, 3), dtype=np.uint8)
    around = np.ascontiguousarray(np.kron(coarse, np.ones((32, 32, 1), np.uint8)))
    panoramas = [np.roll(around, 24 * k, axis=1) for k in range(12)]
    frames = [
        Frame(image=image, camera=EquirectangularCamera(512, 256), stamp_ns=START_NS + k * 200_000_000)
        for k, image in enumerate(panoramas)
    ]
    answers = [model.localizer.localize(frame) for frame in frames]
    first = answers[0]
    assert isinstance(first, SequenceEstimate)
    np.testing.assert_allclose(first.T_map_camera, np.eye(4), atol=1e-6)
    # Turned on the spot by 16.9 degrees each time: far enough for keyframes.
    state = model.sequence.sequence.state
    assert state is not None
    assert state.keyframes > 3
    other.sequence.sequence.restore(state.save())
    last = replace(frames[-1], stamp_ns=frames[-1].stamp_ns + 1)
    one, two = model.localizer.localize(last), other.localizer.localize(last)
    assert isinstance(one, SequenceEstimate)
    assert isinstance(two, SequenceEstimate)
    np.testing.assert_array_equal(one.T_map_camera, two.T_map_camera)
    model.close()
    other.close()
