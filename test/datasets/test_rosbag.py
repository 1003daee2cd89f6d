from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from bag_files import FRAME, KINDS, START_NS, BagBuilder, second
from dataset_files import T_MAP_CAMERA, picture, pose
from numpy.testing import assert_allclose

from reloc_ros.datasets.rosbag import read_rosbag
from reloc_ros.errors import DatasetError
from reloc_ros.geometry import rotation, se3

Fill = Callable[[BagBuilder], None]

T_BASE_CAMERA = se3.from_rotation_translation(rotation.exp([0.3, -0.2, 0.5]), [0.2, -0.1, 0.7])


def bag_of(folder: Path, *fills: Fill, kind: str = "mcap") -> Path:
    with BagBuilder(folder, kind) as bag:
        for fill in fills:
            fill(bag)
    return bag.path


def images(bag: BagBuilder) -> None:
    """Three images, 0.1 s apart."""
    for index in range(3):
        bag.image(second(0.1 * index), picture(40, 30, index))


def info(bag: BagBuilder) -> None:
    bag.camera_info(second(0.0))


def truth(bag: BagBuilder) -> None:
    """The pose of frame k at the stamp of image k, halfway between two messages."""
    for index in range(-1, 4):
        T_map_camera = pose(0)
        T_map_camera[0, 3] += 0.1 * index + 0.05
        bag.pose(second(0.1 * index + 0.05), T_map_camera)


def static(bag: BagBuilder) -> None:
    bag.transform(second(-9.0), "base_link", FRAME, T_BASE_CAMERA, topic="/tf_static")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_bag(tmp_path: Path, kind: str) -> None:
    dataset = read_rosbag(str(bag_of(tmp_path, images, info, truth, kind=kind)))
    assert [image.stamp_ns for image in dataset.images] == [second(0.0), second(0.1), second(0.2)]
    for index, image in enumerate(dataset.images):
        assert_allclose(image.T_map_camera, pose(index), atol=1e-9)
        frame = image.frame()
        assert np.array_equal(frame.image, picture(40, 30, index))
        assert image.camera.to_dict()["K"] == [[35.0, 0.0, 21.0], [0.0, 36.0, 14.0], [0.0, 0.0, 1.0]]
        assert image.camera.to_dict()["distortion"] == [0.01, -0.02, 0.001, -0.002, 0.0]
    assert dataset.images[0].camera is dataset.images[2].camera
    assert dataset.ground_truth == "/ground_truth, pose of the camera"
    assert dataset.images[0].name == f"/camera/image@{START_NS}"
    assert dataset.name == "drive"


def test_a_file_inside_a_rosbag2_folder(tmp_path: Path) -> None:
    folder = bag_of(tmp_path, images, info, truth)
    (file,) = folder.glob("*.mcap")
    assert len(read_rosbag(str(file))) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_compressed_images(tmp_path: Path, kind: str) -> None:
    def compressed(bag: BagBuilder) -> None:
        bag.compressed(second(0.1), picture(40, 30, 7))

    dataset = read_rosbag(str(bag_of(tmp_path, compressed, info, truth, kind=kind)))
    assert np.array_equal(dataset.images[0].frame().image, picture(40, 30, 7))


def test_images_are_loaded_in_any_order_and_in_another_process(tmp_path: Path) -> None:
    dataset = read_rosbag(str(bag_of(tmp_path, images, info, truth)))
    for index in (2, 0, 1, 1):
        assert dataset.images[index].frame().image[0, 0, 1] == index
    again = pickle.loads(pickle.dumps(dataset.images[2]))  # noqa: S301 (our own bytes)
    assert again.frame().image[0, 0, 1] == 2


def test_images_recorded_at_one_moment_are_told_apart_by_their_stamp(tmp_path: Path) -> None:
    bag_path = bag_of(tmp_path, images, info, truth)
    loads = [image.load for image in read_rosbag(str(bag_path)).images]
    source, (bag_time_ns, stamp) = loads[0].func.__self__, loads[0].args
    with pytest.raises(DatasetError, match="no image was recorded"):
        source.load(bag_time_ns, stamp + 1)


def test_roi_and_binning(tmp_path: Path) -> None:
    def cropped(bag: BagBuilder) -> None:
        bag.camera_info(second(0.0), width=160, height=120, roi=bag.roi(20, 10, 80, 60), binning_x=2, binning_y=2)

    image = read_rosbag(str(bag_of(tmp_path, images, cropped, truth))).images[0]
    assert_allclose(image.camera.to_dict()["K"], [[17.5, 0, 0.25], [0, 18.0, 1.75], [0, 0, 1]])
    assert image.frame().image.shape == (30, 40, 3)


