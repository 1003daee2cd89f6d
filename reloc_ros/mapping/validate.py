"""The bundle against frames that it has not seen, as a robot would run it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from reloc_ros.bundle.load import load_bundle
from reloc_ros.bundle.manifest import MODEL_NAME
from reloc_ros.datasets.posed_images import read_dataset
from reloc_ros.datasets.splits import Split, split_images
from reloc_ros.evaluation.frame_sheet import frame_sheet
from reloc_ros.evaluation.replay import replay
from reloc_ros.evaluation.report import Findings, Subject, write_report
from reloc_ros.inference.backend import create_backend
from reloc_ros.localization.localizer import Localizer


def validate(
    bundle_path: Path,
    data: str,
    split: Split,
    folder: Path,
    *,
    ground_truth: str,
    only_position: bool,
    on_frame: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Write the evaluation of a bundle's held-out frames into a folder and return the content of `verdict.json`.

    Args:
        bundle_path: what a robot would load.
        data: `FORMAT:PATH` of the kept frames.
        split: that the bundle was trained with.
        folder: for report.json, pictures and `verdict.json`; made if it is missing.
        ground_truth: where the reference comes from.
        only_position: the reference does not know orientations.
        on_frame: called after each frame, for progress.

    Raises:
        BundleError, BackendError, DatasetError: the bundle cannot be run, or the frames not be read.
    """
    bundle = load_bundle(bundle_path)
    frames = read_dataset(data)
    held_out = split_images(frames, "val", split)
    backend = create_backend("onnxruntime", bundle)
    localizer = Localizer(bundle.manifest, backend)
    results = replay(localizer, held_out.images, lambda _: on_frame())
    sheet = frame_sheet(results, held_out.images, localizer.network_view, "m")
    subject = Subject(
        bundle=str(bundle_path),
        method=bundle.manifest.method,
        model_sha256=bundle.manifest.files[MODEL_NAME],
        data=data,
        split="val",
        split_settings=asdict(split),
        ground_truth=ground_truth,
        metric=True,
        skipped=0,
        backend=backend.name,
        device=backend.device,
        precision=backend.precision,
        threads=0,
    )
    backend.close()
    learned = split_images(frames, "train", split).images
    findings = Findings(
        mapped_positions=np.array([image.T_map_camera[:3, 3] for image in learned]), only_position=only_position
    )
    write_report(folder, subject, results, sheet, findings)
    verdict: dict[str, Any] = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    return verdict


def farthest_held_out_m(folder: Path) -> float:
    """Return how far the farthest held-out frame was from the nearest learned camera position.

    Args:
        folder: that `validate` wrote.
    """
    figures = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return float(figures["by_condition"]["distance_from_mapping_m"][-1]["to"])
