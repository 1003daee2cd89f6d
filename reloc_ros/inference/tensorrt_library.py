"""Whichever TensorRT is installed, and under which keys its engines of a bundle are found."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from reloc_ros.bundle.load import Bundle
from reloc_ros.errors import BackendError
from reloc_ros.inference.cuda import Gpu
from reloc_ros.inference.engine_key import NOT_BOUND, EngineKey, bundle_part

RTX = "tensorrt_rtx"
CURRENT = "current"
"""The target that is the card in this machine."""

_MODULES = {"tensorrt": "tensorrt", "tensorrt_rtx": RTX, "tensorrt_rtx_bindings": RTX}

PRECISIONS = ("fp16", "bf16", "mixed", "fp32")
"""Recipes of `export.precision`, the fastest first: the order in which engines are looked for."""


@dataclass(frozen=True, kw_only=True)
class Library:
    """An installed TensorRT.

    Args:
        module: its Python module.
        flavour: `tensorrt` or `tensorrt_rtx`.
        version: of it.
    """

    module: Any
    flavour: str
    version: str


def is_installed() -> bool:
    """Whether there is a TensorRT to import; whether it loads is another question."""
    return any(importlib.util.find_spec(name) is not None for name in _MODULES)


def find_library(flavour: str | None = None) -> Library:
    """Return the TensorRT of this machine; where both flavours are, `tensorrt` unless the other is asked for.

    Raises:
        BackendError: none is installed.
    """
    reasons = []
    for name, kind in _MODULES.items():
        if flavour not in (None, kind):
            continue
        try:
            module = importlib.import_module(name)
        except (ImportError, OSError) as error:  # OSError: libraries that do not load
            reasons.append(f"{name}: {error}")
            continue
        return Library(module=module, flavour=kind, version=str(module.__version__))
    raise BackendError(
        f"TensorRT is not installed ({'; '.join(reasons)}); on a PC with an RTX card pip install 'reloc_ros[trt]', on "
        "a Jetson use JetPack's python3-libnvinfer, or choose the back end onnxruntime"
    )


def check_target(library: Library, target: str) -> None:
    """Refuse a target that a TensorRT cannot compile for.

    Raises:
        BackendError: the target is neither `current` nor a compute capability that this TensorRT-RTX knows.
    """
    if target == CURRENT:
        return
    if library.flavour != RTX:
        raise BackendError(
            f"target is {target}, TensorRT {library.version} builds for the card in the machine only; build there with "
            "--target current, or install TensorRT-RTX (pip install 'reloc_ros[trt]')"
        )
    names = [name.lower() for name in library.module.ComputeCapability.__members__ if name != "NONE"]
    if target not in names:
        raise BackendError(
            f"target is {target!r}, TensorRT-RTX {library.version} knows {', '.join(names)}; choose one of these"
        )


def key_here(bundle: Bundle, library: Library, gpu: Gpu, precision: str) -> EngineKey:
    """Return the key of an engine built for the card in this machine."""
    return EngineKey(
        **bundle_part(bundle), flavour=library.flavour, version=library.version, cuda=gpu.cuda, device=gpu.name,
        target=gpu.capability, precision=precision,
    )  # fmt: skip


def key_for_target(bundle: Bundle, library: Library, target: str, precision: str) -> EngineKey:
    """Return the key of an engine compiled for any card of a compute capability."""
    return EngineKey(
        **bundle_part(bundle), flavour=library.flavour, version=library.version, cuda=NOT_BOUND, device=NOT_BOUND,
        target=target, precision=precision,
    )  # fmt: skip


def keys_to_try(bundle: Bundle, library: Library, gpu: Gpu) -> Iterator[EngineKey]:
    """Yield the keys of all engines that this machine could run, the best first."""
    for precision in PRECISIONS:
        yield key_here(bundle, library, gpu, precision)
        if library.flavour == RTX:
            yield key_for_target(bundle, library, gpu.capability, precision)
