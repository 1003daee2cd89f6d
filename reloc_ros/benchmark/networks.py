"""The table: every network in every back end of this machine, and what it depends on."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from reloc_ros.benchmark.contender import Contender, reason_of
from reloc_ros.benchmark.contest import Figures, hold
from reloc_ros.benchmark.machine import missing_backends
from reloc_ros.bundle.load import Bundle, load_bundle
from reloc_ros.errors import RelocError

# The first is what all others are compared with.
TORCH = "torch"
BACKENDS = (
    TORCH, "torch.compile", "onnxruntime", "onnxruntime_int8", "torch_cuda", "torch_cuda.compile", "onnxruntime_cuda",
    "tensorrt",
)  # fmt: skip

SIZES = ((160, 128), (224, 160), (320, 256), (448, 320))
BATCHES = (1, 2, 4, 8)
OPTIMIZATIONS = ("DISABLE_ALL", "ENABLE_BASIC", "ENABLE_EXTENDED")

Say = Callable[[str, float], None]
"""Called with what is under way and the share of it that is done."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A network to measure.

    Args:
        label: in the table.
        bundle: one graph of it.
        checkpoint: its weights for torch, or random ones, which take as long.
        trained: whether its poses mean something.
    """

    label: str
    bundle: Bundle
    checkpoint: Path
    trained: bool

    @property
    def size(self) -> str:
        """Width and height of the image; what the graph takes instead, for the step of a sequence."""
        manifest = self.bundle.manifest
        if manifest.sequence is not None:
            return "one step"
        return f"{manifest.input.width}x{manifest.input.height}"

    def contender(self, backend: str, threads: int, **changes: Any) -> Contender:
        """Return it in a back end."""
        return Contender(
            backend=backend, bundle=str(self.bundle.path), graph=self.bundle.model, checkpoint=str(self.checkpoint),
            threads=threads, **changes,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a table.

    Args:
        section: table that it belongs to.
        network: label of the subject.
        size: of its image.
        what: back end, or what is varied.
        figures: measured.
        speed_up: times as fast as the section's reference; NaN without one.
        poses: how its poses compare with those in float32; empty where they are that.
        pose_median_mm: of the same; None where nothing was compared.
    """

    section: str
    network: str
    size: str
    what: str
    figures: Figures
    speed_up: float = np.nan
    poses: str = ""
    pose_median_mm: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            **{name: getattr(self, name) for name in ("section", "network", "size", "what", "poses", "pose_median_mm")},
            "speed_up": None if np.isnan(self.speed_up) else self.speed_up,
            **self.figures.to_dict(),
        }


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """A contender, or why there is none, and what its poses are like."""

    contender: Contender
    problem: str = ""
    poses: str = ""
    pose_median_mm: float | None = None


@contextmanager
def subjects(bundles: Sequence[Path], methods: Sequence[str], say: Say) -> Iterator[list[Subject]]:
    """Give the networks to measure, with weights for torch.

    Args:
        bundles: trained ones.
        methods: of which untrained ones are made.
        say: told what is under way.
    """
    from reloc_ros.export.untrained import write_untrained_bundle
    from reloc_ros.inference.torch_backend import write_untrained

    with tempfile.TemporaryDirectory(prefix="reloc_bench_") as scratch:
        found = []
        for number, path in enumerate(bundles):
            bundle, checkpoint = load_bundle(path), Path(scratch) / f"{number}.pt"
            try:
                write_untrained(bundle, checkpoint)
            except RelocError:
                checkpoint = bundle.path / "checkpoint.pt"  # torch's row says it where there is none
            found += _graphs(path.name, bundle, checkpoint, trained=True)
        for number, method in enumerate(methods):
            say(f"Making {method}", number / len(methods))
            made = write_untrained_bundle(method, Path(scratch) / method)
            found += _graphs(f"{method} (untrained)", made.bundle, made.checkpoint, trained=False)
        yield found


def or_reason(section: str, network: str, measure: Callable[[], list[Row]]) -> list[Row]:
    """Return what is measured, or a line that says why it is not: the other lines are not lost with it."""
    try:
        return measure()
    except Exception as error:  # exporters and compilers raise classes of their own
        nobody = Contender(backend="all", bundle="")
        figures = Figures(contender=nobody, problem=f"{network}: {reason_of(error)}")
        return [Row(section=section, network=network, size="", what=nobody.backend, figures=figures)]


def compare_backends(
    chosen: Sequence[Subject], backends: Sequence[str], *, threads: int, seconds: float, say: Say
) -> Iterator[Row]:
    """Measure each network in each back end, the back ends of one network against each other."""
    missing = missing_backends()
    for subject in chosen:
        compare = partial(_compare, subject, backends, missing, threads, seconds, say)
        yield from or_reason("networks", subject.label, compare)


def _compare(
    subject: Subject, backends: Sequence[str], missing: Mapping[str, str], threads: int, seconds: float, say: Say
) -> list[Row]:
    title = f"{subject.label}, {subject.bundle.model}"
    say(title, 0.0)
    with tempfile.TemporaryDirectory(prefix="reloc_bench_") as scratch:
        entries = [_enter(subject, name, threads, missing.get(name, ""), Path(scratch)) for name in backends]
        fit = [entry.contender for entry in entries if not entry.problem]
        found = {each.contender.backend: each for each in hold(fit, seconds, partial(say, title))}
    rows = []
    for entry in entries:
        name = entry.contender.backend
        figures = found.get(name) or Figures(contender=entry.contender, problem=entry.problem)
        reference_ms = found[TORCH].p50_ms if TORCH in found else np.nan
        rows.append(
            Row(
                section="networks", network=subject.label, size=subject.size, what=name, figures=figures,
                speed_up=reference_ms / figures.p50_ms, poses=entry.poses, pose_median_mm=entry.pose_median_mm,
            )
        )  # fmt: skip
    return rows


