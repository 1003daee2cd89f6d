"""`reloc bench`: what is measured by default, the files it writes, verdicts on a device."""

from __future__ import annotations

import argparse
import json

import numpy as np
import pytest
from fake_bundles import write_truth_bundle

from reloc_ros.benchmark import networks, verify_device
from reloc_ros.benchmark.verify_device import Outcome
from reloc_ros.cli import bench, bench_networks
from reloc_ros.cli.bench_networks import EXIT_DOES_NOT_WORK, SECTIONS
from reloc_ros.cli.main import EXIT_BAD_SETUP, EXIT_INTERRUPTED, main
from reloc_ros.errors import ProcessError
from reloc_ros.geometry import se3

pytest.importorskip("torch", reason="torch is not installed; make setup-test installs it")

POSES = [se3.from_rotation_translation(np.eye(3), np.array([0.01, -0.02, 0.01]) * i) for i in range(256)]
ALL_BUT_ONE = ("torch", "torch.compile", "torch_cuda", "torch_cuda.compile", "onnxruntime_cuda", "tensorrt")


@pytest.fixture
def bundle(tmp_path):
    return write_truth_bundle(tmp_path / "bundle", POSES)


def test_without_a_name_everything_is_measured():
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    assert parser.parse_args([]).default_sections == SECTIONS
    assert parser.parse_args(["inference"]).default_sections == ("networks",)
    given = parser.parse_args(["--section", "tuning", "--section", "node", "--bundle", "a", "--bundle", "b"])
    assert given.sections == ["tuning", "node"]
    assert [str(path) for path in given.bundle] == ["a", "b"]


def test_table_json_and_picture_come_from_one_command(bundle, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(networks, "missing_backends", lambda: dict.fromkeys(ALL_BUT_ONE, "not here"))
    report = tmp_path / "report"
    command = ["bench", "inference", "--bundle", str(bundle.path), "--seconds", "0.01", "--threads", "1"]
    assert main([*command, "--report", str(report), "--json", str(tmp_path / "figures.json")]) == 0
    said = capsys.readouterr().out
    assert "bundle" in said
    assert "torch_cuda.compile, onnxruntime_cuda, tensorrt: not measured: not here" in said
    content = json.loads((report / "bench.json").read_text())
    assert content == json.loads((tmp_path / "figures.json").read_text())
    measured = {row["what"]: row["p50_ms"] for row in content["rows"] if not row["problem"]}
    assert set(measured) == {"onnxruntime"}
    assert measured["onnxruntime"] > 0
    assert (report / "bench.png").stat().st_size > 5000


@pytest.mark.parametrize(("poses", "code"), [("passed: 0.1 mm", 0), ("failed: 30 mm", EXIT_DOES_NOT_WORK)])
def test_a_device_has_one_verdict(poses, code, bundle, monkeypatch, capsys):
    def verify(subjects, **_):
        return [
            Outcome(
                network=each.label, graph=each.bundle.model, target="current", precision="fp16", compiled="in 1.0 s",
                ran=True, poses=poses, speed=3.0,
            )
            for each in subjects
        ]  # fmt: skip

    monkeypatch.setattr(verify_device, "verify", verify)
    assert main(["bench", "--verify-device", "--bundle", str(bundle.path)]) == code
    said = capsys.readouterr().out
    assert poses in said
    assert ("all compiled and ran" in said) == (code == 0)


@pytest.mark.parametrize(
    ("error", "said"),
    [(ModuleNotFoundError("No module named 'rclpy'"), "No module named 'rclpy'"), (ProcessError("it died"), "it died")],
)
def test_a_node_that_cannot_be_measured_leaves_what_was(error, said, monkeypatch, capsys):
    shown = []

    def one():
        yield "figures of the first"
        raise error

    monkeypatch.setattr("reloc_ros.cli.bench_node.measure_trivial", one)
    monkeypatch.setattr("reloc_ros.cli.bench_node.show", shown.append)
    assert list(bench_networks._node()) == ["figures of the first"]
    assert shown == [["figures of the first"]]
    assert f"the node is not measured: {said}" in capsys.readouterr().out


def test_who_is_interrupted_keeps_what_was_measured(bundle, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(networks, "missing_backends", lambda: dict.fromkeys(ALL_BUT_ONE, "not here"))

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(networks, "sweep_sizes", interrupted)
    command = ["bench", "--bundle", str(bundle.path), "--seconds", "0.01", "--threads", "1", "--report", str(tmp_path)]
    assert main(command) == EXIT_INTERRUPTED
    rows = json.loads((tmp_path / "bench.json").read_text())["rows"]
    assert [row["what"] for row in rows if not row["problem"]] == ["onnxruntime"]
    assert "64x48" in capsys.readouterr().out
    assert not list(tmp_path.glob("*.new"))


def test_a_report_that_cannot_be_written_is_noticed_before_anything_is_measured(bundle, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(networks, "compare_backends", lambda *_, **__: pytest.fail("it was measured"))
    (tmp_path / "file").write_text("")
    command = ["bench", "--bundle", str(bundle.path), "--report", str(tmp_path / "file" / "report")]
    assert main(command) == EXIT_BAD_SETUP
    assert "bench.json cannot be written" in capsys.readouterr().err
