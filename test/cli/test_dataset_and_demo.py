"""`reloc dataset synthesize` writes sets that read back; `reloc demo` says what it lacks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh

from reloc_ros.cli.main import main
from reloc_ros.datasets.posed_images import read_dataset


@pytest.fixture
def room_file(tmp_path: Path) -> Path:
    """An empty room of 4 x 3 x 2.5 m as a mesh file."""
    box = trimesh.creation.box((4.0, 3.0, 2.5))
    box.apply_translation((2.0, 1.5, 1.25))
    path = tmp_path / "room.glb"
    box.export(path)
    return path


@pytest.mark.parametrize(("camera", "size"), [("pinhole", (40, 30)), ("equirectangular", (64, 32))])
def test_synthesize_from_a_mesh_file(room_file: Path, tmp_path: Path, camera: str, size: tuple[int, int]) -> None:
    out = tmp_path / "set"
    arguments = ["--world", str(room_file), "--out", str(out), "--frames", "3", "--workers", "1", "--camera", camera]
    arguments += ["--width", str(size[0]), "--height", str(size[1]), "--camera-height-m", "0.8"]
    assert main(["dataset", "synthesize", *arguments]) == 0
    dataset = read_dataset(f"panorama_sequences:{out}")
    assert [image.camera.model for image in dataset.images] == [camera] * 3
    for image in dataset.images:
        x, y, z = image.T_map_camera[:3, 3]
        assert 0 < x < 4
        assert 0 < y < 3
        assert z == pytest.approx(0.8, abs=0.1)
        assert image.frame().image.shape == (size[1], size[0], 3)
    headings = [np.arctan2(*image.T_map_camera[[1, 0], 2]) for image in dataset.images]
    assert len({round(float(heading), 2) for heading in headings}) == 3


def test_unknown_world_is_a_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dataset", "synthesize", "--world", "castle", "--out", str(tmp_path / "a")]) == 2
    assert "castle" in capsys.readouterr().err


def test_drives_through_worlds(room_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "set"
    command = ["dataset", "synthesize", "--mesh", str(room_file), "--out", str(out), "--trajectories", "1"]
    command += ["--camera", "pinhole", "--fov-deg", "60", "110", "--camera-height-m", "0.5", "--length-m", "1", "1.2"]
    command += ["--width", "32", "--height", "24", "--workers", "1"]
    assert main([*command, "--dry-run"]) == 0
    assert "1 worlds, about" in capsys.readouterr().out
    assert not out.exists()
    assert main(command) == 0
    assert str(out / "seen") in capsys.readouterr().out.replace("\n", "")
    dataset = read_dataset(f"panorama_sequences:{out / 'seen'}")
    assert {image.sequence for image in dataset.images} == {"room_t0_h050_fov060", "room_t0_h050_fov110"}
    assert main([*command, "--seed", "2"]) == 2
    assert "seed 1 instead of 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--fov-deg", "60", "90"], "--worlds"),
        (["--worlds", "1", "--fov-deg", "60"], "--camera pinhole"),
        (["--mesh", "gone.glb"], "gone.glb"),
        (["--worlds", "0"], "no world"),
        (["--worlds", "10000", "--trajectories", "1000000"], "free some space"),
    ],
)
def test_what_cannot_be_synthesized_is_a_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], named: str
) -> None:
    assert main(["dataset", "synthesize", "--out", str(tmp_path / "set"), *arguments]) == 2
    assert named in capsys.readouterr().err


def test_demo_without_a_bundle_says_how_to_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("reloc_ros.cli.demo.WORLD", "nowhere")
    assert main(["demo", "--out", str(tmp_path)]) == 2
    assert "--bundle" in capsys.readouterr().err


def test_demo_does_not_delete_a_folder_that_is_not_its_bag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "drive").mkdir()
    (tmp_path / "drive" / "thesis.txt").write_text("years of work", encoding="utf-8")
    assert main(["demo", "--out", str(tmp_path), "--bundle", str(tmp_path)]) == 2
    assert "in the way" in capsys.readouterr().err
    assert (tmp_path / "drive" / "thesis.txt").exists()
