"""What `manifest.yaml` says: a strict schema, the same for every method; values out of range are errors.

`models/README.md` explains each field to people, `manifest_file` reads and writes it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

from reloc_ros.errors import BundleError

SCHEMA_VERSION = 1
MANIFEST_NAME = "manifest.yaml"
MODEL_NAME = "model.onnx"
ENCODER_NAME = "encoder.onnx"
SEQUENCE = "sequence"
"""Output kind of bundles that localize the frames of a sequence."""

# What a pixel of the image tensor holds: its colour, and in a canvas also whether a camera saw it (255) or not (0).
_CHANNELS = {"rgb": 3, "rgba": 4}
_FEATURE = "feature"
_FULL_CIRCLE_DEG = 360.0
_GREY_LEVELS = 255
_SHA256 = re.compile(r"[0-9a-f]{64}")
# Names stay inside the bundle: no separators, no hidden files, no "..".
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """The image tensor of the network: (1, height, width, channels).

    What is supported of colour order, layout and type is little; they are written down so that a reader of the file need
    not guess, and checked so that a file that means something else is refused. Images of less than `min_contrast` grey
    levels (`localization.prepare.contrast`) show less than any that was trained on, and the network would guess; those of
    a scene may ask for more, see `GateSpec`.
    """

    name: str = "image"
    width: int
    height: int
    channels: str = "rgb"
    layout: str = "NHWC"
    dtype: str = "uint8"
    min_contrast: float = 0.0

    def __post_init__(self) -> None:
        _require_contrast("input", self.min_contrast)
        _require(self.width > 0 and self.height > 0, f"input is {self.width}x{self.height} px, expected positive sizes")
        _require(self.channels in _CHANNELS, f"input channels are {self.channels!r}, supported are rgb and rgba")
        found = (self.layout, self.dtype)
        _require(found == ("NHWC", "uint8"), f"input is {found}, supported is ('NHWC', 'uint8')")

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of the tensor: batch of one, rows, columns, colours."""
        return (1, self.height, self.width, _CHANNELS[self.channels])


@dataclass(frozen=True, kw_only=True)
class CameraAssumption:
    """The cameras the network can serve.

    Args:
        model: name in the camera table.
        horizontal_fov_deg_min: smallest horizontal field of view of the image given to the network (after the crop).
        horizontal_fov_deg_max: largest one.
    """

    model: str
    horizontal_fov_deg_min: float
    horizontal_fov_deg_max: float

    def __post_init__(self) -> None:
        low, high = self.horizontal_fov_deg_min, self.horizontal_fov_deg_max
        _require(
            0.0 <= low <= high <= _FULL_CIRCLE_DEG, f"camera: field of view is {low} to {high} deg, expected 0 to 360"
        )


@dataclass(frozen=True, kw_only=True)
class MapBounds:
    """Axis-aligned box round the training camera positions, metres in the map frame."""

    min_m: tuple[float, float, float]
    max_m: tuple[float, float, float]

    def __post_init__(self) -> None:
        ordered = all(low <= high for low, high in zip(self.min_m, self.max_m, strict=True))
        _require(ordered, f"map_bounds min_m {self.min_m} exceeds max_m {self.max_m}")


@dataclass(frozen=True, kw_only=True)
class GateSpec:
    """Limits a pose must keep to be published.

    Args:
        max_position_std_m: largest standard deviation of the position along any axis.
        max_rotation_std_rad: the same for the rotation.
        bounds_margin_m: how far outside `map_bounds` a camera may be.
        min_contrast: least contrast (`localization.prepare.contrast`) of the image, grey levels.
    """

    max_position_std_m: float
    max_rotation_std_rad: float
    bounds_margin_m: float
    min_contrast: float = 0.0

    def __post_init__(self) -> None:
        _require(self.max_position_std_m > 0, f"gate max_position_std_m is {self.max_position_std_m}, not > 0")
        _require(self.max_rotation_std_rad > 0, f"gate max_rotation_std_rad is {self.max_rotation_std_rad}, not > 0")
        _require(self.bounds_margin_m >= 0, f"gate bounds_margin_m is {self.bounds_margin_m}, not >= 0")
        _require_contrast("gate", self.min_contrast)


