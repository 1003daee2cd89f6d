"""ONNX Runtime on the CPU or on an NVIDIA GPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime
from numpy.typing import NDArray

from reloc_ros.bundle.load import Bundle
from reloc_ros.bundle.manifest import Manifest
from reloc_ros.errors import BackendError
from reloc_ros.types import Outputs

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_ONNX_TYPES = {"uint8": "tensor(uint8)", "float32": "tensor(float)"}
_NAMES = {"cpu": "onnxruntime", "cuda": "onnxruntime_cuda"}


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """How a session is set up; `reloc bench --section tuning` measures the choices.

    The demo's network took 4 ms of CPU time a call on one thread or two, one after the other; two spinning threads took
    8 ms, less optimization of the graph 5 ms.

    Args:
        spinning: whether idle threads wait for work at full speed. They sleep: between two frames the CPU belongs to
            the rest of the robot. Eight convolutions at 30 Hz with two threads took 11 ms of CPU time a frame this
            way, 38 ms with spinning.
        optimization: of the graph: `DISABLE_ALL`, `ENABLE_BASIC`, `ENABLE_EXTENDED` or `ENABLE_ALL`.
    """

    spinning: bool = False
    optimization: str = "ENABLE_ALL"


class OnnxRuntimeBackend:
    """A bundle's ONNX graph in ONNX Runtime.

    Args:
        bundle: verified bundle.
        device: `cpu` or `cuda`.
        threads: threads within an operator on the CPU; 0 is one for each core.
        model: graph to run in place of the bundle's, with the same tensors; None is the bundle's own.
        name: of this back end; empty takes that of the device.
        precision: of that graph.
        verdict: on that graph.
        tuning: of the session; None takes what was measured to be best.
        batch: images that a `model` takes at once; a bundle's graph takes one.

    Raises:
        BackendError: the device is not available here, or the graph is broken or not what the manifest says.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        device: str = "cpu",
        threads: int = 0,
        model: Path | None = None,
        name: str = "",
        precision: str = "fp32",
        verdict: str = "",
        tuning: Tuning | None = None,
        batch: int = 1,
    ) -> None:
        self.device = device
        self.name = name or _NAMES[device]
        self.precision = precision
        self.verdict = verdict
        self._outputs = list(bundle.manifest.outputs)
        self._session: onnxruntime.InferenceSession | None = _create_session(
            bundle.model_path if model is None else model, device, threads, tuning or Tuning()
        )
        _check_interface(self._session, bundle.manifest, batch)

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Outputs:
        """Return the network's outputs by name; see `Backend.run`."""
        if self._session is None:
            raise BackendError("back end onnxruntime is closed; create a new one")
        try:
            values = self._session.run(self._outputs, dict(inputs))
        except Exception as error:  # ONNX Runtime raises its own unrelated classes, also bare RuntimeError
            raise BackendError(f"ONNX Runtime could not run the network: {error}") from error
        return dict(zip(self._outputs, values, strict=True))

    def close(self) -> None:
        """Free the session."""
        self._session = None


def _create_session(model: Path, device: str, threads: int, tuning: Tuning) -> onnxruntime.InferenceSession:
    provider = _PROVIDERS[device]
    if provider not in onnxruntime.get_available_providers():
        raise BackendError(
            f"ONNX Runtime {onnxruntime.__version__} has no {provider}, only "
            f"{', '.join(onnxruntime.get_available_providers())}; pip install onnxruntime-gpu (instead of onnxruntime) "
            "or choose the back end onnxruntime"
        )
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, f"ORT_{tuning.optimization}")
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(tuning.spinning)))
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(model), sess_options=options, providers=[provider])
    except Exception as error:  # its own unrelated classes again
        raise BackendError(
            f"ONNX Runtime cannot load {model}: {error}; export the bundle again with `reloc export`"
        ) from error
    if session.get_providers()[0] != provider:
        # ONNX Runtime falls back to the CPU with a mere log line when CUDA or cuDNN libraries are missing.
        raise BackendError(
            f"{provider} could not be started, ONNX Runtime would use {session.get_providers()[0]}; install the CUDA "
            "and cuDNN versions this onnxruntime-gpu was built for, or choose the back end onnxruntime"
        )
    return session


def _check_interface(session: onnxruntime.InferenceSession, manifest: Manifest, batch: int) -> None:
    inputs = {node.name: (node.type, tuple(node.shape)) for node in session.get_inputs()}
    expected = {
        name: (_ONNX_TYPES[dtype], (batch * shape[0], *shape[1:])) for name, (shape, dtype) in manifest.inputs.items()
    }
    if inputs != expected:
        raise BackendError(f"the network's inputs are {inputs}, the manifest says {expected}; export the bundle again")
    outputs = {node.name: node for node in session.get_outputs()}
    if set(outputs) != set(manifest.outputs):
        raise BackendError(
            f"the network's outputs are {sorted(outputs)}, the manifest says {sorted(manifest.outputs)}; "
            "export the bundle again"
        )
    for name, node in outputs.items():
        if node.type != "tensor(float)" or not node.shape or node.shape[0] != batch:
            raise BackendError(
                f"the network's output {name} is {node.type} {node.shape}, expected tensor(float) with a batch of {batch}; "
                "export the bundle again"
            )
