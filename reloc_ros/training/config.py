"""Everything a training run can be told: dataclasses that refuse nonsense, filled from a YAML that names only changes."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast

import yaml

from reloc_ros.datasets.splits import Split
from reloc_ros.errors import ConfigError
from reloc_ros.networks.dimm import RayHeadConfig
from reloc_ros.networks.frame_encoder import FrameConfig
from reloc_ros.networks.frame_pair import PairConfig
from reloc_ros.networks.implicit_geometry import NetworkConfig
from reloc_ros.networks.mvl_loc import DecoderConfig
from reloc_ros.networks.spr_mamba import SprMambaConfig
from reloc_ros.networks.text import WordTextShape
from reloc_ros.networks.token_encoders import TokenEncoderConfig
from reloc_ros.scenes.compose import LEVELS
from reloc_ros.training.image_config import AugmentConfig, InputConfig, require
from reloc_ros.training.sequence_config import PairsConfig, SequencesConfig, WalksConfig

T = TypeVar("T")

LABELS = ("pose", "position")
PRECISIONS = ("auto", "float32", "bfloat16", "float16")


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Weights of the losses; a weight of 0 leaves a loss out.

    Args:
        consistency: global cloud against camera cloud moved by the true pose.
        reprojection: angle between each cell's ray and its global point seen from the true pose.
        position: position error of the aligned pose.
        rotation: rotation error of the aligned pose.
        pose_from: fraction of the training after which the pose losses start; before, the clouds are too crude to align.
    """

    consistency: float = 4.0
    reprojection: float = 20.0
    position: float = 1.0
    rotation: float = 2.0
    pose_from: float = 0.5

    def __post_init__(self) -> None:
        for name in ("consistency", "reprojection", "position", "rotation"):
            require(getattr(self, name) >= 0, f"loss.{name} is {getattr(self, name)}", "0 or more")
        require(0 <= self.pose_from < 1, f"loss.pose_from is {self.pose_from}", "in 0 to 1, without 1")


@dataclass(frozen=True, kw_only=True)
class FeatureConfig:
    """Features of a frozen encoder, computed once and read at every step.

    Args:
        views: how many views of each image, the first as it is, the others augmented.
        folder: where to keep them, so that runs with the same encoder and images share them; None is the run folder.
    """

    views: int = 8
    folder: str | None = None

    def __post_init__(self) -> None:
        require(self.views >= 1, f"features.views is {self.views}", "1 or more")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What every training run can be told.

    Args:
        max_minutes: the learning rate reaches its end after this time, if `epochs` does not come first.
        epochs: passes over the training images, at the most.
        max_steps: steps at the most; None leaves it to `epochs` and `max_minutes`.
        learning_rate: peak, AdamW with a warm-up and a cosine.
        average: decay of the running average of the weights, which is what is validated and exported.
        precision: of the network's activations; `auto` takes bfloat16 where the device computes in it.
        workers: processes that load and augment; 0 does it in the training process.
        initial: run folder or checkpoint whose weights to start from.
        validate_every_minutes: time between validations and checkpoints.
    """

    method: ClassVar[str]

    input: InputConfig = field(default_factory=InputConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    split: Split = field(default_factory=Split)
    max_minutes: float = 30.0
    epochs: int = 400
    max_steps: int | None = None
    batch_size: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    average: float = 0.998
    precision: str = "auto"
    workers: int = 0
    seed: int = 0
    initial: str | None = None
    validate_every_minutes: float = 2.0

    def __post_init__(self) -> None:
        for name in ("max_minutes", "learning_rate", "validate_every_minutes"):
            require(getattr(self, name) > 0, f"{name} is {getattr(self, name)}", "above 0")
        require(self.epochs >= 1, f"epochs is {self.epochs}", "1 or more")
        require(self.max_steps is None or self.max_steps >= 1, f"max_steps is {self.max_steps}", "1 or more")
        require(self.batch_size >= 2, f"batch_size is {self.batch_size}", "2 or more, as batch statistics need")
        require(self.workers >= 0, f"workers is {self.workers}", "0 or more")
        require(0 <= self.average < 1, f"average is {self.average}", "in 0 to 1, without 1")
        require(self.precision in PRECISIONS, f"precision is {self.precision!r}", f"one of {', '.join(PRECISIONS)}")


@dataclass(frozen=True, kw_only=True)
class ImplicitGeometryConfig(TrainConfig):
    """One training run of implicit scene geometry.

    Args:
        network: its shape.
        loss: weights of the losses.
        labels: `pose`, or `position` to fine-tune from positions alone (UWB, GNSS, AMCL); needs `initial`.
    """

    method: ClassVar[str] = "implicit_geometry"

    network: NetworkConfig = field(default_factory=NetworkConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    labels: str = "pose"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.labels in LABELS, f"labels is {self.labels!r}", f"one of {', '.join(LABELS)}")
        require(
            self.labels == "pose" or self.initial is not None,
            "labels is 'position' without initial",
            "the run folder of a model trained from poses, since positions alone cannot start one",
        )


@dataclass(frozen=True, kw_only=True)
class EncoderConfig(TrainConfig):
    """One pre-training run of an encoder on many scenes.

    Args:
        encoder: which one.
        balance: scenes of few images are shown (largest / own)^balance times as often.
    """

    method: ClassVar[str] = "encoder"

    encoder: TokenEncoderConfig = field(default_factory=TokenEncoderConfig)
    balance: float = 0.5


@dataclass(frozen=True, kw_only=True)
class DimmConfig(TrainConfig):
    """One training run of DIMM.

    Args:
        encoder: which one, and whether it is frozen.
        head: shape of the mappers.
        features: of a frozen encoder.
        rays: patches that the mappers see at a step: shuffled ones of a frozen encoder, or, where images stay whole, drawn
            from the `batch_size` images.
    """

    method: ClassVar[str] = "dimm"

    encoder: TokenEncoderConfig = field(default_factory=TokenEncoderConfig)
    head: RayHeadConfig = field(default_factory=RayHeadConfig)
    features: FeatureConfig = field(default_factory=FeatureConfig)
    rays: int = 2048

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.rays >= 2, f"rays is {self.rays}", "2 or more")


@dataclass(frozen=True, kw_only=True)
class MildAugmentConfig(AugmentConfig):
    """Small changes of view, for a network that is not told the rays: what a turned view's pose is holds for small turns."""

    rotation_deg: float = 5.0
    log_zoom: float = 0.1
    shift: float = 0.03
    erase: float = 0.3


