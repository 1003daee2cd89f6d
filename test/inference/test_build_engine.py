"""Building engines: the child process, the ladder of precisions, verdicts that say what was not looked at."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from fake_bundles import INPUT, make_manifest, with_images, write_truth_bundle
from fake_tensorrt import MAGIC, VERSION, FakeCudaRuntime, FakeTensorRT

from reloc_ros.bundle.load import load_bundle, record_device, write_bundle
from reloc_ros.bundle.manifest import DeviceSpec
from reloc_ros.cli.main import EXIT_BAD_SETUP, main
from reloc_ros.errors import BackendError, BundleError, EngineBuildError, ExportError
from reloc_ros.export import engine as engine_module
from reloc_ros.export.engine import Machine, build_best
from reloc_ros.export.gate_images import GateImages
from reloc_ros.geometry import se3
from reloc_ros.inference.backend import create_backend
from reloc_ros.inference.build_engine import build_engine, configure
from reloc_ros.inference.cuda import Cuda
from reloc_ros.inference.engine_cache import Build, EngineCache
from reloc_ros.inference.tensorrt_backend import TensorRTBackend
from reloc_ros.inference.tensorrt_library import Library, check_target, find_library

CHECKOUT = Path(__file__).parents[2]
POSES = [se3.from_rotation_translation(np.eye(3), np.array([0.01 * i, 0.02 * i, -0.01 * i])) for i in range(256)]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_truth_bundle(tmp_path_factory.mktemp("engines") / "bundle", POSES)


@pytest.fixture
def cache(tmp_path):
    return EngineCache(tmp_path / "engines")


def fake_machine(*, gpu=True, **options):
    runtime = FakeCudaRuntime(**options)
    library = Library(module=FakeTensorRT(runtime), flavour="tensorrt_rtx", version=VERSION)
    return Machine(library=library, cuda=Cuda(runtime) if gpu else None, no_gpu="" if gpu else "no driver")


class FakeCompiler:
    """Makes the fake's engines; can fail or miscompile by precision."""

    def __init__(self, fails=(), miscompiles=()):
        self.fails, self.miscompiles = fails, miscompiles
        self.built: list[str] = []

    def __call__(self, model, path, library, target, progress):
        graph = onnx.load(model)
        precision = {entry.key: entry.value for entry in graph.metadata_props}["reloc_precision"]
        self.built.append(precision)
        if precision in self.fails:
            raise EngineBuildError("no tactic for a node")
        if precision in self.miscompiles:
            table = next(tensor for tensor in graph.graph.initializer if tensor.name == "points_map_table")
            moved = onnx.numpy_helper.to_array(table) + np.float32(0.1)
            table.CopyFrom(onnx.numpy_helper.from_array(moved, table.name))
        path.write_bytes(MAGIC + graph.SerializeToString())
        return Build(seconds=1.5, peak_memory_bytes=2 << 20)


def tried(attempts):
    return [attempt.precision for attempt in attempts]


def test_the_fastest_engine_that_passes_is_kept_and_used(bundle, cache):
    machine, compiler = fake_machine(), FakeCompiler()
    attempts = build_best(bundle, cache, machine, compiles=compiler)
    assert tried(attempts) == ["fp16"]
    entry = attempts[0].entry
    assert entry.parity["engine"].startswith("passed: 0.000 mm and 0.0000 deg at most over 8 synthetic images, ")
    assert (entry.key.device, entry.key.target) == ("NVIDIA Fake 1000", "sm86")
    assert (entry.build.seconds, entry.build.peak_memory_bytes) == (1.5, 2 << 20)
    backend = TensorRTBackend(bundle, cache=cache, library=machine.library, cuda=machine.cuda)
    assert backend.precision == "fp16"
    backend.close()
    assert machine.cuda._runtime.leaks() == []


