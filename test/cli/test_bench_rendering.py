"""`reloc bench rendering` measures every size and writes its figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_world import small_world

from reloc_ros.cli.main import main


def test_every_size_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("reloc_ros.synthetic.worlds.load_world", lambda *_: small_world())
    monkeypatch.setattr("reloc_ros.cli.bench_rendering.PANORAMA_SIZES_PX", ((32, 16),))
    monkeypatch.setattr("reloc_ros.cli.bench_rendering.PINHOLE_SIZES_PX", ((20, 14), (40, 28)))
    report = tmp_path / "figures.json"
    assert main(["bench", "rendering", "--frames", "2", "--json", str(report)]) == 0
    figures = json.loads(report.read_text(encoding="utf-8"))["cameras"]
    assert [(f["model"], f["width"], f["height"]) for f in figures] == [
        ("equirectangular", 32, 16),
        ("pinhole", 20, 14),
        ("pinhole", 40, 28),
    ]
    assert all(f["ms_p50"] > 0 and f["cpu_ms"] > 0 and f["kilobytes"] > 0.1 for f in figures)
    assert "40 x 28" in capsys.readouterr().out


def test_no_picture_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "rendering", "--frames", "0"]) == 2
    assert "--frames 0" in capsys.readouterr().err
