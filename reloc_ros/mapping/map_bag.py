"""From a bag to a bundle: select, extract, train, export, validate, report."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress

from reloc_ros.datasets.images import PosedImages
from reloc_ros.datasets.posed_images import read_dataset
from reloc_ros.datasets.splits import split_images
from reloc_ros.errors import ConfigError, DatasetError
from reloc_ros.evaluation.plots import save_figure
from reloc_ros.mapping.coverage import coverage_figure
from reloc_ros.mapping.extract import extract_frames
from reloc_ros.mapping.frames import Choice, Drop, Selection, choose_by_motion, choose_frames
from reloc_ros.mapping.html_report import write_html
from reloc_ros.mapping.next_steps import next_steps
from reloc_ros.mapping.plan import PASSES, Plan, held_out, training_minutes
from reloc_ros.mapping.source import MAP, complete_options, correction_jumps_ns, fingerprint, read_drive
from reloc_ros.mapping.stages import Stages
from reloc_ros.mapping.validate import farthest_held_out_m, validate

if TYPE_CHECKING:
    from reloc_ros.training.config import TrainConfig

MIN_FRAMES = 20
"""Fewer are no map; a verdict asks for far more."""


@dataclass(frozen=True, kw_only=True)
class MapRequest:
    """What to map, and how.

    Args:
        bag: recorded drive.
        out: bundle folder to write.
        work: folder of the stages, the frames, the run and the report.
        options: of the bag's reader (see `reloc_ros.datasets.rosbag`).
        method: relocalization method.
        selection: which frames to keep.
        max_minutes: of training at most; None trains as long as the number of frames asks for.
        config: YAML of training with what differs from the defaults.
        initial: run folder to start from.
        labels: `pose`, or `position` where the reference knows no orientations; needs `initial`.
        device: `cpu` or `cuda`; None takes cuda where there is one.
        restart: forget what earlier runs left in `work`.
    """

    bag: Path
    out: Path
    work: Path
    options: Mapping[str, str] = field(default_factory=dict)
    method: str = "implicit_geometry"
    selection: Selection = field(default_factory=Selection)
    max_minutes: float | None = None
    config: Path | None = None
    initial: str | None = None
    labels: str | None = None
    device: str | None = None
    restart: bool = False

    @property
    def report(self) -> Path:
        """The HTML file."""
        return self.work / "report.html"

    @property
    def frames(self) -> Path:
        """Data set of the kept frames."""
        return self.work / "frames"

    @property
    def data(self) -> str:
        """The kept frames as `FORMAT:PATH`."""
        return f"panorama_sequences:{self.frames}"


def make_plan(request: MapRequest) -> Plan:
    """Return what a run will take, without decoding an image.

    Raises:
        DatasetError: the bag cannot be used.
        ConfigError: the training configuration cannot.
    """
    options = complete_options(request.bag, request.options)
    drive = read_drive(request.bag, options)
    known_jumps_ns = correction_jumps_ns(request.bag, options, request.selection.reference)
    choice = choose_by_motion(drive.images, request.selection, known_jumps_ns)
    _require_frames(choice, drive, request)
    minutes = _training(request, len(choice.kept)).max_minutes
    camera = drive.images[0].camera
    return Plan(
        images=len(drive), without_pose=len(drive.skipped), width=camera.width, height=camera.height, choice=choice,
        minutes=minutes,
    )  # fmt: skip


def map_bag(request: MapRequest, tell: Callable[[str], None]) -> dict[str, Any]:
    """Do every stage that is not done yet and return the content of `verdict.json`.

    Raises:
        DatasetError: the bag cannot be used, or too few frames are left.
        ConfigError, TrainingError, ExportError: a later stage cannot be done; run again to go on from there.
    """
    # What is wrong with the request is said before an hour of work, not after it.
    _training(request, MIN_FRAMES)
    if request.restart:
        _forget(request.work)
    options = complete_options(request.bag, request.options)
    stages = Stages(request.work, tell)
    coverage, evaluation = request.work / "coverage.png", request.work / "evaluation"
    files = [Path(options[key]).expanduser() for key in ("poses", "camera") if key in options]
    inputs = {
        "bag": str(request.bag),
        "files": [fingerprint(path) for path in (request.bag, *files) if path.exists()],
        "options": options,
        "selection": asdict(request.selection),
    }
    selected = stages.run("select", inputs, (), lambda: _select(request, options))
    stages.run(
        "extract",
        {"split": asdict(held_out(selected["kept"]))},
        (request.frames, coverage),
        lambda: _extract(request, options, selected, coverage),
    )
    config = _training(request, selected["kept"])
    run = request.work / "run"
    trained = {**_plain(config), "method": request.method, "device": request.device}
    stages.run("train", trained, (run,), lambda: _train(request, config, run))
    exported = {"map_frame": options.get("map_frame", MAP), "out": str(request.out)}
    stages.run("export", exported, (request.out,), lambda: _export(request, run, exported["map_frame"]))
    with _progress("localizing held-out frames") as step:
        verdict = stages.run("validate", {}, (evaluation,), lambda: validate(
            request.out, request.data, held_out(selected["kept"]), evaluation, ground_truth=selected["reference"],
            only_position=request.labels == "position", on_frame=step,
        ))  # fmt: skip
    shortened = config.max_minutes < training_minutes(selected["kept"], None)
    facts = _facts(request, options, selected, config)
    stages.run("report", {"facts": facts}, (request.report,), lambda: _report(
        request, verdict, selected, facts,
        next_steps(selected, verdict, str(request.out), shortened=shortened, off_path_m=farthest_held_out_m(evaluation)),
    ))  # fmt: skip
    return verdict


def _select(request: MapRequest, options: Mapping[str, str]) -> dict[str, Any]:
    drive = read_drive(request.bag, options)
    known_jumps_ns = correction_jumps_ns(request.bag, options, request.selection.reference)
    with _progress("looking at images", len(drive)) as step:
        choice = choose_frames(drive.images, request.selection, known_jumps_ns, step)
    _require_frames(choice, drive, request)
    return {
        "images": len(drive),
        "without_pose": len(drive.skipped),
        "skipped": dict(Counter(skipped.reason for skipped in drive.skipped)),
        "dropped": choice.counts(),
        "jumps": len(choice.jumps),
        "jumps_at_s": [round((drive.images[i].stamp_ns - drive.images[0].stamp_ns) / 1e9, 2) for i in choice.jumps],
        "kept": len(choice.kept),
        "reference": drive.ground_truth,
        "camera": drive.images[0].camera.to_dict(),
        "choice": {
            "kept": list(choice.kept),
            "dropped": {str(index): reason.name for index, reason in sorted(choice.dropped.items())},
            "jumps": list(choice.jumps),
        },
    }


def _extract(
    request: MapRequest, options: Mapping[str, str], selected: Mapping[str, Any], coverage: Path
) -> dict[str, Any]:
    drive = read_drive(request.bag, options)
    known = selected["choice"]
    choice = Choice(
        kept=tuple(known["kept"]),
        dropped={int(index): Drop[name] for index, name in known["dropped"].items()},
        jumps=tuple(known["jumps"]),
    )
    if request.frames.exists():
        shutil.rmtree(request.frames)
    with _progress("writing frames", len(choice.kept)) as step:
        extract_frames([drive.images[index] for index in choice.kept], request.frames, step)
    parts = _parts(request, len(choice.kept))
    index_of = {name: choice.kept[place] for place, name in enumerate(parts["all"])}
    judged = [index_of[name] for name in parts["val"]]
    guard = [index_of[name] for name in parts["all"] if name not in {*parts["train"], *parts["val"]}]
    save_figure(coverage_figure(drive.images, choice, judged, guard), coverage)
    return {part: len(names) for part, names in parts.items()}


def _parts(request: MapRequest, kept: int) -> dict[str, list[str]]:
    frames, split = read_dataset(request.data), held_out(kept)
    return {
        part: [image.name for image in split_images(frames, part, split).images] for part in ("all", "train", "val")
    }


def _training(request: MapRequest, frames: int) -> TrainConfig:
    from reloc_ros.training.config import read_config

    asked = {"initial": request.initial, "labels": request.labels, "split": asdict(held_out(frames))}
    _check_initial(request)
    config = read_config(request.method, request.config, **asked)
    # The command line says more than the configuration file, and that more than the plan.
    usual, given = type(config)(), request.max_minutes
    planned = given is not None or config.max_minutes == usual.max_minutes
    return read_config(
        request.method,
        request.config,
        **asked,
        max_minutes=training_minutes(frames, given) if planned else None,
        epochs=PASSES if config.epochs == usual.epochs else None,
    )


def _check_initial(request: MapRequest) -> None:
    if request.initial is None:
        return
    initial = Path(request.initial)
    if not initial.exists():
        raise ConfigError(f"initial {initial} does not exist; give the run folder of an earlier training")
    if initial.resolve().is_relative_to(request.work.resolve()):
        raise ConfigError(
            f"initial {initial} lies in {request.work}, whose training would replace it; give another --out for the new bundle"
        )


def _train(request: MapRequest, config: TrainConfig, run: Path) -> dict[str, Any]:
    from reloc_ros.training.distributed import join_world
    from reloc_ros.training.train import train

    with join_world(request.device) as world:
        best = train([f"{_scene_name(request)}={request.data}"], run, config, world)
    return {"best": best.name}


def _export(request: MapRequest, run: Path, map_frame: str) -> dict[str, Any]:
    from reloc_ros.export.bundle_run import export_run

    _, parity = export_run(run, request.out, map_frames={"": map_frame})
    return {"parity_m": parity.translation_m, "parity_deg": parity.rotation_deg}


def _report(
    request: MapRequest, verdict: Mapping[str, Any], selected: Mapping[str, Any],
    facts: list[tuple[str, str]], steps: list[str],
) -> dict[str, Any]:  # fmt: skip
    write_html(
        request.report, title=f"Map of {request.bag.name}", verdict=verdict, evaluation=request.work / "evaluation",
        coverage=request.work / "coverage.png", selected=selected, facts=facts, steps=steps,
    )  # fmt: skip
    return {"report": request.report.name}


def _facts(
    request: MapRequest, options: Mapping[str, str], selected: Mapping[str, Any], config: TrainConfig
) -> list[tuple[str, str]]:
    camera = selected["camera"]
    jumps = ", ".join(f"{seconds:g} s" for seconds in selected["jumps_at_s"]) or "none"
    selection = request.selection
    return [
        ("bag", str(request.bag)),
        ("options of the bag", ", ".join(f"{key}={value}" for key, value in sorted(options.items())) or "found alone"),
        ("reference", selected["reference"]),
        ("jumps of the reference after", jumps),
        ("camera", f"{camera['model']}, {camera['width']} x {camera['height']} pixels"),
        ("frames kept every", f"{selection.every_m:g} m or {selection.every_deg:g} deg"),
        ("method", request.method + (", from positions alone" if request.labels == "position" else "")),
        ("training", f"{config.max_minutes:g} min at most"),
        ("bundle", str(request.out)),
        ("frames, figures and training run", str(request.work)),
    ]


def _scene_name(request: MapRequest) -> str:
    """Return the bag's name with the characters that a scene's name may have."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "_" for c in request.bag.resolve().stem)


