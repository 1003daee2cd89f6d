"""The training network behind the back-end protocol, with a planted network in place of a trained one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from fake_bundles import INPUT, OUTPUTS, write_truth_bundle

from reloc_ros.errors import BackendError

torch = pytest.importorskip("torch", reason="torch is not installed")

if TYPE_CHECKING:
    from pathlib import Path

    from reloc_ros.bundle.load import Bundle
    from reloc_ros.inference.backend import Backend


class Planted(torch.nn.Module):  # type: ignore[misc, name-defined]
    """Answers the mean of the image, and one more while it trains."""

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        mean = image.float().mean() + float(self.training)
        return mean.expand(1, 48, 3), mean.expand(1, 48) + 1, mean.expand(1, 48) + 2


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    from reloc_ros.networks import table

    planted = replace(table.NETWORKS["implicit_geometry"], from_checkpoint=lambda content: Planted().eval())
    monkeypatch.setitem(table.NETWORKS, "implicit_geometry", planted)
    return write_truth_bundle(tmp_path / "bundle", [np.eye(4)])


def make_backend(bundle: Bundle, tmp_path: Path) -> Backend:
    from reloc_ros.inference.torch_backend import TorchBackend

    torch.save({}, tmp_path / "run.pt")
    return TorchBackend(bundle, checkpoint=tmp_path / "run.pt")


def test_outputs_have_the_manifests_names_and_order(bundle: Bundle, tmp_path: Path) -> None:
    outputs = make_backend(bundle, tmp_path).run({"image": np.full(INPUT.shape, 7, dtype=np.uint8)})
    assert tuple(outputs) == OUTPUTS
    assert [float(outputs[name].flat[0]) for name in OUTPUTS] == [7.0, 8.0, 9.0]
    assert outputs["points_map"].shape == (1, 48, 3)


def test_other_inputs_and_a_closed_backend_are_errors(bundle: Bundle, tmp_path: Path) -> None:
    backend = make_backend(bundle, tmp_path)
    with pytest.raises(BackendError, match="takes image"):
        backend.run({"picture": np.zeros(INPUT.shape, dtype=np.uint8)})
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend.run({"image": np.zeros(INPUT.shape, dtype=np.uint8)})


def test_a_method_without_a_network_is_refused(tmp_path: Path) -> None:
    bundle = write_truth_bundle(tmp_path / "bundle", [np.eye(4)], method="crystal_ball")
    with pytest.raises(BackendError, match="crystal_ball"):
        make_backend(bundle, tmp_path)


def test_a_gpu_that_is_not_there_is_an_error(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from reloc_ros.inference.torch_backend import TorchBackend

    torch.save({}, tmp_path / "run.pt")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BackendError, match="no CUDA GPU; use the device cpu"):
        TorchBackend(bundle, checkpoint=tmp_path / "run.pt", device="cuda")


def test_a_compiled_network_is_the_same_network(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reloc_ros.inference.torch_backend import TorchBackend

    torch.save({}, tmp_path / "run.pt")
    asked = []

    def compile_nothing(network: torch.nn.Module, mode: str | None) -> torch.nn.Module:
        asked.append(mode)
        return network

    monkeypatch.setattr(torch, "compile", compile_nothing)
    backend = TorchBackend(bundle, checkpoint=tmp_path / "run.pt", compiled=True)
    outputs = backend.run({"image": np.full(INPUT.shape, 7, dtype=np.uint8)})
    assert asked == [None]
    assert float(outputs["points_map"].flat[0]) == 7.0
