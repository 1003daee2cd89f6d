"""MobileNetV3 has torchvision's parameters, name by name; wrong checkpoints are refused."""

from __future__ import annotations

import pytest
import torch

from reloc_ros.errors import ConfigError
from reloc_ros.networks.encoders import ENCODERS, create_encoder

# Parameters of torchvision's published models without their classifiers (5 483 032 and 2 542 856 in all).
BACKBONE_PARAMETERS = {"mobilenet_v3_large": 2_971_952, "mobilenet_v3_small": 927_008}
# Names and shapes as they stand in torchvision's ImageNet checkpoints.
KNOWN_SHAPES = {
    "mobilenet_v3_large": {
        "features.0.0.weight": (16, 3, 3, 3),
        "features.1.block.0.0.weight": (16, 1, 3, 3),
        "features.1.block.1.0.weight": (16, 16, 1, 1),
        "features.4.block.2.fc1.weight": (24, 72, 1, 1),
        "features.4.block.2.fc2.bias": (72,),
        "features.13.block.1.0.weight": (672, 1, 5, 5),
        "features.15.block.2.fc1.weight": (240, 960, 1, 1),
        "features.16.1.running_var": (960,),
    },
    "mobilenet_v3_small": {
        "features.1.block.1.fc1.weight": (8, 16, 1, 1),
        "features.1.block.2.0.weight": (16, 16, 1, 1),
        "features.4.block.1.0.weight": (96, 1, 5, 5),
        "features.9.block.2.fc1.weight": (72, 288, 1, 1),
        "features.12.0.weight": (576, 96, 1, 1),
    },
}


@pytest.mark.parametrize("name", KNOWN_SHAPES)
def test_mobilenet_has_torchvisions_parameters(name):
    encoder = create_encoder(name)
    state = encoder.state_dict()
    assert {key: tuple(state[key].shape) for key in KNOWN_SHAPES[name]} == KNOWN_SHAPES[name]
    assert sum(parameter.numel() for parameter in encoder.parameters()) == BACKBONE_PARAMETERS[name]


@pytest.mark.parametrize("name", ENCODERS)
def test_maps_have_strides_8_16_32_and_the_announced_channels(name):
    encoder = create_encoder(name).eval()
    maps = encoder(torch.zeros(1, 3, 64, 96))
    assert [tuple(values.shape[1:]) for values in maps] == [
        (channels, 64 // stride, 96 // stride) for channels, stride in zip(encoder.channels, (8, 16, 32))
    ]


def test_a_torchvision_checkpoint_loads_without_its_classifier(tmp_path):
    torch.manual_seed(5)
    state = create_encoder("mobilenet_v3_small").state_dict()
    path = tmp_path / "mobilenet_v3_small-imagenet.pth"
    torch.save({**state, "classifier.0.weight": torch.zeros(1024, 576), "classifier.3.bias": torch.zeros(1000)}, path)
    loaded = create_encoder("mobilenet_v3_small", str(path)).state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in state.items())


@pytest.mark.parametrize("fault", ["missing file", "missing parameter", "unknown parameter", "other network", "text"])
def test_a_wrong_checkpoint_is_refused(tmp_path, fault):
    path = tmp_path / "weights.pth"
    state = create_encoder("mobilenet_v3_small").state_dict()
    if fault == "missing parameter":
        del state["features.3.block.0.0.weight"]
    elif fault == "unknown parameter":
        state["features.99.weight"] = torch.zeros(1)
    elif fault == "other network":
        state = create_encoder("mobilenet_v3_large").state_dict()
    if fault == "text":
        path.write_text("not a checkpoint", encoding="utf-8")
    elif fault != "missing file":
        torch.save(state, path)
    with pytest.raises(ConfigError, match=r"weights\.pth"):
        create_encoder("mobilenet_v3_small", str(path))


def test_an_unknown_encoder_is_refused_with_the_choices():
    with pytest.raises(ConfigError, match="mobilenet_v3_large"):
        create_encoder("resnet50")
