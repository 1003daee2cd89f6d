"""The engine cache: keys, side-cars, files that lie, processes that compete or die, disks that refuse."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from reloc_ros.errors import BackendError
from reloc_ros.inference.build_lock import BuildLock, holder_of
from reloc_ros.inference.engine_cache import Build, EngineCache
from reloc_ros.inference.engine_key import CACHE_SCHEMA, EngineKey

CHECKOUT = Path(__file__).parents[2]
KEY = EngineKey(
    files={"model.onnx": "a" * 64, "weights.bin": "b" * 64},
    flavour="tensorrt_rtx",
    version="1.7.1.116",
    cuda="13.0, driver 13.1",
    device="NVIDIA Test 1000",
    graph="model.onnx",
    target="sm86",
    precision="fp16",
    shapes={"image": (1, 48, 64, 3), "rays": (1, 48, 3)},
)
COST = Build(seconds=2.5, peak_memory_bytes=123_456)
ENGINE = b"engine of the test " * 20


def build(path: Path) -> Build:
    path.write_bytes(ENGINE)
    return COST


def never(path: Path) -> Build:
    pytest.fail(f"{path} was built although the cache has it")


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    return EngineCache(tmp_path / "engines")


@pytest.mark.parametrize(
    "change",
    [
        {"files": {"model.onnx": "c" * 64, "weights.bin": "b" * 64}},
        {"files": {"model.onnx": "a" * 64, "weights.bin": "c" * 64}},
        {"files": {"model.onnx": "a" * 64}},
        {"flavour": "tensorrt"},
        {"version": "1.7.2"},
        {"graph": "encoder.onnx"},
        {"cuda": "13.0, driver 13.2"},
        {"device": "NVIDIA Test 1001"},
        {"target": "sm89"},
        {"precision": "fp32"},
        {"shapes": {"image": (1, 64, 48, 3), "rays": (1, 48, 3)}},
        {"schema": CACHE_SCHEMA + 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_engine_is_found_under_its_own_key_only(change, cache):
    cache.get_or_build(KEY, build)
    assert cache.get(replace(KEY)) is not None
    assert cache.get(replace(KEY, **change)) is None


def test_the_order_of_files_and_shapes_does_not_matter(cache):
    turned = replace(KEY, files=dict(reversed(KEY.files.items())), shapes=dict(reversed(KEY.shapes.items())))
    assert turned.digest == KEY.digest


def test_an_incomplete_key_is_refused():
    with pytest.raises(BackendError, match="device"):
        replace(KEY, device="")


def test_the_side_car_tells_all_in_clear(cache):
    entry = cache.get_or_build(KEY, build)
    cache.judge(KEY, {"graph": "passed: 0.1 mm"})
    cache.judge(KEY, {"engine": "not run: no GPU"})
    content = json.loads(entry.path.with_suffix(".json").read_text())
    assert content["key"] == json.loads(json.dumps(KEY.plain()))
    assert content["key"]["device"] == "NVIDIA Test 1000"
    assert content["build"] == {"seconds": 2.5, "peak_memory_bytes": 123_456}
    assert content["engine"]["bytes"] == len(ENGINE)
    found = cache.get(KEY)
    assert found.parity == {"graph": "passed: 0.1 mm", "engine": "not run: no GPU"}
    assert (found.build, found.key, found.path.read_bytes()) == (COST, KEY, ENGINE)


def truncate(engine: Path) -> None:
    engine.write_bytes(ENGINE[:-7])


def exchange(engine: Path) -> None:
    engine.write_bytes(ENGINE[::-1])


def remove(engine: Path) -> None:
    engine.unlink()


def garble_side_car(engine: Path) -> None:
    engine.with_suffix(".json").write_text('{"key": ')


def take_foreign_side_car(engine: Path) -> None:
    sidecar = engine.with_suffix(".json")
    content = json.loads(sidecar.read_text())
    content["key"]["device"] = "another"
    sidecar.write_text(json.dumps(content))


def drop_verdicts(engine: Path) -> None:
    sidecar = engine.with_suffix(".json")
    sidecar.write_text(json.dumps({k: v for k, v in json.loads(sidecar.read_text()).items() if k != "parity"}))


@pytest.mark.parametrize(
    "damage", [truncate, exchange, remove, garble_side_car, take_foreign_side_car, drop_verdicts],
    ids=lambda function: function.__name__,
)  # fmt: skip
def test_a_file_that_lies_is_moved_aside_and_built_again(damage, cache):
    entry = cache.get_or_build(KEY, build)
    damage(entry.path)
    assert cache.get(KEY) is None
    assert not entry.path.exists()
    assert len(list((cache.folder / "rejected").glob("*"))) == (damage is not remove)
    again = cache.get_or_build(KEY, build)
    assert again.path.read_bytes() == ENGINE
    assert cache.get(KEY) is not None


def test_an_entry_replaced_while_it_was_looked_at_stays(cache, monkeypatch):
    cache.get_or_build(KEY, build)
    real, answers = EngineCache._read, ["it was half written"]
    monkeypatch.setattr(EngineCache, "_read", lambda self, key: answers.pop() if answers else real(self, key))
    assert cache.get(KEY) is None
    assert cache.get(KEY) is not None


def test_only_the_last_rejected_files_are_kept(cache):
    for number in range(5):
        key = replace(KEY, device=f"card {number}")
        cache.get_or_build(key, build)
        cache.reject(key, "a reason")
    assert len(list((cache.folder / "rejected").iterdir())) == 3


def test_what_cannot_be_deserialized_is_rejected_by_its_user(cache):
    cache.get_or_build(KEY, build)
    cache.reject(KEY, "TensorRT does not take it")
    assert cache.get(KEY) is None


def test_a_failed_build_leaves_nothing(cache):
    def fail(path: Path) -> Build:
        path.write_bytes(ENGINE[:10])
        raise BackendError("no tactic")

    with pytest.raises(BackendError, match="no tactic"):
        cache.get_or_build(KEY, fail)
    assert cache.get(KEY) is None
    assert [path.name for path in cache.folder.iterdir()] == ["locks"]


def test_the_least_recently_used_engine_goes(tmp_path):
    cache = EngineCache(tmp_path, limit_bytes=int(2.5 * len(ENGINE)))
    keys = [replace(KEY, device=f"card {i}") for i in range(3)]
    for age, key in zip((300, 200), keys[:2]):
        sidecar = cache.get_or_build(key, build).path.with_suffix(".json")
        os.utime(sidecar, (1e9 - age, 1e9 - age))
    cache.get(keys[0])  # now the younger one is the one that nobody uses
    cache.get_or_build(keys[2], build)
    assert [cache.get(key) is not None for key in keys] == [True, False, True]
    assert len(list(tmp_path.glob("*.engine"))) == len(list(tmp_path.glob("*.json"))) == 2


def test_an_engine_larger_than_the_cache_is_kept_alone(tmp_path):
    cache = EngineCache(tmp_path, limit_bytes=10)
    cache.get_or_build(replace(KEY, device="old"), build)
    cache.get_or_build(KEY, build)
    assert cache.get(KEY) is not None
    assert len(list(tmp_path.glob("*.engine"))) == 1


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EROFS], ids=["full", "read_only"])
def test_a_disk_that_refuses_is_a_clear_error(fault, cache):
    def refuse(path: Path) -> Build:
        path.write_bytes(ENGINE[:10])
        raise OSError(fault, os.strerror(fault))

    with pytest.raises(BackendError, match=f"cannot be written.*{os.strerror(fault)}.*onnxruntime"):
        cache.get_or_build(KEY, refuse)
    assert not list(cache.folder.glob("*partial"))


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BackendError, match="cannot be written"):
        EngineCache(tmp_path / "file" / "engines").get_or_build(KEY, never)


def test_a_read_only_cache_still_serves(cache, monkeypatch):
    cache.get_or_build(KEY, build)

    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, "read-only")

    monkeypatch.setattr(os, "utime", refuse)
    monkeypatch.setattr(os, "open", refuse)
    assert cache.get(KEY) is not None
    cache.reject(KEY, "a reason")  # says so and goes on
    with pytest.raises(BackendError, match="cannot be written"):
        cache.get_or_build(replace(KEY, device="new"), never)


BUILDER = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_engine_cache import *

def count(path):
    with open({log!r}, "a") as log:
        log.write("built\\n")
    path.write_bytes(ENGINE)
    print("building", flush=True)
    sys.stdin.readline()
    return COST

EngineCache(Path({folder!r})).get_or_build(KEY, count)
print("done", flush=True)
"""


