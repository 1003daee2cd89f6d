"""Between two frames a better back end takes over; when it fails, no frame is lost."""

from __future__ import annotations

import gc
import logging
from threading import Event, Thread

import numpy as np
import pytest
from fake_bundles import INPUT, write_truth_bundle
from fake_machine import Machine

from reloc_ros.errors import BackendError
from reloc_ros.geometry import se3
from reloc_ros.inference import serving
from reloc_ros.inference.backend import create_backend, warm_up
from reloc_ros.inference.engine_watch import EngineWatch
from reloc_ros.inference.swapping_backend import FAILURES_AT_MOST, SwappingBackend

POSES = [se3.from_rotation_translation(np.eye(3), np.array([x, 2.0 * x, -x])) for x in (0.0, 0.5, 1.0)]
LONG_S = 60.0


class Scripted:
    """Answers with its own number; can be told to fail."""

    device = "cuda"

    def __init__(self, number, name="better", fault=None):
        self.number, self.name, self.fault = number, name, fault
        self.precision, self.verdict = f"p{number}", f"passed: {number}"
        self.runs, self.closed = 0, 0

    def run(self, inputs):
        assert not self.closed, "a closed back end is run"
        self.runs += 1
        if self.fault is not None:
            raise self.fault
        return {"number": np.array(self.number), "frame": inputs["frame"]}

    def close(self):
        self.closed += 1


def frame(number):
    return {"frame": np.array(number)}


def test_an_offer_serves_from_the_next_frame_on():
    start, better = Scripted(0, "start"), Scripted(1)
    backend = SwappingBackend(start)
    assert backend.run(frame(7))["number"] == 0
    assert (backend.name, backend.precision, backend.verdict) == ("start", "p0", "passed: 0")
    assert backend.offer(better)
    assert better.runs == 0
    assert (backend.name, backend.precision, backend.verdict) == ("better", "p1", "passed: 1")
    assert [int(backend.run(frame(k))["number"]) for k in (8, 9)] == [1, 1]
    backend.close()
    assert (start.closed, better.closed) == (1, 1)


@pytest.mark.parametrize("fault", [BackendError("lost the card"), RuntimeError("of a library")])
def test_the_frame_of_a_failure_is_run_again(fault, caplog):
    start, better = Scripted(0, "start"), Scripted(1, fault=fault)
    backend = SwappingBackend(start)
    backend.offer(better)
    with caplog.at_level(logging.ERROR):
        found = backend.run(frame(5))
    assert (int(found["number"]), int(found["frame"])) == (0, 5)
    assert (better.runs, better.closed, start.closed) == (1, 1, 0)
    assert f"better failed ({fault})" in caplog.text
    assert (backend.failures, backend.last_failure, backend.name) == (1, str(fault), "start")
    assert backend.run(frame(6))["number"] == 0
    assert better.runs == 1


def test_what_fails_again_and_again_is_not_tried_for_ever():
    backend = SwappingBackend(Scripted(0))
    for _ in range(FAILURES_AT_MOST):
        assert backend.offer(Scripted(1, fault=BackendError("no")))
        backend.run(frame(0))
    late = Scripted(2)
    assert not backend.offer(late)
    assert (late.closed, backend.wants_better) == (1, False)


def test_a_second_offer_and_one_after_the_end_are_closed():
    backend = SwappingBackend(Scripted(0))
    first, second, third = Scripted(1), Scripted(2), Scripted(3)
    assert backend.offer(first)
    assert not backend.offer(second)
    assert backend.run(frame(0))["number"] == 1
    backend.close()
    assert not backend.offer(third)
    assert (first.closed, second.closed, third.closed) == (1, 1, 1)


def test_frames_run_on_while_offers_come_from_another_thread():
    backend, ended = SwappingBackend(Scripted(0)), Event()

    def offer():
        number = 1
        while backend.failures < FAILURES_AT_MOST:
            backend.offer(Scripted(number, fault=BackendError("planted") if number % 2 else None))
            number += 1
        ended.set()

    thread = Thread(target=offer)
    thread.start()
    for k in range(200_000):
        found = backend.run(frame(k))
        assert int(found["frame"]) == k
        better = backend._better
        if better is not None and k % 5 == 0:
            better.fault = BackendError("planted")
        if ended.is_set():
            break
    thread.join(LONG_S)
    assert backend.failures == FAILURES_AT_MOST
    assert backend.run(frame(0))["number"] == 0


