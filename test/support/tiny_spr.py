"""SPR-Mamba small enough for tests, with heads as lively as trained ones."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch

from reloc_ros.bundle.load import Bundle
from reloc_ros.export.bundle_run import export_run
from reloc_ros.export.parity import Parity
from reloc_ros.networks.frame_encoder import FrameConfig, FrameEncoder
from reloc_ros.networks.frame_pair import PairConfig
from reloc_ros.networks.mamba import MambaConfig
from reloc_ros.networks.spr_mamba import SprMamba, SprMambaConfig, SprModel, describe_network
from reloc_ros.networks.token_encoders import create_scratch_encoder
from reloc_ros.training import checkpoint

FRAME = FrameConfig(rows=2, columns=8, channels=4, summary=6)
VARIANTS: dict[str, dict[str, Any]] = {
    "dual": {},
    "dual, previous frame only": {"compare_first": False},
    "dual, no odometer": {"odometer": False},
    "global": {"branches": "global", "odometer": False},
    "local": {"branches": "local", "compare_first": False},
}

TRAINED = {
    "keyframe_translation_m": 0.25,
    "keyframe_rotation_rad": 0.3,
    "trained_distance_m": 12.0,
    "trained_frames": 48,
    "heights_m": [0.1, 1.7],
}
SCENE = {
    "name": "spr_origin",
    "map_bounds": {"min_m": [-12.0, -2.0, -12.0], "max_m": [12.0, 2.0, 12.0]},
    "gate": {"max_position_std_m": 3.0, "max_rotation_std_rad": 0.5, "bounds_margin_m": 5.0},
    "covariance": {
        "position_scale": 1.0,
        "rotation_scale": 1.0,
        "position_floor_m": 0.01,
        "rotation_floor_rad": 0.01,
    },
    "description": "",
}


def tiny_config(**changes: Any) -> SprMambaConfig:
    """Return a small configuration, with fields changed."""
    mamba = MambaConfig(d_model=16, d_state=4, layers=2)
    pair = PairConfig(shifts=3, column=4, hidden=16, embedding=12)
    return SprMambaConfig(**{"mamba": mamba, "pair": pair, "hidden": 16, **changes})


def tiny_sequence_network(frame: FrameConfig = FRAME, seed: int = 0, **changes: Any) -> SprMamba:
    """Return a random sequence network whose heads are not zero, as they are before training."""
    torch.manual_seed(seed)
    network = SprMamba(frame, tiny_config(**changes)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.normal_(std=0.02)
    return network


def tiny_model(**changes: Any) -> SprModel:
    """Return a random network from canvases of 64x32 px to poses."""
    network = tiny_sequence_network(**changes)
    return SprModel(FrameEncoder(create_scratch_encoder("panorama_conv_tiny"), FRAME), network).eval()


def write_run(folder: Path, model: SprModel, **serving: Any) -> Path:
    """Write the checkpoint that a training run of a model leaves."""
    folder.mkdir(exist_ok=True)
    content = {
        **describe_network(model),
        "method": "spr_mamba",
        "input": [32, 64],
        "serving": {
            "sequence": TRAINED,
            "assumption": {"model": "any", "horizontal_fov_deg_min": 60.0, "horizontal_fov_deg_max": 360.0},
            "solve": {},
            "scenes": [SCENE],
            "metrics": {"translation_m_at_10m": 0.9},
            **serving,
        },
        "provenance": {"data": ["panorama_sequences:worlds"], "ground_truth": "rendered"},
        "images": {"train": 90, "val": 10},
        "step": 7,
        "seconds": 1.25,
        "train_config": {"sequences": {"folder": None}},
    }
    checkpoint.save(folder / checkpoint.BEST, content)
    return folder


@functools.cache
def exported_model() -> SprModel:
    """Return the network of `exported_run`: it walks some metres in two thousand random frames."""
    return tiny_model(seed=2)


@functools.cache
def exported_run() -> tuple[Bundle, Parity]:
    """Return a bundle that every test of this process shares, since it takes seconds to make; leave it as it is."""
    folder = Path(tempfile.mkdtemp(prefix="tiny_spr_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return export_run(write_run(folder / "run", exported_model()), folder / "bundle")