@dataclass(frozen=True, kw_only=True)
class DescriptionsConfig:
    """What is said about the scenes.

    Args:
        level: how much is written about a scene without a file: `none`, `label` or `detailed`.
        file: scenes file that people wrote or edited; None writes one, `scenes.yaml` in the run folder.
        clip: folder of a CLIP checkpoint, whose towers then write and read the descriptions.
    """

    level: str = "detailed"
    file: str | None = None
    clip: str | None = None

    def __post_init__(self) -> None:
        require(self.level in LEVELS, f"descriptions.level is {self.level!r}", f"one of {', '.join(LEVELS)}")


@dataclass(frozen=True, kw_only=True)
class MvlLocConfig(TrainConfig):
    """One training run of MVL-Loc.

    Args:
        encoder: of images, and whether it is frozen.
        decoder: shape of all that follows.
        text: shape of the text encoder that trains along, where there is no CLIP checkpoint.
        descriptions: where they come from.
        features: of a frozen encoder.
        contrast: with how many other scenes' descriptions each image is read in a training step, drawn at random. All are
            read when localizing; the classifier learns the same from pairs, at the cost of two scenes.
        balance: scenes of few images are shown (largest / own)^balance times as often.
    """

    method: ClassVar[str] = "mvl_loc"

    augment: MildAugmentConfig = field(default_factory=MildAugmentConfig)
    # Its decoder attends to every token: fewer of them, which have seen each other, do.
    encoder: TokenEncoderConfig = field(default_factory=lambda: TokenEncoderConfig(kind="patch_transformer_base"))
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    text: WordTextShape = field(default_factory=WordTextShape)
    descriptions: DescriptionsConfig = field(default_factory=DescriptionsConfig)
    features: FeatureConfig = field(default_factory=FeatureConfig)
    batch_size: int = 32
    learning_rate: float = 5e-4
    contrast: int = 1
    balance: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.contrast >= 1, f"contrast is {self.contrast}", "1 or more")


