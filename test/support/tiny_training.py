"""Training configurations small enough for a test, and the process that trains alone."""

from __future__ import annotations

import torch

from reloc_ros.training.distributed import World

ALONE = World(rank=0, size=1, device=torch.device("cpu"))
COMMON = {
    "input": {"width": 64, "height": 64},
    "batch_size": 8,
    "learning_rate": 5e-3,
    "augment": {"rotation_deg": 5.0, "log_zoom": 0.1, "erase": 0.0},
    "precision": "float32",
    # The learning rate then follows the steps alone, whatever the machine.
    "max_minutes": 1e15,
    "validate_every_minutes": 1e15,
}
IMPLICIT_GEOMETRY = {
    **COMMON,
    "network": {
        "encoder": "patch_conv_tiny",
        "stride": 16,
        "neck_channels": 32,
        "head_channels": 32,
        "context_dropout": 0.0,
    },
}
ENCODER = {**COMMON, "encoder": {"kind": "patch_transformer_tiny"}}
DIMM = {**COMMON, "encoder": {"kind": "patch_transformer_tiny"}, "head": {"embedding": 64, "mappers": 2}, "rays": 512}
