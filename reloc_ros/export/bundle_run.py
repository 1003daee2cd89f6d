"""A training run becomes a bundle that a robot can load."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from reloc_ros.bundle.calibration import CALIBRATION_NAME, write_calibration
from reloc_ros.bundle.load import Bundle, write_bundle
from reloc_ros.bundle.manifest import (
    MODEL_NAME,
    CameraAssumption,
    GateSpec,
    InputSpec,
    Manifest,
    MapBounds,
    RaysSpec,
    SceneSpec,
)
from reloc_ros.cameras.table import camera_from_dict
from reloc_ros.errors import TrainingError
from reloc_ros.export.held_out import held_out_images, held_out_way
from reloc_ros.export.onnx import export_onnx
from reloc_ros.export.parity import Parity, check_parity
from reloc_ros.export.sequence import (
    canvas_spec,
    check_sequence_parity,
    export_sequence,
    parity_canvases,
    sequence_spec,
    step_outputs,
)
from reloc_ros.export.text_tower import export_text_tower
from reloc_ros.inference.backend import create_backend
from reloc_ros.inference.torch_backend import TorchBackend
from reloc_ros.networks.spr_mamba import SprModel
from reloc_ros.networks.table import NETWORKS
from reloc_ros.scenes.descriptions import read_descriptions
from reloc_ros.training.checkpoint import BEST, load_trained
from reloc_ros.training.scene_sentences import SCENES_FILE
from reloc_ros.types import Image

_PARITY_IMAGES = 16


def export_run(
    run: Path,
    out: Path,
    *,
    map_frames: Mapping[str, str] | None = None,
    text_tower: bool = False,
    calibration_images: int = 0,
) -> tuple[Bundle, Parity]:
    """Write the bundle of a run's best network and check it against that network.

    Args:
        run: folder that `reloc train` wrote.
        out: bundle folder to write; an old bundle there is replaced.
        map_frames: name of the frame that poses live in by scene; under the empty name that of all others. Else it is
            what the run's scenes file says, or `map`.
        text_tower: put CLIP's text tower into the bundle, so that the robot understands an operator's sentence by its
            meaning; the tower of a ViT-B/32 adds 250 MB.
        calibration_images: that the bundle shall hold of what the run held out, for the parity gate; a bundle holds no
            image of the place unless its owner asks for it here.

    Raises:
        DatasetError: images of a sequence are asked for, and the run's data is not where it was.
        TrainingError: the run has no usable checkpoint, no text tower, or no held-out images.
        ExportError: the exported graph leads to other poses than the network.
    """
    if not (run / BEST).is_file():
        raise TrainingError(f"{run} holds no {BEST}; give the --out folder of a finished `reloc train`")
    network, content = load_trained(run)
    try:
        manifest = manifest_of(network, content, _map_frames(run, content, map_frames or {}))
    except (KeyError, TypeError) as error:
        raise TrainingError(
            f"{run / BEST} was written by another version of this program ({error}); train again with this one"
        ) from error
    with tempfile.TemporaryDirectory() as scratch:
        files = write_graphs(network, manifest, Path(scratch))
        if text_tower:
            files |= export_text_tower(_clip_folder(run, content), Path(scratch))
        if calibration_images:
            files[CALIBRATION_NAME] = Path(scratch) / CALIBRATION_NAME
            chosen = _calibration_images(run, content, manifest, calibration_images)
            write_calibration(np.stack(chosen), files[CALIBRATION_NAME])
        bundle = write_bundle(out, manifest, files)
    if isinstance(network, SprModel):
        kept = [
            run,
            *(Path(folder) for folder in [content["train_config"].get("sequences", {}).get("folder")] if folder),
        ]
        return bundle, check_sequence_parity(network, bundle, parity_canvases(kept, manifest.input))
    reference = TorchBackend(bundle, checkpoint=run / BEST)
    candidate = create_backend("onnxruntime", bundle)
    parity = check_parity(
        reference, candidate, manifest, _parity_images(run, manifest.input),
        camera_from_dict(content["serving"]["camera"]),
    )  # fmt: skip
    candidate.close()
    return bundle, parity


def write_graphs(network: nn.Module, manifest: Manifest, folder: Path) -> dict[str, Path]:
    """Write a network's graphs into a folder and return them by their names in the bundle."""
    if isinstance(network, SprModel):
        return export_sequence(network, manifest, folder)
    export_onnx(network, manifest, folder / MODEL_NAME)
    return {MODEL_NAME: folder / MODEL_NAME}


