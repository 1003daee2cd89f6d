"""The bench of sequences: its figures, what it compares with, and what it says where it cannot."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from fake_bundles import write_truth_bundle
from tiny_spr import FRAME, exported_run

from reloc_ros.cli.main import main
from reloc_ros.errors import ConfigError
from reloc_ros.inference.streaming_bench import run_stream


def test_figures_are_written_and_printed(tmp_path, capsys):
    bundle, _ = exported_run()
    report = tmp_path / "streaming.json"
    assert main(["bench", "streaming", str(bundle.path), "--frames", "120", "--json", str(report)]) == 0
    figures = json.loads(report.read_text())
    assert figures["ratio"] == pytest.approx(figures["ms_at_120"] / figures["ms_at_20"])
    assert figures["max_abs_step_error"] < 1e-4
    assert figures["max_abs_step_error"] == max(figures["step_errors"].values())
    assert list(figures["rerun_ms"]) == ["100"]
    assert figures["rerun_feature_bytes"] == {"100": 100 * FRAME.size * 4}
    states = sum(int(np.prod(state.shape)) for state in bundle.manifest.sequence.state)
    assert figures["state_bytes"] == 4 * states
    assert "step against whole pass" in capsys.readouterr().out


def test_a_step_that_is_off_is_seen():
    from reloc_ros.export.streaming_reference import compare_with_whole_passes

    bundle, _ = exported_run()
    stream = run_stream(bundle, 100, threads=1)
    stream.outputs["translation_first_m"][70, 1] += 0.25
    compared = compare_with_whole_passes(bundle, stream.features, stream.outputs, [100])
    assert compared["max_abs_step_error"] == pytest.approx(0.25, abs=1e-3)
    assert compared["step_errors"]["rotation_first"] < 1e-4


def test_without_torch_it_measures_and_says_what_it_could_not_compare(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "reloc_ros.export.streaming_reference", None)
    report = tmp_path / "streaming.json"
    bundle, _ = exported_run()
    assert main(["bench", "streaming", str(bundle.path), "--frames", "100", "--json", str(report)]) == 0
    figures = json.loads(report.read_text())
    assert figures["max_abs_step_error"] is None
    assert figures["ms_at_100"] > 0
    assert "not compared" in capsys.readouterr().out


def test_the_camera_turns_and_no_frame_is_the_one_before():
    features = run_stream(exported_run()[0], 100, threads=1).features
    assert np.abs(np.diff(features, axis=0)).max(1).min() > 1e-3


def test_it_refuses_what_it_cannot_measure(tmp_path, capsys):
    with pytest.raises(ConfigError, match="--frames is 99"):
        run_stream(exported_run()[0], 99)
    single = write_truth_bundle(tmp_path / "single", [np.eye(4)])
    assert main(["bench", "streaming", str(single.path)]) == 2
    assert "give a sequence bundle" in capsys.readouterr().err
