"""Bundles with random weights, one of each method: their graphs are the networks', and TensorRT compiles every one."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from engine_compiler import compiles

from reloc_ros.benchmark.contender import inputs_of
from reloc_ros.bundle.load import load_bundle
from reloc_ros.errors import ConfigError
from reloc_ros.export.onnx import write_onnx
from reloc_ros.export.precision import write_with_precision
from reloc_ros.export.untrained import METHODS, write_batched, write_untrained_bundle
from reloc_ros.inference.backend import create_backend
from reloc_ros.inference.onnxruntime_backend import OnnxRuntimeBackend
from reloc_ros.inference.torch_backend import TorchBackend
from reloc_ros.networks.ray_fit import GeometricToken
from reloc_ros.networks.table import NETWORKS

SIZE = (128, 64)
CARDS = ("SM86", "SM89")
# Of the twelve that public image towers have: the others are the same again.
LAYERS = 2


@pytest.fixture(scope="module", params=METHODS)
def untrained(request, tmp_path_factory):
    return write_untrained_bundle(request.param, tmp_path_factory.mktemp(request.param), SIZE)


def graphs(bundle):
    return [bundle] if bundle.manifest.sequence is None else [bundle.encoder(), bundle]


def test_every_method_can_be_measured_without_training():
    assert set(METHODS) == set(NETWORKS)


def test_torch_and_onnxruntime_compute_the_same(untrained, tmp_path):
    if untrained.bundle.manifest.method == "dimm":
        # A fit to points that mean nothing makes much of a last bit; that of points that do is compared below.
        untrained = write_untrained_bundle("dimm", tmp_path, SIZE, {"head": {"geometric_token": False}})
    assert load_bundle(untrained.bundle.path) == untrained.bundle
    for graph in graphs(untrained.bundle):
        inputs = inputs_of(graph, 1)[0]
        exact = TorchBackend(graph, checkpoint=untrained.checkpoint).run(inputs)
        found = create_backend("onnxruntime", graph, 1).run(inputs)
        assert list(found) == list(exact)
        for name, values in exact.items():
            assert found[name].shape == values.shape
            np.testing.assert_allclose(found[name], values, atol=2e-3 * max(1.0, np.abs(values).max()), err_msg=name)


def test_onnxruntime_computes_an_exact_gelu_as_one_operator(tmp_path):
    """In another order of the same products it does not, and a whole image tower takes 6 to 10 % longer."""
    network, image = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.GELU()), torch.randn(3, 8)
    write_onnx(network, {"image": image}, ("feature",), tmp_path / "gelu.onnx")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "gelu.onnx", options, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"image": image.numpy()})
    np.testing.assert_allclose(found, network(image).detach().numpy(), atol=1e-6)
    assert "Gelu" in {node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node}


class _Fit(torch.nn.Module):
    """The fit inside dimm, of points as they are."""

    def __init__(self):
        super().__init__()
        self.token = GeometricToken(5, 8, 3)
        self.token.read = torch.nn.Identity()

    def forward(self, read, rays):
        return (self.token(read, rays).ray,)


def test_a_fit_of_points_is_the_same_as_a_graph(tmp_path):
    generator = torch.Generator().manual_seed(8)
    off = torch.tensor([0.3, -0.2, 1.0])
    rays = torch.nn.functional.normalize(
        torch.randn(1, 60, 3, generator=generator) * off.new([0.5, 0.4, 0]) + off, dim=-1
    )
    ranges = 1 + torch.rand(1, 60, 1, generator=generator)
    points = ranges * rays + 0.02 * torch.randn(1, 60, 3, generator=generator) + torch.tensor([0.4, -0.7, 0.2])
    inputs = {"read": torch.cat([points, ranges.log(), torch.zeros(1, 60, 1)], dim=-1), "rays": rays}
    write_onnx(_Fit().eval(), inputs, ["ray"], tmp_path / "fit.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "fit.onnx", providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {name: values.numpy() for name, values in inputs.items()})
    np.testing.assert_allclose(found, _Fit()(**inputs)[0].detach().numpy(), atol=1e-4)
    assert compiles(tmp_path / "fit.onnx")


@pytest.mark.parametrize("card", CARDS)
def test_every_graph_compiles(untrained, card):
    assert all(compiles(graph.model_path, card) for graph in graphs(untrained.bundle))


@pytest.mark.parametrize(("precision", "card"), [("fp16", "SM86"), ("bf16", "SM89")])
def test_both_graphs_of_a_sequence_compile_in_16_bits(untrained, precision, card, tmp_path):
    if untrained.bundle.manifest.sequence is None:
        pytest.skip("those of the others are compiled where the recipes are tested")
    for graph in graphs(untrained.bundle):
        applied = write_with_precision(graph.model_path, tmp_path / graph.model, precision)
        assert applied.kept
        assert compiles(tmp_path / graph.model, card)


def test_several_images_at_a_time_are_each_what_they_are_alone(untrained, tmp_path):
    bundle = untrained.bundle
    if bundle.manifest.method != "implicit_geometry":
        pytest.skip("it is what batches are measured with")
    write_batched(untrained, 2, tmp_path / "two.onnx")
    pair = inputs_of(bundle, 2)[0]
    together = OnnxRuntimeBackend(bundle, threads=1, model=tmp_path / "two.onnx", batch=2).run(pair)
    alone = create_backend("onnxruntime", bundle, 1)
    for index in range(2):
        single = alone.run({name: values[index : index + 1] for name, values in pair.items()})
        for name, values in single.items():
            np.testing.assert_allclose(together[name][index], values[0], atol=2e-3 * max(1.0, np.abs(values).max()))


def test_an_encoder_without_a_random_form_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no random weights"):
        write_untrained_bundle("dimm", tmp_path, SIZE, {"encoder": {"kind": "dinov2", "weights": "x"}})


def _dinov2():
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    from reloc_ros.networks.foundation import DinoV2Encoder

    config = transformers.Dinov2Config(
        hidden_size=384, num_hidden_layers=LAYERS, num_attention_heads=6, image_size=518, patch_size=14
    )  # fmt: skip
    return DinoV2Encoder, transformers.Dinov2Model(config)


def _clip():
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    from reloc_ros.networks.foundation import ClipImageEncoder

    vision = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": LAYERS, "num_attention_heads": 12}
    text = {"num_hidden_layers": 1}
    config = transformers.CLIPConfig(
        vision_config={**vision, "image_size": 224, "patch_size": 32}, text_config=text, projection_dim=512
    )  # fmt: skip
    return ClipImageEncoder, transformers.CLIPModel(config)


@pytest.mark.parametrize("tower", [_dinov2, _clip], ids=["DINOv2 ViT-S/14", "CLIP ViT-B/32"])
def test_public_image_towers_compile(tower, tmp_path):
    torch.manual_seed(0)
    kind, model = tower()
    model.save_pretrained(tmp_path / "checkpoint")
    encoder = kind.from_folder(tmp_path / "checkpoint", 224, 224)
    image = torch.zeros((1, 224, 224, 3), dtype=torch.uint8)
    torch.onnx.export(
        encoder, (image,), tmp_path / "m.onnx", input_names=["image"], output_names=["summary", "patches"],
        opset_version=18, dynamo=True, external_data=False, verbose=False,
    )  # fmt: skip
    assert compiles(tmp_path / "m.onnx", "SM86")
    applied = write_with_precision(tmp_path / "m.onnx", tmp_path / "h.onnx", "fp16")
    products = [node for node in onnx.load(tmp_path / "h.onnx").graph.node if node.op_type in {"MatMul", "Gemm"}]
    assert len(applied.narrow) > 0.6 * len(products)
    assert compiles(tmp_path / "h.onnx", "SM89")
