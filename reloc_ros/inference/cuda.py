"""The few CUDA calls that run an engine, each one checked."""

from __future__ import annotations

import ctypes
import importlib
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from reloc_ros.errors import BackendError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """The card in this machine.

    Args:
        name: as the driver calls it.
        capability: `sm86`.
        integrated: shares its memory with the CPU, as on a Jetson.
        cuda: versions of the CUDA runtime and driver.
    """

    name: str
    capability: str
    integrated: bool
    cuda: str


class Cuda:
    """The first GPU of this machine through cuda-python.

    Args:
        runtime: module that holds the calls; None imports `cuda.bindings.runtime`.

    Raises:
        BackendError: cuda-python, the driver or a GPU is missing.
    """

    def __init__(self, runtime: Any = None) -> None:
        self._runtime = _import_runtime() if runtime is None else runtime
        if self.call("cudaGetDeviceCount", remedy="install NVIDIA's driver, or choose the back end onnxruntime") < 1:
            raise BackendError("CUDA finds no GPU in this machine; choose the back end onnxruntime")
        self.gpu = self._describe()

    def call(self, name: str, *arguments: Any, remedy: str = "create the back end again") -> Any:
        """Return what a call of the CUDA runtime gives besides its status.

        Raises:
            BackendError: the status is an error.
        """
        status, *values = getattr(self._runtime, name)(*arguments)
        if int(status) != 0:
            text = self._runtime.cudaGetErrorString(status)[1]
            said = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
            raise BackendError(f"{name} failed: {said} (CUDA error {int(status)}); {remedy}")
        return values[0] if values else None

    def release(self, name: str, handle: Any) -> None:
        """Make a call that ends something; a fault of an earlier one comes up again here and is only logged."""
        try:
            self.call(name, handle)
        except BackendError as error:
            _log.warning("%s", error)

    def stream(self, resources: ExitStack) -> Any:
        """Return a stream that does not wait for others."""
        stream = self.call("cudaStreamCreateWithFlags", self._runtime.cudaStreamNonBlocking)
        resources.callback(self.release, "cudaStreamDestroy", stream)
        return stream

    def device_buffer(self, size: int, resources: ExitStack) -> int:
        """Return the address of `size` bytes on the GPU."""
        address = int(self.call("cudaMalloc", size))
        resources.callback(self.release, "cudaFree", address)
        return address

    def host_array(self, shape: tuple[int, ...], dtype: DTypeLike, resources: ExitStack) -> tuple[NDArray[Any], int]:
        """Return an array in pinned memory and its address for the GPU, which is of use on integrated ones only.

        The array must not be used after the resources are closed.
        """
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        integrated = self.gpu.integrated
        kind = self._runtime.cudaHostAllocMapped if integrated else self._runtime.cudaHostAllocDefault
        address = int(self.call("cudaHostAlloc", size, kind))
        resources.callback(self.release, "cudaFreeHost", address)
        memory = (ctypes.c_uint8 * size).from_address(address)
        array: NDArray[Any] = np.ctypeslib.as_array(memory).view(dtype).reshape(shape)
        array[...] = 0
        return array, int(self.call("cudaHostGetDevicePointer", address, 0)) if integrated else address

    def copy(self, target: int, source: int, size: int, stream: Any, *, to_gpu: bool) -> None:
        """Queue a copy between pinned memory and the GPU."""
        kinds = self._runtime.cudaMemcpyKind
        kind = kinds.cudaMemcpyHostToDevice if to_gpu else kinds.cudaMemcpyDeviceToHost
        self.call("cudaMemcpyAsync", target, source, size, kind, stream)

    def captured(self, enqueue: Callable[[], None], stream: Any, resources: ExitStack) -> Any:
        """Return a graph of what a function queues on a stream; the queued work is not run."""
        with self._capturing(stream) as graphs:
            enqueue()
        graph = graphs[0]
        try:
            launchable = self.call("cudaGraphInstantiate", graph, 0)
        finally:
            self.call("cudaGraphDestroy", graph)
        resources.callback(self.release, "cudaGraphExecDestroy", launchable)
        return launchable

    @contextmanager
    def _capturing(self, stream: Any) -> Iterator[list[Any]]:
        graphs: list[Any] = []
        mode = self._runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self.call("cudaStreamBeginCapture", stream, mode)
        try:
            yield graphs
        except BackendError:
            # The stream must leave the capture whatever became of it.
            _, *unused = self._runtime.cudaStreamEndCapture(stream)
            for graph in unused:
                if graph:
                    self._runtime.cudaGraphDestroy(graph)
            raise
        graphs.append(self.call("cudaStreamEndCapture", stream))

    def _describe(self) -> Gpu:
        properties = self.call("cudaGetDeviceProperties", 0)
        name = properties.name
        return Gpu(
            name=name.decode().rstrip("\0") if isinstance(name, bytes) else str(name),
            capability=f"sm{properties.major}{properties.minor}",
            integrated=bool(properties.integrated),
            cuda=f"{self.call('cudaRuntimeGetVersion')}, driver {self.call('cudaDriverGetVersion')}",
        )


def _import_runtime() -> Any:
    try:
        return importlib.import_module("cuda.bindings.runtime")
    except ImportError as error:
        raise BackendError(
            f"back end tensorrt needs cuda-python ({error}); pip install cuda-bindings of this machine's CUDA version, "
            "or choose the back end onnxruntime"
        ) from error
