"""Recipes of arithmetic in the graph: what becomes narrow, what must not, the poses they lead to, and TensorRT."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from engine_compiler import compiles
from fake_bundles import make_manifest, make_scene
from onnx import TensorProto, helper, numpy_helper, shape_inference

from reloc_ros.bundle.load import Bundle, load_bundle
from reloc_ros.bundle.manifest import InputSpec, RaysSpec
from reloc_ros.errors import ExportError
from reloc_ros.export.engine_parity import judge
from reloc_ros.export.gate_images import synthetic_images
from reloc_ros.export.onnx import export_onnx
from reloc_ros.export.precision import METADATA_KEY, RECIPES, external_files, write_with_precision
from reloc_ros.inference.onnxruntime_backend import OnnxRuntimeBackend
from reloc_ros.inference.tensorrt_library import PRECISIONS
from reloc_ros.networks import dimm, mvl_loc
from reloc_ros.networks.dimm import Dimm, RayHeadConfig
from reloc_ros.networks.implicit_geometry import ImplicitGeometry, NetworkConfig
from reloc_ros.networks.token_encoders import PatchTransformer

APARTMENT = Path(__file__).parents[2] / "models" / "apartment"
INPUT = InputSpec(width=96, height=64)
EXACT_OPERATORS = {
    "LayerNormalization",
    "Softmax",
    "ReduceMean",
    "ReduceSum",
    "ReduceL2",
    "Exp",
    "Sin",
    "Cos",
    "Resize",
}
NARROW = {"fp16": TensorProto.FLOAT16, "mixed": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}


def _implicit_geometry():
    return ImplicitGeometry(NetworkConfig(stride=16, neck_channels=32), torch.zeros(3), 1.0), make_manifest(input=INPUT)


def _dimm(*, fitted=False):
    rays = RaysSpec(rows=4, columns=6)
    head = RayHeadConfig(geometric_token=fitted)
    network = Dimm(PatchTransformer("patch_transformer_small"), head, torch.zeros(3), 1.0)
    return network, make_manifest(input=INPUT, rays=rays, outputs=dimm.OUTPUT_NAMES)


def _mvl_loc():
    config = {"encoder": {"kind": "patch_transformer_small"}, "decoder": {}, "text": {"channels": 128}}
    network = mvl_loc.from_checkpoint(mvl_loc.untrained(config))
    return network, make_manifest(input=INPUT, outputs=mvl_loc.OUTPUT_NAMES)


NETWORKS = {"implicit_geometry": _implicit_geometry, "dimm": _dimm, "mvl_loc": _mvl_loc}
# A fit to points that mean nothing, as those of random weights, makes much of a last bit: only its types are tested.
TYPED = {**NETWORKS, "dimm, fitted": lambda: _dimm(fitted=True)}


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    """Return the file of a network in a precision; each is exported and converted once."""
    folder = tmp_path_factory.mktemp("precision")
    made = {}

    def get(name, precision):
        source = folder / f"{name}.onnx"
        if name not in made:
            torch.manual_seed(3)
            network, manifest = TYPED[name]()
            export_onnx(network, manifest, source)
            made[name] = source
        if (name, precision) not in made:
            target = folder / f"{name}_{precision}.onnx"
            made[name, precision] = (source, target, write_with_precision(source, target, precision))
        return made[name, precision]

    return get


def run(path, seed=0):
    """Return the outputs for random pixels and unit rays."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(seed)
    inputs = {}
    for node in session.get_inputs():
        if node.type == "tensor(uint8)":
            inputs[node.name] = generator.integers(0, 256, node.shape, dtype=np.uint8)
        else:
            rays = generator.normal(size=node.shape)
            inputs[node.name] = (rays / np.linalg.norm(rays, axis=-1, keepdims=True)).astype(np.float32)
    names = [node.name for node in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def typed(path):
    """Return a graph's nodes and the element type of each value."""
    model = shape_inference.infer_shapes(onnx.load(path))
    graph = model.graph
    values = (*graph.input, *graph.output, *graph.value_info)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    return graph.node, {**types, **{tensor.name: tensor.data_type for tensor in graph.initializer}}


def test_there_is_a_recipe_for_every_precision_of_an_engine():
    assert tuple(RECIPES) == PRECISIONS


@pytest.mark.parametrize("name", NETWORKS)
def test_float32_changes_nothing(name, graphs):
    source, target, applied = graphs(name, "fp32")
    assert applied.narrow == ()
    first, second = run(source), run(target)
    assert all(np.array_equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("precision", ["fp16", "mixed", "bf16"])
@pytest.mark.parametrize("name", TYPED)
def test_what_is_delicate_stays_float32(name, precision, graphs):
    _, target, applied = graphs(name, precision)
    nodes, types = typed(target)
    narrow = [node for node in nodes if NARROW[precision] in {types[value] for value in node.output}]
    computing = [node for node in narrow if node.op_type != "Cast"]
    assert len(applied.narrow) > 12
    assert {node.op_type for node in computing} & EXACT_OPERATORS == set()
    assert {node.name for node in computing} >= set(applied.narrow)
    assert not set(applied.narrow) & set(applied.kept)
    constants = {tensor.name for tensor in onnx.load(target).graph.initializer}
    residuals = [node for node in computing if node.op_type == "Add" and not constants & set(node.input)]
    assert residuals == []
    outputs = onnx.load(target).graph.output
    assert {output.type.tensor_type.elem_type for output in outputs} == {TensorProto.FLOAT}
    assert applied.kept, "the heads stay float32"


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_no_product_of_a_fit_is_narrow(precision, graphs):
    """Attention's are, and a fitted network has those of the same encoder."""

    def products(name):
        _, target, applied = graphs(name, precision)
        model = onnx.load(target)
        constants = {tensor.name for tensor in model.graph.initializer}
        matmuls = [node for node in model.graph.node if node.op_type == "MatMul" and not constants & set(node.input)]
        return len(matmuls), sum(node.name in applied.narrow for node in matmuls)

    plain, fitted = products("dimm"), products("dimm, fitted")
    assert fitted[0] > plain[0]
    assert fitted[1] == plain[1] > 0


@pytest.mark.parametrize("name", NETWORKS)
def test_a_stricter_recipe_narrows_less(name, graphs):
    narrow = {precision: len(graphs(name, precision)[2].narrow) for precision in RECIPES}
    assert narrow["fp16"] == narrow["bf16"] >= narrow["mixed"] > narrow["fp32"] == 0
    assert (narrow["fp16"] > narrow["mixed"]) == (name != "implicit_geometry"), "attention is what differs"


@pytest.mark.parametrize("precision", ["fp16", "mixed"])
@pytest.mark.parametrize("name", NETWORKS)
def test_narrow_outputs_are_close_but_not_the_same(name, precision, graphs):
    source, target, _ = graphs(name, precision)
    first, second = run(source), run(target)
    differs = []
    for key, values in first.items():
        scale = np.abs(values).max()
        differs.append(np.abs(values - second[key]).max() / scale)
    assert 0 < max(differs) < 5e-3


def test_onnxruntime_has_no_bfloat16_on_the_cpu(graphs):
    # When this fails, `export.engine` can judge bf16 graphs here.
    with pytest.raises(Exception, match="bfloat16"):
        run(graphs("implicit_geometry", "bf16")[1])


SOLVERS = {
    "dimm": (
        "rays",
        {
            "rows": 4, "columns": 6, "centre_x_m": 0.0, "centre_y_m": 0.0, "centre_z_m": 0.0, "direction_std_rad": 0.3,
            "moment_std_m": 0.5, "hypotheses": 64, "seed": 0, "min_inlier_ratio": 0.5,
        },
    ),
    "mvl_loc": (
        "regression",
        {
            "rows": 4, "columns": 6, "min_scene_probability": 0.9, "min_position_std_m": 0.02,
            "min_rotation_std_rad": 0.01,
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("precision", ["fp16", "mixed"])
@pytest.mark.parametrize("name", SOLVERS)
def test_poses_from_tokens_stay(name, precision, graphs):
    source, target, _ = graphs(name, precision)
    kind, settings = SOLVERS[name]
    scenes = [make_scene(name=f"scene {i}") for i in range(run(source).get("scene_logits", np.zeros((1, 1))).shape[1])]
    manifest = replace(NETWORKS[name]()[1], output_kind=kind, solve=settings, scenes=tuple(scenes))
    bundle = Bundle(path=source.parent, manifest=manifest)
    verdict = judge(_backend(bundle, source), _backend(bundle, target), bundle, synthetic_images(manifest, 4))
    assert verdict.passed, verdict.said
    assert "over 4 synthetic images" in verdict.said


@pytest.mark.parametrize("precision", ["fp16", "mixed"])
def test_poses_of_the_shipped_bundle_stay(precision, tmp_path):
    bundle = load_bundle(APARTMENT)
    target = tmp_path / "model.onnx"
    write_with_precision(bundle.model_path, target, precision)
    verdict = judge(_backend(bundle), _backend(bundle, target), bundle, synthetic_images(bundle.manifest, 4))
    assert verdict.passed, verdict.said


def test_a_spoilt_graph_does_not_pass(tmp_path):
    bundle = load_bundle(APARTMENT)
    model = onnx.load(bundle.model_path)
    weights = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    array = numpy_helper.to_array(weights).copy()
    array[: len(array) // 8] = 0.0
    weights.CopyFrom(numpy_helper.from_array(array, weights.name))
    target = tmp_path / "model.onnx"
    onnx.save(model, target)
    verdict = judge(_backend(bundle), _backend(bundle, target), bundle, synthetic_images(bundle.manifest, 4))
    assert not verdict.passed
    assert "limits" in verdict.said


def _backend(bundle: Bundle, model=None):
    return OnnxRuntimeBackend(bundle, threads=1, model=model)


COMPILED = [
    *(("implicit_geometry", precision, card) for precision in NARROW for card in ("SM86", "SM89")),
    ("dimm", "fp16", "SM86"),
    ("dimm", "bf16", "SM89"),
    ("mvl_loc", "fp16", "SM89"),
    ("mvl_loc", "bf16", "SM86"),
]


@pytest.mark.parametrize(("name", "precision", "card"), COMPILED)
def test_tensorrt_compiles_it(name, precision, card, graphs):
    assert compiles(graphs(name, precision)[1], card)


def write_model(path, nodes, inputs, outputs, constants):
    described = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in side.items()]
        for side in (inputs, outputs)
    ]
    tensors = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "small", *described, tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)


def step_model(path):
    """Write one step of a state space model with projections round it: h' = a h + x B, y = (h' C) W."""
    generator = np.random.default_rng(0)
    nodes = [
        helper.make_node("MatMul", ["token", "embed"], ["x"], "embed"),
        helper.make_node("MatMul", ["x", "B"], ["driven"], "drive"),
        helper.make_node("Mul", ["h", "a"], ["decayed"], "decay"),
        helper.make_node("Add", ["decayed", "driven"], ["h_next"], "sum"),
        helper.make_node("MatMul", ["h_next", "C"], ["read"], "read"),
        helper.make_node("MatMul", ["read", "mid"], ["hidden"], "middle"),
        helper.make_node("MatMul", ["hidden", "W"], ["y"], "head"),
    ]
    sizes = {"embed": (4, 8), "B": (8, 16), "C": (16, 8), "mid": (8, 8), "W": (8, 3)}
    constants = {name: generator.normal(size=size) for name, size in sizes.items()}
    write_model(
        path, nodes, {"token": [1, 4], "h": [1, 16]}, {"h_next": [1, 16], "y": [1, 3]},
        {**constants, "a": np.full((1, 16), 0.9999)},
    )  # fmt: skip


def test_state_and_its_way_stay_float32(tmp_path):
    step_model(tmp_path / "step.onnx")
    applied = write_with_precision(tmp_path / "step.onnx", tmp_path / "fp16.onnx", "fp16")
    # `embed` and `read` take what comes straight from a float input, `drive` makes the state, `head` the output.
    assert applied.narrow == ("middle",)
    assert applied.kept == ("embed", "drive", "read", "head")
    inputs = {"token": np.full((1, 4), 1e-3, np.float32), "h": np.full((1, 16), 3000.0, np.float32)}
    sessions = [onnxruntime.InferenceSession(str(tmp_path / name)) for name in ("step.onnx", "fp16.onnx")]
    wide, narrow = (session.run(["h_next"], inputs)[0] for session in sessions)
    assert np.array_equal(wide, narrow)


def test_weights_beyond_float16_stay_float32(tmp_path):
    generator = np.random.default_rng(0)
    nodes = [
        helper.make_node("MatMul", [before, weights], [after], weights)
        for before, weights, after in zip("xabc", ("first", "large", "second", "last"), "abcy")
    ]
    constants = {name: generator.normal(size=(4, 4)) for name in ("first", "large", "second", "last")}
    constants["large"][1, 2] = 7e4
    write_model(tmp_path / "m.onnx", nodes, {"x": [1, 4]}, {"y": [1, 4]}, constants)
    assert write_with_precision(tmp_path / "m.onnx", tmp_path / "h.onnx", "fp16").narrow == ("second",)
    assert write_with_precision(tmp_path / "m.onnx", tmp_path / "b.onnx", "bf16").narrow == ("large", "second")
    session = onnxruntime.InferenceSession(str(tmp_path / "h.onnx"))
    assert np.isfinite(session.run(None, {"x": np.ones((1, 4), np.float32) * 1e-3})[0]).all()


def test_the_file_names_its_recipe(graphs):
    _, target, applied = graphs("implicit_geometry", "fp16")
    assert {entry.key: entry.value for entry in onnx.load(target).metadata_props}[METADATA_KEY] == "fp16"
    assert applied.precision == "fp16"


def test_weights_in_files_of_their_own_are_named_and_read(tmp_path, graphs):
    source, inline, _ = graphs("implicit_geometry", "fp16")
    split = tmp_path / "split.onnx"
    onnx.save(onnx.load(source), split, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert external_files(source) == set()
    assert external_files(split) == {"weights.bin"}
    write_with_precision(split, tmp_path / "fp16.onnx", "fp16")
    first, second = run(inline), run(tmp_path / "fp16.onnx")
    assert all(np.array_equal(first[key], second[key]) for key in first)


def test_what_is_no_graph_is_refused(tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"no graph")
    with pytest.raises(ExportError, match="cannot be read"):
        write_with_precision(tmp_path / "x.onnx", tmp_path / "y.onnx", "fp16")
    with pytest.raises(ExportError, match="choose one of fp16, bf16, mixed, fp32"):
        write_with_precision(tmp_path / "x.onnx", tmp_path / "y.onnx", "int4")


def test_a_constant_that_is_an_output_stays(tmp_path):
    generator = np.random.default_rng(0)
    nodes = [
        helper.make_node("MatMul", ["x", "first"], ["a"], "first"),
        helper.make_node("MatMul", ["a", "second"], ["b"], "second"),
        helper.make_node("MatMul", ["b", "last"], ["y"], "last"),
    ]
    constants = {name: generator.normal(size=(4, 4)) for name in ("first", "second", "last")}
    outputs = {"y": [1, 4], "started": [1]}
    write_model(tmp_path / "m.onnx", nodes, {"x": [1, 4]}, outputs, {**constants, "started": np.ones(1)})
    for precision in ("fp16", "fp32"):
        write_with_precision(tmp_path / "m.onnx", tmp_path / "n.onnx", precision)
        session = onnxruntime.InferenceSession(str(tmp_path / "n.onnx"))
        assert session.run(["started"], {"x": np.ones((1, 4), np.float32)})[0] == 1.0
