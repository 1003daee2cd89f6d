"""`reloc bench recovery` with simulated fixes and with a bundle that knows the truth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from fake_bundles import CAMERA, write_scenes_bundle, write_truth_bundle

from reloc_ros.cli.main import main
from reloc_ros.geometry import rotation, se3
from reloc_ros.synthetic.sequence_writer import write_sequence

POSES = [
    se3.from_rotation_translation(
        rotation.exp([0.0, 0.0, angle]) @ np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]),
        [3.0 * np.cos(angle), 2.5 * np.sin(angle), 1.0],
    )
    for angle in 0.04 * np.arange(200)
]


@pytest.fixture
def data(tmp_path: Path) -> str:
    """A drive of 40 s whose image k is grey of value k."""
    images = (np.full((CAMERA.height, CAMERA.width, 3), number, np.uint8) for number in range(len(POSES)))
    assert list(write_sequence(tmp_path / "data" / "round", CAMERA, images, POSES, 5.0, {}))[-1] == len(POSES)
    return f"panorama_sequences:{tmp_path / 'data'}"


def test_simulated_robots_are_kidnapped(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "deep" / "out"
    assert main(["bench", "recovery", "--kidnaps", "1", "--seed", "4", "--report", str(out)]) == 0
    report = json.loads((out / "report.json").read_text())
    assert report["kidnaps"] == 1
    assert report["success_rate"] == 1.0
    assert report["false_fixes"] == 0
    assert report["time_to_recover_s"]["p50"] <= report["time_to_recover_s"]["p90"]
    assert 0.5 < report["availability"] < 1.0
    assert (out / "report.md").is_file()
    assert (out / "recovery.png").is_file()
    assert "kidnap" in capsys.readouterr().out


def test_a_bundle_localizes_the_images_of_recorded_drives_once(tmp_path: Path, data: str):
    bundle = write_truth_bundle(tmp_path / "bundle", POSES)
    command = ["bench", "recovery", "--bundle", str(bundle.path), "--data", data, "--kidnaps", "2", "--seed", "2"]
    command += ["--before-s", "10", "--after-s", "15", "--cache", str(tmp_path / "cache"), "--scenario", "all"]
    assert main([*command, "--report", str(tmp_path / "one")]) == 0
    report = json.loads((tmp_path / "one" / "report.json").read_text())
    assert report["success_rate"] == 1.0
    assert report["false_fixes"] == 0
    assert list(report["scenarios"]) == ["kidnap", "signalled_kidnap"]
    assert report["fixes"]["images"] == 200
    assert report["fixes"]["median_m"] < 1e-3
    assert report["scenarios"]["signalled_kidnap"]["misled_s"]["max"] == 0.0

    (fixes,) = (tmp_path / "cache").glob("fixes_*.npz")
    written = fixes.stat().st_mtime_ns
    assert main([*command, "--report", str(tmp_path / "two")]) == 0
    assert fixes.stat().st_mtime_ns == written
    assert (tmp_path / "two" / "report.json").read_bytes() == (tmp_path / "one" / "report.json").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--scenario", "flood"], "--scenario is 'flood', expected all, kidnap"),
        (["--kidnaps", "0"], "--kidnaps is 0"),
        (["--data", "tum:nowhere"], "--data needs --bundle"),
        (["--bundle", "BUNDLE", "--planar"], "--planar is for simulated fixes"),
        (["--bundle", "BUNDLE", "--scenario", "aliasing"], "expected all, kidnap, signalled_kidnap with a bundle"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    arguments: list[str], complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["bench", "recovery", "--report", str(tmp_path / "out"), *arguments]) == 2
    assert complaint in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_a_bundle_of_several_maps_is_refused(tmp_path: Path, data: str, capsys: pytest.CaptureFixture[str]):
    bundle = write_scenes_bundle(tmp_path / "bundle", POSES[:4], [[3.0, 0.0]] * 4)
    command = ["bench", "recovery", "--bundle", str(bundle.path), "--data", data, "--report", str(tmp_path / "out")]
    assert main(command) == 2
    assert "several scenes (kitchen, office)" in " ".join(capsys.readouterr().err.split())
