"""CLIP's and DINOv2's image towers: the features of `transformers` itself, and strictness about every checkpoint."""

from __future__ import annotations

import copy
import json
import shutil
import socket
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from engine_compiler import compiles
from torch import nn

from reloc_ros.errors import ConfigError
from reloc_ros.networks.foundation import ClipImageEncoder, DinoV2Encoder, FoundationEncoder

transformers = pytest.importorskip("transformers", reason="transformers is not installed (extra: train)")
safetensors_torch = pytest.importorskip("safetensors.torch", reason="safetensors is not installed (extra: train)")

# Two sizes: the one the tiny towers were "trained" at, and one of another shape that has their positions interpolated.
SIZES = {"as trained": (28, 28), "another shape": (21, 35)}
FAMILIES: dict[str, type[FoundationEncoder]] = {
    "clip": ClipImageEncoder,
    "dinov2": DinoV2Encoder,
    "dinov2_with_registers": DinoV2Encoder,
}
WIDTHS = {"clip": 24, "dinov2": 32, "dinov2_with_registers": 32}


def tiny_model(family: str) -> Any:
    torch.manual_seed(3)
    vision = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 7,
    }
    if family == "clip":
        text = {"hidden_size": 16, "intermediate_size": 20, "num_hidden_layers": 1, "num_attention_heads": 2}
        text |= {"vocab_size": 60, "bos_token_id": 58, "eos_token_id": 59}
        vision = {**vision, "intermediate_size": 40}
        config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)
        model = transformers.CLIPModel(config)
    else:
        name = {"dinov2": "Dinov2", "dinov2_with_registers": "Dinov2WithRegisters"}[family]
        config = getattr(transformers, f"{name}Config")(**vision, mlp_ratio=2)
        model = getattr(transformers, f"{name}Model")(config)
    for parameter in model.parameters():
        # Nothing at its neutral value (zero biases, unit scales): whatever is forgotten shall show.
        nn.init.normal_(parameter, mean=0.05, std=0.3)
    return model.eval()