@pytest.fixture
def builder(cache, tmp_path):
    """Start processes that build the engine of KEY and finish when they are sent a line."""
    started: list[subprocess.Popen[str]] = []
    log = tmp_path / "log"
    program = BUILDER.format(tests=str(Path(__file__).parent), log=str(log), folder=str(cache.folder))

    def start() -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
        process = subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        started.append(process)
        return process

    yield start, log
    for process in started:
        process.kill()
        process.communicate()


def test_two_processes_at_once_build_once(builder, cache):
    start, log = builder
    processes = [start(), start()]
    said = []
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        output, _ = process.communicate(timeout=60)
        said.append(output.splitlines())
        assert process.returncode == 0
    assert log.read_text() == "built\n"
    assert sorted(said) == [["building", "done"], ["done"]]
    assert cache.get(KEY) is not None


def test_the_holder_of_a_lock_is_named_and_a_killed_build_is_not_believed(builder, cache):
    start, log = builder
    process = start()
    assert process.stdout.readline() == "building\n"
    with pytest.raises(BackendError, match=f"held by process {process.pid} "):
        cache.get_or_build(KEY, never, wait_s=0.0)
    assert cache.get(KEY) is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(cache.folder.glob("*.partial"))
    assert cache.get(KEY) is None
    assert holder_of(next((cache.folder / "locks").iterdir())) is None
    # Another engine's build tidies up what the killed one left, and the engine itself can be built.
    cache.get_or_build(replace(KEY, device="other"), build)
    assert not list(cache.folder.glob("*.partial"))
    assert cache.get_or_build(KEY, build).path.read_bytes() == ENGINE
    assert log.read_text() == "built\n"


