"""Training configurations: what is named changes, what is unknown or out of range is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from reloc_ros.cli.train import METHODS
from reloc_ros.errors import ConfigError
from reloc_ros.networks.table import NETWORKS
from reloc_ros.training.config import (
    CONFIGS,
    ImplicitGeometryConfig,
    config_from_dict,
    config_to_dict,
    read_config,
)
from reloc_ros.training.image_config import InputConfig
from reloc_ros.training.tasks import TASKS

CHECKOUT = Path(__file__).parents[2]


@pytest.mark.parametrize("path", sorted((CHECKOUT / "config" / "train").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_configurations_are_valid(path):
    method = path.stem if path.stem in CONFIGS else "implicit_geometry"
    assert type(read_config(method, path)) is CONFIGS[method]


def test_a_file_changes_what_it_names_and_arguments_win(tmp_path):
    path = tmp_path / "train.yaml"
    path.write_text(
        "max_minutes: 7\nloss: {reprojection: 3}\nnetwork: {encoder: mobilenet_v3_large}\n", encoding="utf-8"
    )
    config = read_config("implicit_geometry", path, max_minutes=2.5, initial=None)
    assert (config.max_minutes, config.loss.reprojection, config.loss.consistency) == (
        2.5,
        3.0,
        ImplicitGeometryConfig().loss.consistency,
    )
    assert config.network.encoder == "mobilenet_v3_large"
    assert config_from_dict("implicit_geometry", config_to_dict(config)) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_minute: 3", "max_minute is unknown"),
        ("loss: {repro: 3}", r"loss\.repro is unknown"),
        ("batch_size: 1", "batch_size is 1"),
        ("batch_size: many", "batch_size is 'many'"),
        ("input: {width: 40, height: 192}", r"input\.width is 40"),
        ("input: {width: 256}", "only one of"),
        ("labels: position", "without initial"),
        ("precision: int8", "precision is 'int8'"),
        ("network: {stride: 5}", "stride is 5"),
        ("split: {val_fraction: 0.9}", "val_fraction is 0.9"),
        ("- a list", "expected keys and values"),
        ("max_minutes: [", "cannot be read"),
    ],
)
def test_nonsense_is_refused_with_the_file_and_the_key(tmp_path, text, message):
    path = tmp_path / "train.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message) as caught:
        read_config("implicit_geometry", path)
    assert "train.yaml" in str(caught.value)


@pytest.mark.parametrize(
    ("image", "expected"),
    [((640, 480), (256, 192)), ((540, 960), (160, 288)), ((512, 256), (320, 160)), ((1920, 960), (320, 160))],
)
def test_the_networks_image_follows_the_shape_of_the_data(image, expected):
    assert InputConfig().size_for(*image, 32) == expected
    assert InputConfig(width=320, height=256).size_for(*image, 32) == (320, 256)


def test_sides_follow_the_encoders_step():
    assert InputConfig().size_for(640, 480, 14) == (266, 196)
    with pytest.raises(ConfigError, match=r"input\.height is 192; expected a multiple of 14"):
        InputConfig(width=252, height=192).size_for(640, 480, 14)


@pytest.mark.parametrize("method", CONFIGS)
def test_every_methods_defaults_survive_the_way_to_a_file(method):
    config = config_from_dict(method, {})
    assert config_from_dict(method, config_to_dict(config)) == config


def test_what_can_be_configured_can_be_trained_and_asked_for():
    assert set(METHODS) == set(CONFIGS) == set(TASKS)
    # Encoders are trained, but do not localize by themselves.
    assert set(NETWORKS) == set(CONFIGS) - {"encoder", "motion_encoder"}
