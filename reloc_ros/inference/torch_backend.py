"""The training network itself in eager PyTorch: the reference that exported graphs are compared with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from reloc_ros.bundle.load import Bundle
from reloc_ros.errors import BackendError
from reloc_ros.types import Outputs

CHECKPOINT_NAME = "checkpoint.pt"


class TorchBackend:
    """A training checkpoint run in place of the bundle's ONNX graph.

    Args:
        bundle: verified bundle; its manifest says the method and the tensor names.
        checkpoint: file to run; None takes `checkpoint.pt` in the bundle folder.
        threads: threads of torch in this process; 0 leaves them as they are.

    Raises:
        BackendError: there is no checkpoint, or no network of the bundle's method.
    """

    name = "torch"
    device = "cpu"
    precision = "fp32"
    verdict = ""

    def __init__(self, bundle: Bundle, *, checkpoint: Path | None = None, threads: int = 0) -> None:
        path = bundle.path / CHECKPOINT_NAME if checkpoint is None else checkpoint
        if not path.is_file():
            raise BackendError(
                f"back end torch needs the training checkpoint, {path} does not exist; give the run's checkpoint or "
                "use the back end onnxruntime"
            )
        if threads:
            torch.set_num_threads(threads)
        self._inputs = tuple(bundle.manifest.inputs)
        self._outputs = bundle.manifest.outputs
        self._network: torch.nn.Module | None = _load_network(bundle.manifest.method, path).eval()

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Outputs:
        """Return the network's outputs by name; see `Backend.run`."""
        if self._network is None:
            raise BackendError("back end torch is closed; create a new one")
        if set(inputs) != set(self._inputs):
            raise BackendError(f"inputs are {sorted(inputs)}, the network takes {', '.join(self._inputs)}")
        with torch.inference_mode():
            values = self._network(*(torch.tensor(inputs[name]) for name in self._inputs))
        return {name: value.numpy() for name, value in zip(self._outputs, values, strict=True)}

    def close(self) -> None:
        """Free the network."""
        self._network = None


def _load_network(method: str, path: Path) -> torch.nn.Module:
    from reloc_ros.networks.table import NETWORKS

    if method not in NETWORKS:
        raise BackendError(f"back end torch has no network for the method {method!r}; use the back end onnxruntime")
    return NETWORKS[method].from_checkpoint(torch.load(path, map_location="cpu", weights_only=True))


def write_untrained(bundle: Bundle, path: Path) -> None:
    """Write a checkpoint of the bundle's network with random weights: enough to measure time, not poses.

    Raises:
        BackendError: the manifest does not say how the network was made.
    """
    from reloc_ros.networks.table import NETWORKS

    manifest = bundle.manifest
    try:
        content = NETWORKS[manifest.method].untrained(manifest.training["config"])
    except (KeyError, TypeError) as error:
        raise BackendError(
            f"the manifest of {bundle.path} has no training.config of its network; export it again"
        ) from error
    torch.save(content, path)
