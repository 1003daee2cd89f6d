"""TensorRT on an NVIDIA GPU: an engine that `reloc build-engine` left in the cache."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reloc_ros.bundle.load import Bundle
from reloc_ros.bundle.manifest import Manifest
from reloc_ros.errors import BackendError
from reloc_ros.inference.cuda import Cuda
from reloc_ros.inference.engine_cache import PASSED, CachedEngine, EngineCache
from reloc_ros.inference.engine_run import EngineRun
from reloc_ros.inference.tensorrt_library import Library, find_library, keys_to_try
from reloc_ros.types import Outputs


class TensorRTBackend:
    """A bundle's engine in TensorRT, found in the cache and never built here.

    Args:
        bundle: verified bundle.
        cache: of engines; None is the user's.
        entry: engine to run whatever its verdict, for the one who judges it; None takes the best that has passed.
        library: TensorRT; None finds the installed one.
        cuda: the GPU; None is the first one.

    Raises:
        BackendError: TensorRT, CUDA, a GPU or an engine that passed is missing, or the engine does not fit the bundle.
    """

    name = "tensorrt"
    device = "cuda"

    def __init__(
        self,
        bundle: Bundle,
        *,
        cache: EngineCache | None = None,
        entry: CachedEngine | None = None,
        library: Library | None = None,
        cuda: Cuda | None = None,
    ) -> None:
        cache = cache or EngineCache()
        # First: without a GPU there is no need to load the large libraries.
        cuda = cuda or Cuda()
        library = library or find_library()
        entry = entry or _passed_engine(bundle, cache, library, cuda)
        self.precision = entry.key.precision
        self.verdict = entry.parity.get("engine", "")
        self._inputs = {name: (spec.dtype, spec.shape) for name, spec in _input_arrays(bundle.manifest).items()}
        self._run: EngineRun | None = None
        with ExitStack() as resources:
            engine = self._load(entry, cache, library, resources)
            run = EngineRun(engine, library.module, cuda)
            resources.callback(run.close)
            _check_interface(run, bundle.manifest)
            self._run = run
            self._resources = resources.pop_all()

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Outputs:
        """Return the network's outputs by name; see `Backend.run`."""
        if self._run is None:
            raise BackendError("back end tensorrt is closed; create a new one")
        found = {name: (value.dtype, value.shape) for name, value in inputs.items()}
        if found != self._inputs:
            raise BackendError(f"inputs are {found}, the network takes {self._inputs}")
        return self._run.run(inputs)

    def close(self) -> None:
        """Free the engine and its memory on the GPU."""
        self._run = None
        self._resources.close()

    def _load(self, entry: CachedEngine, cache: EngineCache, library: Library, resources: ExitStack) -> Any:
        """Return the deserialized engine; its library objects are dropped in the order they must be."""
        tensorrt = library.module
        self._logger = tensorrt.Logger(tensorrt.Logger.ERROR)
        self._runtime = tensorrt.Runtime(self._logger)
        resources.callback(setattr, self, "_runtime", None)
        try:
            self._engine = self._runtime.deserialize_cuda_engine(entry.path.read_bytes())
        except OSError as error:
            raise BackendError(f"engine {entry.path} cannot be read ({error}); run build-engine again") from error
        if self._engine is None:
            cache.reject(entry.key, f"TensorRT {library.version} cannot deserialize it")
            raise BackendError(f"TensorRT {library.version} cannot deserialize {entry.path}; run `reloc build-engine`")
        resources.callback(setattr, self, "_engine", None)
        return self._engine


def _passed_engine(bundle: Bundle, cache: EngineCache, library: Library, cuda: Cuda) -> CachedEngine:
    """Return the best engine for this machine whose poses were found right on it."""
    others = []
    for key in keys_to_try(bundle, library, cuda.gpu):
        entry = cache.get(key)
        if entry is None:
            continue
        verdict = entry.parity.get("engine", "not run")
        if verdict.startswith(PASSED):
            return entry
        others.append(f"{key.precision} ({verdict})")
    raise BackendError(
        f"{cache.folder} has no engine of {bundle.path} for {cuda.gpu.name} with TensorRT {library.version} that "
        f"passed the comparison of poses, only {', '.join(others) or 'none at all'}; run "
        f"`reloc build-engine {bundle.path}` on this machine, meanwhile use the back end onnxruntime"
    )


def _input_arrays(manifest: Manifest) -> dict[str, NDArray[Any]]:
    return {name: np.empty(shape, dtype) for name, (shape, dtype) in manifest.inputs.items()}


def _check_interface(run: EngineRun, manifest: Manifest) -> None:
    found = {name: (array.dtype, array.shape) for name, array in run.inputs.items()}
    expected = {name: (array.dtype, array.shape) for name, array in _input_arrays(manifest).items()}
    if found != expected or set(run.output_shapes) != set(manifest.outputs):
        raise BackendError(
            f"the engine takes {found} and gives {sorted(run.output_shapes)}, the manifest says {expected} and "
            f"{sorted(manifest.outputs)}; run `reloc build-engine` again"
        )
