"""What an engine or a quantized graph depends on: it is found again only where all of it is the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from reloc_ros.bundle.load import Bundle
from reloc_ros.errors import BackendError

CACHE_SCHEMA = 2
"""Goes up whenever an older engine must not be found any more."""

NOT_BOUND = "any"
"""Stands for the device and CUDA of an engine that was compiled for a kind of card instead of the one in the machine."""


@dataclass(frozen=True, kw_only=True)
class EngineKey:
    """Everything an engine depends on.

    Args:
        files: sha256 of the bundle's ONNX files and of their external data, by name.
        graph: file of the bundle that was compiled.
        flavour: what runs it: `tensorrt`, `tensorrt_rtx` or `onnxruntime`.
        version: of that.
        cuda: versions of the CUDA runtime and driver; `none` for what runs on the CPU.
        device: name of the card, or of the CPU.
        target: compute capability, `sm86`, or the CPU's architecture, `x86_64`.
        precision: recipe applied to the graph.
        shapes: of the input tensors, by name.
        schema: of this cache.
    """

    files: Mapping[str, str]
    graph: str
    flavour: str
    version: str
    cuda: str
    device: str
    target: str
    precision: str
    shapes: Mapping[str, tuple[int, ...]]
    schema: int = CACHE_SCHEMA

    def __post_init__(self) -> None:
        empty = [name for name, value in asdict(self).items() if not value]
        if empty:
            raise BackendError(f"engine key has no {empty[0]}; an engine is only found under a complete key")

    def plain(self) -> dict[str, Any]:
        """Return the key as JSON holds it."""
        shapes = {name: list(shape) for name, shape in sorted(self.shapes.items())}
        return {**asdict(self), "files": dict(sorted(self.files.items())), "shapes": shapes}

    @property
    def digest(self) -> str:
        """The entry's name: 32 hex digits that change with any part of the key."""
        text = json.dumps(self.plain(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def bundle_part(bundle: Bundle) -> dict[str, Any]:
    """Return the part of the key that a verified bundle determines."""
    shapes = {name: shape for name, (shape, _) in bundle.manifest.inputs.items()}
    return {"files": dict(bundle.manifest.files), "graph": bundle.model, "shapes": shapes}
