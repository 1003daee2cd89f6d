"""A bag without a camera gets one: its own messages stay, images lie on its trajectory, and it maps like any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bag_files import BagBuilder, second
from numpy.testing import assert_allclose
from rosbags.highlevel import AnyReader
from scipy.spatial.transform import Rotation

from reloc_ros.datasets.posed_images import read_dataset
from reloc_ros.errors import DatasetError
from reloc_ros.geometry import se3
from reloc_ros.mapping.source import complete_options, read_drive
from reloc_ros.synthetic.filmed_bag import plan_filming, write_filmed_bag
from reloc_ros.synthetic.free_space import free_space
from reloc_ros.synthetic.hall import CLEARANCE_M, hall_around
from reloc_ros.synthetic.robot import demo_camera

OPTICAL = "oakd_rgb_camera_optical_frame"


def planar(x: float, y: float, yaw: float) -> np.ndarray:
    return se3.from_rotation_translation(Rotation.from_euler("z", yaw).as_matrix(), np.array([x, y, 0.0]))


def record(folder: Path, *, with_map: bool = True) -> Path:
    """Write what a nav2 robot publishes: odometry on /tf at 20 Hz, AMCL's correction at 10 Hz, a camera frame."""
    with BagBuilder(folder, "mcap") as bag:
        T_base_camera = se3.from_rotation_translation(
            np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]), np.array([0.1, 0.02, 0.24])
        )
        bag.transform(second(0), "base_link", OPTICAL, T_base_camera, topic="/tf_static")
        for k in range(41):
            bag.transform(second(0.05 * k), "odom", "base_link", planar(0.05 * k, 0.1, 0.02 * k))
            if with_map and k % 2 == 0:
                bag.transform(second(0.05 * k), "map", "odom", planar(3.0, -1.0, 0.5))
    return bag.path


def test_images_are_where_the_transforms_say(tmp_path: Path) -> None:
    filming = plan_filming(record(tmp_path), 10.0, OPTICAL)
    assert len(filming.stamps_ns) == 20
    truth = planar(3.0, -1.0, 0.5) @ planar(1.0, 0.1, 0.4)
    assert_allclose(filming.T_map_camera[10][:3, 3], (truth @ [0.1, 0.02, 0.24, 1.0])[:3], atol=1e-6)
    assert_allclose(filming.T_map_camera[10][:3, 2], truth[:3, 0], atol=1e-6)


def test_the_filmed_bag_is_read_as_a_nav2_robots_recording(tmp_path: Path) -> None:
    bag, out = record(tmp_path), tmp_path / "filmed"
    filming = plan_filming(bag, 10.0, OPTICAL)
    camera = demo_camera(24, 16, 80.0)
    pictures = [np.full((16, 24, 3), 10 * k, np.uint8) for k in range(20)]
    assert list(write_filmed_bag(bag, out, filming, camera, pictures)) == list(range(1, 21))
    options = complete_options(out, {})
    assert options == {"pose": "/tf"}
    drive = read_drive(out, options)
    # The reader does not extrapolate: the first and the last image may lie at the edge of the transforms.
    assert len(drive) >= 18
    index = next(i for i, image in enumerate(drive.images) if image.stamp_ns == filming.stamps_ns[7])
    assert_allclose(drive.images[index].T_map_camera, filming.T_map_camera[7], atol=1e-6)
    assert drive.images[index].frame().image.max() == 70
    assert_allclose(drive.images[index].camera.K, camera.K)
    with AnyReader([bag]) as before, AnyReader([out]) as after:
        counts = [{c.topic: c.msgcount for c in reader.connections} for reader in (before, after)]
    assert counts[1] == {**counts[0], "/camera/image": 20, "/camera/camera_info": 20}


def test_without_a_camera_frame_one_is_mounted_on_the_base(tmp_path: Path) -> None:
    bag, out = record(tmp_path), tmp_path / "filmed"
    filming = plan_filming(bag, 5.0)
    assert filming.T_map_camera[0][2, 3] == pytest.approx(0.5)
    pictures = [np.zeros((16, 24, 3), np.uint8)] * len(filming.stamps_ns)
    list(write_filmed_bag(bag, out, filming, demo_camera(24, 16, 80.0), pictures))
    found = read_dataset(f"rosbag:{out}?pose=/tf")
    assert_allclose(found.images[3].T_map_camera, filming.T_map_camera[3], atol=1e-6)


def test_a_bag_that_does_not_say_where_the_robot_was_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="do not connect 'map'"):
        plan_filming(record(tmp_path, with_map=False), 10.0, OPTICAL)


def test_nothing_stands_in_the_way_of_the_path() -> None:
    turns = np.linspace(0, 2 * np.pi, 40)
    path = np.stack([7.0 + 1.2 * np.cos(turns), 0.8 * np.sin(turns) - 3.0], axis=1)
    world = hall_around(path, 4)
    space = free_space(world.mesh, CLEARANCE_M - 0.15, 1.2)
    assert space.is_free(path).all()
    assert world.rooms["hall"] == pytest.approx((4.3, -5.3, 9.7, -0.7), abs=0.02)


def test_a_path_as_long_as_a_street_needs_a_mesh() -> None:
    with pytest.raises(DatasetError, match="give a mesh file"):
        hall_around(np.array([[0.0, 0.0], [80.0, 0.0]]), 0)


def test_the_recording_of_a_real_nav2_run(shared_data: Path) -> None:
    filming = plan_filming(shared_data / "bags" / "nav2_turtlebot.mcap", 1.0, OPTICAL)
    assert len(filming.stamps_ns) > 80
    xy = filming.T_map_camera[:, :2, 3]
    assert np.ptp(xy, axis=0) == pytest.approx([14.9, 4.6], abs=0.5)
    assert_allclose(filming.T_map_camera[:, 2, 3], 0.244, atol=0.01)
    # Level: the image's down is the map's.
    assert np.all(filming.T_map_camera[:, 2, 1] < -0.99)