def _plain(config: TrainConfig) -> dict[str, Any]:
    from reloc_ros.training.config import config_to_dict

    return config_to_dict(config)


def _require_frames(choice: Choice, drive: PosedImages, request: MapRequest) -> None:
    if len(choice.kept) < MIN_FRAMES:
        lost = "; ".join(f"{count} {reason}" for reason, count in choice.counts().items() if count) or "none dropped"
        raise DatasetError(
            f"bag {request.bag}: {len(choice.kept)} frames are left of {len(drive)} with a pose ({lost}; "
            f"{len(drive.skipped)} without a pose), needs {MIN_FRAMES}; {_remedy(choice, request.selection)}"
        )


def _remedy(choice: Choice, selection: Selection) -> str:
    reason, _ = Counter(choice.dropped.values()).most_common(1)[0] if choice.dropped else (None, 0)
    if reason is Drop.JUMP:
        limits = selection.reference
        return (
            f"a step faster than {limits.max_speed_mps:g} m/s or {limits.max_turn_dps:g} deg/s is taken for a jump of the "
            "reference: check the stamps of the images, raise --max-speed if the camera was that fast, or record again "
            "with a better localized robot"
        )
    return "record a longer drive, or lower --every-m and --every-deg"


def _forget(work: Path) -> None:
    """Remove what earlier runs left, and nothing else that lies in the folder."""
    for name in ("frames", "frames.partial", "run", "evaluation"):
        shutil.rmtree(work / name, ignore_errors=True)
    for path in (*work.glob("*.stage.json"), work / "coverage.png", work / "report.html"):
        path.unlink(missing_ok=True)


@contextmanager
def _progress(title: str, total: int | None = None) -> Iterator[Callable[[], None]]:
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield lambda: progress.advance(task)