@dataclass(frozen=True, kw_only=True)
class MotionEncoderConfig(TrainConfig):
    """One training run of the frame encoder and the local branch of SPR-Mamba, on pairs of frames.

    Args:
        input: size of the canvas.
        encoder: of tokens, and whether it is frozen.
        frame: layout of a frame's feature.
        pair: shape of the local branch.
        sequences: which ones.
        pairs: of their frames. `batch_size` counts frames, each of which is paired with all of its group.
    """

    method: ClassVar[str] = "motion_encoder"

    input: InputConfig = field(default_factory=lambda: InputConfig(width=256, height=128))
    encoder: TokenEncoderConfig = field(default_factory=lambda: TokenEncoderConfig(kind="panorama_conv_small"))
    frame: FrameConfig = field(default_factory=FrameConfig)
    pair: PairConfig = field(default_factory=PairConfig)
    sequences: SequencesConfig = field(default_factory=SequencesConfig)
    pairs: PairsConfig = field(default_factory=PairsConfig)
    batch_size: int = 24
    epochs: int = 4000


@dataclass(frozen=True, kw_only=True)
class SprMambaTrainConfig(TrainConfig):
    """One training run of SPR-Mamba behind a frozen frame encoder.

    Args:
        encoder: `weights` is the run folder of `reloc train motion_encoder`, which also says the canvas's size, the
            layout of features and the local branch to start from.
        network: shape of the sequence network.
        sequences: which ones.
        walks: ways through them. `batch_size` counts ways.
    """

    method: ClassVar[str] = "spr_mamba"

    encoder: TokenEncoderConfig = field(default_factory=lambda: TokenEncoderConfig(kind="panorama_conv_small"))
    frame: FrameConfig = field(default_factory=FrameConfig)
    network: SprMambaConfig = field(default_factory=SprMambaConfig)
    sequences: SequencesConfig = field(default_factory=SequencesConfig)
    walks: WalksConfig = field(default_factory=WalksConfig)
    learning_rate: float = 1e-3
    epochs: int = 100000


CONFIGS: dict[str, type[TrainConfig]] = {
    config.method: config
    for config in (
        ImplicitGeometryConfig,
        DimmConfig,
        EncoderConfig,
        MvlLocConfig,
        MotionEncoderConfig,
        SprMambaTrainConfig,
    )
}


def read_config(method: str, path: Path | None, **changes: Any) -> TrainConfig:
    """Return a method's defaults with what a YAML file names and then `changes` put over them.

    Raises:
        ConfigError: the file is unreadable, names an unknown key, or a value is of the wrong type or out of range.
    """
    data: dict[str, Any] = {}
    if path is not None:
        try:
            data = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except (OSError, yaml.YAMLError) as error:
            raise ConfigError(f"training configuration {path} cannot be read ({error})") from error
        if not isinstance(data, dict):
            raise ConfigError(f"training configuration {path} is {data!r}; expected keys and values")
    data = {**data, **{key: value for key, value in changes.items() if value is not None}}
    try:
        return config_from_dict(method, data)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}" if path is not None else str(error)) from error


def encoder_of_run(run: Path) -> dict[str, Any]:
    """Return the `encoder` of a configuration that takes the encoder of a pre-training run, frozen.

    Raises:
        ConfigError: the folder is no pre-training run.
    """
    path = run / "config.yaml"
    try:
        kind = yaml.safe_load(path.read_text(encoding="utf-8"))["encoder"]["kind"]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} says no encoder ({error!r}); give the folder of `reloc train encoder`") from error
    return {"kind": kind, "weights": str(run), "frozen": True}


def config_from_dict(method: str, data: Mapping[str, Any]) -> TrainConfig:
    """Return the configuration that `config_to_dict` wrote, or one with any keys left out at their defaults."""
    return _fill(CONFIGS[method], data, "")


def config_to_dict(config: TrainConfig) -> dict[str, Any]:
    """Return plain nested dictionaries."""
    return dataclasses.asdict(config)


def _fill(cls: type[T], data: Any, where: str) -> T:
    if not isinstance(data, Mapping):
        raise ConfigError(f"{where or 'configuration'} is {data!r}; expected keys and values")
    hints = {name: hint for name, hint in typing.get_type_hints(cls).items() if name != "method"}
    unknown = sorted(set(map(str, data)) - set(hints))
    if unknown:
        raise ConfigError(f"key {where}{unknown[0]} is unknown; known are {', '.join(hints)}")
    return cls(**{key: _read(hints[key], value, f"{where}{key}") for key, value in data.items()})


def _read(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return _fill(cast("type[Any]", hint), value, f"{where}.")
    choices = typing.get_args(hint) or (hint,)
    if float in choices and type(value) is int:
        return float(value)
    if type(value) not in choices:
        names = " or ".join(choice.__name__ for choice in choices)
        raise ConfigError(f"{where} is {value!r}; expected {names}")
    return value