def test_what_a_bundle_shows_of_its_place_is_compared_without_being_told(tmp_path, cache):
    frames = np.full((2, *INPUT.shape[1:]), 7, np.uint8)
    shown = with_images(write_truth_bundle(tmp_path / "b", POSES), frames)
    (attempt,) = build_best(shown, cache, fake_machine(), compiles=FakeCompiler())
    assert all("over 2 images of the bundle, " in said for said in attempt.verdicts.values()), attempt.verdicts
    given = GateImages(images=[frames[0]], origin="images given")
    (attempt,) = build_best(shown, cache, fake_machine(), images=given, compiles=FakeCompiler())
    assert all("over 1 images given, " in said for said in attempt.verdicts.values()), attempt.verdicts


def test_an_engine_is_built_once(bundle, cache):
    compiler = FakeCompiler()
    for _ in range(2):
        assert not build_best(bundle, cache, fake_machine(), compiles=compiler)[-1].failed
    assert compiler.built == ["fp16"]


@pytest.mark.parametrize("kind", ["fails", "miscompiles"])
@pytest.mark.parametrize(
    ("precision", "bad", "expected"),
    [
        ("auto", ["fp16"], ["fp16", "mixed"]),
        ("auto", ["fp16", "mixed"], ["fp16", "mixed", "fp32"]),
        ("bf16", ["bf16"], ["bf16", "fp32"]),
        ("mixed", ["mixed"], ["mixed", "fp32"]),
    ],
)
def test_a_wrong_engine_gives_way_to_a_more_exact_one(kind, precision, bad, expected, bundle, cache):
    attempts = build_best(
        bundle, cache, fake_machine(), precision=precision, compiles=FakeCompiler(**{kind: bad})
    )  # fmt: skip
    assert tried(attempts) == expected
    assert [attempt.failed for attempt in attempts] == [name in bad for name in expected]
    said = attempts[0].verdicts["engine"]
    assert said.startswith("failed")
    assert ("no tactic" if kind == "fails" else "mm") in said


def test_without_an_engine_that_passes_onnxruntime_serves(bundle, cache):
    machine = fake_machine()
    attempts = build_best(bundle, cache, machine, compiles=FakeCompiler(miscompiles=["fp16", "mixed", "fp32"]))
    assert all(attempt.failed for attempt in attempts)
    with pytest.raises(BackendError, match=r"fp16 \(failed: .*fp32 \(failed: .*onnxruntime"):
        TensorRTBackend(bundle, cache=cache, library=machine.library, cuda=machine.cuda)


def test_an_engine_that_cannot_be_deserialized_gives_way_too(bundle, cache):
    compiler = FakeCompiler()

    def torn(model, path, library, target, progress):
        cost = compiler(model, path, library, target, progress)
        if compiler.built[-1] == "fp16":
            path.write_bytes(b"half an engine")
        return cost

    attempts = build_best(bundle, cache, fake_machine(), compiles=torn)
    assert tried(attempts) == ["fp16", "mixed"]
    assert "cannot deserialize" in attempts[0].verdicts["engine"]
    assert not attempts[1].failed


def test_without_a_gpu_nothing_is_claimed(bundle, cache):
    attempts = build_best(bundle, cache, fake_machine(gpu=False), target="sm89", compiles=FakeCompiler())
    entry = attempts[-1].entry
    assert not attempts[-1].failed
    assert entry.parity["engine"] == "not run: no GPU (no driver)"
    assert entry.parity["graph"].startswith("passed: ")
    assert (entry.key.device, entry.key.cuda, entry.key.target) == ("any", "any", "sm89")
    # Nor with a GPU of another kind.
    other = build_best(bundle, cache, fake_machine(), target="sm75", compiles=FakeCompiler())[-1]
    assert other.verdicts["engine"] == "not run: no GPU of sm75, this one is sm86"


