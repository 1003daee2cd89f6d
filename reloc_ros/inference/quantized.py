"""The graph in 8 bit integers that `reloc build-engine --precision int8` left in the cache, run by ONNX Runtime."""

from __future__ import annotations

import platform

import onnxruntime

from reloc_ros.bundle.load import Bundle
from reloc_ros.errors import BackendError
from reloc_ros.inference.cpu import cpu_name
from reloc_ros.inference.engine_cache import PASSED, CachedEngine, EngineCache
from reloc_ros.inference.engine_key import EngineKey, bundle_part
from reloc_ros.inference.onnxruntime_backend import OnnxRuntimeBackend

NAME = "onnxruntime_int8"
INT8 = "int8"


def key_on_this_cpu(bundle: Bundle) -> EngineKey:
    """Return the key of a bundle's quantized graph: what it computes depends on the processor, too."""
    return EngineKey(
        **bundle_part(bundle), flavour="onnxruntime", version=onnxruntime.__version__, cuda="none",
        device=cpu_name(), target=platform.machine(), precision=INT8,
    )  # fmt: skip


def quantized_backend(bundle: Bundle, threads: int = 0, *, cache: EngineCache | None = None) -> OnnxRuntimeBackend:
    """Return ONNX Runtime with the quantized graph.

    Args:
        bundle: verified bundle.
        threads: within an operator; 0 is one for each core.
        cache: of quantized graphs; None is the user's.

    Raises:
        BackendError: there is none, or its poses were not found right.
    """
    cache = cache or EngineCache()
    entry = cache.get(key_on_this_cpu(bundle))
    if entry is None:
        raise BackendError(
            f"{cache.folder} has no graph of {bundle.model_path} in {INT8} for this processor and ONNX Runtime "
            f"{onnxruntime.__version__}; run `reloc build-engine {bundle.path} --precision {INT8}`, meanwhile use the "
            "back end onnxruntime"
        )
    verdict = entry.parity.get("engine", "not run")
    if not verdict.startswith(PASSED):
        raise BackendError(
            f"the {INT8} graph of {bundle.path} is not used, its poses: {verdict}; use the back end onnxruntime"
        )
    return run_quantized(bundle, entry, threads)


def run_quantized(bundle: Bundle, entry: CachedEngine, threads: int = 0) -> OnnxRuntimeBackend:
    """Return ONNX Runtime with an entry's graph, whatever its verdict.

    Raises:
        BackendError: the graph does not load.
    """
    verdict = entry.parity.get("engine", "")
    return OnnxRuntimeBackend(
        bundle, threads=threads, model=entry.path, name=NAME, precision=INT8, verdict=verdict
    )  # fmt: skip
