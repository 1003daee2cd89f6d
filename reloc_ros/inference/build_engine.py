"""Compiling a graph with TensorRT in a process of its own: what it leaks, crashes or hoards ends with it.

The child writes one JSON line for each step to its standard output, and ends when its standard input is closed, which
happens whenever its parent ends, however that ends.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from reloc_ros.errors import BackendError, EngineBuildError
from reloc_ros.inference.engine_cache import Build
from reloc_ros.inference.memory import peak_memory_bytes
from reloc_ros.inference.tensorrt_library import RTX, Library, check_target, find_library

_log = logging.getLogger(__name__)

Progress = Callable[[str, float], None]
"""Called with the phase of a build and the share of it that is done."""

_LOG_LINES = 12


def build_engine(model: Path, engine: Path, library: Library, target: str, progress: Progress | None = None) -> Build:
    """Compile an ONNX file in a child process and return what that cost.

    Args:
        model: ONNX file, strongly typed.
        engine: file to write.
        library: TensorRT to compile with; the child imports the same.
        target: `current`, or with TensorRT-RTX a compute capability such as `sm89`.
        progress: told how far the build is.

    Raises:
        EngineBuildError: TensorRT does not take the graph or the target, or the child died.
        OSError: the child could not write the engine.
    """
    command = [sys.executable, "-m", __name__, str(model), str(engine), library.flavour, target]
    package_root = str(Path(__file__).resolve().parents[2])
    paths = [package_root, os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
    result: dict[str, Any] = {}
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=environment
        ) as child:
            try:
                for line in child.stdout or ():
                    message = json.loads(line)
                    if "phase" in message and progress is not None:
                        progress(message["phase"], message["done"])
                    elif "phase" not in message:
                        result = message
            except BaseException:
                child.kill()
                raise
        log.seek(0)
        said = "\n".join(log.read().splitlines()[-_LOG_LINES:])
    if result.get("errno"):
        raise OSError(result["errno"], os.strerror(result["errno"]), str(engine))
    if child.returncode != 0 or not result:
        raise EngineBuildError(_failure(child.returncode, said))
    return Build(**result)


def _failure(code: int, said: str) -> str:
    if code < 0:
        why = f"was ended by signal {-code}{', perhaps for want of memory' if code == -9 else ''}"
    else:
        why = f"ended with status {code}"
    return f"the process that builds the engine {why}; try another --precision. It said:\n{said}"


def compile_engine(library: Library, model: Path, target: str, progress: Progress) -> bytes:
    """Return the engine of an ONNX file, compiled in this process.

    Raises:
        BackendError: TensorRT does not know the target.
        EngineBuildError: it does not take the graph.
    """
    tensorrt = library.module
    logger = tensorrt.Logger(tensorrt.Logger.WARNING)
    builder = tensorrt.Builder(logger)
    # Types stand in the graph; TensorRT 11 knows no other kind of network.
    network = builder.create_network(1 << int(tensorrt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = tensorrt.OnnxParser(network, logger)
    # By path, so that weights in a file of their own are found.
    if not parser.parse_from_file(str(model)):
        faults = "; ".join(str(parser.get_error(index)) for index in range(parser.num_errors))
        raise EngineBuildError(f"TensorRT {library.version} cannot read {model}: {faults}; export the bundle again")
    config = builder.create_builder_config()
    configure(library, config, target)
    config.progress_monitor = monitor = _monitor(tensorrt, progress)
    serialized = builder.build_serialized_network(network, config)
    del monitor
    if serialized is None:
        raise EngineBuildError(f"TensorRT {library.version} cannot compile {model} for {target}; its log says why")
    return bytes(serialized)


def configure(library: Library, config: Any, target: str) -> None:
    """Set what every engine of ours is built with.

    Raises:
        BackendError: TensorRT does not know the target.
    """
    check_target(library, target)
    # On by default, it would give whatever the graph keeps in float32 the ten bits of float16.
    config.clear_flag(library.module.BuilderFlag.TF32)
    if library.flavour == RTX:
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(library.module.ComputeCapability, target.upper()), 0)


def _monitor(tensorrt: Any, progress: Progress) -> Any:
    """Return what TensorRT tells of its progress."""

    class Monitor(tensorrt.IProgressMonitor):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            tensorrt.IProgressMonitor.__init__(self)
            self._steps: dict[str, int] = {}

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:  # noqa: ARG002 - TensorRT's
            self._steps[phase] = steps
            progress(phase, 0.0)

        def step_complete(self, phase: str, step: int) -> bool:
            progress(phase, (step + 1) / max(self._steps.get(phase, 1), 1))
            return True

        def phase_finish(self, phase: str) -> None:
            progress(phase, 1.0)

    return Monitor()


def main(arguments: list[str]) -> int:
    """Run in the child: compile, write the engine, report."""
    model, engine, flavour, target = arguments
    # Libraries print where they like; the parent reads only our lines.
    reports = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def report(**content: object) -> None:
        print(json.dumps(content), file=reports, flush=True)

    start = perf_counter()
    try:
        data = compile_engine(
            find_library(flavour), Path(model), target, lambda phase, done: report(phase=phase, done=done)
        )
        Path(engine).write_bytes(data)
    except OSError as error:
        report(errno=error.errno)
        return 1
    except BackendError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    report(seconds=round(perf_counter() - start, 3), peak_memory_bytes=peak_memory_bytes())
    return 0


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
