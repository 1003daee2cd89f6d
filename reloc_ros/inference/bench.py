"""The network alone: ONNX Runtime against eager PyTorch, call by call in turn, so that noise hits both alike."""

from __future__ import annotations

import json
import os
import platform
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from reloc_ros.bundle.load import Bundle, load_bundle
from reloc_ros.inference.backend import Backend, create_backend

_WARM_UP_CALLS = 10
_CALLS = 200
_PERCENTILES = (50, 90, 99)


def run(bundle_path: Path, threads: int, json_path: Path | None) -> dict[str, Any]:
    """Measure, print a table and return the figures, milliseconds.

    Args:
        bundle_path: bundle to run.
        threads: for both back ends; 0 gives each every core.
        json_path: file to write the figures to as well.
    """
    bundle = load_bundle(bundle_path)
    threads = threads or os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as scratch:
        backends = [_eager(bundle, Path(scratch), threads), create_backend("onnxruntime", bundle, threads)]
    seconds = _measure(backends, bundle)
    for backend in backends:
        backend.close()
    figures = {
        "bench": "inference",
        "bundle": str(bundle_path),
        "input": list(bundle.manifest.input.shape),
        "threads": threads,
        "calls": _CALLS,
        "machine": {"cpu_count": os.cpu_count(), "platform": platform.platform()},
        "latency_ms": {name: _percentiles_ms(values) for name, values in seconds.items()},
        "speed_up": float(np.median(seconds["torch"]) / np.median(seconds["onnxruntime"])),
    }
    _print(figures)
    if json_path is not None:
        json_path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return figures


def _eager(bundle: Bundle, scratch: Path, threads: int) -> Backend:
    """Return the bundle's network in torch; untrained, since a bundle holds no checkpoint and time knows no weights."""
    from reloc_ros.inference.torch_backend import TorchBackend, write_untrained

    checkpoint = scratch / "untrained.pt"
    write_untrained(bundle, checkpoint)
    return TorchBackend(bundle, checkpoint=checkpoint, threads=threads)


def _measure(backends: list[Backend], bundle: Bundle) -> dict[str, list[float]]:
    generator = np.random.default_rng(0)
    spec, rays = bundle.manifest.input, bundle.manifest.rays
    images = generator.integers(0, 256, (8, *spec.shape), dtype=np.uint8)
    constant = {} if rays is None else {rays.name: generator.normal(size=rays.shape).astype(np.float32)}
    seconds: dict[str, list[float]] = {backend.name: [] for backend in backends}
    for call in track(range(_WARM_UP_CALLS + _CALLS), description="Measuring", transient=True):
        for backend in backends:
            start = perf_counter()
            backend.run({spec.name: images[call % len(images)], **constant})
            if call >= _WARM_UP_CALLS:
                seconds[backend.name].append(perf_counter() - start)
    return seconds


def _percentiles_ms(seconds: list[float]) -> dict[str, float]:
    return {f"p{level}": 1e3 * float(np.percentile(seconds, level)) for level in _PERCENTILES}


def _print(figures: dict[str, Any]) -> None:
    height, width = figures["input"][1:3]
    table = Table(title=f"{figures['bundle']}, {width}x{height}, {figures['threads']} threads, ms for one image")
    for column in ("back end", *(f"p{level}" for level in _PERCENTILES), "times as fast as torch"):
        table.add_column(column, justify="right")
    eager_ms = figures["latency_ms"]["torch"]["p50"]
    for name, latency_ms in figures["latency_ms"].items():
        cells = (f"{latency_ms[f'p{level}']:.2f}" for level in _PERCENTILES)
        table.add_row(name, *cells, f"{eager_ms / latency_ms['p50']:.2f}")
    Console().print(table)
