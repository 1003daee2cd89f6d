"""Contenders in turn, round by round, so that whatever else the machine does hits all of them alike."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Timer
from time import monotonic
from typing import Any

import numpy as np

from reloc_ros.benchmark.contender import Contender

ROUNDS = 8
# To load and compile, and beyond the time of a round; on a busy machine compilers take minutes.
_PATIENCE_S = 600.0

Progress = Callable[[float], None]
"""Called with the share that is done."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What was measured of one contender.

    Args:
        contender: who.
        problem: why there are no figures; empty otherwise.
        device: it ran on.
        precision: of its arithmetic.
        load_s: until the network was loaded, libraries included.
        first_call_s: of the first run, which allocates, picks kernels and compiles.
        calls: number of those below, warm.
        p50_ms: of a call; NaN without figures, as the next ones.
        p90_ms: likewise.
        p99_ms: likewise; the slowest call where there are few.
        spread: of the medians of the rounds: largest less smallest, over `p50_ms`. The noise of the measurement.
        images_per_s: throughput of one call after the other.
        cpu_ms: CPU time of a call, all threads together.
        memory_bytes: most that the process ever held, Python and libraries included.
    """

    contender: Contender
    problem: str = ""
    device: str = ""
    precision: str = ""
    load_s: float = np.nan
    first_call_s: float = np.nan
    calls: int = 0
    p50_ms: float = np.nan
    p90_ms: float = np.nan
    p99_ms: float = np.nan
    spread: float = np.nan
    images_per_s: float = np.nan
    cpu_ms: float = np.nan
    memory_bytes: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; what was not measured is None."""
        plain = asdict(self)
        return {key: None if isinstance(value, float) and np.isnan(value) else value for key, value in plain.items()}


@dataclass
class _Child:
    """A contender's process and what it has reported."""

    contender: Contender
    process: subprocess.Popen[str]
    ready: dict[str, Any] = field(default_factory=dict)
    rounds: list[dict[str, Any]] = field(default_factory=list)

    def read(self, seconds: float = 0.0) -> dict[str, Any]:
        """Return the next report, due in so many seconds; one that says what went wrong when there is none."""
        limit_s = seconds + _PATIENCE_S
        late = Timer(limit_s, self.process.kill)
        late.start()
        start = monotonic()
        line = self.process.stdout.readline() if self.process.stdout is not None else ""
        late.cancel()
        if not line and monotonic() - start >= limit_s:
            return {"problem": f"its process did not answer within {limit_s:.0f} s and was ended"}
        if not line:
            return {"problem": f"its process ended with status {self.process.wait()}"}
        report: dict[str, Any] = json.loads(line)
        return report

    def run_for(self, seconds: float) -> None:
        """Have it run for a while, unless it cannot."""
        if "problem" in self.ready or self.process.stdin is None:
            return
        try:
            self.process.stdin.write(f"{seconds}\n")
            self.process.stdin.flush()
        except OSError:
            pass  # what is read next says that it ended
        report = self.read(seconds)
        if "problem" in report:
            self.ready = report
        else:
            self.rounds.append(report)


def hold(contenders: Sequence[Contender], seconds: float, progress: Progress | None = None) -> list[Figures]:
    """Measure contenders against each other, one running at a time.

    Args:
        contenders: each in a process of its own; all are loaded before the first round.
        seconds: for each of them, over all rounds.
        progress: told how far it is.
    """
    steps = len(contenders) * (1 + ROUNDS)
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done / steps)

    with ExitStack() as stack:
        children = []
        for contender in contenders:
            child = _Child(contender, stack.enter_context(_start(contender)))
            stack.callback(_end, child.process)
            # One after the other: first calls are measured, too.
            child.ready = child.read()
            children.append(child)
            step()
        for _ in range(ROUNDS):
            for child in children:
                child.run_for(seconds / ROUNDS)
                step()
        return [_figures(child) for child in children]


def _start(contender: Contender) -> subprocess.Popen[str]:
    package_root = str(Path(__file__).resolve().parents[2])
    paths = [package_root, os.environ.get("PYTHONPATH", "")]
    threads = str(contender.threads)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        # Read once, when torch is imported.
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
    }
    command = [sys.executable, "-m", "reloc_ros.benchmark.contender", json.dumps(asdict(contender))]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )


def _end(process: subprocess.Popen[str]) -> None:
    # Killed, not asked: some libraries take seconds to tidy up.
    process.kill()


def _figures(child: _Child) -> Figures:
    if "problem" in child.ready:
        return Figures(contender=child.contender, problem=child.ready["problem"])
    rounds_ms = [1e3 * np.asarray(entry["seconds"]) for entry in child.rounds]
    all_ms = np.concatenate(rounds_ms)
    medians = [float(np.median(each)) for each in rounds_ms]
    p50, p90, p99 = (float(np.percentile(all_ms, level)) for level in (50, 90, 99))
    return Figures(
        contender=child.contender,
        device=child.ready["device"],
        precision=child.ready["precision"],
        load_s=child.ready["load_s"],
        first_call_s=child.ready["first_call_s"],
        calls=len(all_ms),
        p50_ms=p50,
        p90_ms=p90,
        p99_ms=p99,
        spread=(max(medians) - min(medians)) / p50,
        images_per_s=1e3 * child.contender.batch * len(all_ms) / float(all_ms.sum()),
        cpu_ms=1e3 * sum(entry["cpu_s"] for entry in child.rounds) / len(all_ms),
        memory_bytes=child.rounds[-1]["peak_bytes"],
    )