@pytest.fixture(scope="module", params=FAMILIES)
def checkpoint(request, tmp_path_factory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp(request.param)
    tiny_model(request.param).save_pretrained(folder)
    return request.param, folder


@pytest.fixture(scope="module")
def exported(checkpoint) -> tuple[str, Path]:
    family, folder = checkpoint
    path = folder / "encoder.onnx"
    torch.onnx.export(
        FAMILIES[family].from_folder(folder, *SIZES["another shape"]),
        (some_images(*SIZES["another shape"], count=1),),
        path,
        input_names=["image"],
        output_names=["summary", "patches"],
        opset_version=18,
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    return family, path


def some_images(height: int, width: int, count: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(11)
    return torch.randint(0, 256, (count, height, width, 3), dtype=torch.uint8, generator=generator)


def features_by_transformers(family: str, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What the library's own model gives for images normalised by the library's own processor."""
    model = tiny_model(family)
    if family == "clip":
        mean, std = transformers.image_utils.OPENAI_CLIP_MEAN, transformers.image_utils.OPENAI_CLIP_STD
    else:
        mean = transformers.image_utils.IMAGENET_DEFAULT_MEAN
        std = transformers.image_utils.IMAGENET_DEFAULT_STD
    pixels = ((images / 255 - torch.tensor(mean)) / torch.tensor(std)).permute(0, 3, 1, 2)
    if family == "clip":
        seen = model.vision_model(pixel_values=pixels, interpolate_pos_encoding=True)
        project = model.visual_projection
        patches = model.vision_model.post_layernorm(seen.last_hidden_state[:, 1:])
        return project(seen.pooler_output), project(patches)
    tokens = model(pixels).last_hidden_state
    count = (images.shape[1] // 7) * (images.shape[2] // 7)
    return tokens[:, 0], tokens[:, -count:]


@torch.no_grad()
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_features_are_those_of_transformers(checkpoint, size):
    family, folder = checkpoint
    encoder = FAMILIES[family].from_folder(folder, *size)
    images = some_images(*size)
    summary, patches = encoder(images)
    expected_summary, expected_patches = features_by_transformers(family, images)
    rows, columns = encoder.grid(*size)
    assert (rows, columns) == (size[0] // 7, size[1] // 7)
    assert patches.shape == (2, rows * columns, encoder.channels)
    assert encoder.channels == WIDTHS[family]
    assert expected_patches.std() > 0.05
    torch.testing.assert_close(summary, expected_summary, atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(patches, expected_patches, atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(encoder(images.float())[1], patches, atol=0, rtol=0)


@torch.no_grad()
def test_an_encoder_is_rebuilt_without_its_folder(checkpoint, tmp_path):
    family, folder = checkpoint
    encoder = FAMILIES[family].from_folder(folder, 21, 35)
    torch.save({"encoder": encoder.describe(), "weights": encoder.state_dict()}, tmp_path / "run.pt")
    content = torch.load(tmp_path / "run.pt", weights_only=True)
    rebuilt = FAMILIES[family].from_config(content["encoder"])
    rebuilt.load_state_dict(content["weights"])
    images = some_images(21, 35)
    assert torch.equal(rebuilt(images)[1], encoder(images)[1])
    assert rebuilt.describe() == encoder.describe()


def test_a_checkpoint_in_the_older_format_is_read(checkpoint, tmp_path):
    """OpenAI's CLIP is published so, with its lists of positions in it."""
    family, folder = checkpoint
    shutil.copytree(folder, tmp_path / "old", ignore=shutil.ignore_patterns("*.safetensors", "*.onnx"))
    state = safetensors_torch.load_file(folder / "model.safetensors")
    if family == "clip":
        state |= {f"{tower}_model.embeddings.position_ids": torch.arange(17)[None] for tower in ("text", "vision")}
    torch.save(state, tmp_path / "old" / "pytorch_model.bin")
    images = some_images(28, 28)
    expected = FAMILIES[family].from_folder(folder, 28, 28)(images)[1]
    assert torch.equal(FAMILIES[family].from_folder(tmp_path / "old", 28, 28)(images)[1], expected)


@pytest.mark.parametrize("older", [False, True], ids=["safetensors", "older format"])
def test_nobody_is_called(checkpoint, older, tmp_path, monkeypatch):
    family, folder = checkpoint
    shutil.copytree(folder, tmp_path / "here", ignore=shutil.ignore_patterns("*.onnx"))
    if older:
        torch.save(safetensors_torch.load_file(folder / "model.safetensors"), tmp_path / "here" / "pytorch_model.bin")
        (tmp_path / "here" / "model.safetensors").unlink()
    called = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **_: called.append(args))
    monkeypatch.setattr(socket.socket, "connect", lambda self, address: called.append(address))
    FAMILIES[family].from_folder(tmp_path / "here", 28, 28)
    assert [thread.name for thread in threading.enumerate() if "conversion" in thread.name.lower()] == []
    assert called == []


def test_it_is_copied_for_the_average_of_the_weights(checkpoint):
    family, folder = checkpoint
    encoder = FAMILIES[family].from_folder(folder, 28, 28)
    twin = copy.deepcopy(encoder)
    with torch.no_grad():
        twin.positions.add_(1.0)
    assert not torch.equal(twin.positions, encoder.positions)
    assert twin.describe() == encoder.describe()


@torch.no_grad()
def test_weights_in_half_precision_are_computed_with_in_single(checkpoint, tmp_path):
    family, folder = checkpoint
    tiny_model(family).half().save_pretrained(tmp_path)
    encoder = FAMILIES[family].from_folder(tmp_path, 28, 28)
    images = some_images(28, 28)
    patches = encoder(images)[1]
    assert patches.dtype == torch.float32
    expected = FAMILIES[family].from_folder(folder, 28, 28)(images)[1]
    torch.testing.assert_close(patches, expected, atol=0.05, rtol=0.05)
    assert not torch.equal(patches, expected)
    rebuilt = FAMILIES[family].from_config(json.loads(json.dumps(encoder.describe())))
    assert {value.dtype for value in rebuilt.state_dict().values()} == {torch.float32}


def test_the_description_of_another_family_is_refused(checkpoint):
    family, folder = checkpoint
    other = DinoV2Encoder if family == "clip" else ClipImageEncoder
    description = FAMILIES[family].from_folder(folder, 28, 28).describe()
    with pytest.raises(ConfigError, match=other.__name__):
        other.from_config(description)
    with pytest.raises(ConfigError, match="width"):
        FAMILIES[family].from_config({key: value for key, value in description.items() if key != "width"})


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_exported_graph_gives_the_same_features(exported):
    family, path = exported
    images = some_images(*SIZES["another shape"], count=1)
    summary, patches = onnxruntime.InferenceSession(path).run(None, {"image": images.numpy()})
    expected_summary, expected_patches = features_by_transformers(family, images)
    np.testing.assert_allclose(summary, expected_summary.detach().numpy(), atol=1e-4)
    np.testing.assert_allclose(patches, expected_patches.detach().numpy(), atol=1e-4)


def test_the_exported_graph_compiles(exported):
    assert compiles(exported[1])


@pytest.mark.parametrize(("height", "width"), [(28, 30), (27, 28)])
def test_patches_that_do_not_divide_the_image_are_refused(checkpoint, height, width):
    family, folder = checkpoint
    with pytest.raises(ConfigError, match=rf"{width}x{height} px and the encoder's patches are 7 px"):
        FAMILIES[family].from_folder(folder, height, width)


def test_images_of_another_size_are_refused(checkpoint):
    family, folder = checkpoint
    encoder = FAMILIES[family].from_folder(folder, 28, 28)
    with pytest.raises(ConfigError, match=r"\(35, 28, 3\); this encoder was built for \(28, 28, 3\)"):
        encoder(some_images(35, 28))


def test_a_checkpoint_of_another_family_is_refused(checkpoint):
    family, folder = checkpoint
    other = DinoV2Encoder if family == "clip" else ClipImageEncoder
    with pytest.raises(ConfigError, match=f"model_type '{family}'; expected {' or '.join(other.MODEL_TYPES)}"):
        other.from_folder(folder, 28, 28)


ONE_WEIGHT = {"clip": "vision_model.encoder.layers.1.mlp.fc1.weight", "dinov2": "encoder.layer.1.mlp.fc1.weight"}
ONE_WEIGHT["dinov2_with_registers"] = ONE_WEIGHT["dinov2"]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("missing parameter", r"1 parameters missing \[\S*1\.mlp\.fc1\.weight\]"),
        ("unknown parameter", r"1 unknown \[\S*7\.mlp\.fc1\.weight\]"),
        ("reshaped parameter", r"1 of another shape \[\S*1\.mlp\.fc1\.weight\]"),
        ("another depth", r"1[68] parameters missing .*2\.\S+, \.\.\.\]"),
        ("truncated", "cannot be read"),
        ("no weights", r"holds no weights; expected one of model\.safetensors"),
        ("no config", r"config\.json cannot be read"),
        ("config is text", r"config\.json cannot be read"),
        ("config is a list", r"config\.json holds a list"),
        ("no folder", "does not exist"),
    ],
)
def test_a_broken_checkpoint_is_refused_with_what_is_wrong(checkpoint, tmp_path, fault, message):
    family, whole = checkpoint
    folder = tmp_path / "broken"
    shutil.copytree(whole, folder)
    if fault.endswith("parameter"):
        break_a_parameter(folder / "model.safetensors", ONE_WEIGHT[family], fault)
    else:
        break_a_file(folder, fault)
    with pytest.raises(ConfigError, match=message):
        FAMILIES[family].from_folder(folder, 28, 28)


def break_a_parameter(weights: Path, name: str, fault: str) -> None:
    state = safetensors_torch.load_file(weights)
    value = state.pop(name)
    if fault == "unknown parameter":
        state |= {name: value, name.replace(".1.mlp", ".7.mlp"): value.clone()}
    elif fault == "reshaped parameter":
        state[name] = value[:-1].clone()
    safetensors_torch.save_file(state, weights, metadata={"format": "pt"})


def break_a_file(folder: Path, fault: str) -> None:
    weights, config = folder / "model.safetensors", folder / "config.json"
    if fault == "another depth":
        content = json.loads(config.read_text())
        content.get("vision_config", content)["num_hidden_layers"] = 3
        config.write_text(json.dumps(content))
    elif fault == "truncated":
        weights.write_bytes(weights.read_bytes()[:-5000])
    elif fault == "no weights":
        weights.unlink()
    elif fault == "no config":
        config.unlink()
    elif fault == "no folder":
        shutil.rmtree(folder)
    else:
        config.write_text({"config is text": "network: clip", "config is a list": "[1]"}[fault])


def test_reading_says_nothing_on_the_terminal(checkpoint, capfd):
    family, folder = checkpoint
    FAMILIES[family].from_folder(folder, 28, 28)
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
