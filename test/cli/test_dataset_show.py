"""`reloc dataset show` writes three pictures."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest
from dataset_files import write_sequences

from reloc_ros.cli.main import main


def test_three_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_sequences(tmp_path / "set")
    out = tmp_path / "out"
    assert main(["dataset", "show", "--data", f"panorama_sequences:{data}", "--out", str(out)]) == 0
    assert "6 images, 0 skipped" in capsys.readouterr().out
    for name in ("contact_sheet", "frusta", "coverage"):
        assert cv2.imread(str(out / f"{name}.png")) is not None


def test_a_missing_data_set_is_a_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dataset", "show", "--data", f"tum:{tmp_path / 'nowhere'}", "--out", str(tmp_path / "out")]) == 2
    assert "nowhere" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
