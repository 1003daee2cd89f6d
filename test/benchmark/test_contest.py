"""Contenders in processes of their own: what they report, what becomes of those that fail, tables and pictures."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from fake_bundles import write_truth_bundle

from reloc_ros.benchmark import contest, networks
from reloc_ros.benchmark.contender import Contender, inputs_of, run_for
from reloc_ros.benchmark.contest import ROUNDS, Figures, hold
from reloc_ros.benchmark.machine import describe_machine, missing_backends, pinned_clocks
from reloc_ros.benchmark.networks import BACKENDS, Row, Subject, compare_backends, or_reason, tune_onnxruntime
from reloc_ros.benchmark.plot import write_plot
from reloc_ros.benchmark.report import remarks, show, write_json
from reloc_ros.errors import BackendError
from reloc_ros.export import engine_parity, int8, untrained
from reloc_ros.geometry import se3

POSES = [se3.from_rotation_translation(np.eye(3), np.array([0.01, -0.02, 0.01]) * i) for i in range(256)]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_truth_bundle(tmp_path_factory.mktemp("bench") / "bundle", POSES)


@pytest.fixture(scope="module")
def subject(bundle):
    return Subject(label="truth", bundle=bundle, checkpoint=Path("none.pt"), trained=True)


def say(what, done):
    assert what
    assert 0.0 <= done <= 1.0


def test_each_contender_is_measured_in_its_own_process(subject):
    told = []
    fine = subject.contender("onnxruntime", 1)
    missing = replace(fine, bundle="/nowhere")
    first, second = hold([fine, missing], 0.08, told.append)
    assert (first.device, first.precision, first.problem) == ("cpu", "fp32", "")
    assert first.calls >= 3 * ROUNDS
    assert 0 < first.p50_ms <= first.p90_ms <= first.p99_ms
    assert first.images_per_s > 0
    assert first.spread >= 0
    assert first.load_s > 0
    assert first.first_call_s > 0
    # Python with ONNX Runtime, and not what this process with all its tests holds.
    assert 20 << 20 < first.memory_bytes < 400 << 20
    assert "is not a folder" in second.problem
    assert second.to_dict()["p50_ms"] is None
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_a_contender_that_dies_is_named_and_stops_nobody(subject, monkeypatch):
    real = contest._start

    def start(contender):
        process = real(contender)
        if contender.backend == "onnxruntime_int8":
            process.kill()
        return process

    monkeypatch.setattr(contest, "_start", start)
    dead, alive = hold([subject.contender(name, 1) for name in ("onnxruntime_int8", "onnxruntime")], 0.01)
    assert "ended with status -9" in dead.problem
    assert alive.calls >= 3 * ROUNDS


def test_a_contender_that_says_nothing_is_ended(subject, monkeypatch):
    silent = [sys.executable, "-c", "import time; time.sleep(1000)"]
    monkeypatch.setattr(contest, "_PATIENCE_S", 0.2)
    monkeypatch.setattr(contest, "_start", lambda _: subprocess.Popen(silent, stdin=-1, stdout=-1, text=True))
    (found,) = hold([subject.contender("torch.compile", 1)], 0.01)
    assert "did not answer within 0 s and was ended" in found.problem


def test_a_network_that_cannot_be_measured_leaves_the_others_theirs(subject, monkeypatch):
    real = networks.hold

    def hold_some(contenders, *rest):
        if contenders[0].threads == 7:
            raise OSError("no more processes")
        return real(contenders, *rest)

    monkeypatch.setattr(networks, "hold", hold_some)
    lost = or_reason("tuning", "truth", lambda: tune_onnxruntime(subject, cores=7, seconds=0.01, say=say))
    assert [(row.section, row.what, row.figures.problem) for row in lost] == [
        ("tuning", "all", "truth: OSError: no more processes")
    ]
    assert remarks(lost) == ["all: not measured: truth: OSError: no more processes"]
    monkeypatch.setattr(networks, "missing_backends", dict)
    broken = replace(subject, label="broken", bundle=None)
    rows = list(compare_backends([broken, subject], ["onnxruntime"], threads=1, seconds=0.01, say=say))
    assert [row.figures.problem != "" for row in rows] == [True, False]
    assert rows[0].figures.problem.startswith("broken: AttributeError")


def test_poses_that_cannot_be_compared_cost_no_figures(subject, tmp_path, monkeypatch):
    def fails(*_):
        raise BackendError("no kernel")

    monkeypatch.setattr(int8, "write_int8", shutil.copy)
    monkeypatch.setattr(engine_parity, "judge", fails)
    entry = networks._enter(subject, "onnxruntime_int8", 1, "", tmp_path)
    assert (entry.problem, entry.poses) == ("", "not compared: no kernel")
    assert Path(entry.contender.model).is_file()


def test_sizes_that_cannot_be_exported_are_lines(monkeypatch):
    monkeypatch.setattr(untrained, "write_untrained_bundle", lambda *_: {}["gone"])
    for sweep in (networks.sweep_sizes, networks.sweep_batches):
        rows = list(sweep("implicit_geometry", threads=1, seconds=0.01, say=say))
        assert {row.figures.problem for row in rows} == {"implicit_geometry: KeyError: 'gone'"}
        assert len(rows) == 4


def test_a_round_makes_some_calls_however_slow():
    calls = []
    taken = run_for(0.0, 3, lambda: calls.append(len(calls)))
    assert calls == [0, 1, 2]
    assert all(seconds >= 0 for seconds in taken)


def test_inputs_differ_from_call_to_call_and_have_the_batch(bundle):
    inputs = inputs_of(bundle, 3)
    (name, image), *rest = inputs[0].items()
    assert not rest
    assert image.shape == (3, *bundle.manifest.input.shape[1:])
    assert not np.array_equal(image, inputs[1][name])


def test_the_table_says_what_is_not_measured_and_why(subject, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(
        networks, "missing_backends", lambda: dict.fromkeys(("tensorrt", "onnxruntime_cuda", "torch"), "no GPU")
    )
    names = ["torch", "onnxruntime", "onnxruntime_int8", "onnxruntime_cuda", "tensorrt"]
    rows = list(compare_backends([subject], names, threads=1, seconds=0.01, say=say))
    problems = {row.what: row.figures.problem for row in rows}
    assert problems["onnxruntime"] == ""
    assert "no matrix product" in problems["onnxruntime_int8"]
    assert problems["tensorrt"] == "no GPU"
    said = remarks(rows)
    assert "torch, onnxruntime_cuda, tensorrt: not measured: no GPU" in said
    show(rows)
    shown = capsys.readouterr().out
    assert "64x48" in shown
    assert "not measured: no GPU" in shown
    rows += tune_onnxruntime(subject, cores=2, seconds=0.01, say=say)
    assert [row.what for row in rows if row.section == "tuning"][:3] == ["2 threads", "1 thread", "2 threads, spinning"]
    write_json(tmp_path / "out" / "bench.json", rows, describe_machine("not pinned"), [{"cpu_share": 0.1}])
    content = json.loads((tmp_path / "out" / "bench.json").read_text())
    assert content["machine"]["cpu_count"] == os.cpu_count()
    assert content["node"] == [{"cpu_share": 0.1}]
    assert {row["what"] for row in content["rows"]} >= {"onnxruntime", "2 threads"}


def figures(backend, p50_ms, **changes):
    contender = Contender(backend=backend, bundle="b", **changes)
    return Figures(
        contender=contender, device="cpu", precision="fp32", load_s=0.2, first_call_s=0.1, calls=100, p50_ms=p50_ms,
        p90_ms=1.1 * p50_ms, p99_ms=1.3 * p50_ms, spread=0.05, images_per_s=1e3 / p50_ms, cpu_ms=p50_ms,
        memory_bytes=100 << 20,
    )  # fmt: skip


def test_the_picture_has_a_panel_for_each_table(tmp_path, capsys):
    rows = [
        Row(section="networks", network=name, size="256x192", what=backend, figures=figures(backend, 3.0 + index),
            speed_up=2.0)
        for name in ("room", "hall") for index, backend in enumerate(BACKENDS)
    ]  # fmt: skip
    broken = Figures(contender=Contender(backend="torch", bundle="b"), problem="no compiler")
    rows.append(Row(section="networks", network="hall", size="256x192", what="torch", figures=broken))
    for section in ("resolution", "batch", "tuning"):
        rows += [
            Row(section=section, network="room", size=f"{64 * n}x{64 * n}", what=f"{n}", speed_up=1.0,
                figures=figures("onnxruntime", 2.0 * n, batch=n))
            for n in (1, 2)
        ]  # fmt: skip
    write_plot(tmp_path / "bench.png", rows)
    wide = cv2.imread(str(tmp_path / "bench.png"))
    write_plot(tmp_path / "one.png", rows[:3])
    narrow = cv2.imread(str(tmp_path / "one.png"))
    assert wide.shape[1] > narrow.shape[1] > 400
    show(rows)
    assert "torch: not measured: no compiler" in capsys.readouterr().out
    # Whatever is left of the tables has a picture; nothing at all has none.
    write_plot(tmp_path / "sweeps.png", [row for row in rows if row.section != "networks"])
    assert cv2.imread(str(tmp_path / "sweeps.png")).shape[1] < wide.shape[1]
    failed = [replace(row, figures=broken) for row in rows if row.section == "resolution"]
    write_plot(tmp_path / "few.png", [*rows[:2], *failed])
    assert cv2.imread(str(tmp_path / "few.png")).shape == narrow.shape
    write_plot(tmp_path / "none.png", failed)
    assert not (tmp_path / "none.png").exists()


def test_the_clock_of_a_gpu_is_locked_only_when_asked_and_always_let_go(tmp_path, monkeypatch):
    log = tmp_path / "log"
    tool = tmp_path / "nvidia-smi"
    tool.write_text(
        f'#!{sys.executable}\nimport sys\nopen("{log}", "a").write(" ".join(sys.argv[1:]) + "\\n")\n'
        'print("1980" if "query" in sys.argv[1] else "GPU clocks set to locked")\n'
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pinned_clocks(wanted=False) as said:
        assert said == "not pinned"
    assert not log.exists()
    interrupted = pinned_clocks(wanted=True)
    assert interrupted.__enter__() == "locked at 1980 MHz"
    assert not interrupted.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    asked = [line.split()[0] for line in log.read_text().splitlines()]
    assert asked == ["--query-gpu=clocks.max.graphics", "--lock-gpu-clocks=1980", "--reset-gpu-clocks"]
    tool.write_text("#!/bin/sh\nexit 4\n")
    with pinned_clocks(wanted=True) as said:
        assert "refuses" in said


def test_what_is_missing_has_a_reason():
    assert all(reason and name in BACKENDS for name, reason in missing_backends().items())