@dataclass(frozen=True, kw_only=True)
class CovarianceSpec:
    """How a solver's covariance becomes that of its errors, fitted on held-out frames (`localization.calibration`).

    Args:
        position_scale: factor on the standard deviations of the position.
        rotation_scale: factor on those of the rotation.
        position_floor_m: standard deviation added to each axis of the position.
        rotation_floor_rad: the same for the rotation.
    """

    position_scale: float
    rotation_scale: float
    position_floor_m: float
    rotation_floor_rad: float

    def __post_init__(self) -> None:
        _require(self.position_scale > 0, f"covariance position_scale is {self.position_scale}, not > 0")
        _require(self.rotation_scale > 0, f"covariance rotation_scale is {self.rotation_scale}, not > 0")
        _require(self.position_floor_m >= 0, f"covariance position_floor_m is {self.position_floor_m}, not >= 0")
        _require(self.rotation_floor_rad >= 0, f"covariance rotation_floor_rad is {self.rotation_floor_rad}, not >= 0")


@dataclass(frozen=True, kw_only=True)
class RaysSpec:
    """The second tensor of networks that are told the camera: (1, rows * columns, 3) float32 unit rays, row by row.

    Args:
        name: of the tensor.
        rows: of the grid of cells.
        columns: of it.
    """

    name: str = "rays"
    rows: int
    columns: int

    def __post_init__(self) -> None:
        _require(self.rows > 0 and self.columns > 0, f"rays: grid is {self.rows}x{self.columns}, expected > 0")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the tensor: batch of one, cells, x y z."""
        return (1, self.rows * self.columns, 3)


@dataclass(frozen=True, kw_only=True)
class StateSpec:
    """One float32 tensor of what a network remembers of a sequence; all zeros before the first frame.

    Args:
        name: unique in the bundle; the graph takes it as `state_<name>` and gives it back as `next_<name>`.
        shape: of the tensor; the first entry is the batch, 1.
    """

    name: str
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        _require(self.name, "sequence: a state's name is empty, expected a name")
        fits = len(self.shape) >= 1 and self.shape[0] == 1 and min(self.shape) >= 1
        _require(fits, f"sequence: state {self.name} has shape {self.shape}, expected a batch of 1 and sizes above 0")


@dataclass(frozen=True, kw_only=True)
class SequenceSpec:
    """What there is to know of networks that localize a sequence of frames relative to its first.

    Such a bundle holds two graphs: `encoder.onnx` makes a feature of an image, `model.onnx` takes the feature with the
    state and gives the pose with the next state.

    Args:
        feature: length F of the feature, (1, F) float32.
        state: tensors of the state, in the order of the graph.
        state_version: of what the tensors mean; a state of another version is of no use.
        keyframe_translation_m: frames of training were at least about this far apart,
        keyframe_rotation_rad: or turned by this.
        trained_distance_m: longest way from a first frame in training, metres; beyond it poses are extrapolated.
        trained_frames: most frames of one sequence in training.
        heights_m: of the cameras above the floor in training; empty where nobody knows.
    """

    feature: int
    state: tuple[StateSpec, ...]
    state_version: int
    keyframe_translation_m: float
    keyframe_rotation_rad: float
    trained_distance_m: float
    trained_frames: int
    heights_m: tuple[float, ...]

    def __post_init__(self) -> None:
        names = [state.name for state in self.state]
        twice = [name for name in names if names.count(name) > 1]
        _require(not twice, f"sequence: state {twice[:1]} occurs {len(twice)} times, expected each name once")
        _require(len(names) > 0, "sequence: state is empty, expected at least one tensor")
        for name in (
            "feature", "state_version", "keyframe_translation_m", "keyframe_rotation_rad", "trained_distance_m",
            "trained_frames",
        ):  # fmt: skip
            _require(getattr(self, name) > 0, f"sequence: {name} is {getattr(self, name)}, not > 0")
        _require(all(h > 0 for h in self.heights_m), f"sequence: heights_m are {self.heights_m}, expected above 0")


@dataclass(frozen=True, kw_only=True)
class SceneSpec:
    """One place the network knows, and what a pose in it must keep.

    Args:
        name: unique in the bundle.
        map_frame: name of the frame that poses live in.
        map_bounds: box of training camera positions, metres.
        gate: limits a pose must keep.
        covariance: calibration of the solver's covariance.
        description: what the place looks like, in words; empty where the method needs none.
    """

    name: str
    map_frame: str
    map_bounds: MapBounds
    gate: GateSpec
    covariance: CovarianceSpec
    description: str = ""

    def __post_init__(self) -> None:
        for name in ("name", "map_frame"):
            _require(getattr(self, name), f"scenes: {name} is empty, expected a name")


@dataclass(frozen=True, kw_only=True)
class DeviceSpec:
    """The arithmetic that was found right for a graph on a kind of device.

    Args:
        backend: that runs it (`tensorrt`, `onnxruntime_int8`).
        precision: recipe (`fp16`, `mixed`, ...).
        verdict: of the comparison of poses there.
    """

    backend: str
    precision: str
    verdict: str

    def __post_init__(self) -> None:
        for name in ("backend", "precision", "verdict"):
            _require(getattr(self, name), f"devices: {name} is empty")


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything the program knows about a bundle besides the weights.

    Args:
        schema_version: version of this schema.
        method: relocalization method, for people and diagnostics (`implicit_geometry`).
        output_kind: name in the solver table (`points`).
        input: image tensor of the network.
        rays: tensor with the camera's rays, for networks that take one.
        sequence: state and range of networks that localize a sequence; None for those of single images.
        camera: cameras the network can serve.
        outputs: names of the tensors of the network.
        solve: numbers for the solver, which knows and checks the keys.
        scenes: places the network knows, in the order of its outputs; most methods know one.
        training: provenance (data, ground_truth, split, steps, seconds, ...).
        metrics: figures measured on held-out frames, with their names and units.
        files: sha256 of each file of the bundle, by name.
        devices: what `reloc build-engine` chose, by name of the device and, there, of the graph.
    """

    schema_version: int = SCHEMA_VERSION
    method: str
    output_kind: str
    input: InputSpec
    rays: RaysSpec | None = None
    sequence: SequenceSpec | None = None
    camera: CameraAssumption
    outputs: tuple[str, ...]
    solve: dict[str, int | float]
    scenes: tuple[SceneSpec, ...]
    training: dict[str, Any]
    metrics: dict[str, Any]
    files: dict[str, str] = field(default_factory=dict)
    devices: dict[str, dict[str, DeviceSpec]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("method", "output_kind"):
            _require(getattr(self, name), f"{name} is empty, expected a name")
        _require(len(self.outputs) > 0, "outputs is empty, expected the names of the network's tensors")
        _require(len(self.scenes) > 0, "scenes is empty, expected at least one")
        _require(
            (self.output_kind == SEQUENCE) == (self.sequence is not None),
            f"output_kind is {self.output_kind!r} with sequence {'missing' if self.sequence is None else 'given'}; "
            f"{SEQUENCE!r} bundles have it and no others",
        )
        names = [scene.name for scene in self.scenes]
        twice = [name for name in names if names.count(name) > 1]
        _require(not twice, f"scenes: {twice[:1]} occurs {len(twice)} times, expected one scene of each name")
        for name, digest in self.files.items():
            _require(_FILE_NAME.fullmatch(name), f"files names {name!r}, expected a plain file name")
            _require(_SHA256.fullmatch(digest), f"files: {name} has sha256 {digest!r}, expected 64 hex digits")

    @property
    def inputs(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """Shape and numpy type of the input tensors of `model.onnx` by name, in its order."""
        if self.sequence is not None:
            states = {f"state_{state.name}": (state.shape, "float32") for state in self.sequence.state}
            return {_FEATURE: ((1, self.sequence.feature), "float32"), **states}
        tensors: dict[str, tuple[tuple[int, ...], str]] = {self.input.name: (self.input.shape, self.input.dtype)}
        if self.rays is not None:
            tensors[self.rays.name] = (self.rays.shape, "float32")
        return tensors


def encoder_manifest(manifest: Manifest) -> Manifest:
    """Return what a sequence bundle's manifest says when read for its other graph, `encoder.onnx`."""
    return replace(manifest, output_kind=_FEATURE, outputs=(_FEATURE,), sequence=None)


def _require(condition: object, message: str) -> None:
    if not condition:
        raise BundleError(message)


def _require_contrast(where: str, value: float) -> None:
    _require(0 <= value <= _GREY_LEVELS, f"{where} min_contrast is {value}, expected 0 to {_GREY_LEVELS}")
