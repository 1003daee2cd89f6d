"""The exported graph: the training network itself, from uint8 pixels to its outputs, with fixed shapes."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnxscript import opset18 as op
from torch import Tensor, nn

from reloc_ros.bundle.manifest import Manifest

# The oldest that holds layer normalisation as one operator; TensorRT 10.3 and ONNX Runtime read it.
OPSET = 18


def export_onnx(network: nn.Module, manifest: Manifest, path: Path) -> None:
    """Write the network as one ONNX file with its weights inside.

    Args:
        network: in evaluation mode, on the CPU.
        manifest: says the names and shapes of its tensors.
        path: file to write.
    """
    inputs = {name: torch.from_numpy(np.zeros(shape, dtype)) for name, (shape, dtype) in manifest.inputs.items()}
    write_onnx(network, inputs, manifest.outputs, path)


def write_onnx(network: nn.Module, inputs: Mapping[str, Tensor], outputs: Sequence[str], path: Path) -> None:
    """Write any module as one ONNX file of fixed shapes.

    Args:
        network: in evaluation mode, on the CPU.
        inputs: an example of each input by name, in the order of the module's arguments.
        outputs: names of its outputs.
        path: file to write.
    """
    # The exporter announces each pass it makes; nothing of it is for the user.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval().to(memory_format=torch.contiguous_format),
            tuple(inputs.values()),
            path,
            input_names=list(inputs),
            output_names=list(outputs),
            opset_version=OPSET,
            dynamo=True,
            custom_translation_table={torch.ops.aten.gelu.default: _gelu},
            external_data=False,
            verbose=False,
        )
    _strip_traces(path)


def _gelu(x: Any) -> Any:
    """Return the exact GELU in the order of operators that ONNX Runtime recognises, and computes as one."""
    return op.Mul(op.Mul(x, op.Add(op.Erf(op.Div(x, math.sqrt(2.0))), 1.0)), 0.5)


def _strip_traces(path: Path) -> None:
    """Take out of every node where in the program's source it came from: paths of the machine that trained."""
    model = onnx.load(path)
    for node in (*model.graph.node, *(node for function in model.functions for node in function.node)):
        node.doc_string = ""
        del node.metadata_props[:]
    onnx.save(model, path)
