"""The files about one evaluation: figures for programs and for people, the estimate, each frame, pictures."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2

from reloc_ros.evaluation.calibration import calibration
from reloc_ros.evaluation.latency import latency
from reloc_ros.evaluation.markdown import as_markdown
from reloc_ros.evaluation.metrics import accuracy
from reloc_ros.evaluation.plots import error_figure, reliability_figure, save_figure, trajectory_figure
from reloc_ros.evaluation.replay import FrameResult
from reloc_ros.evaluation.tum import write_tum
from reloc_ros.types import Estimate, Image, Rejected


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What was evaluated, on what and how: without it figures cannot be compared.

    Args:
        bundle: folder as given.
        method: relocalization method.
        model_sha256: checksum of the network.
        data: `FORMAT:PATH` as given.
        split: `train`, `val` or `all`.
        split_settings: how the parts were cut; empty for `all`.
        ground_truth: where the true poses come from; figures against different ones do not compare.
        metric: whether the data's unit is the metre; else every length is in the scene's own unit.
        skipped: images the data set itself leaves out (no valid pose, ...).
        backend: name in the back-end table.
        device: where it ran.
        precision: arithmetic of the network.
        threads: threads asked for; 0 is automatic.
        scene: that the data are from, where the bundle knows several; else empty.
    """

    bundle: str
    method: str
    model_sha256: str
    data: str
    split: str
    split_settings: dict[str, Any]
    ground_truth: str
    metric: bool
    skipped: int
    backend: str
    device: str
    precision: str
    threads: int
    scene: str = ""


def make_report(
    subject: Subject, results: Sequence[FrameResult], oracle: Sequence[FrameResult] | None = None
) -> dict[str, Any]:
    """Return the content of `report.json`. All but the `latency_ms...` keys is equal from run to run.

    Args:
        subject: what was evaluated.
        results: at least one.
        oracle: the same frames by a localizer that was told the scene, where the bundle knows several.

    Raises:
        DatasetError: there are no frames.
    """
    by_stage = latency(results) if results else {}
    return {
        **accuracy(results),
        "calibration": calibration(results),
        "poses_in_true_scene": _share_in_true_scene(results),
        "oracle": None if oracle is None else accuracy(oracle),
        "latency_ms": by_stage.pop("total"),
        "latency_ms_by_stage": by_stage,
        **asdict(subject),
    }


def write_report(
    folder: Path,
    subject: Subject,
    results: Sequence[FrameResult],
    frames: Image | None = None,
    oracle: Sequence[FrameResult] | None = None,
) -> dict[str, Any]:
    """Write every file of the report into a folder and return the content of `report.json`.

    Args:
        folder: made if it is missing.
        subject: what was evaluated.
        results: at least one.
        frames: picture of some of the frames (`frame_sheet`).
        oracle: as `make_report` takes it.
    """
    report = make_report(subject, results, oracle)
    folder.mkdir(parents=True, exist_ok=True)
    # JSON knows no infinity: an infinite figure is null, and its key is still there.
    text = json.dumps(_finite_or_none(report), indent=2, allow_nan=False)
    (folder / "report.json").write_text(text + "\n", encoding="utf-8")
    markdown = as_markdown(report, results, has_frames=frames is not None)
    (folder / "report.md").write_text(markdown, encoding="utf-8")
    accepted = [(result.stamp_ns, result.pose.T_map_camera) for result in results if result.pose is not None]
    write_tum(folder / "estimate.tum", accepted)
    write_tum(folder / "ground_truth.tum", [(result.stamp_ns, result.T_map_camera) for result in results])
    _write_frames(folder / "frames.csv", results)
    unit = "m" if subject.metric else "scene units"
    save_figure(trajectory_figure(results, unit), folder / "trajectory.png")
    save_figure(error_figure(results, unit), folder / "errors.png")
    save_figure(reliability_figure(results), folder / "reliability.png")
    if frames is not None:
        _write_picture(folder / "frames.png", frames)
    return report


def _write_frames(path: Path, results: Sequence[FrameResult]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(
            [
                "sequence",
                "image",
                "stamp_ns",
                "translation_error_m",
                "rotation_error_deg",
                "rejected",
                "detail",
                "scene",
            ]
        )
        for result in results:
            rejection = result.localization if isinstance(result.localization, Rejected) else None
            writer.writerow(
                [
                    result.sequence,
                    result.name,
                    result.stamp_ns,
                    f"{result.translation_error_m:.6g}",
                    f"{result.rotation_error_deg:.6g}",
                    rejection.reason.value if rejection else "",
                    rejection.detail if rejection else "",
                    result.localization.scene if isinstance(result.localization, Estimate) else "",
                ]
            )


def _share_in_true_scene(results: Sequence[FrameResult]) -> float | None:
    accepted = [result.pose is not None for result in results if isinstance(result.localization, Estimate)]
    return sum(accepted) / len(accepted) if accepted else None


def _write_picture(path: Path, picture: Image) -> None:
    _, encoded = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    path.write_bytes(encoded.tobytes())


def _finite_or_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite_or_none(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