def test_what_was_built_elsewhere_is_judged_on_the_robot_without_building(bundle, cache):
    build_best(bundle, cache, fake_machine(gpu=False), target="sm86", compiles=FakeCompiler())
    robot, compiler = fake_machine(), FakeCompiler()
    with pytest.raises(BackendError, match=r"fp16 \(not run: no GPU"):
        TensorRTBackend(bundle, cache=cache, library=robot.library, cuda=robot.cuda)
    attempt = build_best(bundle, cache, robot, target="sm86", compiles=compiler)[-1]
    assert compiler.built == []
    assert attempt.entry.parity["engine"].startswith("passed")
    TensorRTBackend(bundle, cache=cache, library=robot.library, cuda=robot.cuda).close()


def test_bfloat16_says_that_its_graph_was_not_compared(bundle, cache):
    attempt = build_best(bundle, cache, fake_machine(), precision="bf16", compiles=FakeCompiler())[-1]
    assert attempt.verdicts["graph"] == "not run: ONNX Runtime has no bfloat16 kernels on the CPU"
    assert attempt.verdicts["engine"].startswith("passed")


def test_a_graph_that_is_wrong_already_is_not_built(bundle, cache, monkeypatch):
    real = engine_module.write_with_precision

    def spoil(source, target, precision):
        applied = real(source, target, precision)
        if precision == "fp16":
            FakeCompiler(miscompiles=["fp16"])(target, target, None, "", None)
            target.write_bytes(target.read_bytes()[len(MAGIC) :])
        return applied

    monkeypatch.setattr(engine_module, "write_with_precision", spoil)
    compiler = FakeCompiler()
    attempts = build_best(bundle, cache, fake_machine(), compiles=compiler)
    assert tried(attempts) == ["fp16", "mixed"]
    assert attempts[0].verdicts["graph"].startswith("failed: image 0 moves by 173.2")
    assert compiler.built == ["mixed"]


def test_what_the_manifest_says_of_a_card_is_tried_first(tmp_path, cache):
    bundle = write_truth_bundle(tmp_path / "bundle", POSES)
    spec = DeviceSpec(backend="tensorrt", precision="mixed", verdict="passed: 0.1 mm")
    known = record_device(bundle, "NVIDIA Fake 1000", spec)
    assert known == load_bundle(bundle.path)
    compiler = FakeCompiler()
    assert tried(build_best(known, cache, fake_machine(), compiles=compiler)) == ["mixed"]
    # Only where nobody asks for more, and for this kind of card.
    assert tried(build_best(known, cache, fake_machine(), precision="fp16", compiles=compiler)) == ["fp16"]
    assert tried(build_best(known, cache, fake_machine(gpu=False), target="sm89", compiles=compiler)) == ["fp16"]
    other = record_device(bundle, "NVIDIA Other", spec)
    assert set(other.manifest.devices) == {"NVIDIA Fake 1000", "NVIDIA Other"}