def test_a_build_under_way_is_not_tidied_away(builder, cache):
    start, _ = builder
    process = start()
    assert process.stdout.readline() == "building\n"
    cache.get_or_build(replace(KEY, device="other"), build)
    process.communicate("\n", timeout=60)
    assert process.returncode == 0
    assert cache.get(KEY) is not None


def test_a_lock_can_be_taken_again(tmp_path):
    path = tmp_path / "lock"
    with BuildLock(path, 0.0):
        assert str(os.getpid()) in holder_of(path)
    assert holder_of(path) is None
    with BuildLock(path, 0.0):
        pass
    assert holder_of(tmp_path / "none") is None


def test_the_engines_of_a_bundle_are_listed(cache):
    cache.get_or_build(KEY, build)
    cache.get_or_build(replace(KEY, precision="fp32"), build)
    cache.get_or_build(replace(KEY, files={"model.onnx": "d" * 64}), build)
    cache.judge(replace(KEY, precision="fp32"), {"engine": "passed: 0 mm"})
    (cache.folder / "broken.json").write_text("{")
    (cache.folder / "foreign.json").write_text('{"key": {"files": {}, "gpu": "of an older schema"}}')
    found = {entry.key.precision: entry.parity for entry in cache.entries_of(KEY.files)}
    assert found == {"fp16": {}, "fp32": {"engine": "passed: 0 mm"}}
    assert cache.entries_of({"model.onnx": "e" * 64}) == []
