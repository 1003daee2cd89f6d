"""SPR-Mamba: the pose of each frame of a sequence relative to its first (arXiv 2503.19543), in one pass or frame by frame.

A local branch sees what changed since the frame before; a global branch, Mamba blocks, remembers all the frames so far;
both together say where the newest frame is, in the axes of the first. Ours where the paper chains nothing: an odometer,
the product of the local branch's inter-frame poses, is part of the state, the global branch is shown it, and the heads
correct it: its heading, and the scale and direction of the way. Training starts at visual odometry and learns to take away
its drift. Each frame may also be compared with the first one directly, turned back by the odometer's heading, which has no
drift for as long as both see the same things.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from reloc_ros.errors import ConfigError
from reloc_ros.networks.frame_encoder import FrameConfig, FrameEncoder, frame_encoder_from
from reloc_ros.networks.frame_pair import FramePair, LocalBranch, LocalMotion, PairConfig
from reloc_ros.networks.global_branch import GlobalBranch
from reloc_ros.networks.mamba import MambaConfig
from reloc_ros.networks.pose_head import compose, rotation_from_6d
from reloc_ros.networks.restore import restore
from reloc_ros.networks.token_encoders import create_scratch_encoder
from reloc_ros.networks.turn_back import TurnBack

BRANCHES = ("dual", "global", "local")
# Of what the tensors of the state mean; raised when that changes.
STATE_VERSION = 1
# Metres: translations enter and leave the perceptrons in this unit.
_UNIT_M = 5.0
# Limits of the logarithms of the errors, m and rad: a first frame is as sure as can be, and no frame is ever less than lost.
_SURE, _LOST = -6.0, 4.0

State = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class SprMambaConfig:
    """Shape of the sequence network.

    Args:
        mamba: blocks of the global branch.
        pair: comparison of a frame with the one before, and with the first.
        hidden: width of the perceptrons round the blocks.
        branches: `dual`, or `global` without the local branch, or `local`: inter-frame poses chained, nothing else.
        odometer: the heads correct the chained inter-frame poses; else they give the pose outright, as in the paper.
        compare_first: also compare each frame with the first, turned back by the odometer's heading if there is one.
    """

    mamba: MambaConfig = field(default_factory=MambaConfig)
    pair: PairConfig = field(default_factory=PairConfig)
    hidden: int = 256
    branches: str = "dual"
    odometer: bool = True
    compare_first: bool = True

    def __post_init__(self) -> None:
        if self.branches not in BRANCHES:
            raise ConfigError(f"network.branches is {self.branches!r}; choose one of {', '.join(BRANCHES)}")
        if self.branches == "global" and self.odometer:
            raise ConfigError(
                "network.odometer is true with branches global, which has no inter-frame poses to chain; set it to false"
            )
        if self.branches == "local" and not (self.odometer and not self.compare_first):
            raise ConfigError(
                f"network.branches is local with odometer {self.odometer} and compare_first {self.compare_first}; that "
                "variant chains inter-frame poses and does nothing else: set odometer to true, compare_first to false"
            )
        if self.hidden < 1:
            raise ConfigError(f"network.hidden is {self.hidden}; expected 1 or more")


class SprPoses(NamedTuple):
    """Where frames are, and how they moved; (...) is (B, T) of whole sequences and (B,) of single frames.

    Args:
        translation: (..., 3) metres, in the axes of the first frame.
        rotation: (..., 3, 3), R_first_frame.
        log_scale: (..., 2) logarithms of the scales of the errors (Laplace): metres and radians.
        inter_translation: (..., 3) metres, from the frame before, in its axes.
        inter_rotation: (..., 3, 3), R_before_frame.
    """

    translation: Tensor
    rotation: Tensor
    log_scale: Tensor
    inter_translation: Tensor
    inter_rotation: Tensor


OUTPUT_NAMES = ("translation_first_m", "rotation_first", "log_scale", "inter_translation_m", "inter_rotation")


class SprMamba(nn.Module):
    """Features of a sequence to poses relative to its first frame.

    Args:
        frame: layout of the features.
        config: shape.
    """

    def __init__(self, frame: FrameConfig, config: SprMambaConfig) -> None:
        super().__init__()
        self.frame, self.config = frame, config
        embedding = config.pair.embedding
        self.local = None if config.branches == "global" else LocalBranch(frame, config.pair)
        self.first = FramePair(frame, config.pair) if config.compare_first else None
        shown = embedding * (self.local is not None) + embedding * config.compare_first + 12 * config.odometer
        chained_only = config.branches == "local"
        self.memory = None if chained_only else GlobalBranch(frame.size, shown, config.hidden, config.mamba)
        remembered = 0 if chained_only else config.mamba.d_model
        self.turn_back = TurnBack(frame) if config.compare_first and config.odometer else None
        outputs = 2 if chained_only else 18 if config.odometer else 11
        self.head = nn.Sequential(
            nn.Linear(remembered + shown, config.hidden), nn.GELU(), nn.Linear(config.hidden, outputs)
        )
        for parameter in self.head[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, features: Tensor, mask: Tensor | None = None) -> SprPoses:
        """Return the poses of all frames of sequences, each from what was seen up to it.

        Args:
            features: (B, T, F).
            mask: (B, T), true for frames that are there; a sequence's come first, what follows means nothing.
        """
        if mask is not None:
            features = features * mask.unsqueeze(-1)
        before = torch.cat([features[:, :1], features[:, :-1]], dim=1)
        started = torch.ones_like(features[..., :1])
        started[:, 0] = 0.0
        motion = self._motion(before, features, started)
        odometer = _chain(motion) if motion is not None and self.config.odometer else None
        shown = self._shown(features, features[:, :1].expand_as(features), motion, odometer)
        memory = None if self.memory is None else self.memory(features, shown)
        return self._poses(memory, shown, motion, odometer, started)

    def zero_state(self, batch: int = 1) -> State:
        """Return the state before the first frame: zeros, by name, on the network's device."""
        reference = self.head[0].weight
        return {name: reference.new_zeros(batch, *shape) for name, shape in self.state_shapes().items()}

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the state's tensors, without the batch, by name."""
        config = self.config
        shapes: dict[str, tuple[int, ...]] = {"started": (1,)}
        if self.local is not None:
            shapes["previous"] = (self.frame.size,)
        if self.first is not None:
            shapes["first"] = (self.frame.size,)
        if config.odometer:
            shapes |= {"odometer_translation": (3,), "odometer_turn": (3, 3)}
        if self.memory is not None:
            shapes |= self.memory.state_shapes()
        return shapes

    def step(self, feature: Tensor, state: State) -> tuple[SprPoses, State]:
        """Return the poses of one more frame and the state after it; the same numbers as the pass over all frames.

        Args:
            feature: (B, F).
            state: `zero_state` before the first frame, then what the last step returned.
        """
        started = state["started"]
        before, first = (
            torch.where(started > 0, state[name], feature) if name in state else feature
            for name in ("previous", "first")
        )
        motion = self._motion(before, feature, started)
        following = {"started": torch.ones_like(started), "previous": feature, "first": first}
        odometer = None
        if motion is not None and self.config.odometer:
            identity = torch.eye(3, dtype=feature.dtype, device=feature.device)
            odometer = compose(
                state["odometer_translation"], identity + state["odometer_turn"], motion.translation, motion.rotation
            )
            following |= {"odometer_translation": odometer[0], "odometer_turn": odometer[1] - identity}
        shown = self._shown(feature, first, motion, odometer)
        memory = None
        if self.memory is not None:
            memory, remembered = self.memory.step(feature, shown, state)
            following |= remembered
        poses = self._poses(memory, shown, motion, odometer, started)
        return poses, {name: following[name] for name in state}

    def _motion(self, before: Tensor, after: Tensor, started: Tensor) -> LocalMotion | None:
        """Return the motion between features (..., F); none where `started` (..., 1) is zero."""
        if self.local is None:
            return None
        motion: LocalMotion = self.local(before, after)
        return LocalMotion(motion.embedding, *_from_start(motion.translation, motion.rotation, started))

    def _shown(
        self, features: Tensor, first: Tensor, motion: LocalMotion | None, odometer: tuple[Tensor, Tensor] | None
    ) -> Tensor:
        """Return what blocks and heads are shown of frames besides their own features, (..., S)."""
        tokens = [] if motion is None else [motion.embedding]
        if self.first is not None:
            turned = features if self.turn_back is None or odometer is None else self.turn_back(features, odometer[1])
            tokens.append(self.first(first, turned))
        if odometer is not None:
            translation, rotation = odometer
            tokens += [translation / _UNIT_M, rotation.flatten(-2)]
        return torch.cat(tokens, dim=-1) if tokens else features[..., :0]

    def _poses(
        self,
        memory: Tensor | None,
        shown: Tensor,
        motion: LocalMotion | None,
        odometer: tuple[Tensor, Tensor] | None,
        started: Tensor,
    ) -> SprPoses:
        """Read the poses from what blocks (..., d_model) remember and what is shown."""
        out = self.head(shown if memory is None else torch.cat([memory, shown], dim=-1))
        out = out.to(torch.promote_types(out.dtype, torch.float32))
        with torch.autocast(out.device.type, enabled=False):
            if odometer is None:
                translation, rotation = _UNIT_M * out[..., 2:5], rotation_from_6d(out[..., 5:])
            else:
                translation, rotation = odometer
                if memory is not None:
                    translation, rotation = _corrected(translation, rotation, out[..., 2:])
        translation, rotation = _from_start(translation, rotation, started)
        log_scale = _SURE + started * (out[..., :2].clamp(_SURE, _LOST) - _SURE)
        if motion is None:
            inter = torch.zeros_like(translation), torch.eye(3).to(rotation).expand_as(rotation)
        else:
            inter = motion.translation, motion.rotation
        return SprPoses(translation, rotation, log_scale, *inter)


