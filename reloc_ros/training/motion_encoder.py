"""Training of SPR-Mamba's frame encoder with its local branch: the motion between frames that lie near each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from reloc_ros.cameras.canvas import Canvas, narrowed
from reloc_ros.errors import ConfigError, TrainingError
from reloc_ros.geometry import rotation, se3
from reloc_ros.networks.frame_encoder import FrameEncoder, frame_encoder_from
from reloc_ros.networks.frame_pair import LocalBranch, LocalMotion, PairConfig
from reloc_ros.networks.restore import restore
from reloc_ros.networks.token_encoders import create_token_encoder, step_px
from reloc_ros.training import checkpoint
from reloc_ros.training.augment import random_light
from reloc_ros.training.config import MotionEncoderConfig
from reloc_ros.training.differentiable import rotation_angle_rad
from reloc_ros.training.distributed import World
from reloc_ros.training.motion_pairs import PairBatch, pair_batches
from reloc_ros.training.sequence_config import FIELDS_OF_VIEW_DEG
from reloc_ros.training.sequence_material import RecordedSequence, keyframes, read_sequences
from reloc_ros.training.task import Verdict

# A chain of steps of 0.25 m loses as much by a radian too much in each as by so many metres.
_ROTATION_M = 2.0
# Held-out steps as a robot's keyframes would make them.
_STEP_M, _STEP_RAD = 0.25, np.radians(15.0)
_JUDGED_SEQUENCES, _JUDGED_STEPS = 16, 40


class MotionNetwork(nn.Module):
    """Frame encoder and local branch."""

    def __init__(self, encoder: FrameEncoder, local: LocalBranch) -> None:
        super().__init__()
        self.encoder, self.local = encoder, local

    def forward(self, canvases: Tensor, before: Tensor, after: Tensor) -> LocalMotion:
        """Return the motions between pairs of canvases.

        Args:
            canvases: (B, H, W, 4) uint8 or 0..255.
            before: (P,) index of the first canvas of each pair.
            after: (P,) index of the second one.
        """
        features = self.encoder(canvases)
        motion: LocalMotion = self.local(features[before], features[after])
        return motion


class MotionEncoderTask:
    """Motion between near frames; see `reloc_ros.training.task.Task`."""

    def __init__(self, data: Sequence[str], out: Path, config: MotionEncoderConfig, world: World) -> None:
        self._config, self._world = config, world
        width, height = config.input.size_for(2, 1, step_px(config.encoder))
        self.material = read_sequences(data, out, config, config.sequences, Canvas(width, height), world)
        self.network = _create_network(config, height, width).to(world.device)
        if config.encoder.frozen:
            self.network.encoder.tokens.requires_grad_(requires_grad=False)
        self.step_images: float = config.batch_size

    def trained_part(self, network: nn.Module) -> nn.Module:
        """Return all of the network."""
        return network

    def batches(self, first_step: int) -> Iterable[PairBatch]:
        """Return groups of frames of the training sequences in random views."""
        return pair_batches(self.material, self._config, first_step=first_step, rank=self._world.rank)

    def loss(
        self,
        forward: Callable[..., Any],
        batch: PairBatch,
        progress: float,  # noqa: ARG002 (motions have no schedule)
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the mean errors of the motions, metres and radians."""
        lit = random_light(batch.canvases[..., :3], self._config.augment)
        found = forward(torch.cat([lit, batch.canvases[..., 3:].to(lit)], dim=-1), batch.before, batch.after)
        parts = {
            "translation": (found.translation - batch.translation).norm(dim=-1).mean(),
            "rotation": rotation_angle_rad(found.rotation, batch.rotation).mean(),
        }
        return parts["translation"] + _ROTATION_M * parts["rotation"], parts

    def validate(self, network: nn.Module) -> Verdict:
        """Follow keyframes of held-out sequences step by step, in each field of view."""
        places = np.linspace(0, len(self.material.val) - 1, min(_JUDGED_SEQUENCES, len(self.material.val))).astype(int)
        figures = {
            f"{fov_deg:.0f}deg": self._follow(network, [self.material.val[place] for place in places], fov_deg)
            for fov_deg in FIELDS_OF_VIEW_DEG
        }
        full = figures[f"{FIELDS_OF_VIEW_DEG[0]:.0f}deg"]
        return Verdict(
            headline=(
                f"step {full['translation_error_m']:.3f} m / {full['rotation_error_deg']:.2f} deg, "
                f"drift {100 * full['drift']:.1f} %"
            ),
            summary={**full, "fields_of_view": figures},
            score=float(
                np.mean([f["translation_error_m"] + np.radians(f["rotation_error_deg"]) for f in figures.values()])
            ),
            serving={},
        )

    def _follow(self, network: nn.Module, sequences: Sequence[RecordedSequence], fov_deg: float) -> dict[str, float]:
        """Return median errors of single steps, the median true step, and the drift for each metre travelled."""
        steps_m, errors_m, errors_deg, drifts = [], [], [], []
        for sequence in sequences:
            frames = keyframes(sequence.T_first_camera, _STEP_M, _STEP_RAD, most=_JUDGED_STEPS)
            if len(frames) < 2:
                continue
            canvases = narrowed(self.material.canvases[sequence.first + np.array(frames)], fov_deg)
            before = torch.arange(len(frames) - 1)
            with torch.inference_mode():
                found = network(torch.from_numpy(canvases).to(self._world.device), before, before + 1)
            T_found = se3.from_rotation_translation(
                found.rotation.double().cpu().numpy(), found.translation.double().cpu().numpy()
            )
            T_true = se3.inverse(sequence.T_first_camera[frames[:-1]]) @ sequence.T_first_camera[frames[1:]]
            steps_m.append(np.linalg.norm(T_true[:, :3, 3], axis=1))
            errors_m.append(np.linalg.norm(T_found[:, :3, 3] - T_true[:, :3, 3], axis=1))
            errors_deg.append(np.degrees(rotation.angle_between_rad(T_found[:, :3, :3], T_true[:, :3, :3])))
            T_first_last = np.eye(4)
            for T in T_found:
                T_first_last = T_first_last @ T
            missed_m = np.linalg.norm(T_first_last[:3, 3] - sequence.T_first_camera[frames[-1], :3, 3])
            drifts.append(missed_m / max(sequence.travelled_m[frames[-1]], _STEP_M))
        if not errors_m:
            raise TrainingError(f"no held-out sequence moves {_STEP_M:g} m; longer sequences are needed")
        return {
            "step_m": float(np.median(np.concatenate(steps_m))),
            "translation_error_m": float(np.median(np.concatenate(errors_m))),
            "rotation_error_deg": float(np.median(np.concatenate(errors_deg))),
            "drift": float(np.median(drifts)),
        }

    def describe(self, network: nn.Module) -> dict[str, Any]:
        """Return configurations and weights of the encoder and the local branch."""
        motion = cast("MotionNetwork", network)
        return {
            "encoder": motion.encoder.describe(),
            "pair": asdict(self._config.pair),
            "network": motion.state_dict(),
        }


