"""The TensorRT back end against a CUDA and a TensorRT that watch order, addresses and lifetimes."""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from fake_bundles import INPUT, make_manifest, write_lookup_model, write_truth_bundle
from fake_machine import Machine
from fake_tensorrt import MAGIC, FakeContext, FakeCudaRuntime, FakeEngine, engine_of
from onnx import TensorProto, helper

from reloc_ros.bundle.load import write_bundle
from reloc_ros.bundle.manifest import RaysSpec
from reloc_ros.errors import BackendError
from reloc_ros.geometry import se3
from reloc_ros.inference import tensorrt_library
from reloc_ros.inference.backend import create_backend
from reloc_ros.inference.cuda import Cuda
from reloc_ros.inference.engine_run import EngineRun
from reloc_ros.inference.tensorrt_backend import TensorRTBackend
from reloc_ros.inference.tensorrt_library import find_library, key_for_target, key_here

POSES = [se3.from_rotation_translation(np.eye(3), np.array([x, 2.0 * x, -x])) for x in (0.0, 0.5, 1.0)]


@pytest.fixture
def bundle(tmp_path):
    return write_truth_bundle(tmp_path / "bundle", POSES)


@pytest.fixture(params=[False, True], ids=["discrete", "integrated"])
def machine(request, tmp_path):
    return Machine(tmp_path, integrated=request.param)


def image(value):
    return {INPUT.name: np.full(INPUT.shape, value, dtype=np.uint8)}


def test_it_computes_what_onnxruntime_computes(machine, bundle):
    machine.add_engine(bundle)
    backend = machine.backend(bundle)
    reference = create_backend("onnxruntime", bundle, threads=1)
    earlier = backend.run(image(1))
    kept = {name: value.copy() for name, value in earlier.items()}
    for value in (2, 0, 1):
        expected, found = reference.run(image(value)), backend.run(image(value))
        assert list(found) == list(expected)
        assert all(np.array_equal(found[name], expected[name]) for name in expected)
    # Results belong to the caller: later frames do not write into them.
    assert all(np.array_equal(earlier[name], kept[name]) for name in kept)
    assert (backend.name, backend.device, backend.precision) == ("tensorrt", "cuda", "fp32")
    backend.close()


def test_one_plain_enqueue_then_one_graph_launch_a_frame(machine, bundle):
    machine.add_engine(bundle)
    backend = machine.backend(bundle)
    log = machine.runtime.log
    assert log.index("enqueue") < log.index("cudaStreamSynchronize") < log.index("cudaStreamBeginCapture")
    assert log.count("enqueue") == 2  # plain, and into the graph
    assert log.count("cudaGraphDestroy") == 1
    log.clear()
    backend.run(image(1))
    backend.run(image(2))
    assert log == ["cudaGraphLaunch", "cudaStreamSynchronize"] * 2
    backend.close()


def test_addresses_are_set_once(machine, bundle):
    machine.add_engine(bundle)
    backend = machine.backend(bundle)
    backend.run(image(1))
    backend.close()
    said = [line for line in machine.runtime.log if line.startswith("address")]
    assert sorted(said) == sorted(f"address {name}" for name in (INPUT.name, *bundle.manifest.outputs))


def test_integrated_gpus_need_no_copies(tmp_path, bundle):
    for integrated in (False, True):
        machine = Machine(tmp_path / str(integrated), integrated=integrated)
        machine.add_engine(bundle)
        machine.backend(bundle).close()
        used = {"cudaMemcpyAsync", "cudaMalloc"} & set(machine.runtime.log)
        assert used == (set() if integrated else {"cudaMemcpyAsync", "cudaMalloc"})


def test_closing_frees_everything_in_order(machine, bundle):
    machine.add_engine(bundle)
    backend = machine.backend(bundle)
    backend.run(image(1))
    log = machine.runtime.log
    log.clear()
    backend.close()
    assert machine.runtime.leaks() == []
    assert machine.tensorrt.alive == []
    freeing = [line for line in log if line in {"cudaFreeHost", "cudaFree"}]
    assert freeing
    order = [log.index(line) for line in ("cudaGraphExecDestroy", "~FakeContext", freeing[0], "cudaStreamDestroy")]
    assert order == sorted(order)
    assert log.index("~FakeContext") < log.index("~FakeEngine") < log.index("~FakeRuntime")
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend.run(image(0))


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"picture": np.zeros(INPUT.shape, dtype=np.uint8)},
        {INPUT.name: np.zeros(INPUT.shape, dtype=np.float32)},
        {INPUT.name: np.zeros((1, 48, 63, 3), dtype=np.uint8)},
    ],
)
def test_inputs_that_do_not_fit_are_an_error(inputs, machine, bundle):
    machine.add_engine(bundle)
    backend = machine.backend(bundle)
    with pytest.raises(BackendError, match="the network takes"):
        backend.run(inputs)
    assert backend.run(image(0))
    backend.close()


