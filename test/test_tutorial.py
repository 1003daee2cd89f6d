"""The tutorial is followed: its commands run, one after the other, on a small recording; training alone is left out."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from bag_files import FRAME, BagBuilder, second
from box_room import pinhole, pose
from doc_commands import fenced
from fake_bundles import write_truth_bundle
from tiled_room import tiles

from reloc_ros.cli.main import main
from reloc_ros.datasets.posed_images import read_dataset
from reloc_ros.evaluation.recorded import write_recorded
from reloc_ros.geometry import se3
from reloc_ros.mapping.extract import extract_frames

CHECKOUT = Path(__file__).resolve().parents[1]
FRAMES = 24
SPLIT = {"val_fraction": 0.2, "block": 4, "guard": 0}
CAMERA = pinhole(200, 150)


def record(folder: Path) -> None:
    """Write a drive of a nav2 robot: camera, calibration and transforms from the map to the camera."""
    folder.mkdir()
    with BagBuilder(folder, "mcap") as bag:
        for k in range(FRAMES):
            T_map_camera = pose(0.04 * k - 0.5, 0.2 * np.sin(0.3 * k), 0.05 * np.cos(0.4 * k), 0.03 * k - 0.3)
            stamp = second(0.1 * k)
            bag.transform(stamp, "map", "base_link", T_map_camera)
            bag.transform(stamp, "base_link", FRAME, np.eye(4))
            bag.camera_info(
                stamp, width=CAMERA.width, height=CAMERA.height, k=CAMERA.K.ravel(), d=np.zeros(5),
                p=np.column_stack([CAMERA.K, np.zeros(3)]).ravel(),
            )  # fmt: skip
            bag.image(stamp, tiles(CAMERA, T_map_camera))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tutorial")
    record(folder / "recording")
    for name in ("drive", "other", "newer"):
        (folder / name).symlink_to(folder / "recording" / "drive")
    images = read_dataset(f"rosbag:{folder / 'drive'}?pose=/tf").images
    extract_frames(images, folder / "BUNDLE.map" / "frames")
    for name in ("BUNDLE", "BUNDLE_2"):
        write_truth_bundle(folder / name, [image.T_map_camera for image in images], training={"split": SPLIT})
    poses = np.stack([image.T_map_camera for image in images])
    stamps = np.array([image.stamp_ns for image in images])
    write_recorded(folder / "poses.npz", stamps, poses, np.tile(np.eye(6), (len(images), 1, 1)), ["map"] * len(images))
    return folder


COMMANDS = [command for command in fenced(CHECKOUT / "docs" / "tutorial.md") if command.startswith("reloc ")]
# Judging on a newer drive is judging on another one.
COMMANDS = [
    command for command in COMMANDS if command.replace("newer", "other") not in COMMANDS or "newer" not in command
]
TRAINING = [command for command in COMMANDS if command.startswith("reloc map ") and "--dry-run" not in command]


def test_only_training_is_left_out() -> None:
    assert len(COMMANDS) - len(TRAINING) >= 6
    assert len(TRAINING) == 2, TRAINING


@pytest.mark.parametrize("command", [command for command in COMMANDS if command not in TRAINING])
def test_the_command_does_what_the_tutorial_says(
    place: Path, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if "--baseline" in command:
        pytest.importorskip("pycolmap", reason="the baseline needs pycolmap")
    if " film " in command:
        pytest.importorskip("embreex", reason="rendering needs embreex")
    monkeypatch.chdir(place)
    words = shlex.split(command)[1:]
    more = ["--workers", "1", "--width", "32", "--height", "24", "--rate", "2"] if " film " in command else []
    # What the check says of pictures as small and jagged as these is not the point here.
    allowed = (0, 1) if " check " in command else (0,)
    assert main([*words, *more]) in allowed, capsys.readouterr().err
    if "--report" in words:
        folder = place / words[words.index("--report") + 1]
        report = json.loads((folder / "report.json").read_text())
        assert report["frames"] == FRAMES
        assert "</html>" in (folder / "report.html").read_text()
        assert ("comparison" in report) == ("--baseline" in words or "BUNDLE_2" in words)
        if "--recorded" in words:
            assert (report["availability"], report["max_translation_error_m"]) == (1.0, pytest.approx(0.0, abs=1e-9))


def test_the_filmed_hall_is_round_the_path(place: Path) -> None:
    if not (place / "filmed").exists():
        pytest.skip("nothing was filmed")
    filmed = read_dataset(f"rosbag:{place / 'filmed'}?pose=/tf&image=/camera/image").images
    assert all(se3.is_rigid(image.T_map_camera) for image in filmed)
    assert np.ptp([image.T_map_camera[0, 3] for image in filmed]) > 0.5
