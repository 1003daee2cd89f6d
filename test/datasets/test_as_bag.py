"""A data set written as a bag is the same data set: pixels, cameras, poses and stamps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dataset_files import picture, pose, write_scene, write_sequence, write_transforms

from reloc_ros.cameras.camera import Camera
from reloc_ros.cameras.equirectangular import EquirectangularCamera
from reloc_ros.cameras.pinhole import PinholeCamera
from reloc_ros.cli.main import main
from reloc_ros.datasets.as_bag import bag_stamps_ns, write_as_bag
from reloc_ros.datasets.bag_file import open_bag
from reloc_ros.datasets.bag_writer import EPOCH_NS
from reloc_ros.datasets.images import PosedImage
from reloc_ros.datasets.posed_images import read_dataset
from reloc_ros.errors import DatasetError

K = np.array([[35.0, 0.0, 21.0], [0.0, 36.0, 14.0], [0.0, 0.0, 1.0]])
CAMERAS: dict[str, Camera] = {
    "five": PinholeCamera(40, 30, K, "plumb_bob", (0.01, -0.02, 0.001, -0.002, 0.003)),
    "four": PinholeCamera(40, 30, K, "plumb_bob", (0.01, -0.02, 0.001, -0.002)),
    "eight": PinholeCamera(40, 30, K, "rational_polynomial", (0.1, -0.02, 0.001, -0.002, 0.3, 0.2, 0.1, 0.05)),
    "fisheye": PinholeCamera(40, 30, K, "equidistant", (0.01, -0.02, 0.003, -0.004)),
    "panorama": EquirectangularCamera(40, 20),
}


def posed_image(index: int, stamp_ns: int, camera: Camera) -> PosedImage:
    return PosedImage(
        name=f"image-{index}",
        stamp_ns=stamp_ns,
        T_map_camera=pose(index),
        camera=camera,
        load=lambda: picture(camera.width, camera.height, index),
        sequence="only",
    )


def assert_same(bag: Path, images: tuple[PosedImage, ...], *, moved_ns: int = 0) -> None:
    """Compare a bag, read as a data set, with the images it was written from."""
    panorama = images[0].camera.model == "equirectangular"
    read = read_dataset(f"rosbag:{bag}{'?camera=equirectangular' if panorama else ''}")
    assert (len(read), read.skipped) == (len(images), ())
    for written, expected in zip(read.images, images, strict=True):
        assert written.stamp_ns == expected.stamp_ns + moved_ns
        assert written.camera == expected.camera
        np.testing.assert_allclose(written.T_map_camera, expected.T_map_camera, rtol=0, atol=1e-9)
        assert np.array_equal(written.frame().image, expected.frame().image)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS)
def test_it_reads_back_whatever_the_camera(tmp_path: Path, storage: str, camera: Camera) -> None:
    stamps_ns = (1_700_000_000_123_456_789, 1_700_000_000_223_456_788, 1_700_000_009_000_000_001)
    images = tuple(posed_image(index, stamp_ns, camera) for index, stamp_ns in enumerate(stamps_ns))
    assert list(write_as_bag(tmp_path / "bag", images, storage)) == [1, 2, 3]
    assert_same(tmp_path / "bag", images)


def test_topics_and_frames(tmp_path: Path) -> None:
    list(write_as_bag(tmp_path / "bag", [posed_image(0, 1, CAMERAS["five"])]))
    list(write_as_bag(tmp_path / "panorama", [posed_image(0, 1, CAMERAS["panorama"])]))
    with open_bag(tmp_path / "bag") as reader:
        frames = {
            connection.topic: reader.deserialize(data, connection.msgtype).header.frame_id
            for connection, _, data in reader.messages()
        }
    camera = "camera_optical_frame"
    assert frames == {"/camera/camera_info": camera, "/camera/image": camera, "/ground_truth": "map"}
    with open_bag(tmp_path / "panorama") as reader:
        assert {connection.topic for connection in reader.connections} == {"/camera/image", "/ground_truth"}


def test_stamps_are_the_own_ones_or_evenly_spaced() -> None:
    camera = CAMERAS["five"]
    late = [posed_image(index, stamp_ns, camera) for index, stamp_ns in enumerate((20, 50, 3_000))]
    from_zero = [posed_image(index, stamp_ns, camera) for index, stamp_ns in enumerate((0, 50, 3_000))]
    assert bag_stamps_ns(late, None) == [20, 50, 3_000]
    # ROS takes a stamp of 0 for "not set".
    assert bag_stamps_ns(from_zero, None) == [EPOCH_NS, EPOCH_NS + 50, EPOCH_NS + 3_000]
    assert bag_stamps_ns(late[::-1], 30.0) == [EPOCH_NS, EPOCH_NS + 33_333_333, EPOCH_NS + 66_666_667]


@pytest.mark.parametrize("stamps_ns", [(5, 9, 9), (5, 9, 6)])
def test_stamps_of_several_recordings_are_refused(stamps_ns: tuple[int, ...], tmp_path: Path) -> None:
    images = [posed_image(index, stamp_ns, CAMERAS["five"]) for index, stamp_ns in enumerate(stamps_ns)]
    with pytest.raises(DatasetError, match=r"image-2 at \d ns follows image-1 at 9 ns.*give a rate"):
        list(write_as_bag(tmp_path / "bag", images))
    assert not (tmp_path / "bag").exists()


def test_stamps_beyond_ros_time_are_refused() -> None:
    last_ns = 2**31 * 10**9 - 1
    assert bag_stamps_ns([posed_image(0, last_ns, CAMERAS["five"])], None) == [last_ns]
    with pytest.raises(DatasetError, match="later than ROS time"):
        bag_stamps_ns([posed_image(0, last_ns + 1, CAMERAS["five"])], None)


@pytest.mark.parametrize("other", [PinholeCamera(40, 30, K), EquirectangularCamera(40, 30)])
def test_two_cameras_do_not_fit_one_bag(other: Camera, tmp_path: Path) -> None:
    images = [posed_image(0, 1, CAMERAS["five"]), posed_image(1, 2, other)]
    with pytest.raises(DatasetError, match="image-1 has another camera than image-0"):
        list(write_as_bag(tmp_path / "bag", images))
    assert not (tmp_path / "bag").exists()


def test_an_image_that_cannot_be_read_leaves_no_bag(tmp_path: Path) -> None:
    images = [posed_image(0, 1, CAMERAS["five"]), posed_image(1, 2, CAMERAS["five"])]
    images[1] = replace(images[1], load=lambda: picture(41, 30))
    written = write_as_bag(tmp_path / "bag", images)
    assert next(written) == 1
    assert (tmp_path / "bag").exists()
    with pytest.raises(DatasetError, match="image-1"):
        next(written)
    assert not (tmp_path / "bag").exists()


def test_a_folder_that_cannot_be_made_is_a_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DatasetError, match=r"file/bag cannot be written.*writable"):
        list(write_as_bag(tmp_path / "file" / "bag", [posed_image(0, 1, CAMERAS["five"])]))


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_the_command(tmp_path: Path, storage: str, capsys: pytest.CaptureFixture[str]) -> None:
    write_transforms(tmp_path, camera_model="OPENCV")
    data, bag = f"transforms_json:{tmp_path}", tmp_path / "bag"
    convert = ["dataset", "convert", "--data", data, "--out", str(bag), "--storage", storage]
    assert main(convert) == 0
    output = capsys.readouterr().out
    assert f"2 images in {bag}; use them as --data rosbag:{bag}, or: reloc play {bag}" in " ".join(output.split())
    assert "not known to be metres" in output
    assert_same(bag, read_dataset(data).images, moved_ns=EPOCH_NS)
    assert sorted(path.suffix for path in bag.iterdir()) == sorted([".yaml", {"sqlite3": ".db3"}.get(storage, ".mcap")])
    assert main(convert) == 2
    assert "exists already" in capsys.readouterr().err


def test_the_command_spaces_and_limits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = f"seven_scenes:{write_scene(tmp_path)}"
    convert = ["dataset", "convert", "--data", data, "--out"]
    assert main([*convert, str(tmp_path / "own")]) == 2
    assert "seq-02/frame-000000.color.png" in capsys.readouterr().err
    assert main([*convert, str(tmp_path / "even"), "--rate", "20", "--max-frames", "4"]) == 0
    images = read_dataset(f"rosbag:{tmp_path / 'even'}").images
    assert [image.stamp_ns - EPOCH_NS for image in images] == [0, 50_000_000, 100_000_000, 150_000_000]
    np.testing.assert_allclose(images[3].T_map_camera, pose(0), atol=1e-6)
    with pytest.raises(SystemExit):
        main([*convert, str(tmp_path / "never"), "--rate", "0"])
    assert "0 Hz is not between" in capsys.readouterr().err


def test_the_command_tells_how_to_read_panoramas(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sequence, bag = write_sequence(tmp_path / "kitchen"), tmp_path / "bag"
    assert main(["dataset", "convert", "--data", f"panorama_sequences:{sequence}", "--out", str(bag)]) == 0
    assert f"--data rosbag:{bag}?camera=equirectangular" in " ".join(capsys.readouterr().out.split())
    assert_same(bag, read_dataset(f"panorama_sequences:{sequence}").images, moved_ns=EPOCH_NS)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_real_panoramas(shared_data: Path, tmp_path: Path, storage: str) -> None:
    sequences = sorted(path.parent for path in (shared_data / "panoramas").glob("*/poses.txt"))
    if not sequences:
        pytest.skip(f"{shared_data / 'panoramas'} is missing")
    images = read_dataset(f"panorama_sequences:{sequences[0]}").images[:12]
    list(write_as_bag(tmp_path / "bag", images, storage))
    assert_same(tmp_path / "bag", images, moved_ns=0 if images[0].stamp_ns > 0 else EPOCH_NS)


def test_real_photos_keep_their_distortion(shared_data: Path, tmp_path: Path) -> None:
    if not (shared_data / "phone_desk").is_dir():
        pytest.skip(f"{shared_data / 'phone_desk'} is missing")
    images = read_dataset(f"transforms_json:{shared_data / 'phone_desk'}").images[:3]
    assert any(images[0].camera.to_dict()["distortion"])
    list(write_as_bag(tmp_path / "bag", images))
    assert_same(tmp_path / "bag", images, moved_ns=EPOCH_NS)


def test_an_ideal_lens_is_zeros(tmp_path: Path) -> None:
    for model, count in (("plumb_bob", 5), ("rational_polynomial", 8), ("equidistant", 4)):
        images = (posed_image(0, 1, PinholeCamera(40, 30, K, model)),)
        list(write_as_bag(tmp_path / model, images))
        read = read_dataset(f"rosbag:{tmp_path / model}").images[0].camera
        assert read == PinholeCamera(40, 30, K, model, (0.0,) * count)
