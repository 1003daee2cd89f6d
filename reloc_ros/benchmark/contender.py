"""One network in one back end, measured in a process of its own: its memory and its threads are nobody else's.

The child writes one JSON line when it is ready and one for each round it is asked for on its standard input, which
ends it when it is closed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reloc_ros.bundle.load import Bundle, load_bundle
from reloc_ros.bundle.manifest import ENCODER_NAME, MODEL_NAME
from reloc_ros.errors import RelocError
from reloc_ros.inference.backend import Backend, create_backend
from reloc_ros.inference.memory import peak_memory_bytes
from reloc_ros.inference.onnxruntime_backend import OnnxRuntimeBackend, Tuning

_WARM_UP_S, _WARM_UP_CALLS = 0.5, 3
_LEAST_CALLS = 3
_IMAGES = 8


@dataclass(frozen=True, kw_only=True)
class Contender:
    """What a child measures.

    Args:
        backend: `torch`, `torch.compile`, both also with `_cuda`, or a back end of the table.
        bundle: folder.
        graph: of the bundle.
        checkpoint: for torch.
        model: ONNX file that runs in place of the bundle's graph; empty for that one.
        batch: images in a call; other than 1 for torch and for a `model` made for it.
        threads: of the CPU; at least 1.
        spinning: for ONNX Runtime, see `Tuning`.
        optimization: likewise.
    """

    backend: str
    bundle: str
    graph: str = MODEL_NAME
    checkpoint: str = ""
    model: str = ""
    batch: int = 1
    threads: int = 1
    spinning: bool = False
    optimization: str = "ENABLE_ALL"


def load(contender: Contender) -> tuple[Bundle, Backend]:
    """Return the bundle and the back end, loaded.

    Raises:
        RelocError: it cannot be had on this machine.
    """
    whole = load_bundle(contender.bundle)
    bundle = whole.encoder() if contender.graph == ENCODER_NAME else whole
    name = contender.backend
    if name.startswith("torch"):
        from reloc_ros.inference.torch_backend import TorchBackend

        backend = TorchBackend(
            bundle, checkpoint=Path(contender.checkpoint), threads=contender.threads,
            device="cuda" if name.startswith("torch_cuda") else "cpu", compiled=name.endswith(".compile"),
        )  # fmt: skip
        return bundle, backend
    if name in {"onnxruntime", "onnxruntime_int8"}:
        tuning = Tuning(spinning=contender.spinning, optimization=contender.optimization)
        model = Path(contender.model) if contender.model else None
        precision = "int8" if name == "onnxruntime_int8" else "fp32"
        backend_: Backend = OnnxRuntimeBackend(
            bundle, threads=contender.threads, model=model, name=name, precision=precision, tuning=tuning,
            batch=contender.batch,
        )  # fmt: skip
        return bundle, backend_
    return bundle, create_backend(name, bundle, contender.threads)


def inputs_of(bundle: Bundle, batch: int) -> list[dict[str, NDArray[Any]]]:
    """Return some inputs of noise, images different from call to call."""
    generator = np.random.default_rng(0)

    def noise(shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        full = (batch * shape[0], *shape[1:])
        if dtype == "uint8":
            return generator.integers(0, 256, full, dtype=np.uint8)
        return generator.normal(size=full).astype(dtype)

    return [
        {name: noise(shape, dtype) for name, (shape, dtype) in bundle.manifest.inputs.items()} for _ in range(_IMAGES)
    ]


def main(arguments: list[str]) -> int:
    """Run in the child."""
    # Libraries print where they like; the parent reads only our lines.
    reports = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def report(**content: object) -> None:
        print(json.dumps(content), file=reports, flush=True)

    contender = Contender(**json.loads(arguments[0]))
    start = perf_counter()
    try:
        bundle, backend = load(contender)
        loaded = perf_counter()
        inputs = inputs_of(bundle, contender.batch)
        first = perf_counter()
        backend.run(inputs[0])
    except Exception as error:  # compilers raise classes of their own; the reason stands in the table
        report(problem=reason_of(error))
        return 0
    report(
        load_s=loaded - start, first_call_s=perf_counter() - first, device=backend.device, precision=backend.precision
    )
    calls = iter(range(sys.maxsize))
    run_for(_WARM_UP_S, _WARM_UP_CALLS, lambda: backend.run(inputs[next(calls) % _IMAGES]))
    for line in sys.stdin:
        cpu = process_time()
        seconds = run_for(float(line), _LEAST_CALLS, lambda: backend.run(inputs[next(calls) % _IMAGES]))
        report(seconds=seconds, cpu_s=process_time() - cpu, peak_bytes=peak_memory_bytes())
    return 0


def reason_of(error: Exception) -> str:
    """Return an error in one line, as a table's remarks have room for it."""
    text = str(error) if isinstance(error, RelocError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())[:300]


def run_for(seconds: float, least: int, call: Callable[[], object]) -> list[float]:
    """Return how long each call took, made one after the other for a while, but at least so many."""
    taken: list[float] = []
    end = perf_counter() + seconds
    while len(taken) < least or perf_counter() < end:
        start = perf_counter()
        call()
        taken.append(perf_counter() - start)
    return taken


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
