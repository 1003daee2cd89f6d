"""Bundles of networks with random weights: what they take of time and memory is that of trained ones."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from reloc_ros.bundle.load import Bundle, write_bundle
from reloc_ros.export.bundle_run import manifest_of, write_graphs
from reloc_ros.export.onnx import write_onnx
from reloc_ros.networks.table import NETWORKS
from reloc_ros.training.config import config_from_dict, config_to_dict

_SCENES = 4
"""As many as an untrained `mvl_loc` has."""

# What is trained by default, on a CPU.
METHODS: dict[str, dict[str, Any]] = {
    "implicit_geometry": {},
    "dimm": {},
    "mvl_loc": {
        "encoder": {"kind": "patch_transformer_small"},
        "decoder": {"width": 192, "heads": 4, "feedforward": 512, "layers": 4},
    },
    "spr_mamba": {},
}
SIZES = {"spr_mamba": (256, 128)}
"""Width and height of the image, where they are not 256x192."""

_SCENE = {
    "map_bounds": {"min_m": [-5.0, -5.0, 0.0], "max_m": [5.0, 5.0, 3.0]},
    "gate": {"max_position_std_m": 10.0, "max_rotation_std_rad": 3.0, "bounds_margin_m": 10.0},
    "covariance": {
        "position_scale": 1.0, "rotation_scale": 1.0, "position_floor_m": 0.01, "rotation_floor_rad": 0.01,
    },
    "description": "",
}  # fmt: skip
_SOLVE = {
    "implicit_geometry": {
        "angle_std_rad": 0.05, "range_std_log": 0.1, "min_inlier_ratio": 0.2, "min_conditioning": 0.01,
    },
    "dimm": {
        "centre_x_m": 0.0, "centre_y_m": 0.0, "centre_z_m": 0.0, "direction_std_rad": 0.1, "moment_std_m": 0.1,
        "hypotheses": 64, "seed": 0, "min_inlier_ratio": 0.2,
    },
    "mvl_loc": {"min_scene_probability": 0.5, "min_position_std_m": 0.1, "min_rotation_std_rad": 0.05},
}  # fmt: skip
_SEQUENCE = {
    "keyframe_translation_m": 0.25,
    "keyframe_rotation_rad": 0.3,
    "trained_distance_m": 20.0,
    "trained_frames": 64,
    "heights_m": [1.0],
}


@dataclass(frozen=True, kw_only=True)
class Untrained:
    """A bundle of random weights, and those weights for torch."""

    bundle: Bundle
    checkpoint: Path
    network: nn.Module


def write_untrained_bundle(
    method: str, folder: Path, size: tuple[int, int] | None = None, settings: Mapping[str, Any] | None = None
) -> Untrained:
    """Write a bundle of a method's network with random weights.

    Args:
        method: key of `METHODS`.
        folder: to write `bundle` and `checkpoint.pt` into.
        size: width and height of the image, pixels; None is the usual one.
        settings: of the training configuration; None is the usual one.
    """
    width, height = size or SIZES.get(method, (256, 192))
    given = METHODS[method] if settings is None else dict(settings)
    config = config_to_dict(config_from_dict(method, {**given, "input": {"width": width, "height": height}}))
    torch.manual_seed(0)
    content = NETWORKS[method].untrained(config)
    network = NETWORKS[method].from_checkpoint(content)
    names = [f"scene {i}" for i in range(_SCENES if method == "mvl_loc" else 1)]
    grid = dict(zip(("rows", "columns"), _grid(network, height, width), strict=True)) if method in _SOLVE else {}
    is_sequence = method not in _SOLVE
    serving = {
        "solve": {**grid, **_SOLVE.get(method, {})},
        "scenes": [{"name": name, **_SCENE} for name in names],
        "assumption": {
            "model": "any" if is_sequence else "pinhole",
            "horizontal_fov_deg_min": 60.0,
            "horizontal_fov_deg_max": 360.0 if is_sequence else 90.0,
        },
        "sequence": _SEQUENCE,
        "metrics": {},
    }
    provenance = {"data": ["none"], "ground_truth": "none", "untrained": True}
    run = {"input": [height, width], "method": method, "serving": serving, "provenance": provenance, "images": {}}
    manifest = manifest_of(
        network, {**content, **run, "step": 0, "seconds": 0.0, "train_config": config}, dict.fromkeys(names, "map")
    )
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(content, folder / "checkpoint.pt")
    with tempfile.TemporaryDirectory() as scratch:
        bundle = write_bundle(folder / "bundle", manifest, write_graphs(network, manifest, Path(scratch)))
    return Untrained(bundle=bundle, checkpoint=folder / "checkpoint.pt", network=network)


def write_batched(untrained: Untrained, batch: int, path: Path) -> None:
    """Write the graph once more, for several images at a time; robots run one, this is to know what a GPU is worth."""
    inputs = {
        name: torch.from_numpy(np.zeros((batch * shape[0], *shape[1:]), dtype))
        for name, (shape, dtype) in untrained.bundle.manifest.inputs.items()
    }
    write_onnx(untrained.network, inputs, untrained.bundle.manifest.outputs, path)


def _grid(network: nn.Module, height: int, width: int) -> tuple[int, int]:
    """Return rows and columns of the cells that a network divides an image into."""
    has_grid = network.config if hasattr(network, "config") and hasattr(network.config, "grid") else network.encoder
    rows, columns = has_grid.grid(height, width)
    return int(rows), int(columns)