def test_a_network_that_takes_rays_gets_both(machine, tmp_path):
    rays = RaysSpec(rows=2, columns=3)
    model = tmp_path / "model.onnx"
    shapes = {INPUT.name: (TensorProto.UINT8, INPUT.shape), rays.name: (TensorProto.FLOAT, rays.shape)}
    nodes = [
        helper.make_node("Cast", [INPUT.name], ["as_float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["as_float"], ["mean"], keepdims=0),
        helper.make_node("Mul", [rays.name, "mean"], ["moved"]),
    ]
    inputs = [helper.make_tensor_value_info(name, *spec) for name, spec in shapes.items()]
    outputs = [helper.make_tensor_value_info("moved", TensorProto.FLOAT, rays.shape)]
    graph = helper.make_graph(nodes, "rays", inputs, outputs)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), model)
    bundle = write_bundle(tmp_path / "b", make_manifest(rays=rays, outputs=("moved",)), {"model.onnx": model})
    machine.add_engine(bundle)
    backend = machine.backend(bundle)
    values = np.arange(18, dtype=np.float32).reshape(rays.shape)
    assert np.array_equal(backend.run({**image(3), rays.name: values})["moved"], 3 * values)
    with pytest.raises(BackendError):
        backend.run(image(3))
    backend.close()


@pytest.mark.parametrize("call", ["cudaMalloc", "cudaHostAlloc", "cudaStreamCreateWithFlags", "cudaGraphInstantiate"])
def test_a_failing_call_leaks_nothing(call, tmp_path, bundle):
    machine = Machine(tmp_path, fails=(call,))
    machine.add_engine(bundle)
    if call == "cudaGraphInstantiate":  # goes on without a graph
        backend = machine.backend(bundle)
        assert np.array_equal(
            backend.run(image(1))["range_m"], create_backend("onnxruntime", bundle).run(image(1))["range_m"]
        )
        backend.close()
    else:
        with pytest.raises(BackendError, match=f"{call} failed: an illegal memory access"):
            machine.backend(bundle)
    gc.collect()
    assert machine.runtime.leaks() == []
    assert machine.tensorrt.alive == []


def test_a_frame_that_fails_is_an_error(machine, bundle):
    machine.add_engine(bundle)
    backend = machine.backend(bundle)
    machine.runtime.fails = {"cudaGraphLaunch"}
    with pytest.raises(BackendError, match="cudaGraphLaunch failed"):
        backend.run(image(1))
    backend.close()
    assert machine.runtime.leaks() == []


def test_an_engine_that_cannot_be_captured_runs_call_by_call(tmp_path, bundle, caplog):
    machine = Machine(tmp_path, capturable=False)
    machine.add_engine(bundle)
    backend = machine.backend(bundle)
    assert "without a CUDA graph" in caplog.text
    found = [backend.run(image(value))["range_m"] for value in (1, 2)]
    reference = create_backend("onnxruntime", bundle)
    assert all(np.array_equal(found[i], reference.run(image(i + 1))["range_m"]) for i in range(2))
    backend.close()
    assert machine.runtime.leaks() == []


def test_an_engine_that_does_not_run_is_an_error(tmp_path, bundle):
    machine = Machine(tmp_path, refuses=True)
    machine.add_engine(bundle)
    with pytest.raises(BackendError, match="refused to run"):
        machine.backend(bundle)
    gc.collect()
    assert machine.runtime.leaks() == []


def test_only_an_engine_that_passed_is_used(machine, bundle):
    with pytest.raises(BackendError, match="none at all; run `reloc build-engine"):
        machine.backend(bundle)
    machine.add_engine(bundle, "fp16", "failed: 20 mm")
    machine.add_engine(bundle, "bf16", "not run: no GPU")
    with pytest.raises(BackendError, match=r"fp16 \(failed: 20 mm\), bf16 \(not run: no GPU\)"):
        machine.backend(bundle)
    machine.add_engine(bundle, "fp32")
    machine.add_engine(bundle, "mixed")
    backend = machine.backend(bundle)
    assert backend.precision == "mixed"
    backend.close()


