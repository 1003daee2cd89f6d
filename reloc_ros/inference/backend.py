"""What runs a network, and the table of those who can."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from reloc_ros.bundle.load import Bundle
from reloc_ros.bundle.manifest import Manifest
from reloc_ros.errors import BackendError
from reloc_ros.types import Outputs


class Backend(Protocol):
    """A loaded network, ready to run."""

    @property
    def name(self) -> str:
        """Name in the back-end table."""

    @property
    def device(self) -> str:
        """Where it runs: `cpu` or `cuda`."""

    @property
    def precision(self) -> str:
        """Arithmetic of the heavy layers: `fp32`, `fp16`, ..."""

    @property
    def verdict(self) -> str:
        """What a comparison of its poses with those in float32 found; empty for who computes in float32 itself."""

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Outputs:
        """Return the network's outputs by name.

        Raises:
            BackendError: the inputs do not fit or the run failed.
        """

    def close(self) -> None:
        """Free the network; `run` is an error from then on."""


def _onnxruntime(bundle: Bundle, threads: int) -> Backend:
    from reloc_ros.inference.onnxruntime_backend import OnnxRuntimeBackend

    return OnnxRuntimeBackend(bundle, device="cpu", threads=threads)


def _onnxruntime_int8(bundle: Bundle, threads: int) -> Backend:
    from reloc_ros.inference.quantized import quantized_backend

    return quantized_backend(bundle, threads)


def _onnxruntime_cuda(bundle: Bundle, threads: int) -> Backend:
    from reloc_ros.inference.onnxruntime_backend import OnnxRuntimeBackend

    return OnnxRuntimeBackend(bundle, device="cuda", threads=threads)


def _tensorrt(bundle: Bundle, threads: int) -> Backend:  # noqa: ARG001 - threads are the CPU's
    from reloc_ros.inference.tensorrt_backend import TensorRTBackend

    return TensorRTBackend(bundle)


def _torch(bundle: Bundle, threads: int) -> Backend:
    # Imported late: torch is needed to train and to compare, never to run.
    from reloc_ros.inference.torch_backend import TorchBackend

    return TorchBackend(bundle, threads=threads)


BACKENDS: dict[str, Callable[[Bundle, int], Backend]] = {
    "onnxruntime": _onnxruntime,
    "onnxruntime_int8": _onnxruntime_int8,
    "onnxruntime_cuda": _onnxruntime_cuda,
    "tensorrt": _tensorrt,
    "torch": _torch,
}
DEFAULT_BACKEND = "onnxruntime"
AUTO = "auto"
"""For the node: `DEFAULT_BACKEND` first, and the bundle's engine as soon as there is one."""


def create_backend(name: str, bundle: Bundle, threads: int = 0) -> Backend:
    """Return the back end of a name with the bundle's network loaded and checked against its manifest.

    Args:
        name: key of `BACKENDS`.
        bundle: verified bundle.
        threads: threads for the heavy layers on the CPU; 0 lets the back end choose.

    Raises:
        BackendError: unknown name, back end not available on this machine (there is no silent substitute), or a
            network that is not what the manifest says.
    """
    if name not in BACKENDS:
        raise BackendError(f"back end is {name!r}, choose one of {', '.join(BACKENDS)}")
    if threads < 0:
        raise BackendError(f"threads is {threads}, expected 0 (automatic) or more")
    return BACKENDS[name](bundle, threads)


def warm_up(backend: Backend, manifest: Manifest) -> None:
    """Run a network once: the first run allocates and picks kernels, which should not be in a robot's first frame.

    Raises:
        BackendError: the run failed.
    """
    backend.run({name: np.zeros(shape, dtype) for name, (shape, dtype) in manifest.inputs.items()})