def test_the_watch_says_why_there_is_no_engine_and_finds_it():
    answers = [BackendError("none in the cache"), BackendError("none in the cache"), Scripted(1)]

    def find():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    backend = SwappingBackend(Scripted(0))
    watch = EngineWatch(backend, find, LONG_S)
    assert watch.said == "waiting: not looked for yet"
    watch.look()
    assert watch.said == "waiting: none in the cache"
    assert backend.run(frame(0))["number"] == 0
    for _ in range(3):  # the last time nothing is wanted any more
        watch.look()
    assert (answers, watch.said) == ([], "found")
    assert backend.run(frame(0))["number"] == 1


def test_the_watch_tells_of_failures_and_gives_up():
    backend = SwappingBackend(Scripted(0))
    watch = EngineWatch(backend, lambda: Scripted(1, fault=BackendError("lost the card")), LONG_S)
    for failures in range(1, FAILURES_AT_MOST + 1):
        watch.look()
        backend.run(frame(0))
        assert watch.said.startswith(f"failed {failures} of {FAILURES_AT_MOST} times: lost the card")
    assert watch.said.endswith("not tried again until the node is configured again")


def test_what_is_found_after_the_end_is_closed():
    backend, found = SwappingBackend(Scripted(0)), Scripted(1)
    searching, go_on = Event(), Event()

    def find():
        searching.set()
        assert go_on.wait(LONG_S)
        return found

    watch = EngineWatch(backend, find, LONG_S)
    watch.start()
    assert searching.wait(LONG_S)
    assert not watch.stop(timeout_s=0.01)
    go_on.set()
    assert watch.stop(LONG_S)
    assert (found.closed, backend.name) == (1, "better")


def test_the_watch_ends_with_what_it_serves():
    searched = Event()

    def find():
        searched.set()
        raise BackendError("none")

    backend = SwappingBackend(Scripted(0))
    watch = EngineWatch(backend, find, 0.001)
    watch.start()
    assert searched.wait(LONG_S)
    del backend
    gc.collect()
    watch._thread.join(LONG_S)
    assert not watch._thread.is_alive()
    assert watch.said == "ended"


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


@pytest.fixture
def bundle(tmp_path):
    return write_truth_bundle(tmp_path / "bundle", POSES)


def image(value):
    return {INPUT.name: np.full(INPUT.shape, value, dtype=np.uint8)}


def test_an_engine_takes_over_and_gives_way_without_leaks(machine, bundle):
    def find():
        backend = machine.backend(bundle)
        warm_up(backend, bundle.manifest)
        return backend

    backend = SwappingBackend(create_backend("onnxruntime", bundle, threads=1))
    watch = EngineWatch(backend, find, LONG_S)
    watch.look()
    assert watch.said.startswith("waiting: ")
    assert "only none at all" in watch.said
    expected = [backend.run(image(k)) for k in range(3)]
    machine.add_engine(bundle, "fp16", "passed: 0.1 mm")
    watch.look()
    assert (backend.name, backend.precision, backend.verdict) == ("tensorrt", "fp16", "passed: 0.1 mm")
    for k in range(3):
        found = backend.run(image(k))
        assert all(np.array_equal(found[name], expected[k][name]) for name in found)
    machine.runtime.fails.add("cudaGraphLaunch")
    found = backend.run(image(2))
    assert all(np.array_equal(found[name], expected[2][name]) for name in found)
    assert backend.name == "onnxruntime"
    assert "illegal memory access" in watch.said
    gc.collect()
    assert machine.runtime.leaks() == []
    machine.runtime.fails.clear()
    watch.look()
    assert backend.name == "tensorrt"
    backend.close()
    assert machine.runtime.leaks() == []


def test_without_tensorrt_nobody_looks(bundle, monkeypatch):
    monkeypatch.setattr(serving, "is_installed", lambda: False)
    served = serving.serve(bundle, "auto", 1, LONG_S)
    assert (served.backend.name, served.engine()) == ("onnxruntime", "none: TensorRT is not installed")
    served.close()
    plain = serving.serve(bundle, "onnxruntime", 1, LONG_S)
    assert plain.engine() == ""
    plain.close()
    with pytest.raises(BackendError, match="back end is 'tpu'"):
        serving.serve(bundle, "tpu", 1, LONG_S)


def test_a_backend_that_cannot_warm_up_is_closed(bundle, monkeypatch):
    broken = Scripted(0, fault=BackendError("out of memory"))
    monkeypatch.setattr(serving, "create_backend", lambda *_: broken)
    with pytest.raises(BackendError, match="out of memory"):
        serving.serve(bundle, "onnxruntime", 1, LONG_S)
    assert broken.closed == 1
