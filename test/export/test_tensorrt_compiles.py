"""Every graph we export is one that TensorRT takes: compiled for real, for cards that need not be here."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from reloc_ros.export.onnx import export_onnx
from reloc_ros.networks.encoders import ENCODERS
from reloc_ros.networks.implicit_geometry import ImplicitGeometry, NetworkConfig

trt = pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT-RTX is not installed (extra: trt)")

MODELS = Path(__file__).parents[2] / "models"


def _compile(model: Path, capability: str) -> int:
    """Return the size of the engine in bytes; strongly typed, as on the robot."""
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    assert parser.parse_from_file(str(model)), [str(parser.get_error(i)) for i in range(parser.num_errors)]
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(getattr(trt.ComputeCapability, capability), 0)
    engine = builder.build_serialized_network(network, config)
    assert engine is not None, f"{model} does not compile for {capability}"
    return int(engine.nbytes)


@pytest.mark.parametrize("name", ENCODERS)
def test_every_encoder_compiles(name, tmp_path):
    network = ImplicitGeometry(NetworkConfig(encoder=name, stride=16, neck_channels=32), torch.zeros(3), 1.0)
    export_onnx(network, 64, 96, tmp_path / "model.onnx")
    assert _compile(tmp_path / "model.onnx", "SM89") > 10_000


@pytest.mark.parametrize("wrap", [False, True], ids=["pinhole", "panorama"])
@pytest.mark.parametrize("capability", ["SM86", "SM89"])
def test_the_default_network_compiles(wrap, capability, tmp_path):
    network = ImplicitGeometry(NetworkConfig(wrap=wrap), torch.zeros(3), 1.0)
    export_onnx(network, 160, 320, tmp_path / "model.onnx")
    assert _compile(tmp_path / "model.onnx", capability) > 1_000_000


@pytest.mark.parametrize("model", sorted(MODELS.glob("*/model.onnx")), ids=lambda path: path.parent.name)
@pytest.mark.parametrize("capability", ["SM86", "SM89"])
def test_shipped_bundles_compile(model, capability):
    assert _compile(model, capability) > 1_000_000