def _create_network(config: MotionEncoderConfig, height: int, width: int) -> MotionNetwork:
    if config.initial is not None:
        network, content = load_motion_encoder(config.initial)
        if content["pair"] != asdict(config.pair) or network.encoder.config != config.frame:
            raise ConfigError(
                f"initial {config.initial} has frame {network.encoder.config} and pair {content['pair']}, this run has "
                f"{config.frame} and {config.pair}; make them agree"
            )
        return network
    tokens = create_token_encoder(config.encoder, height, width)
    return MotionNetwork(FrameEncoder(tokens, config.frame), LocalBranch(config.frame, config.pair))


def load_motion_encoder(run: str | Path) -> tuple[MotionNetwork, dict[str, Any]]:
    """Return the best network of a run of `reloc train motion_encoder`, and all its checkpoint says.

    Raises:
        TrainingError: there is none.
    """
    path = Path(run)
    content = checkpoint.load(path / checkpoint.BEST if path.is_dir() else path)
    if content.get("method") != MotionEncoderConfig.method:
        raise TrainingError(f"{path} holds a run of {content.get('method')}; give one of `reloc train motion_encoder`")
    encoder = frame_encoder_from(content["encoder"])
    network = MotionNetwork(encoder, LocalBranch(encoder.config, PairConfig(**content["pair"])))
    return restore(network, content["network"]), content
