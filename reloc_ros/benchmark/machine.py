"""What figures depend on besides the program, and what this machine lacks."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import onnxruntime

from reloc_ros.errors import BackendError
from reloc_ros.inference.cpu import cpu_name
from reloc_ros.inference.cuda import Cuda
from reloc_ros.inference.tensorrt_library import is_installed

_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
_PACKAGES = ("reloc_ros", "onnxruntime", "torch", "tensorrt", "tensorrt_rtx_cu13_bindings", "numpy")
_ANSWER_S = 30.0


def describe_machine(clocks: str) -> dict[str, object]:
    """Return the facts that belong beside every figure.

    Args:
        clocks: what was done about the GPU's clocks.
    """
    return {
        "cpu": cpu_name(),
        "cpu_count": os.cpu_count(),
        "cpu_governor": _governor(),
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "gpu": _gpu(),
        "gpu_clocks": clocks,
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _PACKAGES},
    }


def missing_backends() -> dict[str, str]:
    """Return which contenders cannot run here, each with the reason."""
    missing = {}
    gpu = ""
    try:
        Cuda()
    except BackendError as error:
        gpu = str(error)
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        missing["onnxruntime_cuda"] = f"ONNX Runtime {onnxruntime.__version__} has no CUDA provider"
    if not is_installed():
        missing["tensorrt"] = "TensorRT is not installed"
    if gpu:
        missing.setdefault("onnxruntime_cuda", gpu)
        missing.setdefault("tensorrt", gpu)
    if importlib.util.find_spec("torch") is None:
        missing |= dict.fromkeys(("torch", "torch.compile"), "torch is not installed")
    for name in ("torch_cuda", "torch_cuda.compile"):
        if "torch" in missing or gpu:
            missing[name] = missing.get("torch", gpu)
    return missing


@contextmanager
def pinned_clocks(*, wanted: bool) -> Iterator[str]:
    """Lock the GPU's clock at its highest speed while something is measured, where that is allowed; give what was done."""
    tool = shutil.which("nvidia-smi")
    if not wanted or tool is None:
        yield "not pinned: there is no nvidia-smi" if wanted else "not pinned"
        return
    asked = [tool, "--query-gpu=clocks.max.graphics", "--format=csv,noheader,nounits", "--id=0"]
    highest = _answer(asked).strip()
    locked = highest.isdigit() and "locked" in _answer([tool, f"--lock-gpu-clocks={highest}", "--id=0"])
    try:
        yield f"locked at {highest} MHz" if locked else "not pinned: the driver refuses, or only root may"
    finally:
        if locked:
            _answer([tool, "--reset-gpu-clocks", "--id=0"])


def _answer(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_ANSWER_S)
    return done.stdout if done.returncode == 0 else ""


def _governor() -> str:
    try:
        return _GOVERNOR.read_text(encoding="utf-8").strip()
    except OSError:
        return "unknown: the system does not say"


def _gpu() -> str:
    try:
        gpu = Cuda().gpu
    except BackendError as error:
        return f"none: {error}"
    return f"{gpu.name}, {gpu.capability}, CUDA {gpu.cuda}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