def test_engines_for_a_kind_of_card_serve_with_rtx_only(tmp_path, bundle):
    for flavour, capability, serves in (
        ("tensorrt_rtx", "sm86", True), ("tensorrt_rtx", "sm89", False), ("tensorrt", "sm86", False),
    ):  # fmt: skip
        machine = Machine(tmp_path / f"{flavour}{capability}", flavour=flavour)
        machine.add_engine(bundle, target=capability)
        if serves:
            machine.backend(bundle).close()
        else:
            with pytest.raises(BackendError, match="no engine"):
                machine.backend(bundle)


def test_an_engine_that_cannot_be_deserialized_is_built_again(machine, bundle):
    entry = machine.add_engine(bundle, content=b"of another version")
    with pytest.raises(BackendError, match="cannot deserialize"):
        machine.backend(bundle)
    assert machine.cache.get(entry.key) is None
    assert machine.add_engine(bundle).path.read_bytes().startswith(MAGIC)
    machine.backend(bundle).close()


def test_an_engine_of_another_network_is_refused(machine, bundle, tmp_path):
    write_lookup_model(tmp_path / "other.onnx", {"poses": np.zeros((3, 7))})
    machine.add_engine(bundle, content=engine_of(tmp_path / "other.onnx"))
    with pytest.raises(BackendError, match="the manifest says"):
        machine.backend(bundle)
    assert machine.runtime.leaks() == []


def test_a_machine_without_a_gpu_says_so(tmp_path):
    with pytest.raises(BackendError, match="no GPU"):
        Cuda(FakeCudaRuntime(gpus=0))
    with pytest.raises(BackendError, match=r"cudaGetDeviceCount failed.*driver"):
        Cuda(FakeCudaRuntime(fails=("cudaGetDeviceCount",)))


def test_missing_libraries_are_named(monkeypatch, bundle, tmp_path):
    real = tensorrt_library.importlib.import_module

    def without(name, *rest):
        if name.startswith(("tensorrt", "cuda")):
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real(name, *rest)

    monkeypatch.setattr(tensorrt_library.importlib, "import_module", without)
    with pytest.raises(BackendError, match=r"TensorRT is not installed.*reloc_ros\[trt\]"):
        TensorRTBackend(bundle, cuda=Cuda(FakeCudaRuntime()))
    with pytest.raises(BackendError, match="cuda-python"):
        create_backend("tensorrt", bundle)


def test_the_flavour_that_is_asked_for_is_found(monkeypatch):
    def fake(name):
        if name == "tensorrt_rtx":
            raise ModuleNotFoundError(name)
        return type("module", (), {"__version__": f"of {name}"})

    monkeypatch.setattr(tensorrt_library.importlib, "import_module", fake)
    assert find_library().version == "of tensorrt"
    found = find_library("tensorrt_rtx")
    assert (found.flavour, found.version) == ("tensorrt_rtx", "of tensorrt_rtx_bindings")


STATE_SHAPE = (1, 3)


