"""Every graph we export is one that TensorRT takes: compiled for real, for cards that need not be here."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from engine_compiler import compiles
from fake_bundles import make_manifest

from reloc_ros.bundle.manifest import InputSpec, RaysSpec
from reloc_ros.export.onnx import export_onnx
from reloc_ros.networks import dimm, mvl_loc
from reloc_ros.networks.dimm import Dimm, RayHeadConfig
from reloc_ros.networks.encoders import ENCODERS
from reloc_ros.networks.implicit_geometry import ImplicitGeometry, NetworkConfig
from reloc_ros.networks.token_encoders import PatchTransformer

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


@pytest.mark.parametrize("capability", ["SM86", "SM89"])
def test_rays_from_patch_tokens_compile(capability, tmp_path):
    network = Dimm(PatchTransformer("patch_transformer_small"), RayHeadConfig(), torch.zeros(3), 1.0)
    manifest = make_manifest(
        input=InputSpec(width=96, height=64), rays=RaysSpec(rows=4, columns=6), outputs=dimm.OUTPUT_NAMES
    )
    export_onnx(network, manifest, tmp_path / "model.onnx")
    assert compiles(tmp_path / "model.onnx", capability)


def test_scenes_and_poses_from_descriptions_compile(tmp_path):
    config = {"encoder": {"kind": "patch_transformer_small"}, "decoder": {}, "text": {"channels": 128}}
    network = mvl_loc.from_checkpoint(mvl_loc.untrained(config))
    manifest = make_manifest(input=InputSpec(width=96, height=64), outputs=mvl_loc.OUTPUT_NAMES)
    export_onnx(network, manifest, tmp_path / "model.onnx")
    assert compiles(tmp_path / "model.onnx")


@pytest.mark.parametrize("model", sorted(MODELS.glob("*/*.onnx")), ids=lambda path: f"{path.parent.name}/{path.name}")
@pytest.mark.parametrize("capability", ["SM86", "SM89"])
def test_shipped_bundles_compile(model, capability):
    assert compiles(model, capability)
