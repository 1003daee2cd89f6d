"""A run becomes a bundle that gives the network's poses, and says all there is to know about them."""

from __future__ import annotations

import box_room
import numpy as np
import onnx
import pytest
import torch

from reloc_ros.errors import ExportError, TrainingError
from reloc_ros.export.bundle_run import export_run
from reloc_ros.export.parity import check_parity
from reloc_ros.inference.backend import create_backend
from reloc_ros.localization.localizer import Localizer
from reloc_ros.training import checkpoint
from reloc_ros.training.config import config_from_dict
from reloc_ros.training.distributed import World
from reloc_ros.training.train import train
from reloc_ros.types import Estimate, Frame


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    data = box_room.write_sequence(folder / "data", box_room.pinhole(), box_room.trajectory(40))
    config = {
        "network": {
            "encoder": "patch_conv_tiny",
            "stride": 16,
            "neck_channels": 32,
            "head_channels": 32,
            "context_dropout": 0.0,
        },
        "input": {"width": 64, "height": 64},
        "batch_size": 8,
        "learning_rate": 5e-3,
        "augment": {"rotation_deg": 5.0, "log_zoom": 0.1, "erase": 0.0},
        "epochs": 90,
        "precision": "float32",
    }
    train([data], folder / "run", config_from_dict(config), World(rank=0, size=1, device=torch.device("cpu")))
    return folder / "run"


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    return export_run(run, tmp_path_factory.mktemp("bundle") / "room", map_frame="box")


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
    assert (manifest.method, manifest.map_frame, manifest.output_kind) == ("implicit_geometry", "box", "points")
    assert manifest.training["images"] == {"train": 26, "val": 4}
    assert manifest.training["split"]["val_fraction"] == 0.1
    assert manifest.metrics["frames"] == 4
    assert manifest.camera.horizontal_fov_deg_min < 79.6 < manifest.camera.horizontal_fov_deg_max
    np.testing.assert_allclose(manifest.map_bounds.max_m, (0.6, 0.4, 0.1), atol=0.02)


def test_the_bundle_localizes(exported):
    bundle, _ = exported
    localizer = Localizer(bundle.manifest, create_backend("onnxruntime", bundle))
    errors = []
    for T_map_camera in box_room.trajectory(40)[::5]:
        camera = box_room.pinhole()
        result = localizer.localize(Frame(image=box_room.render(camera, T_map_camera), camera=camera))
        if isinstance(result, Estimate):
            errors.append(np.linalg.norm(result.T_map_camera[:3, 3] - T_map_camera[:3, 3]))
    assert len(errors) >= 6
    assert np.median(errors) < 0.3


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
        check_parity(
            good, Wrong(), images, box_room.pinhole(),
            output_kind="points", settings=bundle.manifest.solve, scale_m=1.0,
        )  # fmt: skip


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(TrainingError, match=r"no best\.pt"):
        export_run(tmp_path, tmp_path / "bundle")
    (tmp_path / checkpoint.BEST).write_bytes(b"torn")
    with pytest.raises(TrainingError, match="cannot be read"):
        export_run(tmp_path, tmp_path / "bundle")
