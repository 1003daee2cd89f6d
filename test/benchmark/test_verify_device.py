"""One verdict for each network: compiled, run, compared, timed, or why not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fake_bundles import write_truth_bundle
from fake_tensorrt import MAGIC, VERSION, FakeCudaRuntime, FakeTensorRT

from reloc_ros.benchmark import verify_device
from reloc_ros.benchmark.contender import Contender
from reloc_ros.benchmark.contest import Figures
from reloc_ros.benchmark.networks import Subject
from reloc_ros.benchmark.verify_device import FALLBACK_TARGETS, table, verify
from reloc_ros.errors import BackendError, EngineBuildError
from reloc_ros.export import engine
from reloc_ros.export.engine import Machine
from reloc_ros.geometry import se3
from reloc_ros.inference.cuda import Cuda
from reloc_ros.inference.engine_cache import Build, EngineCache
from reloc_ros.inference.tensorrt_library import Library

POSES = [se3.from_rotation_translation(np.eye(3), np.array([0.01, -0.02, 0.01]) * i) for i in range(256)]


@pytest.fixture
def subject(tmp_path):
    bundle = write_truth_bundle(tmp_path / "bundle", POSES)
    return Subject(label="truth", bundle=bundle, checkpoint=Path("none.pt"), trained=True)


def machine(*, gpu):
    runtime = FakeCudaRuntime()
    library = Library(module=FakeTensorRT(runtime), flavour="tensorrt_rtx", version=VERSION)
    return Machine(library=library, cuda=Cuda(runtime) if gpu else None, no_gpu="" if gpu else "no driver")


def compile_fake(model, path, library, target, progress):
    path.write_bytes(MAGIC + model.read_bytes())
    return Build(seconds=2.0, peak_memory_bytes=1)


def run(subject, tmp_path, monkeypatch, *, gpu=True, compiles=compile_fake):
    monkeypatch.setitem(engine.build_best.__kwdefaults__, "compiles", compiles)

    def hold(contenders: list[Contender], seconds: float) -> list[Figures]:
        speeds = {"onnxruntime": 6.0, "tensorrt": 1.5}
        return [Figures(contender=each, p50_ms=speeds[each.backend]) for each in contenders]

    monkeypatch.setattr(verify_device, "hold", hold)

    def find(target):
        if target == "current" and not gpu:
            raise BackendError("no GPU")
        return machine(gpu=gpu)

    return verify(
        [subject], cache=EngineCache(tmp_path / "engines"), threads=1, seconds=0.1, say=lambda *_: None,
        machine_for=find,
    )  # fmt: skip


def text(outcomes):
    found = table(outcomes)
    return [list(column.cells) for column in found.columns]


def test_what_works_says_how_well(subject, tmp_path, monkeypatch):
    (outcome,) = run(subject, tmp_path, monkeypatch)
    assert (outcome.precision, outcome.compiled, outcome.ran, outcome.bad) == ("fp16", "in 2.0 s", True, False)
    assert outcome.poses.startswith("passed: 0.000 mm")
    assert outcome.speed == 4.0
    assert text([outcome])[-1] == ["4.0 times ONNX Runtime on the CPU"]
    # The node finds it.
    assert len(list((tmp_path / "engines").glob("*.engine"))) == 1


def test_without_a_gpu_everything_is_compiled_and_nothing_claimed(subject, tmp_path, monkeypatch):
    outcomes = run(subject, tmp_path, monkeypatch, gpu=False)
    assert [outcome.target for outcome in outcomes] == list(FALLBACK_TARGETS)
    for outcome in outcomes:
        assert (outcome.ran, outcome.bad, np.isnan(outcome.speed)) == (False, False, True)
        assert outcome.poses.startswith("not run: no GPU")
    # Of no use to the node here.
    assert not (tmp_path / "engines").exists()


def test_what_does_not_compile_or_computes_nonsense_is_bad(subject, tmp_path, monkeypatch):
    def fails(*_):
        raise EngineBuildError("no tactic for a node")

    (outcome,) = run(subject, tmp_path, monkeypatch, compiles=fails)
    assert (outcome.precision, outcome.compiled, outcome.ran, outcome.bad) == ("", "no", False, True)
    assert "no tactic" in outcome.poses

    def lies(model, path, library, target, progress):
        path.write_bytes(b"no engine at all")
        return Build(seconds=2.0, peak_memory_bytes=1)

    (outcome,) = run(subject, tmp_path, monkeypatch, compiles=lies)
    assert (outcome.precision, outcome.compiled, outcome.bad) == ("", "no", True)
    assert "cannot deserialize" in outcome.poses


def test_a_full_disk_is_named(subject, tmp_path, monkeypatch):
    def full(model, path, library, target, progress):
        raise OSError(28, "No space left on device", str(path))

    (outcome,) = run(subject, tmp_path, monkeypatch, compiles=full)
    assert outcome.bad
    assert "No space left" in outcome.compiled
