"""A training run becomes a bundle that a robot can load."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reloc_ros.bundle.load import Bundle, write_bundle
from reloc_ros.bundle.manifest import MODEL_NAME, CameraAssumption, GateSpec, InputSpec, Manifest, MapBounds
from reloc_ros.cameras.table import camera_from_dict
from reloc_ros.errors import TrainingError
from reloc_ros.export.onnx import export_onnx
from reloc_ros.export.parity import Parity, check_parity
from reloc_ros.inference.backend import create_backend
from reloc_ros.inference.torch_backend import TorchBackend
from reloc_ros.networks.implicit_geometry import OUTPUT_NAMES
from reloc_ros.training.checkpoint import BEST, load_trained
from reloc_ros.types import Image

_PARITY_IMAGES = 16


def export_run(run: Path, out: Path, *, map_frame: str = "map") -> tuple[Bundle, Parity]:
    """Write the bundle of a run's best network and check it against that network.

    Args:
        run: folder that `reloc train` wrote.
        out: bundle folder to write; an old bundle there is replaced.
        map_frame: name of the frame that poses live in.

    Raises:
        TrainingError: the run has no usable checkpoint.
        ExportError: the exported graph leads to other poses than the network.
    """
    if not (run / BEST).is_file():
        raise TrainingError(f"{run} holds no {BEST}; give the --out folder of a finished `reloc train`")
    network, content = load_trained(run)
    height, width = content["input"]
    manifest = _manifest(content, map_frame)
    with tempfile.TemporaryDirectory() as scratch:
        model = Path(scratch) / MODEL_NAME
        export_onnx(network, height, width, model)
        bundle = write_bundle(out, manifest, {MODEL_NAME: model})
    reference = TorchBackend(bundle, checkpoint=run / BEST)
    candidate = create_backend("onnxruntime", bundle)
    parity = check_parity(
        reference, candidate, _parity_images(run, height, width), camera_from_dict(content["serving"]["camera"]),
        output_kind=manifest.output_kind, settings=manifest.solve, scale_m=float(network.scale_m),
    )  # fmt: skip
    candidate.close()
    return bundle, parity


def _manifest(content: dict[str, Any], map_frame: str) -> Manifest:
    serving = content["serving"]
    height, width = content["input"]
    return Manifest(
        method=content["method"],
        map_frame=map_frame,
        output_kind="points",
        input=InputSpec(width=width, height=height),
        camera=CameraAssumption(**serving["assumption"]),
        outputs=OUTPUT_NAMES,
        solve=serving["solve"],
        map_bounds=MapBounds(min_m=tuple(serving["map_bounds"]["min_m"]), max_m=tuple(serving["map_bounds"]["max_m"])),
        gate=GateSpec(**serving["gate"]),
        covariance_scale=serving["covariance_scale"],
        training={
            **content["provenance"],
            "images": content["images"],
            "steps": content["step"],
            "seconds": round(content["seconds"], 1),
            "torch": torch.__version__.split("+")[0],
            "config": content["train_config"],
        },
        metrics=serving["metrics"],
    )


def _parity_images(run: Path, height: int, width: int) -> list[Image]:
    """Return some held-out images of the run, or noise where the run folder has been thinned out."""
    store = run / "val.npy"
    if not store.is_file():
        generator = np.random.default_rng(0)
        return list(generator.integers(0, 256, (_PARITY_IMAGES, height, width, 3), dtype=np.uint8))
    images = np.load(store, mmap_mode="r")
    return [images[i] for i in np.unique(np.linspace(0, len(images) - 1, _PARITY_IMAGES).astype(int))]
