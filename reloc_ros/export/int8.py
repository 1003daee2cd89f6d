"""Matrix products in 8 bit integers for ONNX Runtime on a CPU: the learned weights once, activations frame by frame.

Convolutions stay float32: with activations quantized frame by frame, ONNX Runtime's run 5 times as long in integers
(the demo's network on one core: 7.4 ms in float32, 32 ms). What other recipes keep exact stays float32 here, too.
"""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from time import perf_counter

import onnx

from reloc_ros.bundle.load import Bundle
from reloc_ros.errors import ExportError
from reloc_ros.export.engine import Attempt
from reloc_ros.export.engine_parity import judge
from reloc_ros.export.gate_images import GateImages, images_for
from reloc_ros.export.precision import METADATA_KEY, Applied, learned_layers
from reloc_ros.inference.backend import create_backend
from reloc_ros.inference.cpu import has_byte_products
from reloc_ros.inference.engine_cache import Build, EngineCache
from reloc_ros.inference.quantized import INT8, key_on_this_cpu, run_quantized

_QUANTIZED = ("MatMul", "Gemm")


def write_int8(source: Path, target: Path) -> Applied:
    """Write a graph whose learned matrix products compute with bytes.

    Args:
        source: ONNX file in float32.
        target: file to write.

    Raises:
        ExportError: the graph cannot be read or has nothing to quantize, or ONNX Runtime cannot do it.
    """
    try:
        model = onnx.load(source)
    except Exception as error:  # protobuf's own classes
        raise ExportError(f"{source} cannot be read as ONNX ({error}); export the bundle again") from error
    forgiving, delicate = learned_layers(model)
    ranks = {tensor.name: len(tensor.dims) for tensor in model.graph.initializer}
    chosen = [
        node.name for node in forgiving if node.op_type in _QUANTIZED and {ranks.get(name) for name in node.input} & {2}
    ]
    if not chosen:
        raise ExportError(
            f"{source} has no matrix product to quantize, its {len(forgiving)} layers are convolutions, which are "
            "slower in integers; use the back end onnxruntime"
        )
    # Imported here: it takes a second, and only who quantizes needs it.
    from onnxruntime.quantization import QuantType, quantize_dynamic

    _own_weights_for_gemm(model)
    # Shapes are inferred again; those of weights that are turned round no longer hold.
    del model.graph.value_info[:]
    # A Gemm is first split in two, and the product then has this name.
    named = [*chosen, *(f"{name}_MatMul" for name in chosen)]
    # The library tells about its every step.
    logging.getLogger().addFilter(_not_from_quantization)
    try:
        quantize_dynamic(
            model, target, op_types_to_quantize=list(_QUANTIZED), nodes_to_quantize=named, per_channel=True,
            weight_type=QuantType.QInt8, reduce_range=not has_byte_products(),
        )  # fmt: skip
        quantized = onnx.load(target)
        onnx.helper.set_model_props(quantized, {METADATA_KEY: INT8})
        onnx.save(quantized, target)
    except Exception as error:  # its own unrelated classes
        raise ExportError(f"ONNX Runtime cannot quantize {source}: {error}; use the back end onnxruntime") from error
    finally:
        logging.getLogger().removeFilter(_not_from_quantization)
    kept = {node.name for node in (*forgiving, *delicate)} - set(chosen)
    return Applied(precision=INT8, narrow=tuple(chosen), kept=tuple(sorted(kept)))


def build_int8(bundle: Bundle, cache: EngineCache, images: GateImages | None = None, tolerance: float = 1.0) -> Attempt:
    """Quantize a bundle's graph for this processor, compare its poses and keep both in the cache.

    Args:
        bundle: verified bundle.
        cache: a graph it holds is not made again.
        images: to compare poses on; None takes the bundle's own, and synthetic ones where it has none.
        tolerance: factor on the limits of that comparison.

    Raises:
        BackendError: the cache cannot be written.
        ExportError: there is nothing to quantize.
    """

    def build(path: Path) -> Build:
        start = perf_counter()
        write_int8(bundle.model_path, path)
        return Build(seconds=round(perf_counter() - start, 3), peak_memory_bytes=0)

    entry = cache.get_or_build(key_on_this_cpu(bundle), build)
    reference, candidate = create_backend("onnxruntime", bundle), run_quantized(bundle, entry)
    shown = images_for(bundle) if images is None else images
    verdicts = {"engine": str(judge(reference, candidate, bundle, shown, tolerance))}
    return Attempt(precision=INT8, entry=cache.judge(entry.key, verdicts), verdicts=verdicts)


def _own_weights_for_gemm(model: onnx.ModelProto) -> None:
    """Give each Gemm weights that nothing else reads: the library transposes them in place for all who do."""
    graph = model.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    readers = Counter(name for node in graph.node for name in node.input)
    for node in graph.node:
        weights = node.input[1] if node.op_type == "Gemm" else ""
        if weights in tensors and readers[weights] > 1:
            own = graph.initializer.add()
            own.CopyFrom(tensors[weights])
            own.name = node.input[1] = f"{weights}_of_{node.name}"
            readers[weights] -= 1


def _not_from_quantization(record: logging.LogRecord) -> bool:
    return "quantiz" not in record.getMessage().lower() and "pre-process" not in record.getMessage()