def _corrected(translation: Tensor, rotation: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
    """Return the odometer's pose with its drift taken out.

    Drift is a wrong scale and a wrong heading first of all: both act on the way as a whole, wherever it leads.

    Args:
        translation: (..., 3) of the odometer.
        rotation: (..., 3, 3) of it.
        out: (..., 16) turn of the rotation (6), turn of the way (6), logarithm of its scale, metres to add (3).
    """
    turn, swing, log_scale, offset = out.split([6, 6, 1, 3], dim=-1)
    swung = (rotation_from_6d(swing) @ translation.unsqueeze(-1)).squeeze(-1)
    return log_scale.exp() * swung + offset, rotation_from_6d(turn) @ rotation


def _from_start(translation: Tensor, rotation: Tensor, started: Tensor) -> tuple[Tensor, Tensor]:
    """Return the poses (..., 3), (..., 3, 3); the identity where `started` (..., 1) is zero."""
    identity = torch.eye(3, dtype=rotation.dtype, device=rotation.device)
    return started * translation, identity + started.unsqueeze(-1) * (rotation - identity)


def _chain(motion: LocalMotion) -> tuple[Tensor, Tensor]:
    """Return the product of all steps up to each, translations (B, T, 3) and rotations (B, T, 3, 3).

    One after the other, as on the robot, so that both round alike.
    """
    with torch.autocast(motion.translation.device.type, enabled=False):
        identity = torch.eye(3).to(motion.rotation).expand_as(motion.rotation[:, 0])
        place = torch.zeros_like(motion.translation[:, 0]), identity
        places = []
        for step in zip(motion.translation.unbind(1), motion.rotation.unbind(1)):
            place = compose(*place, *step)
            places.append(place)
        translations, rotations = zip(*places)
        return torch.stack(translations, dim=1), torch.stack(rotations, dim=1)


class SprModel(nn.Module):
    """Frame encoder and sequence network: what a checkpoint holds and a bundle is made of.

    Args:
        encoder: canvases to features.
        sequence: features to poses.
    """

    def __init__(self, encoder: FrameEncoder, sequence: SprMamba) -> None:
        super().__init__()
        self.encoder, self.sequence = encoder, sequence

    def forward(self, canvases: Tensor, mask: Tensor | None = None) -> SprPoses:
        """Return the poses of sequences of canvases (B, T, H, W, 4); see `SprMamba.forward`."""
        features = self.encoder(canvases.flatten(0, 1)).unflatten(0, canvases.shape[:2])
        poses: SprPoses = self.sequence(features, mask)
        return poses


def describe_network(network: SprModel) -> dict[str, Any]:
    """Return what `from_checkpoint` needs: both configurations and the weights."""
    return {
        "encoder": network.encoder.describe(),
        "sequence": asdict(network.sequence.config),
        "network": network.state_dict(),
    }


def from_checkpoint(content: dict[str, Any]) -> SprModel:
    """Return the network that `describe_network` described, ready to run."""
    encoder = frame_encoder_from(content["encoder"])
    return restore(SprModel(encoder, SprMamba(encoder.config, config_from(content["sequence"]))), content["network"])


def config_from(plain: dict[str, Any]) -> SprMambaConfig:
    """Return the configuration in the plain values of `asdict`."""
    return SprMambaConfig(**{**plain, "mamba": MambaConfig(**plain["mamba"]), "pair": PairConfig(**plain["pair"])})


def untrained(train_config: dict[str, Any]) -> dict[str, Any]:
    """Return a checkpoint with random weights of the network that a training configuration describes."""
    frame = FrameConfig(**train_config["frame"])
    encoder = FrameEncoder(create_scratch_encoder(train_config["encoder"]["kind"]), frame)
    return describe_network(SprModel(encoder, SprMamba(frame, config_from(train_config["network"]))).eval())