def sweep_sizes(method: str, *, threads: int, seconds: float, say: Say) -> Iterator[Row]:
    """Measure one method's network at several sizes of the image."""
    from reloc_ros.export.untrained import write_untrained_bundle

    def at(size: tuple[int, int]) -> list[Row]:
        with tempfile.TemporaryDirectory(prefix="reloc_bench_") as scratch:
            made = write_untrained_bundle(method, Path(scratch) / "bundle", size)
            (subject,) = _graphs(method, made.bundle, made.checkpoint, trained=False)
            contenders = [subject.contender(name, threads) for name in (TORCH, "onnxruntime")]
            return _against_first("resolution", subject, [c.backend for c in contenders], hold(contenders, seconds))

    for number, size in enumerate(SIZES):
        say(f"{method} at {size[0]}x{size[1]}", number / len(SIZES))
        yield from or_reason("resolution", method, partial(at, size))


def sweep_batches(method: str, *, threads: int, seconds: float, say: Say) -> Iterator[Row]:
    """Measure one method's network with several images at a time, exported once more for each number."""
    from reloc_ros.export.untrained import write_batched, write_untrained_bundle

    with tempfile.TemporaryDirectory(prefix="reloc_bench_") as scratch:
        made = cache(partial(write_untrained_bundle, method, Path(scratch) / "one"))

        def of(batch: int) -> list[Row]:
            (subject,) = _graphs(method, made().bundle, made().checkpoint, trained=False)
            model = Path(scratch) / f"{batch}.onnx"
            write_batched(made(), batch, model)
            contenders = [
                subject.contender(name, threads, batch=batch, model=str(model)) for name in (TORCH, "onnxruntime")
            ]
            names = [f"{contender.backend}, batch {batch}" for contender in contenders]
            return _against_first("batch", subject, names, hold(contenders, seconds))

        for number, batch in enumerate(BATCHES):
            say(f"{method}, {batch} images at a time", number / len(BATCHES))
            yield from or_reason("batch", method, partial(of, batch))


def tune_onnxruntime(subject: Subject, *, cores: int, seconds: float, say: Say) -> list[Row]:
    """Measure ONNX Runtime with several numbers of threads, spinning or not, and with less optimization of the graph."""
    threads = sorted({1, *(2**power for power in range(1, cores.bit_length()) if 2**power <= cores), cores})
    told = {f"{n} thread{'s' if n > 1 else ''}": {"threads": n} for n in reversed(threads)}
    told.update({f"{n} threads, spinning": {"threads": n, "spinning": True} for n in threads if n > 1})
    told.update({f"{cores} threads, {name}": {"threads": cores, "optimization": name} for name in OPTIMIZATIONS})
    contenders = [replace(subject.contender("onnxruntime", cores), **changes) for changes in told.values()]
    found = hold(contenders, seconds, lambda done: say(f"{subject.label}: threads", done))
    return _against_first("tuning", subject, list(told), found)


def _graphs(label: str, bundle: Bundle, checkpoint: Path, *, trained: bool) -> list[Subject]:
    """Return a subject for each graph of a bundle."""
    graphs = {label: bundle}
    if bundle.manifest.sequence is not None:
        graphs = {f"{label} encoder": bundle.encoder(), f"{label} step": bundle}
    return [Subject(label=name, bundle=graph, checkpoint=checkpoint, trained=trained) for name, graph in graphs.items()]


def _enter(subject: Subject, backend: str, threads: int, problem: str, scratch: Path) -> _Entry:
    """Return a network in a back end, ready to be measured, or why it cannot be."""
    contender = subject.contender(backend, threads)
    if problem or backend != "onnxruntime_int8":
        return _Entry(contender=contender, problem=problem)
    from reloc_ros.export.engine_parity import judge
    from reloc_ros.export.gate_images import images_for
    from reloc_ros.export.int8 import write_int8
    from reloc_ros.inference.backend import create_backend
    from reloc_ros.inference.onnxruntime_backend import OnnxRuntimeBackend

    bundle, model = subject.bundle, scratch / "int8.onnx"
    try:
        write_int8(bundle.model_path, model)
    except Exception as error:  # of the library that quantizes, too
        return _Entry(contender=contender, problem=reason_of(error))
    contender = replace(contender, model=str(model))
    if not subject.trained:
        return _Entry(contender=contender)  # poses of random weights mean nothing
    try:
        exact, coarse = create_backend("onnxruntime", bundle), OnnxRuntimeBackend(bundle, model=model)
        verdict = judge(exact, coarse, bundle, images_for(bundle))
    except RelocError as error:
        return _Entry(contender=contender, poses=f"not compared: {reason_of(error)}")
    return _Entry(contender=contender, poses=str(verdict), pose_median_mm=verdict.median_mm)


def _against_first(section: str, subject: Subject, names: Sequence[str], found: Sequence[Figures]) -> list[Row]:
    return [
        Row(
            section=section, network=subject.label, size=subject.size, what=name, figures=figures,
            speed_up=found[0].p50_ms / figures.p50_ms,
        )
        for name, figures in zip(names, found, strict=True)
    ]  # fmt: skip
