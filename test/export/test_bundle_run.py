"""A run becomes a bundle that gives the network's poses, and says all there is to know about them."""

from __future__ import annotations

import shutil

import box_room
import numpy as np
import onnx
import pytest
from tiny_training import ALONE, IMPLICIT_GEOMETRY

from reloc_ros.bundle.calibration import read_calibration
from reloc_ros.bundle.load import load_bundle
from reloc_ros.cli.main import main
from reloc_ros.errors import ExportError, TrainingError
from reloc_ros.export.bundle_run import export_run
from reloc_ros.export.held_out import held_out_images
from reloc_ros.export.parity import check_parity
from reloc_ros.inference.backend import create_backend
from reloc_ros.localization.localizer import Localizer
from reloc_ros.training import checkpoint
from reloc_ros.training.config import config_from_dict
from reloc_ros.training.train import train
from reloc_ros.types import Estimate, Frame


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    data = box_room.write_sequence(folder / "data", box_room.pinhole(), box_room.trajectory(40))
    config = config_from_dict("implicit_geometry", {**IMPLICIT_GEOMETRY, "epochs": 90})
    train([data], folder / "run", config, ALONE)
    return folder / "run"


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    return export_run(run, tmp_path_factory.mktemp("bundle") / "room", map_frames={"": "box"})


def test_the_graph_agrees_with_the_network_in_pose(exported):
    _, parity = exported
    assert parity.images == 4
    assert parity.translation_m < 1e-4
    assert parity.rotation_deg < 0.005


def test_the_graph_takes_bytes_and_has_fixed_shapes(exported):
    graph = onnx.load(exported[0].model_path).graph
    image = graph.input[0]
    assert (image.name, image.type.tensor_type.elem_type) == ("image", onnx.TensorProto.UINT8)
    assert [d.dim_value for d in image.type.tensor_type.shape.dim] == [1, 64, 64, 3]
    assert [output.name for output in graph.output] == ["points_map", "range_m", "weights"]
    # Batch norms are folded and nothing is left for run time that training alone needs.
    assert {"BatchNormalization", "Dropout"}.isdisjoint(node.op_type for node in graph.node)


def test_the_manifest_tells_where_the_bundle_comes_from(exported):
    manifest = exported[0].manifest
    (scene,) = manifest.scenes
    assert (manifest.method, scene.name, scene.map_frame) == ("implicit_geometry", "data", "box")
    assert (manifest.output_kind, manifest.rays) == ("points", None)
    assert manifest.training["images"] == {"train": 26, "val": 4}
    assert manifest.training["split"]["val_fraction"] == 0.1
    assert manifest.metrics["frames"] == 4
    assert manifest.camera.horizontal_fov_deg_min < 79.6 < manifest.camera.horizontal_fov_deg_max
    np.testing.assert_allclose(scene.map_bounds.max_m, (0.6, 0.4, 0.1), atol=0.02)


def test_a_bundle_holds_no_image_unless_its_owner_says_so(run, exported, tmp_path, capsys):
    bundle, _ = exported
    assert sorted(path.name for path in bundle.path.iterdir()) == ["manifest.yaml", "model.onnx"]
    assert read_calibration(bundle) is None
    assert main(["export", str(run), "--out", str(tmp_path / "bundle"), "--calibration-images", "3"]) == 0
    assert "the bundle now holds 3 images of the place, as asked for" in capsys.readouterr().out
    images = read_calibration(load_bundle(tmp_path / "bundle"))
    held_out = np.load(run / "val.npy")
    np.testing.assert_array_equal(images, held_out[[0, 1, 3]])
    # Never more than there are.
    assert len(held_out_images(run, 99)) == len(held_out) == 4


def test_held_out_images_are_of_every_scene(tmp_path):
    for scene, number, first in (("hall", 10, 100), ("cellar", 20, 130), ("shed", 1, 160)):
        greys = np.arange(first, first + number, dtype=np.uint8)
        held_out = np.tile(greys[:, None, None, None], (1, 2, 2, 3))
        np.save(tmp_path / f"{scene}.val.npy", held_out)
        np.save(tmp_path / f"{scene}.train.npy", held_out - np.uint8(100))
    chosen = [int(image.max()) for image in held_out_images(tmp_path, 8)]
    assert chosen == [130, 139, 149, 100, 104, 109, 160]


def test_a_run_without_held_out_images_has_none_to_give(run, tmp_path):
    (tmp_path / "run").mkdir()
    shutil.copy(run / checkpoint.BEST, tmp_path / "run")
    with pytest.raises(TrainingError, match="leave out --calibration-images"):
        export_run(tmp_path / "run", tmp_path / "bundle", calibration_images=3)
    assert not (tmp_path / "bundle").exists()


def test_the_bundle_localizes(exported):
    bundle, _ = exported
    localizer = Localizer(bundle.manifest, create_backend("onnxruntime", bundle))
    errors = []
    for T_map_camera in box_room.trajectory(40)[::5]:
        camera = box_room.pinhole()
        result = localizer.localize(Frame(image=box_room.render(camera, T_map_camera), camera=camera))
        if isinstance(result, Estimate):
            errors.append(np.linalg.norm(result.T_map_camera[:3, 3] - T_map_camera[:3, 3]))
    assert len(errors) >= 2
    assert np.median(errors) < 0.4


def test_a_graph_that_computes_something_else_is_refused(run, exported):
    bundle, _ = exported
    good = create_backend("onnxruntime", bundle)

    class Wrong:
        name, device, precision = "wrong", "cpu", "fp32"

        def run(self, inputs):
            outputs = good.run(inputs)
            return {**outputs, "points_map": outputs["points_map"] + np.float32(0.01)}

        def close(self):
            pass

    images = [box_room.render(box_room.pinhole(), T) for T in box_room.trajectory(40)[::10]]
    with pytest.raises(ExportError, match="wrong differs from onnxruntime by"):
        check_parity(good, Wrong(), bundle.manifest, images, box_room.pinhole())


def test_a_map_frame_for_a_scene_that_is_not_there_is_refused(run, tmp_path):
    with pytest.raises(TrainingError, match="no scene 'cellar' in the run; its scenes are data"):
        export_run(run, tmp_path / "bundle", map_frames={"cellar": "box"})


def test_a_run_of_another_version_is_refused(run, tmp_path):
    content = checkpoint.load(run / checkpoint.BEST)
    content["serving"]["scenes"][0]["covariance_scale"] = content["serving"]["scenes"][0].pop("covariance")
    checkpoint.save(tmp_path / checkpoint.BEST, content)
    with pytest.raises(TrainingError, match=r"written by another version of this program .*covariance"):
        export_run(tmp_path, tmp_path / "bundle")


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(TrainingError, match=r"no best\.pt"):
        export_run(tmp_path, tmp_path / "bundle")
    (tmp_path / checkpoint.BEST).write_bytes(b"torn")
    with pytest.raises(TrainingError, match="cannot be read"):
        export_run(tmp_path, tmp_path / "bundle")