def test_a_choice_that_cannot_be_written_leaves_the_bundle(tmp_path, monkeypatch):
    bundle = write_truth_bundle(tmp_path / "bundle", POSES)
    before = (bundle.path / "manifest.yaml").read_bytes()

    def full(self, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(BundleError, match=r"manifest.yaml cannot be written .*No space left"):
        record_device(bundle, "a card", DeviceSpec(backend="tensorrt", precision="fp16", verdict="passed"))
    monkeypatch.undo()
    assert (bundle.path / "manifest.yaml").read_bytes() == before
    with pytest.raises(BundleError, match="devices: verdict is empty"):
        DeviceSpec(backend="tensorrt", precision="fp16", verdict="")


def test_images_without_any_pose_prove_nothing(tmp_path, cache):
    black = GateImages(images=[np.full(INPUT.shape[1:], 200, dtype=np.uint8)] * 2, origin="images given")
    nothing = write_truth_bundle(tmp_path / "b", [np.diag([1e-9, 1e-9, 1e-9, 1.0])] * 201)
    attempt = build_best(nothing, cache, fake_machine(), precision="fp32", images=black, compiles=FakeCompiler())[-1]
    assert attempt.failed
    assert "none of 2 images given has a pose" in attempt.verdicts["engine"]


def test_weights_that_nobody_checks_are_refused(tmp_path, bundle, cache):
    model = tmp_path / "model.onnx"
    onnx.save(onnx.load(bundle.model_path), model, save_as_external_data=True, location="w.bin", size_threshold=1024)
    unlisted = write_bundle(tmp_path / "b", make_manifest(), {"model.onnx": model})
    with pytest.raises(BundleError, match=r"w\.bin, which the manifest does not list"):
        build_best(unlisted, cache, fake_machine(), compiles=FakeCompiler())
    listed = write_bundle(tmp_path / "b", make_manifest(), {"model.onnx": model, "w.bin": tmp_path / "w.bin"})
    entry = build_best(listed, cache, fake_machine(), compiles=FakeCompiler())[-1].entry
    assert set(entry.key.files) == {"model.onnx", "w.bin"}


def test_an_unknown_precision_is_refused(bundle, cache):
    with pytest.raises(ExportError, match="choose one of auto"):
        build_best(bundle, cache, fake_machine(), precision="int4")


def test_targets_are_checked_before_anything_is_built():
    ordinary = Library(module=None, flavour="tensorrt", version="10.3")
    check_target(ordinary, "current")
    with pytest.raises(BackendError, match=r"machine only.*TensorRT-RTX"):
        check_target(ordinary, "sm89")
    kinds = SimpleNamespace(ComputeCapability=SimpleNamespace(__members__={"NONE": 0, "CURRENT": 1, "SM89": 2}))
    rtx = Library(module=kinds, flavour="tensorrt_rtx", version="1.7")
    check_target(rtx, "sm89")
    for wrong in ("none", "sm99", "SM89"):
        with pytest.raises(BackendError, match="knows current, sm89"):
            check_target(rtx, wrong)


@pytest.mark.parametrize(("flavour", "said"), [("tensorrt", []), ("tensorrt_rtx", [("capability of", 86, 0)])])
def test_float32_means_float32(flavour, said):
    capabilities = SimpleNamespace(SM86=86, __members__={"NONE": 0, "SM86": 86})
    module = SimpleNamespace(BuilderFlag=SimpleNamespace(TF32="tf32"), ComputeCapability=capabilities)
    calls = []
    config = SimpleNamespace(
        clear_flag=lambda flag: calls.append(("cleared", flag)),
        set_compute_capability=lambda kind, index: calls.append(("capability of", kind, index)),
    )
    target = "sm86" if said else "current"
    configure(Library(module=module, flavour=flavour, version="1"), config, target)
    assert calls == [("cleared", "tf32"), *said]


@pytest.fixture(scope="module")
def real_library():
    pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT-RTX is not installed (extra: trt)")
    return find_library("tensorrt_rtx")


def test_a_child_builds_and_reports(real_library, bundle, tmp_path):
    told = []
    cost = build_engine(
        bundle.model_path, tmp_path / "e", real_library, "sm86", lambda phase, done: told.append((phase, done))
    )  # fmt: skip
    assert (tmp_path / "e").stat().st_size > 1000
    assert cost.seconds > 0
    assert cost.peak_memory_bytes > 20 << 20
    assert all(0.0 <= done <= 1.0 for _, done in told)
    assert told[-1][1] == 1.0


def test_what_the_child_said_is_in_the_error(real_library, tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"no graph")
    with pytest.raises(EngineBuildError, match=r"status 1(.|\n)*cannot read"):
        build_engine(tmp_path / "m.onnx", tmp_path / "e", real_library, "sm86")
    assert not (tmp_path / "e").exists()


def test_a_full_disk_is_no_fault_of_the_precision(real_library, bundle, cache):
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("there is no /dev/full to write to")
    with pytest.raises(OSError, match="No space left") as caught:
        build_engine(bundle.model_path, full, real_library, "sm86")
    assert caught.value.filename == "/dev/full"
    machine = Machine(library=real_library, cuda=None, no_gpu="none")

    def compiles(model, path, library, target, progress):
        return build_engine(model, full, library, target)

    with pytest.raises(BackendError, match=r"cannot be written.*No space left.*onnxruntime"):
        build_best(bundle, cache, machine, target="sm86", compiles=compiles)


def test_a_child_that_is_killed_is_an_error(bundle, tmp_path, monkeypatch):
    (tmp_path / "tensorrt.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    library = Library(module=None, flavour="tensorrt", version="1")
    with pytest.raises(EngineBuildError, match=r"signal 9, perhaps for want of memory"):
        build_engine(bundle.model_path, tmp_path / "e", library, "current")


def test_a_child_ends_with_its_parent(bundle, tmp_path):
    # The import never ends, so only the closed pipe can end the child.
    (tmp_path / "tensorrt.py").write_text("import threading\nthreading.Event().wait()\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(CHECKOUT)])}
    command = [sys.executable, "-m", "reloc_ros.inference.build_engine", str(bundle.model_path), str(tmp_path / "e")]
    child = subprocess.Popen(
        [*command, "tensorrt", "current"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment
    )
    child.stdin.close()
    assert child.wait(timeout=60) == 1
    assert not (tmp_path / "e").exists()


def test_the_command_builds_for_a_card_that_is_not_here(real_library, tmp_path, capsys):
    # A copy, since a verdict of a card that is here after all is written into the manifest.
    shutil.copytree(CHECKOUT / "models" / "apartment", tmp_path / "bundle")
    bundle, cache = load_bundle(tmp_path / "bundle"), tmp_path / "engines"
    arguments = ["build-engine", str(bundle.path), "--target", "sm89", "--cache", str(cache)]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "fp16: kept" in said
    assert "MiB at most" in said
    (sidecar,) = cache.glob("*.json")
    content = json.loads(sidecar.read_text())
    assert content["key"]["files"] == dict(bundle.manifest.files)
    assert content["parity"]["graph"].startswith("passed")
    assert content["parity"]["engine"].startswith(("not run: no GPU", "passed"))
    if content["parity"]["engine"].startswith("not run"):
        assert load_bundle(bundle.path).manifest.devices == {}
    assert main([*arguments[:3], "sm99", *arguments[4:]]) == EXIT_BAD_SETUP
    assert "sm99" in capsys.readouterr().err


def test_the_command_says_that_a_gpu_is_missing(real_library, tmp_path, capsys, monkeypatch):
    def none(runtime=None):
        raise BackendError("CUDA finds no GPU")

    monkeypatch.setattr(engine_module, "Cuda", none)
    assert main(["build-engine", str(CHECKOUT / "models" / "apartment"), "--cache", str(tmp_path)]) == EXIT_BAD_SETUP
    assert "--target" in capsys.readouterr().err


def test_the_real_thing_runs_where_there_is_a_gpu(cache):
    try:
        machine = engine_module.this_machine("current")
    except BackendError as error:
        pytest.skip(f"there is no TensorRT with a GPU: {error}")
    bundle = load_bundle(CHECKOUT / "models" / "apartment")
    attempt = build_best(bundle, cache, machine)[-1]
    assert attempt.verdicts["engine"].startswith("passed")
    backend = TensorRTBackend(bundle, cache=cache, library=machine.library, cuda=machine.cuda)
    reference = create_backend("onnxruntime", bundle, threads=1)
    generator = np.random.default_rng(0)
    spec = bundle.manifest.input
    for _ in range(3):
        image = {spec.name: generator.integers(0, 256, spec.shape, dtype=np.uint8)}
        found, expected = backend.run(image), reference.run(image)
        for name, values in expected.items():
            assert np.allclose(found[name], values, atol=0.02 * np.abs(values).max())
    backend.close()