def test_the_camera_of_an_image_is_the_last_one_announced(tmp_path: Path) -> None:
    def zooming(bag: BagBuilder) -> None:
        for stamp, focal in ((0.05, 50.0), (0.15, 60.0)):
            bag.camera_info(second(stamp), k=np.array([focal, 0, 20, 0, focal, 15, 0, 0, 1.0]))

    dataset = read_rosbag(str(bag_of(tmp_path, images, zooming, truth)))
    assert [image.camera.to_dict()["K"][0][0] for image in dataset.images] == [50.0, 50.0, 60.0]


def test_uncalibrated_cameras_are_named(tmp_path: Path) -> None:
    def uncalibrated(bag: BagBuilder) -> None:
        bag.camera_info(second(0.0), k=np.zeros(9))

    path = bag_of(tmp_path, images, uncalibrated, truth)
    with pytest.raises(DatasetError, match=r"/camera/camera_info: focal lengths fx = 0") as error:
        read_rosbag(str(path))
    assert str(path) in str(error.value)


def test_a_broken_first_image_does_not_hide_the_size_of_a_panorama(tmp_path: Path) -> None:
    def broken(bag: BagBuilder) -> None:
        bag.image(second(-1.0), np.zeros((30, 40, 3), np.uint8), height=480)

    camera = read_rosbag(f"{bag_of(tmp_path / 'a', broken, images, truth)}?camera=equirectangular").images[0].camera
    assert (camera.width, camera.height) == (40, 30)
    path = bag_of(tmp_path / "b", broken, truth)
    with pytest.raises(DatasetError, match=r"none of 1 images on /camera/image can be decoded; .* 480 rows"):
        read_rosbag(f"{path}?camera=equirectangular")


def test_a_camera_from_a_file_or_a_panorama(tmp_path: Path) -> None:
    path = bag_of(tmp_path, images, truth)
    assert read_rosbag(f"{path}?camera=equirectangular").images[0].camera.model == "equirectangular"
    description = {"model": "pinhole", "width": 40, "height": 30, "K": [[9.0, 0, 20], [0, 9, 15], [0, 0, 1]]}
    (tmp_path / "camera.json").write_text(json.dumps(description))
    camera = read_rosbag(f"{path}?camera={tmp_path / 'camera.json'}").images[0].camera
    assert camera.to_dict()["K"][0][0] == 9.0
    with pytest.raises(DatasetError, match=r"absent\.json"):
        read_rosbag(f"{path}?camera=absent.json")


def odometry(bag: BagBuilder) -> None:
    for index in range(3):
        bag.odometry(second(0.1 * index), pose(index))


@pytest.mark.parametrize("kind", KINDS)
def test_the_pose_of_a_base_reaches_the_camera_through_tf_static(tmp_path: Path, kind: str) -> None:
    dataset = read_rosbag(str(bag_of(tmp_path, images, info, odometry, static, kind=kind)))
    assert_allclose(dataset.images[2].T_map_camera, pose(2) @ T_BASE_CAMERA, atol=1e-9)
    assert dataset.ground_truth == "/odom, pose of base_link"


def test_odometry_without_extrinsics_lists_the_frames(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="do not connect 'base_link' and 'camera_optical_frame'; frames: none"):
        read_rosbag(str(bag_of(tmp_path, images, info, odometry)))


def test_a_pose_topic_may_be_that_of_another_frame(tmp_path: Path) -> None:
    def amcl(bag: BagBuilder) -> None:
        for index in range(3):
            bag.pose_with_covariance(second(0.1 * index), pose(index))

    path = bag_of(tmp_path, images, info, amcl, odometry, static)
    camera = read_rosbag(str(path)).images[1].T_map_camera
    assert_allclose(camera, pose(1), atol=1e-9)
    base = read_rosbag(f"{path}?pose=/amcl_pose&pose_frame=base_link").images[1].T_map_camera
    assert_allclose(base, pose(1) @ T_BASE_CAMERA, atol=1e-9)


def moving_tf(bag: BagBuilder) -> None:
    """Transform map -> odom stands, odom -> base moves; both are sent every 0.1 s, 50 ms beside the images."""
    for index in range(-1, 4):
        bag.transform(second(0.1 * index + 0.05), "map", "odom", T_MAP_CAMERA)
        step = se3.from_rotation_translation(np.eye(3), [0.1 * index + 0.05, 0.0, 0.0])
        bag.transform(second(0.1 * index + 0.05), "odom", "base_link", step)


@pytest.mark.parametrize("kind", KINDS)
def test_a_chain_of_transforms_at_the_image_stamp(tmp_path: Path, kind: str) -> None:
    dataset = read_rosbag(str(bag_of(tmp_path, images, info, moving_tf, static, kind=kind)))
    for index, image in enumerate(dataset.images):
        step = se3.from_rotation_translation(np.eye(3), [0.1 * index, 0.0, 0.0])
        assert_allclose(image.T_map_camera, T_MAP_CAMERA @ step @ T_BASE_CAMERA, atol=1e-9)
    assert dataset.ground_truth == "/tf from map"


