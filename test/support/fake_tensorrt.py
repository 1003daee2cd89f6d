"""A CUDA and a TensorRT that run on the CPU and watch how they are used.

Work on a stream happens when the stream is synchronized, not before: who reads too early sees old numbers. Addresses
are of real memory with a kind (device, pinned, mapped); use after free, double free, freeing under queued work, wrong
kinds of copies, foreign handles and leaks are `AssertionError`s. An engine is an ONNX file behind a magic word, so the
fake computes what the bundle says.
"""

from __future__ import annotations

import ctypes
import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime

MAGIC = b"FAKE ENGINE "
VERSION = "10.9.0"

_TYPES = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}


@dataclass
class Memory:
    """Allocated bytes of one kind."""

    kind: str
    data: ctypes.Array


@dataclass
class Graph:
    """Captured work; once instantiated it can be launched."""

    work: list[Callable[[], None]]
    launchable: bool = False
    alive: bool = True


@dataclass
class Stream:
    """Queued work, or the capture in progress."""

    number: int
    alive: bool = True
    queue: list[Callable[[], None]] = field(default_factory=list)
    capture: list[Callable[[], None]] | None = None

    def __int__(self) -> int:
        return self.number

    def add(self, work: Callable[[], None]) -> None:
        assert self.alive, "work is queued on a destroyed stream"
        (self.queue if self.capture is None else self.capture).append(work)


class FakeCudaRuntime:
    """Stands for the module `cuda.bindings.runtime`."""

    cudaHostAllocDefault, cudaHostAllocMapped, cudaStreamNonBlocking = 0, 2, 1
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)
    cudaMemcpyKind = enum.IntEnum("cudaMemcpyKind", {"cudaMemcpyHostToDevice": 1, "cudaMemcpyDeviceToHost": 2})

    def __init__(self, *, integrated: bool = False, gpus: int = 1, fails: tuple[str, ...] = ()) -> None:
        self.integrated = integrated
        self.gpus = gpus
        self.fails = set(fails)
        self.log: list[str] = []
        self.memory: dict[int, Memory] = {}
        self.streams: dict[int, Stream] = {}
        self.graphs: list[Graph] = []
        self.freed: dict[int, Memory] = {}

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        if not name.startswith("cuda") or not callable(value) or isinstance(value, type):
            return value
        if name in self.fails and name != "cudaGetErrorString":
            return lambda *_: (700, None)
        if name != "cudaGetErrorString":
            self.log.append(name)
        return value

    def leaks(self) -> list[object]:
        streams = [stream for stream in self.streams.values() if stream.alive]
        return [*self.memory, *streams, *(graph for graph in self.graphs if graph.alive)]

    def array_at(self, address: int, size: int, kinds: tuple[str, ...]) -> np.ndarray:
        """Return the bytes at an address, which must be alive, of one of the kinds and of this size."""
        assert address not in self.freed, f"{address:#x} is used after it was freed"
        assert address in self.memory, f"{address:#x} is no address of this GPU"
        memory = self.memory[address]
        assert memory.kind in kinds, f"{address:#x} is {memory.kind} memory, expected {kinds}"
        assert len(memory.data) == size, f"{address:#x} has {len(memory.data)} bytes, {size} are used"
        return np.ctypeslib.as_array(memory.data)

    def cudaGetErrorString(self, status):
        return 0, b"an illegal memory access was encountered" if status == 700 else b"fake"

    def cudaGetDeviceCount(self):
        return 0, self.gpus

    def cudaGetDeviceProperties(self, device):
        assert device == 0
        return 0, SimpleNamespace(name=b"NVIDIA Fake 1000", major=8, minor=6, integrated=int(self.integrated))

    def cudaRuntimeGetVersion(self):
        return 0, 13000

    def cudaDriverGetVersion(self):
        return 0, 13010

    def cudaStreamCreateWithFlags(self, flags):
        assert flags == self.cudaStreamNonBlocking
        stream = Stream(number=7001 + len(self.streams))
        self.streams[stream.number] = stream
        return 0, stream

    def cudaStreamDestroy(self, stream):
        assert stream.alive, "a stream is destroyed twice"
        assert not stream.queue, "a stream is destroyed with work on it"
        stream.alive = False
        return (0,)

    def cudaStreamSynchronize(self, stream):
        assert stream.alive, "a destroyed stream is synchronized"
        assert stream.capture is None, "a stream is synchronized while it captures"
        queue, stream.queue = stream.queue, []
        for work in queue:
            work()
        return (0,)

    def _allocate(self, kind, size):
        assert not any(stream.capture is not None for stream in self.streams.values()), "allocation in a capture"
        # A float32 of 48.6, so that whoever relies on fresh memory sees it.
        data = (ctypes.c_uint8 * size)(*([0x42] * size))
        address = ctypes.addressof(data)
        self.memory[address] = Memory(kind, data)
        return 0, address

    def _free(self, kinds, address):
        assert address not in self.freed, f"{address:#x} is freed twice"
        assert self.memory[address].kind in kinds, f"{address:#x} is {self.memory[address].kind} memory"
        assert not any(stream.queue for stream in self.streams.values()), "memory is freed under queued work"
        # Kept, so that no later memory gets the address.
        self.freed[address] = self.memory.pop(address)
        return (0,)

    def cudaMalloc(self, size):
        return self._allocate("device", size)

    def cudaFree(self, address):
        return self._free(("device",), address)

    def cudaHostAlloc(self, size, flags):
        return self._allocate("mapped" if flags == self.cudaHostAllocMapped else "pinned", size)

    def cudaFreeHost(self, address):
        return self._free(("pinned", "mapped"), address)

    def cudaHostGetDevicePointer(self, address, flags):
        self.array_at(address, len(self.memory[address].data), ("mapped",))
        return 0, address

    def cudaMemcpyAsync(self, target, source, size, kind, stream):
        to_gpu = kind == self.cudaMemcpyKind.cudaMemcpyHostToDevice
        kinds = (("device",), ("pinned",)) if to_gpu else (("pinned",), ("device",))

        def work():
            self.array_at(target, size, kinds[0])[:] = self.array_at(source, size, kinds[1])

        stream.add(work)
        return (0,)

    def cudaMemsetAsync(self, address, value, size, stream):
        stream.add(lambda: self.array_at(address, size, ("device",)).fill(value))
        return (0,)

    def cudaStreamBeginCapture(self, stream, mode):
        assert stream.alive
        assert not stream.queue, "a capture begins with work on the stream"
        stream.capture = []
        return (0,)

    def cudaStreamEndCapture(self, stream):
        assert stream.capture is not None, "no capture to end"
        graph, stream.capture = Graph(stream.capture), None
        self.graphs.append(graph)
        return 0, graph

    def cudaGraphInstantiate(self, graph, flags):
        assert graph.alive
        ready = Graph(list(graph.work), launchable=True)
        self.graphs.append(ready)
        return 0, ready

    def cudaGraphDestroy(self, graph):
        assert graph.alive, "a graph is destroyed twice"
        assert not graph.launchable, "an instantiated graph is destroyed as a plain one"
        graph.alive = False
        return (0,)

    def cudaGraphExecDestroy(self, graph):
        assert graph.alive, "a graph is destroyed twice"
        assert graph.launchable, "a plain graph is destroyed as an instantiated one"
        graph.alive = False
        return (0,)

    def cudaGraphLaunch(self, graph, stream):
        assert graph.alive, "a destroyed graph is launched"
        assert graph.launchable, "a graph is launched that was not instantiated"
        for work in graph.work:
            stream.add(work)
        return (0,)