def _map_frames(run: Path, content: dict[str, Any], asked: Mapping[str, str]) -> dict[str, str]:
    """Return the map frame of every scene: as asked, as its scenes file says, or `map`."""
    names = [scene["name"] for scene in content["serving"]["scenes"]]
    unknown = sorted(set(asked) - {*names, ""})
    if unknown:
        raise TrainingError(f"there is no scene {unknown[0]!r} in the run; its scenes are {', '.join(sorted(names))}")
    path = Path(content["train_config"].get("descriptions", {}).get("file") or run / SCENES_FILE)
    described = {scene.name: scene.map_frame for scene in read_descriptions(path).scenes} if path.is_file() else {}
    # Without an anchor a sequence lives in a frame of its own, named like its only scene.
    usual = {name: name for name in names} if content["method"] == "spr_mamba" else described
    return {name: asked.get(name, asked.get("", usual.get(name, "map"))) for name in names}


def _clip_folder(run: Path, content: dict[str, Any]) -> str:
    folder: str | None = content["train_config"].get("descriptions", {}).get("clip")
    if folder is None:
        raise TrainingError(
            f"{run} was trained without CLIP's text tower (descriptions.clip), so there is none to export; leave out "
            "--text-tower: sentences are then matched by their words"
        )
    return folder


def manifest_of(network: nn.Module, content: dict[str, Any], map_frames: Mapping[str, str]) -> Manifest:
    """Return the manifest of the bundle of a checkpoint, without checksums.

    Args:
        network: made from the checkpoint.
        content: the checkpoint.
        map_frames: name of the frame that poses live in, by scene.
    """
    serving = content["serving"]
    height, width = content["input"]
    kind = NETWORKS[content["method"]]
    settings = serving["solve"]
    sequence, outputs = None, kind.output_names
    image = InputSpec(width=width, height=height, min_contrast=serving.get("min_contrast", 0.0))
    if isinstance(network, SprModel):
        sequence = sequence_spec(network.sequence, serving["sequence"])
        outputs, image = step_outputs(network.sequence), canvas_spec(width, height)
    return Manifest(
        method=content["method"],
        output_kind=kind.output_kind,
        input=image,
        sequence=sequence,
        rays=RaysSpec(rows=settings["rows"], columns=settings["columns"]) if kind.takes_rays else None,
        camera=CameraAssumption(**serving["assumption"]),
        outputs=outputs,
        solve=settings,
        scenes=tuple(
            SceneSpec(
                **{
                    **scene,
                    "map_frame": map_frames[scene["name"]],
                    "map_bounds": MapBounds(**{end: tuple(corner) for end, corner in scene["map_bounds"].items()}),
                    "gate": GateSpec(**scene["gate"]),
                }
            )
            for scene in serving["scenes"]
        ),
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


def _calibration_images(run: Path, content: dict[str, Any], manifest: Manifest, number: int) -> list[Image]:
    if manifest.sequence is not None:
        return held_out_way(run, content, manifest, number)
    images = held_out_images(run, number)
    if not images:
        raise TrainingError(f"{run} holds no held-out images (*val.npy) any more; leave out --calibration-images")
    return images


def _parity_images(run: Path, spec: InputSpec) -> list[Image]:
    """Return some held-out images of the run, or noise where the run folder has been thinned out."""
    generator = np.random.default_rng(0)
    noise = generator.integers(0, 256, (_PARITY_IMAGES, *spec.shape[1:]), dtype=np.uint8)
    return held_out_images(run, _PARITY_IMAGES) or list(noise)
