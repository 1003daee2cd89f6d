"""What is written is read back by the data sets: images, cameras, stamps and poses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reloc_ros.datasets.bag_writer import EPOCH_NS
from reloc_ros.datasets.posed_images import read_dataset
from reloc_ros.errors import DatasetError
from reloc_ros.geometry import se3
from reloc_ros.synthetic.bag_writer import TOPICS, DriveBag
from reloc_ros.synthetic.camera_look import CameraLook
from reloc_ros.synthetic.render_pool import RenderPool, Shot
from reloc_ros.synthetic.renderer import Renderer
from reloc_ros.synthetic.robot import Robot, demo_camera, planar_pose
from reloc_ros.synthetic.sequence_writer import write_sequence
from reloc_ros.synthetic.trajectories import STEP_S, Drive, OdometryNoise, odometry
from reloc_ros.synthetic.worlds import World

CAMERA = demo_camera(32, 24)
STATES, STEPS_PER_IMAGE = 21, 5
DRIVE = Drive(
    stamps_s=np.arange(STATES) * STEP_S,
    x_y_yaw=np.stack([np.linspace(1, 1.2, STATES), np.full(STATES, 2.0), np.full(STATES, 0.7)], axis=1),
    speed_yaw_rate=np.tile([0.5, 0.0], (STATES, 1)),
    kidnapped_at=(),
    floor_m=0.0,
)


def write_bag(path: Path, storage: str) -> list[np.ndarray]:
    """Write a short drive whose images are plain grey levels; return the images."""
    images = [np.full((24, 32, 3), 10 * k, np.uint8) for k in range(5)]
    noise, robot = OdometryNoise(), Robot()
    odom = odometry(DRIVE, noise, np.random.default_rng(0))
    with DriveBag(path, storage) as bag:
        written = list(bag.write(DRIVE, odom, noise, CAMERA, robot.T_base_camera, images, STEPS_PER_IMAGE))
    assert written == [1, 2, 3, 4, 5]
    return images


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_bag_reads_back(tmp_path: Path, storage: str) -> None:
    images = write_bag(tmp_path / "bag", storage)
    dataset = read_dataset(f"rosbag:{tmp_path / 'bag'}")
    assert len(dataset.images) == len(images)
    for k, posed in enumerate(dataset.images):
        assert posed.stamp_ns == EPOCH_NS + k * 100_000_000
        np.testing.assert_allclose(posed.T_map_camera, DRIVE.T_map_base(5 * k) @ Robot().T_base_camera, atol=1e-12)
        # CameraInfo carries an ideal lens as five zeros.
        assert posed.camera == replace(CAMERA, distortion=(0.0,) * 5)
        assert np.array_equal(posed.frame().image, images[k])


def test_bag_holds_odometry_and_transforms_at_their_own_rate(tmp_path: Path) -> None:
    from rosbags.highlevel import AnyReader

    write_bag(tmp_path / "bag", "mcap")
    with AnyReader([tmp_path / "bag"]) as reader:
        counts = {connection.topic: connection.msgcount for connection in reader.connections}
        stamps = [stamp for _, stamp, _ in reader.messages()]
        transforms = [
            reader.deserialize(data, connection.msgtype).transforms[0]
            for connection, _, data in reader.messages()
            if connection.topic == "/tf"
        ]
    assert set(counts) == {topic for topic, _ in TOPICS.values()}
    assert (counts["/odom"], counts["/tf"], counts["/tf_static"], counts["/camera/camera_info"]) == (21, 21, 1, 5)
    assert stamps == sorted(stamps)
    assert {(t.header.frame_id, t.child_frame_id) for t in transforms} == {("odom", "base_link")}
    assert transforms[3].header.stamp.nanosec == 60_000_000


def test_bag_does_not_overwrite_and_knows_its_storages(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="exists already"):
        DriveBag(tmp_path)
    with pytest.raises(DatasetError, match="mcap"):
        DriveBag(tmp_path / "new", "floppy")


def test_sequence_reads_back(tmp_path: Path) -> None:
    # Not level: quaternions of level cameras read backwards are the same rotation.
    poses = [se3.from_quat_xyzw_translation(np.array([1, 2, 4, 10]) / 11, [1.0, 2.0, 0.9]), np.eye(4)]
    images = [np.full((24, 32, 3), grey, np.uint8) for grey in (40, 90)]
    assert list(write_sequence(tmp_path / "s", CAMERA, images, poses, 10.0, {"world": "room:0"})) == [1, 2]
    dataset = read_dataset(f"panorama_sequences:{tmp_path}")
    for posed, pose, image in zip(dataset.images, poses, images, strict=True):
        np.testing.assert_allclose(posed.T_map_camera, pose, atol=1e-7)
        assert posed.camera == CAMERA
        assert abs(float(posed.frame().image.mean()) - float(image.mean())) < 1
    assert dataset.images[1].stamp_ns == 100_000_000
    with pytest.raises(DatasetError, match="not empty"):
        list(write_sequence(tmp_path / "s", CAMERA, images, poses, 10.0, {}))


def test_render_pool_gives_the_same_pictures_in_order(room: World, room_renderer: Renderer) -> None:
    look = CameraLook(noise=2.0)
    poses = [planar_pose(1.5, 1.0, yaw) @ Robot().T_base_camera for yaw in (0.0, 1.0, 2.0)]
    shots = [Shot(pose, look, (7, k)) for k, pose in enumerate(poses)]
    with RenderPool(room, CAMERA, 1) as pool:
        pictures = list(pool.render(shots))
    for k, (picture, pose) in enumerate(zip(pictures, poses, strict=True)):
        expected = room_renderer.render(CAMERA, pose, look, np.random.default_rng((7, k)))
        assert np.array_equal(picture, expected)
    with pytest.raises(DatasetError, match="at least 1"):
        RenderPool(room, CAMERA, 0)
