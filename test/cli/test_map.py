"""`reloc map`: from a small bag to a bundle with a report, in one command that can be killed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed; make setup-test installs it")

import numpy as np  # noqa: E402
import yaml  # noqa: E402
from bag_files import BagBuilder, second  # noqa: E402
from box_room import OPTICAL_FROM_LEVEL, pinhole, render, trajectory, write_sequence  # noqa: E402
from tiny_training import IMPLICIT_GEOMETRY  # noqa: E402

from reloc_ros.bundle.load import load_bundle  # noqa: E402
from reloc_ros.cli.main import main  # noqa: E402
from reloc_ros.datasets.as_bag import write_as_bag  # noqa: E402
from reloc_ros.datasets.posed_images import read_dataset  # noqa: E402
from reloc_ros.evaluation.tum import write_tum  # noqa: E402
from reloc_ros.export import bundle_run  # noqa: E402
from reloc_ros.geometry import se3  # noqa: E402
from reloc_ros.mapping.reference import ReferenceLimits  # noqa: E402
from reloc_ros.mapping.source import complete_options, correction_jumps_ns, read_drive  # noqa: E402

COUNT = 72


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drive of a painted room with a pose for each image."""
    folder = tmp_path_factory.mktemp("bag")
    images = read_dataset(write_sequence(folder / "data", pinhole(), trajectory(COUNT))).images
    for _ in write_as_bag(folder / "drive 1", images):
        pass
    return folder / "drive 1"


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump({**IMPLICIT_GEOMETRY, "max_steps": 6}))
    return path


