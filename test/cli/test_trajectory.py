"""`reloc trajectory` on small files with known errors and on real ones."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from reloc_ros.cli import trajectory
from reloc_ros.cli.main import main, make_parser
from reloc_ros.evaluation.trajectory import ALIGNMENTS, DELTA_UNITS
from reloc_ros.evaluation.trajectory_files import FORMATS

if TYPE_CHECKING:
    from pathlib import Path

FIGURES = {"rmse", "mean", "median", "std", "min", "max", "sse"}


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """An L of five poses, and one that is 0.25 m off at its last pose and has one pose more."""
    reference, estimate = tmp_path / "reference.txt", tmp_path / "estimate.txt"
    ways = {reference: [(0, 0), (1, 0), (2, 0), (2, 1), (2, 2)], estimate: [(0, 0), (1, 0), (2, 0), (2, 1), (2, 2.25)]}
    for path, way in ways.items():
        path.write_text("".join(f"{10 + number} {x} {y} 0 0 0 0 1\n" for number, (x, y) in enumerate(way)))
    with estimate.open("a") as file:
        file.write("99 7 7 0 0 0 0 1\n")
    return str(estimate), str(reference)


def run(files: tuple[str, str], report: Path, *options: str) -> int:
    estimate, reference = files
    return main(
        ["trajectory", estimate, "--reference", reference, "--format", "tum", "--report", str(report), *options]
    )


def test_a_report_holds_figures_and_pictures(files: tuple[str, str], tmp_path: Path, capsys) -> None:
    assert run(files, tmp_path / "out") == 0
    assert str(tmp_path / "out" / "report.md") in capsys.readouterr().out
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    for part in (report["ape"], report["rpe"]):
        assert set(part) >= FIGURES
        assert set(part["rotation_deg"]) == FIGURES
        assert part["max"] == 0.25
        assert part["min"] == 0.0
    assert report["ape"]["mean"] == 0.05
    assert report["rpe"]["mean"] == 0.0625
    assert (report["ape"]["count"], report["rpe"]["count"]) == (5, 4)
    assert (report["rpe"]["delta"], report["rpe"]["delta_unit"]) == (1.0, "f")
    assert report["poses"] == {"reference": 5, "estimate": 6, "associated": 5}
    assert report["alignment"] == {"kind": "none", "T_reference_estimate": np.eye(4).tolist(), "scale": 1.0}
    assert report["units"] == {"translation": "m", "rotation": "deg"}
    text = (tmp_path / "out" / "report.md").read_text()
    assert "5 poses compared (by stamp) of 6 and 5" in text
    assert "| mean | 0.05 | 0.0625 |" in text
    for name in ("trajectory.png", "errors.png"):
        assert f"]({name})" in text
        picture = cv2.imread(str(tmp_path / "out" / name))
        assert picture is not None
        assert np.std(picture) > 10.0


def test_equal_runs_write_equal_files(files: tuple[str, str], tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert run(files, tmp_path / name, "--align", "se3") == 0
    assert {path.name for path in (tmp_path / "a").iterdir()} == {
        "report.json",
        "report.md",
        "trajectory.png",
        "errors.png",
    }
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def test_options_reach_the_comparison(files: tuple[str, str], tmp_path: Path) -> None:
    assert run(files, tmp_path, "--align", "sim3", "--delta", "1.5", "--delta-unit", "m", "--from-first-pose") == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["alignment"]["kind"] == "sim3"
    assert 0.8 < report["alignment"]["scale"] < 1.0
    assert (report["rpe"]["delta"], report["rpe"]["delta_unit"], report["rpe"]["from_first_pose"]) == (1.5, "m", True)
    assert report["rpe"]["count"] == 2


@pytest.mark.parametrize(("name", "ape", "rpe"), [("ORB", 1.3034497145650266, 0.22626134329310163)])
def test_kitti_figures_are_the_published_ones(
    shared_data: Path, name: str, ape: float, rpe: float, tmp_path: Path
) -> None:
    folder = shared_data / "trajectories"
    argv = ["trajectory", str(folder / f"KITTI_00_{name}.txt"), "--reference", str(folder / "KITTI_00_gt.txt")]
    argv += ["--format", "kitti", "--align", "se3", "--report", str(tmp_path)]
    assert main(argv) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["ape"]["rmse"] == pytest.approx(ape, rel=0, abs=1e-9)
    assert report["rpe"]["rmse"] == pytest.approx(rpe, rel=0, abs=1e-9)
    assert report["rpe"]["count"] == 353
    assert report["association"] == "index"


def test_a_broken_file_is_a_message(files: tuple[str, str], tmp_path: Path, capsys) -> None:
    (tmp_path / "estimate.txt").write_text("1 2 3\n")
    assert run(files, tmp_path / "out") == 2
    message = capsys.readouterr().err
    assert message.startswith("reloc trajectory: ")
    assert "estimate.txt, line 1: 3 columns, expected 8" in message
    assert not (tmp_path / "out").exists()


def test_choices_are_those_of_the_library() -> None:
    parser = make_parser().parse_args
    base = ["trajectory", "a", "--reference", "b", "--report", "c", "--format"]
    for name in FORMATS:
        assert parser([*base, name]).format == name
    for name in ALIGNMENTS:
        assert parser([*base, "tum", "--align", name]).align == name
    for unit in DELTA_UNITS:
        assert parser([*base, "tum", "--delta-unit", unit]).delta_unit == unit
    assert set(trajectory._DELTAS) == set(FORMATS)
