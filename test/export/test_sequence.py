"""A run of SPR-Mamba becomes two graphs that carry a sequence for thousands of frames as the network does in one pass."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from engine_compiler import compiles
from tiny_spr import FRAME, VARIANTS, exported_model, exported_run, tiny_model, tiny_sequence_network, write_run

from reloc_ros.cli.main import main
from reloc_ros.errors import ExportError, TrainingError
from reloc_ros.export.bundle_run import export_run
from reloc_ros.export.sequence import check_sequence_parity, network_in, run_steps
from reloc_ros.inference.backend import create_backend
from reloc_ros.networks.spr_mamba import OUTPUT_NAMES


@pytest.fixture(scope="module")
def model():
    return exported_model()


@pytest.fixture(scope="module")
def exported():
    return exported_run()


def test_the_graphs_agree_with_the_network_in_pose(exported):
    _, parity = exported
    assert parity.images == 64
    assert parity.translation_m < 1e-5
    assert parity.rotation_deg < 1e-3


def test_two_thousand_steps_are_the_pass_over_two_thousand_frames(model, exported):
    bundle, _ = exported
    features = np.random.default_rng(3).normal(size=(2000, FRAME.size)).astype(np.float32)
    step = create_backend("onnxruntime", bundle, threads=1)
    steps = run_steps(step, bundle.manifest, features)
    with torch.inference_mode():
        poses = model.sequence(torch.from_numpy(features)[None])
    assert poses.translation.abs().max() > 1.0
    for name, expected in zip(OUTPUT_NAMES, poses):
        found = np.concatenate([outputs[name] for outputs in steps])
        np.testing.assert_allclose(found, expected[0].numpy(), rtol=0, atol=1e-4, err_msg=name)


def test_the_graphs_are_plain_operators_of_fixed_shapes(exported):
    bundle, _ = exported
    assert sorted(bundle.manifest.files) == ["encoder.onnx", "model.onnx"]
    for name in bundle.manifest.files:
        graph = onnx.load(bundle.path / name).graph
        assert {"Loop", "Scan", "If", "BatchNormalization"}.isdisjoint(node.op_type for node in graph.node)
        assert all(d.dim_value > 0 for tensor in graph.input for d in tensor.type.tensor_type.shape.dim)
    canvas = onnx.load(bundle.path / "encoder.onnx").graph.input[0]
    assert (canvas.name, canvas.type.tensor_type.elem_type) == ("canvas", onnx.TensorProto.UINT8)


@pytest.mark.parametrize("capability", ["SM86", "SM89"])
@pytest.mark.parametrize("graph", ["encoder.onnx", "model.onnx"])
def test_both_graphs_compile(exported, graph, capability):
    assert compiles(exported[0].path / graph, capability)


def test_the_manifest_tells_what_the_state_is_and_what_it_was_trained_on(exported):
    manifest = exported[0].manifest
    (scene,) = manifest.scenes
    assert (manifest.method, manifest.output_kind) == ("spr_mamba", "sequence")
    assert (scene.name, scene.map_frame) == ("spr_origin", "spr_origin")
    assert (manifest.input.name, manifest.input.shape) == ("canvas", (1, 32, 64, 4))
    sequence = manifest.sequence
    assert (sequence.feature, sequence.state_version) == (FRAME.size, 1)
    assert {state.name: state.shape for state in sequence.state} == {
        "started": (1, 1),
        "previous": (1, FRAME.size),
        "first": (1, FRAME.size),
        "odometer_translation": (1, 3),
        "odometer_turn": (1, 3, 3),
        "conv_0": (1, 32, 3),
        "ssm_0": (1, 32, 4),
        "conv_1": (1, 32, 3),
        "ssm_1": (1, 32, 4),
    }
    assert (sequence.keyframe_translation_m, sequence.trained_distance_m) == (0.25, 12.0)
    assert (sequence.trained_frames, sequence.heights_m) == (48, (0.1, 1.7))
    assert manifest.outputs == (*OUTPUT_NAMES, *(f"next_{state.name}" for state in sequence.state))


def test_inspect_shows_the_sequence(exported, capsys):
    assert main(["inspect", str(exported[0].path)]) == 0
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for part in ("0.1, 1.7 m", "12 m", "9 tensors", "ok encoder", "ok network"):
        assert part in said


def test_graphs_of_another_network_are_refused(exported):
    other = tiny_model(seed=1)
    canvases = np.random.default_rng(0).integers(0, 256, (8, 32, 64, 4), dtype=np.uint8)
    with pytest.raises(ExportError, match="do not compute what was trained"):
        check_sequence_parity(other, exported[0], canvases)


def test_a_run_that_does_not_say_what_it_was_trained_on_is_refused(model, tmp_path):
    write_run(tmp_path / "run", model, sequence={})
    with pytest.raises(TrainingError, match="written by another version"):
        export_run(tmp_path / "run", tmp_path / "bundle")


def test_a_step_graph_holds_the_network_it_was_made_of(model, exported):
    found, expected = network_in(exported[0].model_path).state_dict(), model.sequence.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    with pytest.raises(ExportError, match="does not say what network"):
        network_in(exported[0].encoder().model_path)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_names_its_state(name):
    network = tiny_sequence_network(**VARIANTS[name])
    shapes = network.state_shapes()
    assert ("previous" in shapes) == (name != "global")
    assert ("odometer_turn" in shapes) == (name not in ("global", "dual, no odometer"))
    assert ("ssm_1" in shapes) == (name != "local")
