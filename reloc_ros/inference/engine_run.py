"""One engine on its own stream: buffers that stay, one CUDA graph for a frame, recurrent state without copies."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reloc_ros.errors import BackendError
from reloc_ros.inference.cuda import Cuda
from reloc_ros.types import Outputs

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Tensor:
    """A tensor that crosses between CPU and GPU: its pinned array and its addresses for copies and for TensorRT."""

    host: NDArray[Any]
    host_address: int
    device_address: int


class EngineRun:
    """Runs a deserialized engine frame by frame.

    Args:
        engine: TensorRT's `ICudaEngine` with fixed shapes.
        tensorrt: its module.
        cuda: the GPU.
        states: output that becomes the input of the next frame, by name of the input. They stay on the GPU, start as
            zeros and swap their two buffers with each frame: one graph reads the first and writes the second, another
            the other way round.

    Raises:
        BackendError: the engine does not fit the GPU, has tensors of unknown shape, or states that do not match.
    """

    def __init__(self, engine: Any, tensorrt: Any, cuda: Cuda, states: Mapping[str, str] | None = None) -> None:
        self._cuda = cuda
        self._states = dict(states or {})
        self._phase = 0
        with ExitStack() as resources:
            self._stream = cuda.stream(resources)
            self.inputs: dict[str, NDArray[Any]] = {}
            self._inputs: dict[str, _Tensor] = {}
            self._outputs: dict[str, _Tensor] = {}
            self._state_buffers: dict[str, tuple[int, int, int]] = {}
            self._allocate(engine, tensorrt, resources)
            self._context = engine.create_execution_context()
            if self._context is None:
                raise BackendError("TensorRT cannot make an execution context; free memory of the GPU")
            resources.callback(self._forget_context)
            # Work of a frame that failed may still be under way when all this is freed.
            resources.callback(cuda.release, "cudaStreamSynchronize", self._stream)
            self._set_addresses()
            self._launches = [self._prepared(phase, resources) for phase in range(2 if self._states else 1)]
            self.reset_states()
            self._resources = resources.pop_all()

    @property
    def output_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the outputs that reach the CPU, by name."""
        return {name: tensor.host.shape for name, tensor in self._outputs.items()}

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Outputs:
        """Return the outputs of one frame; the states move on by one.

        Args:
            inputs: of exactly the names, shapes and types of `self.inputs`.
        """
        for name, tensor in self._inputs.items():
            np.copyto(tensor.host, inputs[name], casting="no")
        self._launches[self._phase]()
        self._synchronize()
        self._phase = (self._phase + 1) % len(self._launches)
        # Copies: the next frame overwrites the pinned arrays.
        return {name: tensor.host.copy() for name, tensor in self._outputs.items()}

    def reset_states(self) -> None:
        """Forget the frames so far."""
        self._phase = 0
        for first, _, size in self._state_buffers.values():
            self._cuda.call("cudaMemsetAsync", first, 0, size, self._stream)
        self._synchronize()

    def close(self) -> None:
        """Free everything; nothing may be called afterwards."""
        self._resources.close()

    def _allocate(self, engine: Any, tensorrt: Any, resources: ExitStack) -> None:
        specs = _tensor_specs(engine, tensorrt)
        for name, (is_input, shape, dtype) in specs.items():
            if name in self._states:
                size = self._state_size(name, specs)
                pair = (self._cuda.device_buffer(size, resources), self._cuda.device_buffer(size, resources))
                self._state_buffers[name] = (*pair, size)
            elif name not in self._states.values():
                host, address = self._cuda.host_array(shape, dtype, resources)
                shared = self._cuda.gpu.integrated
                device = address if shared else self._cuda.device_buffer(host.nbytes, resources)
                side = self._inputs if is_input else self._outputs
                side[name] = _Tensor(host=host, host_address=address, device_address=device)
        self.inputs = {name: tensor.host for name, tensor in self._inputs.items()}
        missing = set(self._states) - set(self._state_buffers)
        if missing:
            raise BackendError(f"the engine has no input {min(missing)!r} for a state; build it again")

    def _state_size(self, name: str, specs: Mapping[str, tuple[bool, tuple[int, ...], Any]]) -> int:
        following = self._states[name]
        if following not in specs or specs[following][0] or specs[name][1:] != specs[following][1:]:
            raise BackendError(
                f"state {name!r} {specs[name][1:]} is followed by {following!r} {specs.get(following)}, expected an "
                "output of the same shape and type; build the engine again"
            )
        _, shape, dtype = specs[name]
        return int(np.prod(shape)) * int(np.dtype(dtype).itemsize)

    def _set_addresses(self) -> None:
        """Tell TensorRT the addresses that hold for every frame."""
        for name, tensor in (*self._inputs.items(), *self._outputs.items()):
            self._context.set_tensor_address(name, tensor.device_address)

    def _set_state_addresses(self, phase: int) -> None:
        for name, (first, second, _) in self._state_buffers.items():
            source, target = (first, second) if phase == 0 else (second, first)
            self._context.set_tensor_address(name, source)
            self._context.set_tensor_address(self._states[name], target)

    def _prepared(self, phase: int, resources: ExitStack) -> Callable[[], None]:
        """Return what queues one frame: a graph, or call by call where the engine cannot be captured."""
        self._set_state_addresses(phase)
        # TensorRT finishes its own preparations in the first enqueue, which a graph must not hold.
        self._enqueue()
        self._synchronize()
        try:
            graph = self._cuda.captured(self._enqueue, self._stream, resources)
        except BackendError as error:
            # As text: the error itself would keep the engine alive as long as a log keeps the record.
            _log.warning("the engine runs without a CUDA graph: %s", str(error))
            return partial(self._enqueue_in, phase)
        return partial(self._cuda.call, "cudaGraphLaunch", graph, self._stream)

    def _enqueue_in(self, phase: int) -> None:
        self._set_state_addresses(phase)
        self._enqueue()

    def _enqueue(self) -> None:
        separate = not self._cuda.gpu.integrated
        for tensor in self._inputs.values() if separate else ():
            size = tensor.host.nbytes
            self._cuda.copy(tensor.device_address, tensor.host_address, size, self._stream, to_gpu=True)
        if not self._context.execute_async_v3(int(self._stream)):
            raise BackendError("TensorRT refused to run the engine; its own log says why")
        for tensor in self._outputs.values() if separate else ():
            size = tensor.host.nbytes
            self._cuda.copy(tensor.host_address, tensor.device_address, size, self._stream, to_gpu=False)

    def _synchronize(self) -> None:
        self._cuda.call("cudaStreamSynchronize", self._stream)

    def _forget_context(self) -> None:
        # Before the buffers it points to: what is freed last was made first.
        self._context = None


def _tensor_specs(engine: Any, tensorrt: Any) -> dict[str, tuple[bool, tuple[int, ...], Any]]:
    """Return (is an input, shape, numpy type) of each tensor by name."""
    specs = {}
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        shape = tuple(int(size) for size in engine.get_tensor_shape(name))
        if min(shape, default=1) < 0:
            raise BackendError(f"engine tensor {name!r} has the open shape {shape}; build it from a bundle")
        is_input = engine.get_tensor_mode(name) == tensorrt.TensorIOMode.INPUT
        specs[name] = (is_input, shape, tensorrt.nptype(engine.get_tensor_dtype(name)))
    return specs
