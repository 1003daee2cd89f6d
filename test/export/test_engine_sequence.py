"""Engines of sequences: both graphs are compared in the poses that they lead to together."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from fake_tensorrt import MAGIC, VERSION, FakeCudaRuntime, FakeTensorRT
from tiny_spr import exported_run

from reloc_ros.errors import BackendError
from reloc_ros.export.engine import Machine, build_best
from reloc_ros.export.engine_parity import judge, poses_of
from reloc_ros.export.gate_images import synthetic_images
from reloc_ros.export.int8 import build_int8
from reloc_ros.inference.backend import create_backend
from reloc_ros.inference.cuda import Cuda
from reloc_ros.inference.engine_cache import Build, EngineCache
from reloc_ros.inference.onnxruntime_backend import OnnxRuntimeBackend
from reloc_ros.inference.tensorrt_backend import TensorRTBackend
from reloc_ros.inference.tensorrt_library import Library
from reloc_ros.localization.solve.solution import Solution

GRAPHS = ("encoder.onnx", "model.onnx")


@pytest.fixture(scope="module")
def bundle():
    return exported_run()[0]


def graph_of(bundle, name):
    return bundle.encoder() if name == "encoder.onnx" else bundle


def spoilt(graph, path):
    """Write the graph with other numbers in its largest weights."""
    model = onnx.load(graph.model_path)
    weights = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    array = 20.0 * onnx.numpy_helper.to_array(weights) + 2.0
    weights.CopyFrom(onnx.numpy_helper.from_array(array.astype(np.float32), weights.name))
    onnx.save(model, path)
    return OnnxRuntimeBackend(graph, threads=1, model=path)


def test_poses_follow_one_another(bundle):
    images = synthetic_images(bundle.manifest, 4).images
    poses = poses_of(create_backend("onnxruntime", bundle, 1), bundle, images)
    assert all(isinstance(pose, Solution) for pose in poses)
    np.testing.assert_allclose(poses[0].T_map_camera, np.eye(4), atol=1e-5)
    assert np.linalg.norm(poses[3].T_map_camera[:3, 3]) > 1e-3
    # The state goes on: the same image later is another pose.
    again = poses_of(create_backend("onnxruntime", bundle, 1), bundle, [*images, images[1]])
    assert not np.allclose(again[4].T_map_camera, again[1].T_map_camera)
    assert np.linalg.eigvalsh(poses[1].covariance).min() > 0


@pytest.mark.parametrize("name", GRAPHS)
def test_each_graph_is_judged_in_pose(name, bundle, tmp_path):
    graph, shown = graph_of(bundle, name), synthetic_images(bundle.manifest, 4)
    exact = create_backend("onnxruntime", graph, 1)
    verdict = judge(exact, create_backend("onnxruntime", graph, 1), graph, shown)
    assert str(verdict).startswith("passed: 0.000 mm and 0.0000 deg at most over 4 synthetic images")
    # Random weights are unsure of themselves, which widens the limits; hence the factor.
    wrong = judge(exact, spoilt(graph, tmp_path / "m.onnx"), graph, shown, tolerance=0.05)
    assert not wrong.passed
    assert "limits" in wrong.said or "no pose" in wrong.said


@pytest.mark.parametrize("name", GRAPHS)
def test_each_graph_is_quantized_by_itself(name, bundle, tmp_path):
    graph, cache = graph_of(bundle, name), EngineCache(tmp_path)
    attempt = build_int8(graph, cache, tolerance=100.0)
    assert not attempt.failed, attempt.verdicts
    assert attempt.entry.key.graph == name
    kinds = {node.op_type for node in onnx.load(attempt.entry.path).graph.node}
    assert kinds & {"MatMulInteger", "DynamicQuantizeMatMul"}


@pytest.mark.parametrize("name", GRAPHS)
def test_each_graph_has_its_own_engine(name, bundle, tmp_path):
    graph, cache, runtime = graph_of(bundle, name), EngineCache(tmp_path), FakeCudaRuntime()
    library = Library(module=FakeTensorRT(runtime), flavour="tensorrt_rtx", version=VERSION)
    machine = Machine(library=library, cuda=Cuda(runtime))

    def compiles(model, path, library, target, progress):
        path.write_bytes(MAGIC + model.read_bytes())
        return Build(seconds=1.0, peak_memory_bytes=1)

    attempt = build_best(graph, cache, machine, precision="fp32", compiles=compiles)[-1]
    assert attempt.entry.parity["engine"].startswith("passed")
    assert attempt.entry.key.graph == name
    TensorRTBackend(graph, cache=cache, library=library, cuda=machine.cuda).close()
    other = graph_of(bundle, GRAPHS[1 - GRAPHS.index(name)])
    with pytest.raises(BackendError, match="only none at all"):
        TensorRTBackend(other, cache=cache, library=library, cuda=machine.cuda)
    assert runtime.leaks() == []
