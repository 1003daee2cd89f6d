"""A sequence bundle over thousands of frames: time and memory of a frame must not grow with those before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reloc_ros.bundle.load import Bundle
from reloc_ros.bundle.manifest import InputSpec
from reloc_ros.errors import BundleError, ConfigError
from reloc_ros.inference.backend import Backend, create_backend
from reloc_ros.types import Image, Outputs

EARLY_FRAME = 20
"""The frame that the last one is compared with."""

_WARM_UP_FRAMES = 50
# Medians are over this many frames round the early one, and as many at the end.
_WINDOW = 2 * EARLY_FRAME + 1
_FEWEST_FRAMES = 100
_BLOCK_PX = 8
_TURN_PX = 3
_PAGE_BYTES = 4096


@dataclass(frozen=True, kw_only=True)
class Stream:
    """What was measured of one run through a sequence.

    Args:
        encode_ms: (T,) time of the encoder for each frame.
        step_ms: (T,) time of the step.
        features: (T, F) what the encoder found.
        outputs: what the step gave for each frame, without its state, by name, (T, ...).
        state_bytes: size of the state, the same at every frame.
        grown_bytes: by how much the process grew from the early frame to the last.
    """

    encode_ms: NDArray[np.float64]
    step_ms: NDArray[np.float64]
    features: NDArray[np.float32]
    outputs: Outputs
    state_bytes: int
    grown_bytes: int

    @property
    def frame_ms(self) -> NDArray[np.float64]:
        """Time of each frame, encoder and step."""
        return self.encode_ms + self.step_ms

    def figures(self) -> dict[str, Any]:
        """Return time and memory of early and late frames by name."""
        frames = len(self.step_ms)
        early, late = slice(0, _WINDOW), slice(frames - _WINDOW, frames)
        at_early, at_late = float(np.median(self.frame_ms[early])), float(np.median(self.frame_ms[late]))
        return {
            f"ms_at_{EARLY_FRAME}": at_early,
            f"ms_at_{frames}": at_late,
            "ratio": at_late / at_early,
            "step_ms_at_20": float(np.median(self.step_ms[early])),
            f"step_ms_at_{frames}": float(np.median(self.step_ms[late])),
            "p99_ms": float(np.percentile(self.frame_ms, 99)),
            "state_bytes": self.state_bytes,
            "grown_bytes": self.grown_bytes,
        }


def run_stream(
    bundle: Bundle, frames: int, *, threads: int = 0, progress: Callable[[int], None] = lambda _: None
) -> Stream:
    """Send frames of a turning camera through a bundle, one by one, and measure each.

    Args:
        bundle: of a sequence.
        frames: how many.
        threads: of the back end; 0 is one for each core.
        progress: told how many frames are done.

    Raises:
        ConfigError: too few frames.
        BundleError: the bundle is none of a sequence.
    """
    if frames < _FEWEST_FRAMES:
        raise ConfigError(f"--frames is {frames}; expected {_FEWEST_FRAMES} or more, to have an early and a late part")
    if bundle.manifest.sequence is None:
        raise BundleError(f"{bundle.path} localizes single images; give a sequence bundle, of spr_mamba")
    encoder, step = (
        create_backend("onnxruntime", bundle.encoder(), threads),
        create_backend("onnxruntime", bundle, threads),
    )
    try:
        _follow(bundle, encoder, step, _WARM_UP_FRAMES)
        return _follow(bundle, encoder, step, frames, progress)
    finally:
        encoder.close()
        step.close()


def _follow(
    bundle: Bundle, encoder: Backend, step: Backend, frames: int, progress: Callable[[int], None] = lambda _: None
) -> Stream:
    inputs = bundle.manifest.inputs
    state = {name: np.zeros(shape, dtype) for name, (shape, dtype) in inputs.items() if name.startswith("state_")}
    poses = [name for name in bundle.manifest.outputs if not name.startswith("next_")]
    # Filled before the first frame, so that writing down what is measured takes no more memory.
    milliseconds = np.ones((frames, 2))
    features = np.ones((frames, *inputs["feature"][0][1:]), np.float32)
    outputs: Outputs = {}
    early_bytes = 0
    for index, canvas in enumerate(_turning(bundle.manifest.input, frames)):
        start = perf_counter()
        feature = encoder.run({bundle.manifest.input.name: canvas})["feature"]
        encoded = perf_counter()
        found = step.run({"feature": feature, **state})
        done = perf_counter()
        state = {name: found["next_" + name.removeprefix("state_")] for name in state}
        milliseconds[index] = 1e3 * (encoded - start), 1e3 * (done - encoded)
        features[index] = feature[0]
        for name in poses:
            outputs.setdefault(name, np.ones((frames, *found[name].shape[1:]), np.float32))[index] = found[name][0]
        if index + 1 == EARLY_FRAME:
            early_bytes = _resident_bytes()
        progress(index + 1)
    return Stream(
        encode_ms=milliseconds[:, 0],
        step_ms=milliseconds[:, 1],
        features=features,
        outputs=outputs,
        state_bytes=sum(array.nbytes for array in state.values()),
        grown_bytes=max(0, _resident_bytes() - early_bytes),
    )


def _turning(spec: InputSpec, frames: int) -> Iterator[Image]:
    """Give canvases (1, H, W, 4) of a camera that turns on the spot among blocks of random colours, with noise."""
    generator = np.random.default_rng(0)
    rows, columns = -(-spec.height // _BLOCK_PX), -(-spec.width // _BLOCK_PX)
    blocks = generator.integers(32, 224, (rows, columns, 3), dtype=np.uint8)
    scene = blocks.repeat(_BLOCK_PX, axis=0).repeat(_BLOCK_PX, axis=1)[: spec.height, : spec.width]
    noise = generator.integers(0, 16, (spec.height, spec.width, 3), dtype=np.uint8)
    canvas = np.full(spec.shape, 255, np.uint8)
    for index in range(frames):
        canvas[0, :, :, :3] = np.roll(scene, _TURN_PX * index, axis=1) + np.roll(noise, 7 * index, axis=0)
        yield canvas


def _resident_bytes() -> int:
    """Return the memory that this process holds, as Linux counts it; 0 elsewhere."""
    statm = Path("/proc/self/statm")
    return _PAGE_BYTES * int(statm.read_text().split()[1]) if statm.is_file() else 0
