"""A machine with a GPU and a cache of engines, neither of them real."""

from __future__ import annotations

from fake_tensorrt import VERSION, FakeCudaRuntime, FakeTensorRT, engine_of

from reloc_ros.inference.cuda import Cuda
from reloc_ros.inference.engine_cache import Build, EngineCache
from reloc_ros.inference.tensorrt_backend import TensorRTBackend
from reloc_ros.inference.tensorrt_library import Library, key_for_target, key_here


class Machine:
    """A fake GPU with a cache of engines."""

    def __init__(self, folder, flavour="tensorrt", capturable=True, refuses=False, **gpu):
        self.runtime = FakeCudaRuntime(**gpu)
        self.tensorrt = FakeTensorRT(self.runtime, capturable=capturable, refuses=refuses)
        self.library = Library(module=self.tensorrt, flavour=flavour, version=VERSION)
        self.cache = EngineCache(folder / "engines")

    def add_engine(self, bundle, precision="fp32", verdict="passed: 0 mm", target=None, content=None):
        gpu = Cuda(self.runtime).gpu
        key = key_here(bundle, self.library, gpu, precision)
        if target is not None:
            key = key_for_target(bundle, self.library, target, precision)

        def build(path):
            path.write_bytes(engine_of(bundle.model_path) if content is None else content)
            return Build(seconds=1.0, peak_memory_bytes=1)

        self.cache.get_or_build(key, build)
        return self.cache.judge(key, {"engine": verdict})

    def backend(self, bundle, **options):
        return TensorRTBackend(
            bundle, cache=self.cache, library=self.library, cuda=Cuda(self.runtime), **options
        )  # fmt: skip
