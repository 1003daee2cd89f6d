"""The training network itself in PyTorch: the reference that exported graphs are compared with, in poses and in time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from reloc_ros.bundle.load import Bundle
from reloc_ros.bundle.manifest import ENCODER_NAME
from reloc_ros.errors import BackendError
from reloc_ros.types import Outputs

CHECKPOINT_NAME = "checkpoint.pt"


class TorchBackend:
    """A training checkpoint run in place of the bundle's ONNX graph.

    Args:
        bundle: verified bundle; its manifest says the method and the tensor names.
        checkpoint: file to run; None takes `checkpoint.pt` in the bundle folder.
        threads: threads of torch in this process; 0 leaves them as they are.
        device: `cpu` or `cuda`. On a GPU a run ends when its outputs are back on the CPU.
        compiled: whether `torch.compile` makes kernels of the network at its first run; on a GPU also CUDA graphs.

    Raises:
        BackendError: there is no checkpoint, no network of the bundle's method, or no GPU.
    """

    name = "torch"
    precision = "fp32"
    verdict = ""

    def __init__(
        self,
        bundle: Bundle,
        *,
        checkpoint: Path | None = None,
        threads: int = 0,
        device: str = "cpu",
        compiled: bool = False,
    ) -> None:
        path = bundle.path / CHECKPOINT_NAME if checkpoint is None else checkpoint
        if not path.is_file():
            raise BackendError(
                f"back end torch needs the training checkpoint, {path} does not exist; give the run's checkpoint or "
                "use the back end onnxruntime"
            )
        if device == "cuda" and not torch.cuda.is_available():
            raise BackendError(f"torch {torch.__version__} finds no CUDA GPU; use the device cpu")
        if threads:
            torch.set_num_threads(threads)
        self.device = device
        self._inputs = tuple(bundle.manifest.inputs)
        self._outputs = bundle.manifest.outputs
        network = _load_network(bundle, path).eval().to(device)
        mode = "reduce-overhead" if device == "cuda" else None
        self._network: Any = torch.compile(network, mode=mode) if compiled else network

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Outputs:
        """Return the network's outputs by name; see `Backend.run`."""
        if self._network is None:
            raise BackendError("back end torch is closed; create a new one")
        if set(inputs) != set(self._inputs):
            raise BackendError(f"inputs are {sorted(inputs)}, the network takes {', '.join(self._inputs)}")
        with torch.inference_mode():
            values = self._network(*(torch.tensor(inputs[name], device=self.device) for name in self._inputs))
        # A network of one output gives it bare.
        values = (values,) if isinstance(values, torch.Tensor) else values
        return {name: value.cpu().numpy() for name, value in zip(self._outputs, values, strict=True)}

    def close(self) -> None:
        """Free the network."""
        self._network = None


def _load_network(bundle: Bundle, path: Path) -> torch.nn.Module:
    """Return the network that the bundle's graph was exported from."""
    from reloc_ros.networks.spr_mamba import SprModel
    from reloc_ros.networks.step_graph import StepGraph
    from reloc_ros.networks.table import NETWORKS

    method = bundle.manifest.method
    if method not in NETWORKS:
        raise BackendError(f"back end torch has no network for the method {method!r}; use the back end onnxruntime")
    network = NETWORKS[method].from_checkpoint(torch.load(path, map_location="cpu", weights_only=True))
    if not isinstance(network, SprModel):
        return network
    return network.encoder if bundle.model == ENCODER_NAME else StepGraph(network.sequence)


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
