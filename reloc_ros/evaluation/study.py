"""An evaluation from bundle and data set to report: bundles, faults and the classical baseline on the same frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from reloc_ros.bundle.load import Bundle, load_bundle
from reloc_ros.bundle.manifest import MODEL_NAME
from reloc_ros.datasets.images import PosedImage, PosedImages
from reloc_ros.datasets.posed_images import read_dataset
from reloc_ros.datasets.splits import Split, split_images
from reloc_ros.errors import ConfigError, DatasetError
from reloc_ros.evaluation.comparison import Contender
from reloc_ros.evaluation.fault_drives import FaultRun, check_faults, run_fault
from reloc_ros.evaluation.frame_sheet import frame_sheet
from reloc_ros.evaluation.held_out import common_split, trained_on
from reloc_ros.evaluation.recorded import recorded_results
from reloc_ros.evaluation.replay import FrameLocalizer, FrameResult, replay
from reloc_ros.evaluation.report import Findings, Subject, make_report, write_report
from reloc_ros.evaluation.sequence_contender import TOLD, follow_told
from reloc_ros.evaluation.sequence_replay import SequenceBundle
from reloc_ros.inference.backend import create_backend
from reloc_ros.localization.localizer import Localizer
from reloc_ros.types import Array, Image

Track = Callable[[Sequence[PosedImage], str], Iterable[PosedImage]]
"""(images, what is done with them) to the same images, with progress shown."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """What is measured on what.

    Args:
        bundles: folders; the first is the one that the report is about.
        followers: folders of bundles that follow sequences, to compare with the others.
        data: how the data set is named in the report.
        dataset: all of it.
        part: `train`, `val` or `all`.
        scene: that the data are from, where the bundles know several; None finds it in what they were trained on.
        backend: name in the back-end table.
        threads: of the network; 0 is automatic.
        faults: to inject.
        seed: of the faults.
        baseline: `sift`, or None.
        recorded: poses that a node published for these images, to judge instead of running the bundle.
        mapping: `FORMAT:PATH` of what the model was trained on, where that cannot be found.

    Raises:
        ConfigError: a fault is unknown, or would have to be injected into a recording.
    """

    bundles: tuple[str, ...]
    data: str
    dataset: PosedImages
    part: str
    scene: str | None = None
    backend: str = "onnxruntime"
    threads: int = 0
    faults: tuple[str, ...] = ()
    seed: int = 0
    baseline: str | None = None
    recorded: Path | None = None
    mapping: str | None = None
    followers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_faults(self.faults)
        if self.recorded is not None and (self.faults or len(self.bundles) > 1 or self.followers):
            raise ConfigError(
                "a recording holds the poses of one bundle on the images as they are; leave out --fault and other bundles"
            )


@dataclass(frozen=True, kw_only=True)
class _Judged:
    """What became of one contender."""

    subject: Subject
    results: list[FrameResult]
    sheet: Image | None
    findings: Findings

    @property
    def contender(self) -> Contender:
        report = make_report(self.subject, self.results, self.findings)
        return Contender(name=Path(self.subject.bundle).name, report=report, results=self.results)


def run_study(study: Study, folder: Path, track: Track) -> dict[str, Any]:
    """Evaluate, write the report into a folder and return the content of its `report.json`.

    Other bundles and the baseline have their reports in sub-folders of their own.

    Raises:
        BundleError, BackendError: a bundle cannot be run.
        ConfigError: what is asked for does not fit the bundles.
        DatasetError: the data cannot be read.
    """
    bundles = [load_bundle(path) for path in study.bundles]
    split = common_split(bundles, study.data, study.dataset, study.part)
    images = split_images(study.dataset, study.part, split)
    mapped = _mapped_images(study, bundles[0], split)
    judged = [_judge_bundle(study, bundle, images, split, mapped, track) for bundle in bundles]
    judged += [_judge_follower(study, path, images, split, mapped, track) for path in study.followers]
    if study.baseline is not None:
        judged.append(_judge_baseline(study, images, split, mapped, track))
    first, *others = judged
    for name, other in zip(_folder_names(others), others):
        write_report(folder / name, other.subject, other.results, other.sheet, other.findings)
    return write_report(
        folder, first.subject, first.results, first.sheet, first.findings, [other.contender for other in others]
    )


def _mapped_images(study: Study, bundle: Bundle, split: Split) -> PosedImages | None:
    """Return what the model was trained on, where that can be found; a bundle itself holds no image and no path."""
    if study.mapping is not None:
        mapping = read_dataset(study.mapping)
        return split_images(mapping, "train", split) if study.mapping == study.data else mapping
    if study.part == "val":
        return split_images(study.dataset, "train", split)
    source = trained_on(bundle).get(_scene_of(study, bundle) or bundle.manifest.scenes[0].name)
    try:
        return None if source is None else split_images(read_dataset(source), "train", split)
    except DatasetError:
        return None


def _positions(mapped: PosedImages | None) -> Array | None:
    return None if mapped is None else np.array([image.T_map_camera[:3, 3] for image in mapped.images])


def _judge_bundle(
    study: Study, bundle: Bundle, images: PosedImages, split: Split, mapped: PosedImages | None, track: Track
) -> _Judged:
    scene = _scene_of(study, bundle)
    backend = create_backend(study.backend, bundle, study.threads)
    try:
        localizer = Localizer(bundle.manifest, backend)
        if study.recorded is None:
            results = replay(localizer, track(images.images, f"Localizing, {bundle.path.name}"), scene=scene)
        else:
            results = recorded_results(study.recorded, images.images)
        told = None
        if scene and study.recorded is None:
            knowing = Localizer(bundle.manifest, backend, scene)
            told = replay(knowing, track(images.images, f"Localizing, told that it is {scene}"), scene=scene)
        subject = _subject(study, images, split, scene)
        subject = replace(
            subject,
            bundle=str(bundle.path),
            method=bundle.manifest.method,
            model_sha256=bundle.manifest.files[MODEL_NAME],
            backend=backend.name if study.recorded is None else f"recorded in {study.recorded}",
            device=backend.device,
            precision=backend.precision,
            map_bytes=_size_bytes(bundle),
        )
        findings = Findings(
            oracle=told,
            mapped_positions=_positions(mapped),
            faults=_run_faults(study, localizer, images, results, scene, track),
            fault_seed=study.seed,
            judged_on=_judged_on(study, bundle),
        )
        sheet = frame_sheet(results, images.images, localizer.network_view, subject.unit) if results else None
    finally:
        backend.close()
    return _Judged(subject=subject, results=results, sheet=sheet, findings=findings)


def _judge_baseline(
    study: Study, images: PosedImages, split: Split, mapped: PosedImages | None, track: Track
) -> _Judged:
    from reloc_ros.evaluation.sift_localizer import build_sift_localizer

    if mapped is None:
        raise ConfigError(
            "the baseline needs the images that the bundle was trained on and cannot find them; give --mapping FORMAT:PATH"
        )
    localizer = build_sift_localizer(mapped.images, track)
    results = replay(localizer, track(images.images, "Localizing, SIFT"))
    subject = replace(
        _subject(study, images, split, ""),
        bundle="sift",
        method="sift",
        backend="opencv, pycolmap",
        device="cpu",
        precision="fp64",
        map_bytes=localizer.map_bytes,
    )
    findings = Findings(
        mapped_positions=_positions(mapped),
        faults=_run_faults(study, localizer, images, results, "", track),
        fault_seed=study.seed,
        judged_on="frames that are not in its map" if study.part == "val" else f"frames of {study.dataset.name}",
    )
    sheet = frame_sheet(results, images.images, lambda frame: frame.image, subject.unit)
    return _Judged(subject=subject, results=results, sheet=sheet, findings=findings)


def _judge_follower(
    study: Study, path: str, images: PosedImages, split: Split, mapped: PosedImages | None, track: Track
) -> _Judged:
    bundle = SequenceBundle(path, study.backend, study.threads)
    try:
        results = follow_told(bundle, study.dataset.images, images.images, track)
        subject = replace(
            _subject(study, images, split, ""),
            bundle=path,
            method=bundle.bundle.manifest.method,
            model_sha256=bundle.bundle.manifest.files[MODEL_NAME],
            backend=bundle.step.name,
            device=bundle.step.device,
            precision=bundle.step.precision,
            map_bytes=_size_bytes(bundle.bundle),
            told=TOLD,
        )
    finally:
        bundle.close()
    findings = Findings(mapped_positions=_positions(mapped), judged_on=f"frames, told {TOLD}")
    sheet = frame_sheet(results, images.images, lambda frame: frame.image, subject.unit)
    return _Judged(subject=subject, results=results, sheet=sheet, findings=findings)


def _size_bytes(bundle: Bundle) -> int:
    return sum(file.stat().st_size for file in bundle.path.iterdir() if file.is_file())


def _run_faults(
    study: Study,
    localizer: FrameLocalizer,
    images: PosedImages,
    clean: Sequence[FrameResult],
    scene: str,
    track: Track,
) -> dict[str, FaultRun]:
    runs = {}
    for name in study.faults:
        title = f"Localizing, {name}"
        runs[name] = run_fault(
            name,
            images.images,
            clean,
            study.seed,
            lambda spoilt, title=title: replay(localizer, track(spoilt, title), scene=scene),  # type: ignore[misc]
        )
    return runs


def _scene_of(study: Study, bundle: Bundle) -> str:
    """Return the scene that the images are from; empty where the bundle knows but one."""
    names = [scene.name for scene in bundle.manifest.scenes]
    if len(names) == 1 and len(study.bundles) > 1:
        return ""  # what the scene is called matters to those that know several
    if study.scene is not None and study.scene not in names:
        raise ConfigError(f"--scene is {study.scene!r}, the bundle knows {', '.join(names)}; choose one of these")
    if len(names) == 1:
        return ""
    scene = study.scene or next((name for name, data in trained_on(bundle).items() if data == study.data), None)
    if scene is None:
        raise ConfigError(
            f"the bundle knows the scenes {', '.join(names)} and was not trained on {study.data}; say with --scene which "
            "one these images are from"
        )
    return scene


def _judged_on(study: Study, bundle: Bundle) -> str:
    if study.part == "val":
        return "held-out frames"
    if study.part == "train" or study.data in trained_on(bundle).values():
        return "frames that it was partly trained on"
    return f"frames of {study.dataset.name}"


def _subject(study: Study, images: PosedImages, split: Split, scene: str) -> Subject:
    return Subject(
        bundle="",
        method="",
        model_sha256="",
        data=study.data,
        split=study.part,
        split_settings={} if study.part == "all" else asdict(split),
        ground_truth=images.ground_truth,
        metric=images.metric,
        skipped=len(images.skipped),
        backend="",
        device="",
        precision="",
        threads=study.threads,
        scene=scene,
    )


def _folder_names(judged: Sequence[_Judged]) -> list[str]:
    """Return a name for each, those of the bundles where they differ."""
    names = [Path(other.subject.bundle).name for other in judged]
    return names if len(set(names)) == len(names) else [f"{k}_{name}" for k, name in enumerate(names, start=2)]
