"""Does TensorRT work on this machine? Every network is compiled, run, compared in pose and timed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.table import Table

from reloc_ros.benchmark.contest import hold
from reloc_ros.benchmark.networks import Say, Subject
from reloc_ros.errors import BackendError, RelocError
from reloc_ros.inference.engine_cache import PASSED, EngineCache
from reloc_ros.inference.tensorrt_library import CURRENT

if TYPE_CHECKING:
    from reloc_ros.export.engine import Machine

FALLBACK_TARGETS = ("sm86", "sm89")
"""What is compiled for where there is no GPU."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one graph for one card.

    Args:
        network: label of the subject.
        graph: file of the bundle.
        target: `current` or a compute capability.
        precision: that is used; empty without an engine.
        compiled: seconds of the build, or why there is none.
        ran: whether the engine ran here.
        poses: verdict of the comparison.
        speed: times as fast as ONNX Runtime on the CPU; NaN where it did not run.
    """

    network: str
    graph: str
    target: str
    precision: str
    compiled: str
    ran: bool
    poses: str
    speed: float = np.nan

    @property
    def bad(self) -> bool:
        """Whether something does not work; what could not be tried is not bad."""
        return not self.precision or (self.ran and not self.poses.startswith(PASSED))


def verify(
    subjects: Sequence[Subject],
    *,
    cache: EngineCache | None,
    threads: int,
    seconds: float,
    say: Say,
    machine_for: Callable[[str], Machine] | None = None,
) -> list[Outcome]:
    """Compile, run, compare and time each network's graph.

    Args:
        subjects: networks.
        cache: of engines; None is the user's, so that the node finds what is built here.
        threads: of the CPU, for the comparison of speed.
        seconds: to measure each.
        say: told what is under way.
        machine_for: finds TensorRT and the GPU; None asks this machine.

    Raises:
        BackendError: TensorRT is not installed.
    """
    from reloc_ros.export.engine import this_machine

    find = machine_for or this_machine
    try:
        machines = {CURRENT: find(CURRENT)}
    except BackendError:
        # Compiling is all that can be tried; without TensorRT-RTX not even that, which the next line says.
        machines = {target: find(target) for target in FALLBACK_TARGETS}
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="reloc_verify_") as scratch:
        # Engines for cards that are not here are of no use to the node.
        kept = (cache or EngineCache()) if CURRENT in machines else EngineCache(Path(scratch))
        for subject in subjects:
            for target, machine in machines.items():
                say(f"{subject.label}, {subject.bundle.model} for {target}", 0.0)
                outcomes.append(_verify(subject, target, machine, kept, threads, seconds))
    return outcomes


def table(outcomes: Sequence[Outcome]) -> Table:
    """Return the verdicts."""
    found = Table(title="TensorRT on this machine", title_justify="left")
    for name in ("network", "graph", "card", "precision", "compiled", "ran", "poses", "speed"):
        found.add_column(name, overflow="fold")
    for each in outcomes:
        speed = "" if np.isnan(each.speed) else f"{each.speed:.1f} times ONNX Runtime on the CPU"
        cells = (each.network, each.graph, each.target, each.precision or "none", each.compiled)
        found.add_row(*cells, "yes" if each.ran else "no", each.poses, speed)
    return found


def _verify(
    subject: Subject, target: str, machine: Machine, cache: EngineCache, threads: int, seconds: float
) -> Outcome:
    from reloc_ros.export.engine import build_best

    bundle = subject.bundle
    try:
        last = build_best(bundle, cache, machine, target=target)[-1]
    except RelocError as error:
        return Outcome(
            network=subject.label, graph=bundle.model, target=target, precision="", compiled=str(error), ran=False,
            poses="not run",
        )  # fmt: skip
    poses = last.verdicts.get("engine", "not built: " + last.verdicts.get("graph", ""))
    ran = machine.cuda is not None and last.entry is not None and not poses.startswith("not run")
    speed = np.nan
    if ran and poses.startswith(PASSED):
        pair = [subject.contender(name, threads) for name in ("onnxruntime", "tensorrt")]
        reference, engine = hold(pair, seconds)
        speed = reference.p50_ms / engine.p50_ms
    return Outcome(
        network=subject.label,
        graph=bundle.model,
        target=target,
        precision="" if last.entry is None or last.failed else last.precision,
        compiled="no" if last.entry is None else f"in {last.entry.build.seconds:.1f} s",
        ran=ran,
        poses=poses,
        speed=speed,
    )
