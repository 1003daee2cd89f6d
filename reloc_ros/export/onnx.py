"""The exported graph: the training network itself, from uint8 pixels to its outputs, with fixed shapes."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import torch

from reloc_ros.networks.implicit_geometry import OUTPUT_NAMES, ImplicitGeometry

# The oldest that holds layer normalisation as one operator; TensorRT 10.3 and ONNX Runtime read it.
OPSET = 18


def export_onnx(network: ImplicitGeometry, height: int, width: int, path: Path) -> None:
    """Write the network as one ONNX file with its weights inside.

    Args:
        network: in evaluation mode, on the CPU.
        height: of the input image, pixels.
        width: of it.
        path: file to write.
    """
    image = torch.zeros((1, height, width, 3), dtype=torch.uint8)
    # The exporter announces each pass it makes; nothing of it is for the user.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval().to(memory_format=torch.contiguous_format),
            (image,),
            path,
            input_names=["image"],
            output_names=list(OUTPUT_NAMES),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
