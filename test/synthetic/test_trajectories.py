"""Drives keep to the floor and to the robot's limits; odometry drifts as it should."""

from __future__ import annotations

import numpy as np
import pytest

from reloc_ros.errors import DatasetError
from reloc_ros.geometry import se3
from reloc_ros.synthetic.demo_drive import plan_demo_drive
from reloc_ros.synthetic.free_space import FreeSpace, free_space
from reloc_ros.synthetic.robot import Robot
from reloc_ros.synthetic.trajectories import STEP_S, Drive, OdometryNoise, drive_through, kidnapped, odometry
from reloc_ros.synthetic.viewpoints import random_viewpoints
from reloc_ros.synthetic.worlds import World
from reloc_ros.types import Array

ROBOT = Robot()
SILENT = OdometryNoise(turn_per_turn=0, turn_per_way=0, way_per_way=0, way_per_turn=0, way_scale=0, turn_scale=0)


@pytest.fixture(scope="module")
def space(apartment: World) -> FreeSpace:
    """Where the robot fits in the apartment."""
    return free_space(apartment.mesh, ROBOT.radius_m, ROBOT.height_m)


@pytest.fixture(scope="module")
def drive(space: FreeSpace, apartment: World) -> Drive:
    """A drive of 40 s."""
    return drive_through(space, ROBOT, apartment.rooms, 40.0, np.random.default_rng(3))


def test_drive_stays_on_free_floor_within_the_limits(drive: Drive, space: FreeSpace) -> None:
    assert len(drive.stamps_s) == 2001
    assert space.is_free(drive.x_y_yaw[:, :2]).all()
    speed, yaw_rate = drive.speed_yaw_rate.T
    assert speed.min() >= 0
    assert speed.max() <= ROBOT.max_speed_m_s + 1e-9
    assert np.abs(yaw_rate).max() <= ROBOT.max_yaw_rate_rad_s + 1e-9
    assert np.abs(np.diff(speed)).max() <= ROBOT.max_acceleration_m_s2 * STEP_S + 1e-9
    assert np.abs(np.diff(yaw_rate)).max() <= ROBOT.max_yaw_acceleration_rad_s2 * STEP_S + 1e-9
    assert speed.sum() * STEP_S > 10.0


def test_drive_visits_several_rooms(drive: Drive, apartment: World) -> None:
    x, y = drive.x_y_yaw[:, 0], drive.x_y_yaw[:, 1]
    visited = [
        name for name, (x0, y0, x1, y1) in apartment.rooms.items() if ((x > x0) & (x < x1) & (y > y0) & (y < y1)).any()
    ]
    assert len(visited) >= 3


def test_state_and_controls_agree(drive: Drive) -> None:
    moved = np.linalg.norm(np.diff(drive.x_y_yaw[:, :2], axis=0), axis=1)
    np.testing.assert_allclose(moved, drive.speed_yaw_rate[1:, 0] * STEP_S, atol=1e-9)
    np.testing.assert_allclose(np.diff(drive.x_y_yaw[:, 2]), drive.speed_yaw_rate[1:, 1] * STEP_S, atol=1e-9)


def _in_map(odom: Array, start: Array) -> Array:
    c, s = np.cos(start[2]), np.sin(start[2])
    return odom[:, :2] @ np.array([[c, s], [-s, c]]) + start[:2]


def test_odometry_without_noise_is_the_truth_and_with_noise_drifts_a_little(drive: Drive) -> None:
    start, way = drive.x_y_yaw[0], drive.speed_yaw_rate[:, 0].sum() * STEP_S
    exact = odometry(drive, SILENT, np.random.default_rng(0))
    np.testing.assert_allclose(_in_map(exact, start), drive.x_y_yaw[:, :2], atol=1e-6)
    ends = [
        _in_map(odometry(drive, OdometryNoise(), np.random.default_rng(seed)), start)[-1] - drive.x_y_yaw[-1, :2]
        for seed in range(12)
    ]
    drift = float(np.median(np.linalg.norm(ends, axis=1)))
    assert 0.002 * way < drift < 0.08 * way
    assert np.linalg.norm(ends[0] - ends[1]) > 1e-3


def test_kidnap_jumps_in_the_map_but_not_in_odometry(drive: Drive, space: FreeSpace, apartment: World) -> None:
    after = drive_through(space, ROBOT, apartment.rooms, 10.0, np.random.default_rng(8), start_room="kitchen")
    both = kidnapped(drive, after)
    (index,) = both.kidnapped_at
    assert index == len(drive.stamps_s)
    np.testing.assert_allclose(np.diff(both.stamps_s), STEP_S)
    assert np.linalg.norm(both.x_y_yaw[index, :2] - both.x_y_yaw[index - 1, :2]) > 1.0
    odom = odometry(both, OdometryNoise(), np.random.default_rng(0))
    assert np.linalg.norm(np.diff(odom[:, :2], axis=0), axis=1).max() < 0.05


def test_camera_sits_on_the_robot_and_looks_forward() -> None:
    T_base_camera = ROBOT.T_base_camera
    assert se3.is_rigid(T_base_camera)
    np.testing.assert_allclose(T_base_camera @ [0, 0, 1, 1], [1.1, 0, 1.0, 1])
    np.testing.assert_allclose(T_base_camera @ [1, 0, 0, 1], [0.1, -1, 1.0, 1])


def test_viewpoints_cover_the_floor_and_all_headings(space: FreeSpace) -> None:
    poses = np.array(random_viewpoints(space, ROBOT, 1500, np.random.default_rng(1)))
    assert all(se3.is_rigid(pose) for pose in poses)
    forward = poses[:, :3, 2]
    base = poses[:, :2, 3] - ROBOT.camera_forward_m * forward[:, :2]
    # Tilt moves the camera by a centimetre or two, the cell border may be that near.
    assert space.is_free(base).mean() > 0.95
    heading = np.arctan2(forward[:, 1], forward[:, 0])
    counts, _ = np.histogram(heading, bins=12, range=(-np.pi, np.pi))
    assert counts.min() > 80
    assert np.abs(poses[:, 2, 3] - 1.0).max() < 0.12
    cells = {tuple(cell) for cell in space.cells(base) // 10}
    reachable = {tuple(cell) for cell in np.argwhere(space.free) // 10}
    assert len(cells & reachable) > 0.85 * len(reachable)


def test_demo_drive_is_dark_then_kidnapped(space: FreeSpace, apartment: World) -> None:
    demo = plan_demo_drive(space, ROBOT, apartment, 20.0, np.random.default_rng(5))
    assert len(demo.steps) == 201
    np.testing.assert_array_equal(np.diff(demo.stamps_ns), 100_000_000)
    dark = np.flatnonzero(demo.black)
    assert 8 <= len(dark) <= 16
    kidnap = int(np.searchsorted(demo.stamps_ns, demo.kidnap_ns))
    assert dark[-1] < kidnap
    jumps = np.linalg.norm(np.diff(demo.T_map_camera[:, :2, 3], axis=0), axis=1)
    assert int(np.argmax(jumps)) + 1 == kidnap
    assert jumps.max() > 1.5
    with pytest.raises(DatasetError, match="too short"):
        plan_demo_drive(space, ROBOT, apartment, 3.0, np.random.default_rng(5))