def test_another_fixed_frame(tmp_path: Path) -> None:
    path = bag_of(tmp_path, images, info, moving_tf, static)
    first = read_rosbag(f"{path}?pose=/tf&map_frame=odom").images[0]
    assert_allclose(first.T_map_camera, T_BASE_CAMERA, atol=1e-9)
    with pytest.raises(DatasetError, match="'world' and 'camera_optical_frame'"):
        read_rosbag(f"{path}?pose=/tf&map_frame=world")


def test_images_without_a_pose_are_skipped_and_counted(tmp_path: Path) -> None:
    def late(bag: BagBuilder) -> None:
        bag.pose(second(0.08), pose(0))
        bag.pose(second(0.16), pose(1))

    dataset = read_rosbag(str(bag_of(tmp_path, images, info, late)))
    assert [image.stamp_ns for image in dataset.images] == [second(0.1)]
    assert [skipped.path for skipped in dataset.skipped] == [
        f"/camera/image@{second(0.0)}",
        f"/camera/image@{second(0.2)}",
    ]
    assert {skipped.reason for skipped in dataset.skipped} == {"no pose around the image stamp"}


def test_the_largest_gap_can_be_set(tmp_path: Path) -> None:
    path = bag_of(tmp_path, images, info, truth)
    with pytest.raises(DatasetError, match=r"3 were skipped .no pose around the image stamp"):
        read_rosbag(f"{path}?max_gap_ms=99")
    assert len(read_rosbag(f"{path}?max_gap_ms=101")) == 3
    for value in ("0", "-1", "soon", "inf", "nan"):
        with pytest.raises(DatasetError, match="max_gap_ms"):
            read_rosbag(f"{path}?max_gap_ms={value}")


def test_an_image_sent_twice_counts_once(tmp_path: Path) -> None:
    dataset = read_rosbag(str(bag_of(tmp_path, images, images, info, truth)))
    assert len(dataset) == 3
    assert {skipped.reason for skipped in dataset.skipped} == {"an earlier image has the same stamp"}


@pytest.mark.parametrize("kind", KINDS)
def test_images_that_lie_are_named_when_loaded(tmp_path: Path, kind: str) -> None:
    def lying(bag: BagBuilder) -> None:
        bag.image(second(0.0), picture(40, 30), height=60)
        bag.image(second(0.1), picture(40, 30), encoding="rgb9")
        bag.image(second(0.2), picture(80, 30))

    dataset = read_rosbag(str(bag_of(tmp_path, lying, info, truth, kind=kind)))
    for index, complaint in enumerate(("60 rows", "'rgb9'", "30, 80")):
        with pytest.raises(DatasetError, match=complaint) as error:
            dataset.images[index].frame()
        assert str(second(0.1 * index)) in str(error.value)


@pytest.mark.parametrize(
    ("quat_xyzw", "x", "complaint"), [([0.0] * 4, 0.0, "no direction"), ([0, 0, 0, 1.0], np.nan, "not finite")]
)
def test_poses_that_are_none_are_named(tmp_path: Path, quat_xyzw: list[float], x: float, complaint: str) -> None:
    def broken(bag: BagBuilder) -> None:
        T_map_camera = pose(0)
        T_map_camera[0, 3] = x
        bag.pose(second(0.0), T_map_camera, quat_xyzw=np.array(quat_xyzw))

    path = bag_of(tmp_path, images, info, broken)
    with pytest.raises(DatasetError, match=complaint) as error:
        read_rosbag(str(path))
    assert f"{path}, /ground_truth at {second(0.0)} ns" in str(error.value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kept", [0.0, 0.4, 0.99])
def test_truncated_bags_are_named(tmp_path: Path, kind: str, kept: float) -> None:
    path = bag_of(tmp_path, images, info, truth, kind=kind)
    file = path if path.is_file() else next(file for file in path.iterdir() if file.suffix != ".yaml")
    file.write_bytes(file.read_bytes()[: int(kept * file.stat().st_size)])
    with pytest.raises(DatasetError, match="cannot be read") as error:
        read_rosbag(str(path))
    assert str(path) in str(error.value)


def test_what_is_no_bag(tmp_path: Path) -> None:
    (tmp_path / "notes.bag").write_text("not a bag")
    with pytest.raises(DatasetError, match=r"notes\.bag cannot be read"):
        read_rosbag(str(tmp_path / "notes.bag"))
    with pytest.raises(DatasetError, match="does not exist"):
        read_rosbag(str(tmp_path / "absent.bag"))


def test_unknown_options(tmp_path: Path) -> None:
    path = bag_of(tmp_path, images, info, truth)
    with pytest.raises(DatasetError, match=r"topic is unknown.*known: image, camera_info, pose"):
        read_rosbag(f"{path}?topic=/camera/image")
