"""`reloc dataset check` says what is wrong, in words, in a report and in its exit code."""

from __future__ import annotations

import json
from pathlib import Path

import box_room
import numpy as np
import pytest

from reloc_ros.cli.main import main
from reloc_ros.datasets.posed_images import read_dataset
from reloc_ros.geometry import se3


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A walk through the room with a pattern that SIFT finds corners in."""
    generator = np.random.default_rng(1).integers(30, 226, 997)

    def painted(camera, T_map_camera, paint):
        rays = box_room.ray_grid(camera, camera.height, camera.width)
        tiles = np.floor(box_room.wall_points(T_map_camera, rays) / 0.17).astype(int) @ np.array([73, 179, 283])
        return np.repeat(generator[tiles % 997].reshape(camera.height, camera.width, 1), 3, axis=2).astype(np.uint8)

    monkeypatch.setattr(box_room, "render", painted)
    poses = [box_room.pose(0.05 * i - 0.4, 0.06 * i - 0.3, 0.02 * i, 0.04 * i) for i in range(6)]
    box_room.write_sequence(tmp_path / "set", box_room.pinhole(240, 180), poses)
    return tmp_path / "set"


def test_right_poses_are_ok(room: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = f"panorama_sequences:{room}"
    assert main(["dataset", "check", "--data", data, "--report", str(tmp_path / "out")]) == 0
    assert "ok poses, axes and focal length agree with the images" in capsys.readouterr().out
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (report["data"], report["consistent"], report["findings"]) == (data, True, [])
    assert report["hypotheses"]["as given"]["median_px"] < 1.0


def test_inverted_poses_are_wrong(room: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = []
    for image in read_dataset(f"panorama_sequences:{room}").images:
        quat_xyzw, translation = se3.to_quat_xyzw_translation(se3.inverse(image.T_map_camera))
        lines.append(" ".join(map(repr, [image.stamp_ns / 1e9, *map(float, translation), *map(float, quat_xyzw)])))
    (room / "room" / "poses.txt").write_text("\n".join(lines) + "\n")
    arguments = ["dataset", "check", "--data", f"panorama_sequences:{room}", "--report", str(tmp_path / "out")]
    assert main(arguments) == 1
    assert "wrong poses look inverted (map to camera" in capsys.readouterr().out
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (report["consistent"], len(report["findings"])) == (False, 1)


def test_a_missing_data_set_is_a_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dataset", "check", "--data", f"seven_scenes:{tmp_path / 'nowhere'}"]) == 2
    assert "nowhere" in capsys.readouterr().err
