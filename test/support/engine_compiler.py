"""Compiling a graph with TensorRT-RTX, for cards that need not be here."""

from __future__ import annotations

from pathlib import Path

import pytest


def compiles(model: Path, capability: str = "SM89") -> bool:
    """Whether TensorRT makes an engine of an ONNX file, strongly typed as on the robot; skips where it is missing."""
    trt = pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT-RTX is not installed (extra: trt)")
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    assert parser.parse_from_file(str(model)), [str(parser.get_error(i)) for i in range(parser.num_errors)]
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(getattr(trt.ComputeCapability, capability), 0)
    return builder.build_serialized_network(network, config) is not None
