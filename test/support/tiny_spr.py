"""SPR-Mamba small enough for tests, with heads as lively as trained ones."""

from __future__ import annotations

from typing import Any

import torch

from reloc_ros.networks.frame_encoder import FrameConfig, FrameEncoder
from reloc_ros.networks.frame_pair import PairConfig
from reloc_ros.networks.mamba import MambaConfig
from reloc_ros.networks.spr_mamba import SprMamba, SprMambaConfig, SprModel
from reloc_ros.networks.token_encoders import create_scratch_encoder

FRAME = FrameConfig(rows=2, columns=8, channels=4, summary=6)
VARIANTS: dict[str, dict[str, Any]] = {
    "dual": {},
    "dual, previous frame only": {"compare_first": False},
    "dual, no odometer": {"odometer": False},
    "global": {"branches": "global", "odometer": False},
    "local": {"branches": "local", "compare_first": False},
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
