"""Every back end that this machine has: the table's contract, and set-ups that are refused with a reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
import pytest
from fake_bundles import INPUT, OUTPUTS, make_manifest, write_lookup_model, write_truth_bundle

from reloc_ros.bundle.load import Bundle, write_bundle
from reloc_ros.bundle.manifest import InputSpec
from reloc_ros.errors import BackendError
from reloc_ros.geometry import se3
from reloc_ros.inference.backend import BACKENDS, Backend, create_backend

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POSES = [se3.from_rotation_translation(np.eye(3), np.array([x, 2.0 * x, -x])) for x in (0.0, 0.5, 1.0)]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_truth_bundle(tmp_path_factory.mktemp("backends") / "bundle", POSES)


@pytest.fixture(scope="module", params=["onnxruntime", "onnxruntime_cuda"])
def backend(request: pytest.FixtureRequest, bundle: Bundle) -> Iterator[Backend]:
    if request.param == "onnxruntime_cuda" and "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has no CUDA provider")
    backend = create_backend(request.param, bundle, threads=1)
    assert backend.name == request.param
    yield backend
    backend.close()


def image(value: int) -> dict[str, np.ndarray]:
    return {INPUT.name: np.full(INPUT.shape, value, dtype=np.uint8)}


def test_outputs_have_the_manifests_names_and_the_right_values(backend: Backend) -> None:
    first, second = backend.run(image(1)), backend.run(image(2))
    assert tuple(first) == OUTPUTS
    assert first["points_map"].shape == (1, 48, 3)
    assert first["range_m"].dtype == np.float32
    # The clouds differ by the poses' distance and by their random ranges, so equal outputs mean a stale buffer.
    assert not np.array_equal(first["points_map"], second["points_map"])
    again = backend.run(image(1))
    assert all(np.array_equal(first[name], again[name]) for name in OUTPUTS)


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"picture": np.zeros(INPUT.shape, dtype=np.uint8)},
        {INPUT.name: np.zeros(INPUT.shape, dtype=np.float32)},
        {INPUT.name: np.zeros((1, 48, 63, 3), dtype=np.uint8)},
    ],
)
def test_inputs_that_do_not_fit_are_an_error(backend: Backend, inputs: dict[str, np.ndarray]) -> None:
    with pytest.raises(BackendError):
        backend.run(inputs)
    assert tuple(backend.run(image(0))) == OUTPUTS


def test_a_closed_backend_says_so(bundle: Bundle) -> None:
    backend = create_backend("onnxruntime", bundle, threads=1)
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend.run(image(0))


def test_an_unknown_name_lists_the_choices(bundle: Bundle) -> None:
    with pytest.raises(BackendError) as caught:
        create_backend("tensorflow", bundle)
    assert all(name in str(caught.value) for name in BACKENDS)


def test_negative_threads_are_refused(bundle: Bundle) -> None:
    with pytest.raises(BackendError, match="threads is -1"):
        create_backend("onnxruntime", bundle, threads=-1)


def test_a_missing_cuda_provider_is_an_error_and_no_silent_cpu(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(BackendError, match="onnxruntime-gpu"):
        create_backend("onnxruntime_cuda", bundle)


def test_a_cuda_provider_that_cannot_start_is_an_error_and_no_silent_cpu(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FellBack:
        def __init__(self, *args: object, **kwargs: object) -> None:
            pass

        def get_providers(self) -> list[str]:
            return ["CPUExecutionProvider"]

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "InferenceSession", FellBack)
    with pytest.raises(BackendError, match="cuDNN"):
        create_backend("onnxruntime_cuda", bundle)


def write_answering(folder: Path, answers: dict[str, np.ndarray], spec: InputSpec = INPUT) -> Bundle:
    write_lookup_model(folder / "network.onnx", answers, spec)
    return write_bundle(folder / "bundle", make_manifest(), {"model.onnx": folder / "network.onnx"})


ANSWERS = {"points_map": np.zeros((1, 48, 3)), "range_m": np.ones((1, 48)), "weights": np.ones((1, 48))}


@pytest.mark.parametrize(
    ("answers", "spec", "message"),
    [
        (ANSWERS, InputSpec(width=48, height=64), r"inputs are .*64, 48, 3"),
        (ANSWERS, InputSpec(name="picture", width=64, height=48), "inputs are .*picture"),
        ({"points_map": ANSWERS["points_map"]}, INPUT, "outputs are .*weights"),
        ({**ANSWERS, "depth": np.ones((1, 48))}, INPUT, "outputs are .*depth"),
    ],
)
def test_a_network_unlike_its_manifest_is_refused(
    tmp_path: Path, answers: dict[str, np.ndarray], spec: InputSpec, message: str
) -> None:
    with pytest.raises(BackendError, match=message):
        create_backend("onnxruntime", write_answering(tmp_path, answers, spec))


def test_a_network_that_is_no_onnx_is_refused(tmp_path: Path) -> None:
    (tmp_path / "network.onnx").write_bytes(b"not a graph")
    bundle = write_bundle(tmp_path / "bundle", make_manifest(), {"model.onnx": tmp_path / "network.onnx"})
    with pytest.raises(BackendError, match="cannot load"):
        create_backend("onnxruntime", bundle)


def test_torch_without_a_checkpoint_says_what_it_needs(bundle: Bundle) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    with pytest.raises(BackendError, match=r"checkpoint\.pt does not exist"):
        create_backend("torch", bundle)
