"""From a bundle to an engine in the cache: the fastest precision whose poses are right."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from reloc_ros.bundle.load import Bundle
from reloc_ros.bundle.manifest import MODEL_NAME
from reloc_ros.errors import BackendError, BundleError, EngineBuildError, ExportError
from reloc_ros.export.engine_parity import Verdict, judge
from reloc_ros.export.gate_images import GateImages, images_for
from reloc_ros.export.precision import external_files, write_with_precision
from reloc_ros.inference.backend import create_backend
from reloc_ros.inference.build_engine import Progress, build_engine
from reloc_ros.inference.cuda import Cuda
from reloc_ros.inference.engine_cache import PASSED, Build, CachedEngine, EngineCache
from reloc_ros.inference.engine_key import EngineKey
from reloc_ros.inference.onnxruntime_backend import OnnxRuntimeBackend
from reloc_ros.inference.tensorrt_backend import TensorRTBackend
from reloc_ros.inference.tensorrt_library import (
    CURRENT,
    RTX,
    Library,
    check_target,
    find_library,
    key_for_target,
    key_here,
)

_log = logging.getLogger(__name__)

AUTO = "auto"
# What is tried in turn. Without an engine that passes, ONNX Runtime serves.
LADDERS = {
    AUTO: ("fp16", "mixed", "fp32"),
    "fp16": ("fp16", "mixed", "fp32"),
    "bf16": ("bf16", "fp32"),
    "mixed": ("mixed", "fp32"),
    "fp32": ("fp32",),
}

Compile = Callable[[Path, Path, Library, str, Progress | None], Build]


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where engines are built: the TensorRT and the GPU, if there is one."""

    library: Library
    cuda: Cuda | None
    no_gpu: str = ""
    """Why there is no GPU."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One precision that was tried.

    Args:
        precision: of the recipe.
        entry: the engine with its verdicts; None where it was not built.
        verdicts: of the `graph` (the recipe in ONNX Runtime) and of the `engine`, or why there is none.
    """

    precision: str
    entry: CachedEngine | None = None
    verdicts: dict[str, str] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether the next precision has to be tried."""
        return self.entry is None or any(said.startswith("failed") for said in self.verdicts.values())


def this_machine(target: str) -> Machine:
    """Return what this machine can build with.

    Args:
        target: `current`, or a compute capability, which takes TensorRT-RTX.

    Raises:
        BackendError: TensorRT is missing or does not know the target, or that is `current` and there is no GPU.
    """
    library = find_library(None if target == CURRENT else RTX)
    check_target(library, target)
    try:
        return Machine(library=library, cuda=Cuda())
    except BackendError as error:
        if target == CURRENT:
            raise BackendError(f"{error}; an engine for another machine takes --target, such as sm89") from error
        return Machine(library=library, cuda=None, no_gpu=str(error))


def build_best(
    bundle: Bundle,
    cache: EngineCache,
    machine: Machine,
    *,
    precision: str = AUTO,
    target: str = CURRENT,
    images: GateImages | None = None,
    tolerance: float = 1.0,
    progress: Progress | None = None,
    compiles: Compile = build_engine,
) -> list[Attempt]:
    """Try one precision after another until an engine's poses are right, and return the attempts; the last one counts.

    Args:
        bundle: verified bundle.
        cache: engines it holds are not built again; those that nobody judged are judged.
        machine: what to build with.
        precision: key of `LADDERS`.
        target: `current`, or a compute capability such as `sm89`.
        images: to compare poses on; None takes the bundle's own, and synthetic ones where it has none.
        tolerance: factor on the limits of that comparison.
        progress: told how far each build is.
        compiles: makes an engine of a graph.

    Raises:
        BackendError: the cache cannot be written.
        BundleError: the graph's weights are in files that the manifest does not list, or its images are unreadable.
        ExportError: unknown precision.
    """
    if precision not in LADDERS:
        raise ExportError(f"precision is {precision!r}, choose one of {', '.join(LADDERS)}")
    unlisted = sorted(external_files(bundle.model_path) - set(bundle.manifest.files))
    if unlisted:
        raise BundleError(
            f"{bundle.model_path} has weights in {unlisted[0]}, which the manifest does not list; export it again"
        )
    shown = images_for(bundle) if images is None else images
    attempts = []
    for name in _ladder(bundle, machine, precision, target):
        attempts.append(_Attempt(bundle, cache, machine, shown, tolerance, name, target).run(compiles, progress))
        if not attempts[-1].failed:
            break
        _log.info("engine in %s is not used: %s", name, attempts[-1].verdicts)
    return attempts


def _ladder(bundle: Bundle, machine: Machine, precision: str, target: str) -> tuple[str, ...]:
    """Return the precisions to try; what the manifest says of this kind of card is tried first."""
    ladder = LADDERS[precision]
    if precision != AUTO or target != CURRENT or machine.cuda is None:
        return ladder
    known = bundle.manifest.devices.get(machine.cuda.gpu.name, {}).get(bundle.model)
    if known is None or known.precision not in LADDERS:
        return ladder
    return LADDERS[known.precision]


class _Attempt:
    """One precision on its way: the graph, its poses, the engine, its poses."""

    def __init__(
        self,
        bundle: Bundle,
        cache: EngineCache,
        machine: Machine,
        images: GateImages,
        tolerance: float,
        precision: str,
        target: str,
    ) -> None:
        self._images = images
        self._tolerance = tolerance
        self._bundle = bundle
        self._cache = cache
        self._machine = machine
        self._precision = precision
        self._target = target

    def run(self, compiles: Compile, progress: Progress | None) -> Attempt:
        """Return what became of it."""
        with tempfile.TemporaryDirectory(prefix="reloc_engine_") as scratch:
            graph = Path(scratch) / MODEL_NAME
            write_with_precision(self._bundle.model_path, graph, self._precision)
            verdicts = {"graph": self._judge_graph(graph)}
            if verdicts["graph"].startswith("failed"):
                return Attempt(precision=self._precision, verdicts=verdicts)
            try:
                entry = self._cache.get_or_build(
                    self._key(), lambda path: compiles(graph, path, self._machine.library, self._target, progress)
                )
            except EngineBuildError as error:
                return Attempt(precision=self._precision, verdicts={**verdicts, "engine": f"failed: {error}"})
        verdicts["engine"] = self._judge_engine(entry)
        if self._cache.get(entry.key) is None:
            # It could not even be deserialized, and the cache does not keep such files.
            return Attempt(precision=self._precision, verdicts=verdicts)
        entry = self._cache.judge(entry.key, verdicts)
        return Attempt(precision=self._precision, entry=entry, verdicts=verdicts)

    def _key(self) -> EngineKey:
        library, cuda = self._machine.library, self._machine.cuda
        if self._target == CURRENT and cuda is not None:
            return key_here(self._bundle, library, cuda.gpu, self._precision)
        return key_for_target(self._bundle, library, self._target, self._precision)

    def _judge_graph(self, graph: Path) -> str:
        if self._precision == "fp32":
            return f"{PASSED}: it is the bundle's own"
        if self._precision == "bf16":
            return "not run: ONNX Runtime has no bfloat16 kernels on the CPU"
        reference = create_backend("onnxruntime", self._bundle)
        candidate = OnnxRuntimeBackend(self._bundle, model=graph)
        return str(judge(reference, candidate, self._bundle, self._images, self._tolerance))

    def _judge_engine(self, entry: CachedEngine) -> str:
        cuda = self._machine.cuda
        earlier = entry.parity.get("engine", "")
        if cuda is None:
            return earlier or f"not run: no GPU ({self._machine.no_gpu})"
        if self._target not in (CURRENT, cuda.gpu.capability):
            return earlier or f"not run: no GPU of {self._target}, this one is {cuda.gpu.capability}"
        reference = create_backend("onnxruntime", self._bundle)
        try:
            candidate = TensorRTBackend(
                self._bundle, cache=self._cache, entry=entry, library=self._machine.library, cuda=cuda
            )
        except BackendError as error:
            return str(Verdict(passed=False, said=str(error)))
        try:
            return str(judge(reference, candidate, self._bundle, self._images, self._tolerance))
        finally:
            candidate.close()
