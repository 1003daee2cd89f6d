"""The files about one evaluation: figures for programs and for people, the estimate, each frame, pictures."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2

from reloc_ros.evaluation.calibration import calibration
from reloc_ros.evaluation.comparison import Contender, comparison_figure, comparison_rows
from reloc_ros.evaluation.condition_plots import conditions_figure
from reloc_ros.evaluation.conditions import by_condition, conditions
from reloc_ros.evaluation.drive_metrics import drive_figures
from reloc_ros.evaluation.fault_drives import FaultRun
from reloc_ros.evaluation.frame_sheet import fault_sheet
from reloc_ros.evaluation.html_report import write_html
from reloc_ros.evaluation.latency import latency
from reloc_ros.evaluation.markdown import as_markdown
from reloc_ros.evaluation.metrics import accuracy
from reloc_ros.evaluation.plots import error_figure, reliability_figure, save_figure, trajectory_figure
from reloc_ros.evaluation.replay import FrameResult
from reloc_ros.evaluation.tum import write_tum
from reloc_ros.evaluation.verdict import judge
from reloc_ros.types import Array, Estimate, Image, Rejected


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
        map_bytes: what a robot has to store.
        told: what it was told besides the images; empty for those that find themselves.
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
    map_bytes: int = 0
    told: str = ""

    @property
    def unit(self) -> str:
        """Unit of lengths in the map."""
        return "m" if self.metric else "scene units"


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What an evaluation found beyond the frames themselves.

    Args:
        oracle: the same frames by a localizer that was told the scene, where the bundle knows several.
        mapped_positions: (M, 3) camera positions that the model was trained on, where they are known.
        faults: what came of each injected fault, by name.
        fault_seed: that they were drawn with.
        only_position: the reference does not know orientations.
        judged_on: which frames the verdict rests on.
    """

    oracle: Sequence[FrameResult] | None = None
    mapped_positions: Array | None = None
    faults: Mapping[str, FaultRun] = field(default_factory=dict)
    fault_seed: int = 0
    only_position: bool = False
    judged_on: str = "held-out frames"


def make_report(subject: Subject, results: Sequence[FrameResult], findings: Findings | None = None) -> dict[str, Any]:
    """Return the content of `report.json`. All but the `latency_ms...` keys is equal from run to run.

    Args:
        subject: what was evaluated.
        results: at least one.
        findings: what else is known.

    Raises:
        DatasetError: there are no frames.
    """
    known = findings or Findings()
    oracle = known.oracle
    by_stage = latency(results) if results else {}
    return {
        **accuracy(results),
        **drive_figures(results),
        "by_condition": by_condition(results, conditions(results, known.mapped_positions, subject.unit)),
        "faults": {name: run.figures for name, run in known.faults.items()},
        "fault_seed": known.fault_seed if known.faults else None,
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
    findings: Findings | None = None,
    compared: Sequence[Contender] = (),
) -> dict[str, Any]:
    """Write every file of the report into a folder and return the content of `report.json`.

    Args:
        folder: made if it is missing.
        subject: what was evaluated.
        results: at least one.
        frames: picture of some of the frames (`frame_sheet`).
        findings: what else is known.
        compared: others on the same frames.
    """
    known = findings or Findings()
    report = make_report(subject, results, known)
    verdict = judge(
        [result.translation_error_m for result in results],
        [result.rotation_error_deg for result in results],
        only_position=known.only_position,
        judged_on=known.judged_on,
    ).as_dict()
    folder.mkdir(parents=True, exist_ok=True)
    own = Contender(name=Path(subject.bundle).name, report=report, results=results)
    if compared:
        report["comparison"] = comparison_rows([own, *compared])
    write_json(folder / "report.json", report)
    write_json(folder / "verdict.json", verdict)
    accepted = [(result.stamp_ns, result.pose.T_map_camera) for result in results if result.pose is not None]
    write_tum(folder / "estimate.tum", accepted)
    write_tum(folder / "ground_truth.tum", [(result.stamp_ns, result.T_map_camera) for result in results])
    _write_frames(folder / "frames.csv", results)
    figures = {
        "trajectory.png": trajectory_figure(results, subject.unit),
        "errors.png": error_figure(results, subject.unit),
        "reliability.png": reliability_figure(results),
    }
    if found := conditions(results, known.mapped_positions, subject.unit):
        figures["conditions.png"] = conditions_figure(results, found, subject.unit)
    if compared:
        figures["comparison.png"] = comparison_figure([own, *compared], subject.unit)
    for name, figure in figures.items():
        save_figure(figure, folder / name)
    pictures = {"frames.png": frames, "faults.png": fault_sheet(known.faults)}
    shown = {name: picture for name, picture in pictures.items() if picture is not None}
    for name, picture in shown.items():
        write_picture(folder / name, picture)
    names = {*figures, *shown}
    (folder / "report.md").write_text(as_markdown(report, results, names), encoding="utf-8")
    write_html(folder, report, verdict, names)
    return report


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write figures; JSON knows no infinity: an infinite figure is null, and its key is still there."""
    text = json.dumps(_finite_or_none(content), indent=2, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


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


def write_picture(path: Path, picture: Image) -> None:
    """Write an RGB picture as PNG."""
    _, encoded = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    path.write_bytes(encoded.tobytes())


def _finite_or_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite_or_none(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite_or_none(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
