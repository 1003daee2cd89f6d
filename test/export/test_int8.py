"""Matrix products in bytes: what is quantized, what is not, the verdict, and where ONNX Runtime finds the graph."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from fake_bundles import make_manifest, with_images
from onnx import TensorProto, helper, numpy_helper

from reloc_ros.bundle.load import load_bundle, write_bundle
from reloc_ros.bundle.manifest import InputSpec
from reloc_ros.cli.build_engine import EXIT_NO_ENGINE
from reloc_ros.cli.main import EXIT_BAD_SETUP, main
from reloc_ros.errors import BackendError, ExportError
from reloc_ros.export.int8 import build_int8, write_int8
from reloc_ros.inference.backend import create_backend
from reloc_ros.inference.cpu import cpu_name, has_byte_products
from reloc_ros.inference.engine_cache import EngineCache
from reloc_ros.inference.quantized import key_on_this_cpu, quantized_backend, run_quantized

ROWS, COLUMNS, WIDTH = 4, 6, 8


def write_points_model(path, noise=0.0):
    """Write a network of three learned products whose clouds depend on the image by a small amount."""
    generator = np.random.default_rng(0)
    cells = ROWS * COLUMNS
    base = generator.uniform(-2.0, 2.0, (1, cells * 3))
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "spatial"], ["colour"], keepdims=0),
        helper.make_node("Mul", ["colour", "scale"], ["scaled"]),
        helper.make_node("MatMul", ["scaled", "first"], ["a"], "embed"),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Gemm", ["b", "shared", "bias"], ["c"], "middle", transB=1),
        # The same weights read in another way: quantizing must not turn them round.
        helper.make_node("Transpose", ["shared"], ["turned"], perm=[1, 0]),
        helper.make_node("ReduceMean", ["turned", "columns"], ["rowmeans"], keepdims=0),
        helper.make_node("Add", ["c", "rowmeans"], ["d"]),
        helper.make_node("MatMul", ["d", "last"], ["e"], "head"),
        helper.make_node("Add", ["e", "base"], ["flat"]),
        helper.make_node("Reshape", ["flat", "cloud"], ["points_map"]),
        helper.make_node("Identity", ["ranges"], ["range_m"]),
        helper.make_node("Identity", ["ones"], ["weights"]),
    ]
    constants = {
        "scale": np.full(1, 0.01),
        "first": generator.normal(size=(3, WIDTH)),
        "shared": np.triu(generator.normal(size=(WIDTH, WIDTH))),
        "bias": np.zeros(WIDTH),
        "last": noise * generator.normal(size=(WIDTH, cells * 3)),
        "base": base,
        "ranges": np.linalg.norm(base.reshape(1, cells, 3), axis=-1),
        "ones": np.ones((1, cells)),
    }
    integers = {"spatial": [1, 2], "columns": [1], "cloud": [1, cells, 3]}
    tensors = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in constants.items()]
    tensors += [numpy_helper.from_array(np.array(values, np.int64), name) for name, values in integers.items()]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, [1, 48, 64, 3])
    shapes = {"points_map": [1, cells, 3], "range_m": [1, cells], "weights": [1, cells]}
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    graph = helper.make_graph(nodes, "points", [image], outputs, tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)


def make_bundle(folder, noise):
    write_points_model(folder / "model.onnx", noise)
    manifest = make_manifest(input=InputSpec(width=64, height=48))
    manifest = replace(manifest, solve={**manifest.solve, "rows": ROWS, "columns": COLUMNS})
    return write_bundle(folder / "bundle", manifest, {"model.onnx": folder / "model.onnx"})


@pytest.fixture
def cache(tmp_path):
    return EngineCache(tmp_path / "engines")


def run(path, value):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["points_map"], {"image": np.full((1, 48, 64, 3), value, np.uint8)})[0]


def test_learned_products_become_bytes_and_the_head_does_not(tmp_path):
    write_points_model(tmp_path / "m.onnx", noise=0.1)
    applied = write_int8(tmp_path / "m.onnx", tmp_path / "q.onnx")
    assert applied.narrow == ("embed", "middle")
    assert applied.kept == ("head",)
    kinds = [node.op_type for node in onnx.load(tmp_path / "q.onnx").graph.node]
    assert kinds.count("MatMulInteger") == 2
    first, second = run(tmp_path / "m.onnx", 200), run(tmp_path / "q.onnx", 200)
    assert 0 < np.abs(first - second).max() < 0.05
    # What the weights are otherwise read for is the same: with an image of zeros only that is left.
    np.testing.assert_allclose(run(tmp_path / "q.onnx", 0), run(tmp_path / "m.onnx", 0), atol=1e-6)


def test_a_graph_of_convolutions_is_refused(tmp_path):
    weights = numpy_helper.from_array(np.ones((1, 3, 1, 1), np.float32), "w")
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"], "c"), helper.make_node("Relu", ["a"], ["b"]),
             helper.make_node("Conv", ["b", "v"], ["y"], "d")]  # fmt: skip
    second = numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), "v")
    sides = [
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s)] for n, s in (("x", [1, 3, 4, 4]), ("y", [1, 1, 4, 4]))
    ]
    graph = helper.make_graph(nodes, "convolutions", *sides, [weights, second])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), tmp_path / "m.onnx")
    with pytest.raises(ExportError, match=r"no matrix product to quantize.*back end onnxruntime"):
        write_int8(tmp_path / "m.onnx", tmp_path / "q.onnx")
    with pytest.raises(ExportError, match="cannot be read"):
        write_int8(tmp_path / "none.onnx", tmp_path / "q.onnx")


def test_poses_that_stay_are_used_and_recorded(tmp_path, cache, capsys, monkeypatch):
    bundle = make_bundle(tmp_path, noise=1e-5)
    with pytest.raises(BackendError, match=r"build-engine .* --precision int8"):
        quantized_backend(bundle, cache=cache)
    command = ["build-engine", str(bundle.path), "--precision", "int8", "--cache", str(cache.folder)]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "int8: kept" in said
    assert "back end onnxruntime_int8" in said
    backend = quantized_backend(bundle, cache=cache)
    assert (backend.name, backend.device, backend.precision) == ("onnxruntime_int8", "cpu", "int8")
    assert backend.verdict.startswith("passed: ")
    again = load_bundle(bundle.path)
    recorded = again.manifest.devices[cpu_name()]["model.onnx"]
    assert (recorded.backend, recorded.precision, recorded.verdict) == ("onnxruntime_int8", "int8", backend.verdict)
    # Recording it changes no file that engines depend on.
    assert again.manifest.files == bundle.manifest.files
    monkeypatch.setenv("COLUMNS", "250")
    assert main(["inspect", str(bundle.path), "--cache", str(cache.folder)]) == 0
    shown = capsys.readouterr().out
    assert f"{cpu_name()}, model.onnx" in shown
    assert "model.onnx in int8" in shown


def test_the_verdict_says_which_images_it_is_of(tmp_path, cache, capsys):
    bundle = with_images(make_bundle(tmp_path, noise=1e-5), np.full((2, 48, 64, 3), 90, np.uint8))
    command = ["build-engine", str(bundle.path), "--precision", "int8", "--cache", str(cache.folder)]
    assert main(command) == 0
    assert "over 2 images of the bundle, " in capsys.readouterr().out
    assert "over 2 images of the bundle, " in quantized_backend(bundle, cache=cache).verdict
    (tmp_path / "frames").mkdir()
    cv2.imwrite(str(tmp_path / "frames" / "a.png"), np.full((48, 64, 3), 60, np.uint8))
    assert main([*command, "--images", str(tmp_path / "frames")]) == 0
    assert "over 1 images given, " in capsys.readouterr().out


def test_poses_that_move_are_not_used_unless_the_user_widens_the_limits(tmp_path, cache, capsys):
    bundle = make_bundle(tmp_path, noise=0.5)
    attempt = build_int8(bundle, cache)
    assert attempt.failed
    assert "limits" in attempt.verdicts["engine"]
    assert "half of 8 synthetic images move by more than" in attempt.verdicts["engine"]
    with pytest.raises(BackendError, match="is not used, its poses: failed"):
        quantized_backend(bundle, cache=cache)
    command = ["build-engine", str(bundle.path), "--precision", "int8", "--cache", str(cache.folder)]
    assert main(command) == EXIT_NO_ENGINE
    assert load_bundle(bundle.path).manifest.devices == {}
    assert main([*command, "--tolerance", "1000"]) == 0
    assert "of 1000 times the limits" in quantized_backend(bundle, cache=cache).verdict
    capsys.readouterr()
    assert main([*command, "--target", "sm89"]) == EXIT_BAD_SETUP
    assert "--target sm89" in capsys.readouterr().err


def test_it_is_found_for_this_processor_and_this_library_only(tmp_path, cache):
    bundle = make_bundle(tmp_path, noise=1e-5)
    entry = build_int8(bundle, cache).entry
    key = key_on_this_cpu(bundle)
    assert (key.flavour, key.version, key.device) == ("onnxruntime", onnxruntime.__version__, cpu_name())
    assert cache.get(replace(key, device="another")) is None
    assert cache.get(replace(key, version="1.0")) is None
    image = {"image": np.full((1, 48, 64, 3), 90, np.uint8)}
    exact, coarse = create_backend("onnxruntime", bundle, 1).run(image), run_quantized(bundle, entry, 1).run(image)
    assert list(exact) == list(coarse)


@pytest.mark.parametrize(
    ("text", "name", "bytes_too"),
    [
        ("processor: 0\nmodel name : AMD EPYC\nflags : fpu avx2 avx512_vnni\n\nmodel name: second\nflags: fpu\n", "AMD EPYC", True),
        ("model name\t: Intel Old\nflags\t\t: fpu avx2\n", "Intel Old", False),
        ("processor : 0\nFeatures : fp asimd asimddp\nModel : NVIDIA Orin\n", "NVIDIA Orin", True),
    ],
)  # fmt: skip
def test_processors_are_told_apart(text, name, bytes_too, tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(text)
    assert cpu_name(cpuinfo) == name
    assert has_byte_products(cpuinfo) is bytes_too
    assert cpu_name(tmp_path / "none")
    assert has_byte_products(tmp_path / "none") is False