class FakeTensorRT:
    """Stands for the module `tensorrt`."""

    __version__ = VERSION
    TensorIOMode = enum.Enum("TensorIOMode", "NONE INPUT OUTPUT")

    def __init__(self, runtime: FakeCudaRuntime, *, capturable: bool = True, refuses: bool = False) -> None:
        self.runtime = runtime
        self.capturable = capturable
        self.refuses = refuses
        self.alive: list[str] = []

        class Logger:
            ERROR = 1

            def __init__(self, severity):
                assert severity == Logger.ERROR

        self.Logger = Logger
        self.Runtime = lambda logger: FakeRuntime(self)
        self.nptype = np.dtype

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


class _Counted:
    """An object that must go after those made from it."""

    def __init__(self, library: FakeTensorRT) -> None:
        self._library = library
        library.alive.append(type(self).__name__)

    def __del__(self) -> None:
        # An exception here would be swallowed, so the order is left for the test to read.
        self._library.runtime.log.append(f"~{type(self).__name__}")
        self._library.alive.remove(type(self).__name__)


class FakeRuntime(_Counted):
    def deserialize_cuda_engine(self, data: bytes):
        if not data.startswith(MAGIC):
            return None
        return FakeEngine(self._library, data[len(MAGIC) :])


class FakeEngine(_Counted):
    def __init__(self, library: FakeTensorRT, model: bytes) -> None:
        super().__init__(library)
        self._session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        self._inputs = {node.name: node for node in self._session.get_inputs()}
        self._outputs = {node.name: node for node in self._session.get_outputs()}
        self._nodes = {**self._inputs, **self._outputs}
        self.num_io_tensors = len(self._nodes)

    def get_tensor_name(self, index):
        return list(self._nodes)[index]

    def get_tensor_mode(self, name):
        mode = self._library.TensorIOMode
        return mode.INPUT if name in self._inputs else mode.OUTPUT

    def get_tensor_shape(self, name):
        return tuple(-1 if isinstance(size, str) else size for size in self._nodes[name].shape)

    def get_tensor_dtype(self, name):
        return _TYPES[self._nodes[name].type]

    def create_execution_context(self):
        return FakeContext(self._library, self)


class FakeContext(_Counted):
    def __init__(self, library: FakeTensorRT, engine: FakeEngine) -> None:
        super().__init__(library)
        self._session, self._specs = engine._session, engine._nodes
        self._input_names = list(engine._inputs)
        self._addresses: dict[str, int] = {}

    def set_tensor_address(self, name, address):
        assert name in self._specs
        self._library.runtime.log.append(f"address {name}")
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream_handle):
        stream = self._library.runtime.streams[stream_handle]
        if self._library.refuses or (stream.capture is not None and not self._library.capturable):
            return False
        assert set(self._addresses) == set(self._specs), "not every tensor has an address"
        addresses = dict(self._addresses)
        runtime, session, specs, inputs = self._library.runtime, self._session, self._specs, self._input_names

        def work():
            def at(name):
                shape, dtype = specs[name].shape, np.dtype(_TYPES[specs[name].type])
                size = int(np.prod(shape)) * dtype.itemsize
                return runtime.array_at(addresses[name], size, ("device", "mapped")).view(dtype).reshape(shape)

            values = session.run(None, {name: at(name) for name in inputs})
            for name, value in zip([name for name in specs if name not in inputs], values, strict=True):
                at(name)[...] = value

        runtime.log.append("enqueue")
        stream.add(work)
        return True


def engine_of(model: Path) -> bytes:
    """Return the engine that the fake makes of an ONNX file."""
    return MAGIC + model.read_bytes()
