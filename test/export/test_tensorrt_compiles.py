"""Every encoder, the default network and what is shipped are graphs that TensorRT takes; methods: `test_untrained`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from engine_compiler import compiles
from fake_bundles import make_manifest

from reloc_ros.bundle.manifest import InputSpec
from reloc_ros.export.onnx import export_onnx
from reloc_ros.networks.encoders import ENCODERS
from reloc_ros.networks.implicit_geometry import ImplicitGeometry, NetworkConfig

MODELS = Path(__file__).parents[2] / "models"


@pytest.mark.parametrize("name", ENCODERS)
def test_every_encoder_compiles(name, tmp_path):
    network = ImplicitGeometry(NetworkConfig(encoder=name, stride=16, neck_channels=32), torch.zeros(3), 1.0)
    export_onnx(network, make_manifest(input=InputSpec(width=96, height=64)), tmp_path / "model.onnx")
    assert compiles(tmp_path / "model.onnx")


@pytest.mark.parametrize("wrap", [False, True], ids=["pinhole", "panorama"])
@pytest.mark.parametrize("capability", ["SM86", "SM89"])
def test_the_default_network_compiles(wrap, capability, tmp_path):
    network = ImplicitGeometry(NetworkConfig(wrap=wrap), torch.zeros(3), 1.0)
    export_onnx(network, make_manifest(input=InputSpec(width=320, height=160)), tmp_path / "model.onnx")
    assert compiles(tmp_path / "model.onnx", capability)


@pytest.mark.parametrize("model", sorted(MODELS.glob("*/*.onnx")), ids=lambda path: f"{path.parent.name}/{path.name}")
@pytest.mark.parametrize("capability", ["SM86", "SM89"])
def test_shipped_bundles_compile(model, capability):
    assert compiles(model, capability)
