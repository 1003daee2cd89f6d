"""Training of SPR-Mamba: where each frame of a sequence is relative to the first, behind a frozen frame encoder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from reloc_ros.cameras.canvas import Canvas
from reloc_ros.errors import ConfigError
from reloc_ros.networks.frame_pair import PairConfig
from reloc_ros.networks.spr_mamba import SprMamba, SprModel, SprPoses, describe_network
from reloc_ros.training import checkpoint
from reloc_ros.training.config import SprMambaTrainConfig
from reloc_ros.training.differentiable import rotation_angle_rad
from reloc_ros.training.distributed import World
from reloc_ros.training.judge_walks import judge_walks
from reloc_ros.training.motion_encoder import MotionNetwork, load_motion_encoder
from reloc_ros.training.sequence_features import open_sequence_features
from reloc_ros.training.sequence_material import read_sequences
from reloc_ros.training.task import Verdict
from reloc_ros.training.walks import WalkBatch, Walks

# A camera that looks ahead errs sideways by as much as two metres away things are displaced.
_ROTATION_M = 2.0
# Single steps are short, and so are their errors.
_INTER_FRAME = 5.0
_SCALES = 0.1


class SprMambaTask:
    """Poses relative to the first frame; see `reloc_ros.training.task.Task`."""

    def __init__(self, data: Sequence[str], out: Path, config: SprMambaTrainConfig, world: World) -> None:
        self._config, self._world = config, world
        motion, content = _load_encoder(config)
        height, width = content["input"]
        self.material = read_sequences(data, out, config, config.sequences, Canvas(width, height), world)
        self.network = _create_network(motion, PairConfig(**content["pair"]), config).to(world.device)
        folder = Path(config.sequences.folder or out)
        self._features = open_sequence_features(self.network.encoder, self.material.canvases, folder, world)
        self._walks = Walks(self.material, self._features, self.network.encoder.config, config)
        self.step_images: float = config.batch_size * config.walks.frames / 2

    def trained_part(self, network: nn.Module) -> nn.Module:
        """Return what follows the frozen frame encoder."""
        return cast("SprModel", network).sequence

    def batches(self, first_step: int) -> Iterable[WalkBatch]:
        """Return random ways through the training sequences."""
        return self._walks.batches(first_step, self._world.rank)

    def loss(self, forward: Callable[..., Any], batch: WalkBatch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the mean errors of all frames, metres and radians, of single steps, and what the scales misjudge.

        Ways grow longer as the training goes on. The scales learn from errors that they do not change: Laplace's
        negative logarithm of the likelihood of their sizes.
        """
        walks = self._config.walks
        share = min(1.0, progress / walks.growth)
        batch = batch.shortened(round(walks.first_frames + share * (walks.frames - walks.first_frames)))
        found: SprPoses = forward(batch.features, batch.mask)
        # A first frame is the origin, there is nothing to find.
        there = batch.mask.clone()
        there[:, 0] = False
        error_m = (found.translation - batch.translation)[there].norm(dim=-1)
        error_rad = rotation_angle_rad(found.rotation[there], batch.rotation[there])
        errors = torch.stack([error_m, error_rad], dim=-1).detach()
        log_scale = found.log_scale[there]
        parts = {
            "translation": error_m.mean(),
            "rotation": error_rad.mean(),
            "scales": (errors * torch.exp(-log_scale) + log_scale).mean(),
        }
        total = parts["translation"] + _ROTATION_M * parts["rotation"] + _SCALES * parts["scales"]
        if self._config.network.branches != "global":
            parts |= _step_errors(found, batch, there)
            total = total + _INTER_FRAME * (parts["step_translation"] + _ROTATION_M * parts["step_rotation"])
        return total, parts

    def validate(self, network: nn.Module) -> Verdict:
        """Follow the held-out sequences from their first frames, in each field of view."""
        return judge_walks(
            cast("SprModel", network).sequence, self.material, self._features, self._config, self._world.device
        )

    def describe(self, network: nn.Module) -> dict[str, Any]:
        """Return configurations and weights of the frame encoder and of what follows."""
        return describe_network(cast("SprModel", network))


def _step_errors(found: SprPoses, batch: WalkBatch, there: Tensor) -> dict[str, Tensor]:
    """Return the mean errors of the inter-frame poses."""
    before = batch.rotation[:, :-1].transpose(-1, -2)
    translation = (before @ (batch.translation[:, 1:] - batch.translation[:, :-1]).unsqueeze(-1)).squeeze(-1)
    rotation = before @ batch.rotation[:, 1:]
    counted = there[:, 1:]
    return {
        "step_translation": (found.inter_translation[:, 1:] - translation)[counted].norm(dim=-1).mean(),
        "step_rotation": rotation_angle_rad(found.inter_rotation[:, 1:][counted], rotation[counted]).mean(),
    }


def _load_encoder(config: SprMambaTrainConfig) -> tuple[MotionNetwork, dict[str, Any]]:
    """Return the trained frame encoder with its local branch, and what its checkpoint says."""
    if config.encoder.weights is None or not config.encoder.frozen:
        raise ConfigError(
            f"encoder is {config.encoder}; SPR-Mamba is trained behind a frozen frame encoder: run `reloc train "
            "motion_encoder` first and give encoder: {weights: its run folder, frozen: true}"
        )
    motion, content = load_motion_encoder(config.encoder.weights)
    if motion.encoder.config != config.frame or config.encoder.kind != content["encoder"]["tokens"]["kind"]:
        raise ConfigError(
            f"encoder.kind and frame are {config.encoder.kind} and {config.frame}, the run {config.encoder.weights} has "
            f"{content['encoder']}; make them agree"
        )
    return motion, content


def _create_network(motion: MotionNetwork, trained: PairConfig, config: SprMambaTrainConfig) -> SprModel:
    """Return a network that starts where a run says, or as the visual odometry of the motion encoder."""
    if config.initial is not None:
        network, _ = checkpoint.load_trained(config.initial, config.method)
        return cast("SprModel", network)
    sequence = SprMamba(motion.encoder.config, config.network)
    if trained == config.network.pair:
        if sequence.local is not None:
            sequence.local.load_state_dict(motion.local.state_dict())
        # Comparing with the first frame is like comparing with the one before, only that more has changed.
        if sequence.first is not None:
            sequence.first.load_state_dict(motion.local.pair.state_dict())
    return SprModel(motion.encoder, sequence)