def state_model(folder: Path, following: tuple[int, ...] = STATE_SHAPE) -> bytes:
    """Return an engine with state' = 2 state + mean(image), total = state'."""
    nodes = [
        helper.make_node("Cast", [INPUT.name], ["as_float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["as_float"], ["mean"], keepdims=0),
        helper.make_node("Add", ["state", "state"], ["twice"]),
        helper.make_node("Add", ["twice", "mean"], ["state_next"]),
        helper.make_node("Identity", ["state_next"], ["total"]),
    ]
    inputs = [
        helper.make_tensor_value_info(INPUT.name, TensorProto.UINT8, INPUT.shape),
        helper.make_tensor_value_info("state", TensorProto.FLOAT, STATE_SHAPE),
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, following) for name in ("state_next", "total")]
    graph = helper.make_graph(nodes, "state", inputs, outputs)
    path = folder / "state.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return engine_of(path)


@pytest.mark.parametrize("capturable", [True, False], ids=["graphs", "plain"])
def test_states_swap_their_buffers_and_are_never_copied(capturable, tmp_path):
    machine = Machine(tmp_path, capturable=capturable)
    runtime = machine.tensorrt.Runtime(None)
    engine = runtime.deserialize_cuda_engine(state_model(tmp_path))
    run = EngineRun(engine, machine.tensorrt, Cuda(machine.runtime), {"state": "state_next"})
    assert list(run.inputs) == [INPUT.name]
    machine.runtime.log.clear()
    totals = [run.run(image(value))["total"][0, 0] for value in (1, 2, 5, 1, 7)]
    assert totals == [1, 4, 13, 27, 61]
    assert machine.runtime.log.count("cudaGraphLaunch") == (5 if capturable else 0)
    assert machine.runtime.log.count("cudaMemcpyAsync") == (0 if capturable else 5 * 2)
    run.reset_states()
    assert run.run(image(3))["total"][0, 2] == 3
    run.close()
    assert machine.runtime.leaks() == []


def test_states_that_do_not_match_are_refused(tmp_path):
    machine = Machine(tmp_path)
    engine = machine.tensorrt.Runtime(None).deserialize_cuda_engine(state_model(tmp_path))
    for states in ({"state": "gone"}, {"memory": "state_next"}, {"state": INPUT.name}):
        with pytest.raises(BackendError, match="state"):
            EngineRun(engine, machine.tensorrt, Cuda(machine.runtime), states)
    assert machine.runtime.leaks() == []


def test_a_missing_synchronization_would_be_seen(machine, bundle, monkeypatch):
    machine.add_engine(bundle)
    backend = machine.backend(bundle)
    expected = create_backend("onnxruntime", bundle).run(image(2))["range_m"]
    monkeypatch.setattr(backend._run, "_synchronize", lambda: None)
    assert not np.array_equal(backend.run(image(2))["range_m"], expected)
    backend.close()


def test_the_fake_sees_misuse():
    runtime = FakeCudaRuntime()
    cuda = Cuda(runtime)
    address = cuda.call("cudaMalloc", 8)
    stream = cuda.call("cudaStreamCreateWithFlags", 1)
    cuda.call("cudaMemsetAsync", address, 1, 8, stream)
    with pytest.raises(AssertionError, match="under queued work"):
        cuda.call("cudaFree", address)
    cuda.call("cudaStreamSynchronize", stream)
    cuda.call("cudaFree", address)
    with pytest.raises(AssertionError, match="freed twice"):
        cuda.call("cudaFree", address)
    cuda.call("cudaMemsetAsync", address, 1, 8, stream)
    with pytest.raises(AssertionError, match="after it was freed"):
        cuda.call("cudaStreamSynchronize", stream)


def test_the_fakes_have_nothing_that_the_real_ones_lack():
    real = pytest.importorskip("cuda.bindings.runtime", reason="cuda-bindings is not installed (extra: trt)")
    fake = FakeCudaRuntime
    names = [name for name in vars(fake) if name.startswith("cuda")]
    assert len(names) > 20
    assert [name for name in names if not hasattr(real, name)] == []
    assert real.cudaHostAllocMapped == fake.cudaHostAllocMapped
    assert real.cudaStreamNonBlocking == fake.cudaStreamNonBlocking
    for kind in fake.cudaMemcpyKind:
        assert int(getattr(real.cudaMemcpyKind, kind.name)) == kind
    assert int(real.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal) == 1
    assert int(real.cudaStream_t(77)) == 77
    assert {"name", "major", "minor", "integrated"} <= set(dir(real.cudaDeviceProp))
    trt = pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT-RTX is not installed (extra: trt)")
    for ours, theirs in ((FakeEngine, trt.ICudaEngine), (FakeContext, trt.IExecutionContext)):
        assert [name for name in vars(ours) if not name.startswith("_") and not hasattr(theirs, name)] == []
    assert (trt.nptype(trt.uint8), trt.nptype(trt.float32)) == (np.uint8, np.float32)
    assert {"NONE", "INPUT", "OUTPUT"} == set(trt.TensorIOMode.__members__)


def test_keys_of_one_bundle_differ_by_driver_and_card(tmp_path, bundle):
    machine = Machine(tmp_path)
    gpu = Cuda(machine.runtime).gpu
    assert (gpu.name, gpu.capability, gpu.cuda) == ("NVIDIA Fake 1000", "sm86", "13000, driver 13010")
    here = key_here(bundle, machine.library, gpu, "fp32")
    updated = key_here(bundle, machine.library, replace(gpu, cuda="13000, driver 13020"), "fp32")
    assert len({here.digest, updated.digest, key_for_target(bundle, machine.library, "sm86", "fp32").digest}) == 3
    assert here.files == dict(bundle.manifest.files)
