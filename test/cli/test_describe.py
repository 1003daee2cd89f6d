"""`reloc describe` writes a scenes file, keeps what people edited, and says what it did."""

from __future__ import annotations

from pathlib import Path

import box_room
import numpy as np
import pytest

from reloc_ros.cli.main import main
from reloc_ros.scenes.descriptions import read_descriptions


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A red and a blue room as arguments."""
    arguments = []
    for name, colour in (("red_room", (215, 20, 25)), ("lab", (40, 90, 200))):

        def painted(camera, T_map_camera, paint, colour=colour):
            image = np.full((camera.height, camera.width, 3), 245, np.uint8)
            image[camera.height // 2 :] = colour
            return image

        monkeypatch.setattr(box_room, "render", painted)
        poses = [box_room.pose(0.05 * i - 0.4, 0.06 * i - 0.3, 0.02 * i, 0.04 * i) for i in range(6)]
        box_room.write_sequence(tmp_path / name, box_room.pinhole(80, 60), poses)
        arguments += ["--data", f"{name}=panorama_sequences:{tmp_path / name}"]
    return arguments


def test_scenes_are_described_once_and_edits_are_kept(
    places: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out" / "scenes.yaml"
    command = ["describe", *places, "--out", str(out)]
    assert main(command) == 0
    red, lab = read_descriptions(out).scenes
    assert red.description.startswith("a red room with a large red area at the bottom and a large white area above")
    assert lab.description.startswith("a lab with a large blue area")
    assert lab.data == (f"panorama_sequences:{tmp_path / 'lab'}",)
    printed = capsys.readouterr().out
    assert "appearance, detailed" in printed
    assert "a person" not in printed
    first = out.read_bytes()
    assert main(command) == 0
    assert out.read_bytes() == first

    out.write_text(out.read_text().replace(f"description: {lab.description[:12]}", "description: edited", 1))
    assert main(command) == 0
    assert "a person" in capsys.readouterr().out
    assert read_descriptions(out).scenes[1].description.startswith("edited")
    assert main([*command, "--force"]) == 0
    assert out.read_bytes() == first


def test_levels_are_for_ablations(places: list[str], tmp_path: Path) -> None:
    out = tmp_path / "scenes.yaml"
    assert main(["describe", *places, "--out", str(out), "--level", "none"]) == 0
    assert {scene.description for scene in read_descriptions(out).scenes} == {"a place."}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (["tum:/x"], "--data 'tum:/x' must read NAME=FORMAT:PATH"),
        (["=tum:/x"], "must read NAME=FORMAT:PATH"),
        (["a=tum:/x", "a=tum:/x"], "--data 'a=tum:/x' is given twice; leave one out"),
        (["a=what:/x"], "FORMAT one of seven_scenes"),
    ],
)
def test_bad_data_is_an_error_without_a_traceback(data, message, tmp_path, capsys):
    arguments = [part for one in data for part in ("--data", one)]
    assert main(["describe", *arguments, "--out", str(tmp_path / "s.yaml")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "s.yaml").exists()


def test_a_broken_scenes_file_is_never_written_over_unasked(places, tmp_path, capsys):
    out = tmp_path / "scenes.yaml"
    out.write_text("scenes: [{name: lab, description: ''}]\n")
    assert main(["describe", *places, "--out", str(out)]) == 2
    assert "description of scene 'lab' is empty" in capsys.readouterr().err
    assert out.read_text() == "scenes: [{name: lab, description: ''}]\n"
