"""Sequence networks as two graphs, and the proof that the step computes what the pass over whole sequences does."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from reloc_ros.bundle.load import Bundle
from reloc_ros.bundle.manifest import ENCODER_NAME, MODEL_NAME, InputSpec, Manifest, SequenceSpec, StateSpec
from reloc_ros.errors import ExportError
from reloc_ros.export.onnx import write_onnx
from reloc_ros.export.parity import MAX_ROTATION_DEG, MAX_TRANSLATION_M, Parity
from reloc_ros.geometry import rotation
from reloc_ros.inference.backend import Backend, create_backend
from reloc_ros.networks.frame_encoder import FrameConfig
from reloc_ros.networks.restore import restore
from reloc_ros.networks.spr_mamba import OUTPUT_NAMES, STATE_VERSION, SprMamba, SprModel, config_from
from reloc_ros.networks.step_graph import StepGraph
from reloc_ros.types import Outputs

_PARITY_FRAMES = 256
_SHAPE_KEY = "reloc_network"
_NETWORK = "network."


def step_outputs(network: SprMamba) -> tuple[str, ...]:
    """Return the names of the tensors that the step graph gives, in order."""
    return (*OUTPUT_NAMES, *(f"next_{name}" for name in network.state_shapes()))


def sequence_spec(network: SprMamba, trained: Mapping[str, Any]) -> SequenceSpec:
    """Return what the manifest says of a network's state and of what it was trained on.

    Args:
        network: whose state it is.
        trained: the other fields of `SequenceSpec`, as the training task found them.
    """
    return SequenceSpec(
        feature=network.frame.size,
        state=tuple(StateSpec(name=name, shape=(1, *shape)) for name, shape in network.state_shapes().items()),
        state_version=STATE_VERSION,
        **{**trained, "heights_m": tuple(trained["heights_m"])},
    )


def canvas_spec(width: int, height: int) -> InputSpec:
    """Return the input of the encoder graph: a canvas of that size in pixels, with what the camera saw of it."""
    return InputSpec(name="canvas", width=width, height=height, channels="rgba")


def export_sequence(network: SprModel, manifest: Manifest, folder: Path) -> dict[str, Path]:
    """Write both graphs of a network into a folder and return them by their names in the bundle."""
    encoder, step = folder / ENCODER_NAME, folder / MODEL_NAME
    spec = manifest.input
    write_onnx(network.encoder, {spec.name: torch.zeros(spec.shape, dtype=torch.uint8)}, ("feature",), encoder)
    inputs = {name: torch.from_numpy(np.zeros(shape, dtype)) for name, (shape, dtype) in manifest.inputs.items()}
    write_onnx(StepGraph(network.sequence), inputs, manifest.outputs, step)
    _describe(network.sequence, step)
    return {ENCODER_NAME: encoder, MODEL_NAME: step}


def _describe(network: SprMamba, step: Path) -> None:
    """Write into a step graph what `network_in` needs: the network's shape, and the weights that were folded away."""
    model = onnx.load(step)
    shape = {"frame": asdict(network.frame), "sequence": asdict(network.config)}
    onnx.helper.set_model_props(model, {_SHAPE_KEY: json.dumps(shape)})
    kept = {tensor.name for tensor in model.graph.initializer}
    for name, weight in network.state_dict().items():
        if _NETWORK + name not in kept:
            model.graph.initializer.append(onnx.numpy_helper.from_array(weight.numpy(), _NETWORK + name))
    onnx.save(model, step)


def network_in(step: Path) -> SprMamba:
    """Return the network that a step graph was made of, in evaluation mode: the graph holds its weights and its shape.

    Raises:
        ExportError: the graph holds none.
    """
    model = onnx.load(step)
    properties = {entry.key: entry.value for entry in model.metadata_props}
    if _SHAPE_KEY not in properties:
        raise ExportError(f"{step} does not say what network it was made of; export it again with `reloc export`")
    shape = json.loads(properties[_SHAPE_KEY])
    network = SprMamba(FrameConfig(**shape["frame"]), config_from(shape["sequence"]))
    arrays = {
        tensor.name.removeprefix(_NETWORK): onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer
    }
    weights = {name: torch.from_numpy(arrays[name].copy()) for name in network.state_dict() if name in arrays}
    return restore(network, weights)


def check_sequence_parity(network: SprModel, bundle: Bundle, canvases: NDArray[np.uint8]) -> Parity:
    """Follow a sequence through both graphs and compare the poses with those of the network's pass over all of it.

    Args:
        network: in evaluation mode.
        bundle: its bundle.
        canvases: (T, H, W, 4) of one sequence, or noise.

    Raises:
        ExportError: a pose differs by more than 1 mm for each metre from the first frame, 1 mm at least, or 0.05 degrees.
    """
    encoder, step = create_backend("onnxruntime", bundle.encoder()), create_backend("onnxruntime", bundle)
    name = bundle.manifest.input.name
    # Few frames are enough to know the encoder; the step is what errors could add up in.
    features = np.concatenate([encoder.run({name: canvas[np.newaxis]})["feature"] for canvas in canvases])
    steps = run_steps(step, bundle.manifest, features)
    with torch.inference_mode():
        poses = network(torch.from_numpy(np.ascontiguousarray(canvases))[np.newaxis])
    encoder.close()
    step.close()
    translation, turn = poses.translation[0].double().numpy(), poses.rotation[0].double().numpy()
    apart_m = np.linalg.norm([out["translation_first_m"][0] for out in steps] - translation, axis=1)
    turns = np.stack([out["rotation_first"][0] for out in steps]).astype(np.float64)
    apart_deg = np.degrees(rotation.angle_between_rad(turns, turn))
    limits_m = MAX_TRANSLATION_M * np.maximum(1.0, np.linalg.norm(translation, axis=1))
    if np.any(apart_m > limits_m) or np.any(apart_deg > MAX_ROTATION_DEG):
        worst = int(np.argmax(apart_m / limits_m))
        raise ExportError(
            f"frame by frame the graphs differ from the network by {1e3 * apart_m[worst]:.3f} mm at frame {worst}, limit "
            f"{1e3 * limits_m[worst]:.3f} mm, and by up to {apart_deg.max():.4f} deg, limit {MAX_ROTATION_DEG} deg; they do "
            "not compute what was trained"
        )
    return Parity(images=len(canvases), translation_m=float(apart_m.max()), rotation_deg=float(apart_deg.max()))


def run_steps(step: Backend, manifest: Manifest, features: NDArray[np.float32]) -> list[Outputs]:
    """Return the step graph's outputs for the frames of a sequence.

    Args:
        step: runs `model.onnx`.
        manifest: of the bundle.
        features: (T, F).
    """
    state = {name: np.zeros(shape, dtype) for name, (shape, dtype) in list(manifest.inputs.items())[1:]}
    outputs = []
    for feature in features:
        outputs.append(step.run({"feature": feature[np.newaxis], **state}))
        state = {name: outputs[-1][f"next_{name.removeprefix('state_')}"] for name in state}
    return outputs


def parity_canvases(folders: Sequence[Path], spec: InputSpec) -> NDArray[np.uint8]:
    """Return the canvases of some consecutive frames that a run kept, or noise where it kept none."""
    for store in (path for folder in folders for path in sorted(folder.glob("canvases_*.npy"))):
        canvases = np.load(store, mmap_mode="r")
        if canvases.shape[1:] == spec.shape[1:]:
            return np.array(canvases[:_PARITY_FRAMES])
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (_PARITY_FRAMES // 4, *spec.shape[1:]), dtype=np.uint8)