def test_from_a_bag_to_a_verdict_with_a_kill_between(
    bag: Path, settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bundle"
    command = ["map", str(bag), "--out", str(out), "--config", str(settings), "--device", "cpu"]

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(bundle_run, "export_run", killed)
        assert main(command) == 130
    assert not out.exists()
    trained = (tmp_path / "bundle.map" / "run" / "best.pt").stat().st_mtime_ns
    capsys.readouterr()

    # Six steps teach nothing: an honest verdict says so.
    assert main(command) == 1
    told = capsys.readouterr().out
    assert "train: done before\nexport: goes on\nvalidate: starts\nreport: starts\nnot usable, because" in told
    assert (tmp_path / "bundle.map" / "run" / "best.pt").stat().st_mtime_ns == trained
    manifest = load_bundle(out).manifest
    assert [scene.name for scene in manifest.scenes] == ["drive_1"]
    page = (tmp_path / "bundle.map" / "report.html").read_text()
    assert page.index("Not usable") < page.index("Next steps") < page.index("What was dropped and why")
    # Nothing is loaded from anywhere.
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert page.count("data:image/png;base64,") == 6

    assert main(command) == 1
    assert "starts" not in capsys.readouterr().out


def test_a_dry_run_writes_nothing(bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["map", str(bag), "--out", str(tmp_path / "bundle"), "--dry-run", "--max-minutes", "3"]) == 0
    told = capsys.readouterr().out
    assert f"images: {COUNT} with a pose, 0 without; 64 x 64 pixels" in told
    assert re.search(r"train +3\.0 min", told)
    assert "MB" in told
    assert not list(tmp_path.iterdir())


def test_too_little_to_learn_from(bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["map", str(bag), "--out", str(tmp_path / "bundle"), "--every-m", "9", "--every-deg", "170"]
    assert main([*command, "--dry-run"]) == 2
    assert "1 frames are left of 72 with a pose (71 little motion" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--labels", "position"), "labels is 'position' without initial"),
        (("--initial", "nowhere", "--labels", "position"), "initial nowhere does not exist"),
        (("--initial", ".", "--work", "."), "initial . lies in ., whose training would replace it"),
        (("--max-speed", "0"), "max_speed_mps is 0.0"),
        (("--every-m", "-1"), "every_m is -1.0"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_before_any_work(
    bag: Path, tmp_path: Path, options: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["map", str(bag), "--out", str(tmp_path / "bundle"), *options]) == 2
    assert complaint in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def broken_bags(drive: Path, folder: Path) -> dict[str, Path]:
    """Return bags that cannot be mapped, by a word of the complaint about them that tells them apart."""
    whole = next(drive.glob("*.mcap")).read_bytes()
    paths = {
        "File end magic": folder / "truncated.mcap",
        "seems to be empty": folder / "zero.bag",
        "missing tables": folder / "zero.db3",
        "Unrecognized storage": folder / "notes.txt",
        "metadata file": folder / "without_metadata",
    }
    for path in paths.values():
        path.touch() if path.suffix else path.mkdir()
    paths["File end magic"].write_bytes(whole[: len(whole) // 2])
    (paths["metadata file"] / "drive.mcap").write_bytes(whole)
    paths["does not exist"] = folder / "nowhere"
    with BagBuilder(folder, "mcap") as blind:
        blind.pose(second(0.0), trajectory(1)[0])
    paths["has no image topic"] = blind.path
    return paths


def test_bags_that_cannot_be_mapped(bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for complaint, path in broken_bags(bag, tmp_path).items():
        assert main(["map", str(path), "--out", str(tmp_path / "bundle")]) == 2
        told = capsys.readouterr().err
        assert complaint in told
        assert str(path) in told
    assert not (tmp_path / "bundle").exists()
    assert not (tmp_path / "bundle.map").exists()


@pytest.mark.parametrize("storage", ["malformed_mcap", "malformed_sqlite3"])
def test_images_that_lie_about_their_size(
    shared_data: Path, tmp_path: Path, storage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = shared_data / "bags" / storage
    assert main(["map", str(bag), "--out", str(tmp_path / "b"), "--image", "/test/sensor_msgs/image"]) == 2
    assert "reloc map: " in capsys.readouterr().err


def test_a_tum_file_gives_the_poses(tmp_path: Path) -> None:
    poses = trajectory(COUNT)[:4]
    with BagBuilder(tmp_path, "mcap") as bag:
        bag.camera_info(second(0.0), width=64, height=64)
        for index, T_map_camera in enumerate(poses):
            bag.image(second(0.1 * index), render(pinhole(), T_map_camera))
    write_tum(tmp_path / "slam.tum", [(second(0.1 * index), T) for index, T in enumerate(poses)])
    options = complete_options(bag.path, {"poses": str(tmp_path / "slam.tum")})
    drive = read_drive(bag.path, options)
    assert [image.T_map_camera[0, 3] for image in drive.images] == pytest.approx([T[0, 3] for T in poses])
    assert "slam.tum" in drive.ground_truth


def test_amcl_gives_the_pose_of_the_robot(tmp_path: Path) -> None:
    T_base_camera = se3.from_rotation_translation(OPTICAL_FROM_LEVEL, [0.2, -0.1, 0.7])
    with BagBuilder(tmp_path, "mcap") as bag:
        bag.camera_info(second(0.0), width=64, height=64)
        bag.transform(second(-1.0), "base_link", "camera_optical_frame", T_base_camera, topic="/tf_static")
        for index in range(3):
            T_map_base = se3.from_rotation_translation([[0, -1, 0], [1, 0, 0], [0, 0, 1]], [2.0 + index, 5.0, 0.0])
            bag.image(second(0.1 * index), render(pinhole(), T_base_camera))
            bag.pose_with_covariance(second(0.1 * index), T_map_base)
    options = complete_options(bag.path, {})
    assert options == {"pose_frame": "base_link"}
    # A robot that looks along y carries its camera 0.2 m further along y and 0.1 m further along x.
    assert read_drive(bag.path, options).images[1].T_map_camera[:3, 3] == pytest.approx([3.1, 5.2, 0.7])


def test_a_relocalization_between_slow_corrections_is_found(tmp_path: Path) -> None:
    T_base_camera = se3.from_rotation_translation(OPTICAL_FROM_LEVEL, [0.0, 0.0, 0.7])
    with BagBuilder(tmp_path, "mcap") as bag:
        bag.camera_info(second(0.0), width=64, height=64)
        for index in range(40):
            T_odom_base = se3.from_rotation_translation(np.eye(3), [0.03 * index, 0.0, 0.0])
            bag.transform(second(0.1 * index), "odom", "base_link", T_odom_base)
        bag.transform(second(-1.0), "base_link", "camera_optical_frame", T_base_camera, topic="/tf_static")
        for index, shift_m in enumerate((0.0, 0.06, 0.05, 0.4, 0.41)):
            T_map_odom = se3.from_rotation_translation(np.eye(3), [0.0, shift_m, 0.0])
            bag.transform(second(0.9 * index), "map", "odom", T_map_odom)
    found = correction_jumps_ns(bag.path, {"pose": "/tf"}, ReferenceLimits())
    assert found == [second(1.8)]
    assert correction_jumps_ns(bag.path, {"pose": "/tf", "map_frame": "odom"}, ReferenceLimits()) == []
    assert correction_jumps_ns(bag.path, {"pose": "/amcl_pose"}, ReferenceLimits()) == []


def test_corrections_of_a_real_nav2_run_are_no_jumps(shared_data: Path) -> None:
    bag = shared_data / "bags" / "nav2_turtlebot.mcap"
    assert correction_jumps_ns(bag, {"pose": "/tf"}, ReferenceLimits()) == []
    assert correction_jumps_ns(bag, {"pose": "/tf"}, ReferenceLimits(correction_m=0.05)) != []


def test_transforms_from_the_map_come_before_amcl_and_odometry(tmp_path: Path) -> None:
    with BagBuilder(tmp_path, "mcap") as bag:
        bag.camera_info(second(0.0), width=64, height=64)
        bag.image(second(0.0), render(pinhole(), trajectory(1)[0]))
        bag.transform(second(0.0), "map", "odom", trajectory(3)[1])
        bag.transform(second(0.0), "odom", "camera_optical_frame", trajectory(3)[2])
        bag.pose_with_covariance(second(0.0), trajectory(1)[0])
        bag.odometry(second(0.0), trajectory(1)[0])
    assert complete_options(bag.path, {}) == {"pose": "/tf"}
    assert complete_options(bag.path, {"pose": "/odom"}) == {"pose": "/odom"}


def test_a_drive_that_is_all_jumps_names_the_limit(
    bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["map", str(bag), "--out", str(tmp_path / "bundle"), "--dry-run", "--max-speed", "0.001"]
    assert main(command) == 2
    assert "faster than 0.001 m/s or 300 deg/s is taken for a jump of the reference" in capsys.readouterr().err
