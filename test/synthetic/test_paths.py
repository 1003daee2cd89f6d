"""Paths have the length and the spacing asked for, stay on free floor, and are the same at every height."""

from __future__ import annotations

import numpy as np
import pytest

from reloc_ros.errors import DatasetError
from reloc_ros.synthetic.free_space import FreeSpace, free_space
from reloc_ros.synthetic.paths import SPACING_RAD, camera_poses, random_path
from reloc_ros.synthetic.robot import Robot
from reloc_ros.synthetic.trajectories import Drive
from reloc_ros.synthetic.worlds import World

ROBOT = Robot(radius_m=0.2, height_m=1.8)
STEP_M = 0.7 * 0.02
"""The fastest robot's way between two states of a drive."""


@pytest.fixture(scope="module")
def space(room: World) -> FreeSpace:
    """Where the robot fits in the room with the table."""
    return free_space(room.mesh, ROBOT.radius_m, ROBOT.height_m)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_length_and_spacing_are_within_their_limits(room: World, space: FreeSpace, seed: int) -> None:
    path = random_path(space, ROBOT, room.rooms, np.random.default_rng(seed), (3.0, 6.0), (0.15, 0.25))
    steps = np.linalg.norm(np.diff(path.x_y_yaw[:, :2], axis=0), axis=1)
    turns = np.abs(np.diff(path.x_y_yaw[:, 2]))
    assert 3.0 - 0.25 - STEP_M < path.length_m < 6.0 + STEP_M
    # Chords are a little shorter than the arcs that are driven.
    assert 0.97 * path.length_m < steps.sum() <= path.length_m + 1e-9
    assert steps.max() < 0.25 + STEP_M
    assert turns.max() < SPACING_RAD + 1.1 * 0.02 + 1e-6
    assert ((steps > 0.15 - 1e-3) | (turns > SPACING_RAD - 0.1)).all()
    assert space.is_free(path.x_y_yaw[:, :2]).all()


def test_path_is_that_of_its_seed(room: World, space: FreeSpace) -> None:
    def drive(seed: int) -> np.ndarray:
        return random_path(space, ROBOT, room.rooms, np.random.default_rng(seed), (2.0, 4.0)).x_y_yaw

    assert np.array_equal(drive(4), drive(4))
    assert not np.array_equal(drive(4)[:5], drive(5)[:5])


def test_cameras_at_all_heights_take_the_same_path_nearly_level(room: World, space: FreeSpace) -> None:
    path = random_path(space, ROBOT, room.rooms, np.random.default_rng(1), (2.0, 4.0))
    for height_m in (0.1, 1.7):
        poses = np.array(camera_poses(path, height_m, np.random.default_rng(7)))
        x, y, z = poses[:, :3, 3].T
        # Tilting about the base moves a camera on a mast.
        assert np.hypot(x - path.x_y_yaw[:, 0], y - path.x_y_yaw[:, 1]).max() < 0.06 * height_m + 1e-6
        assert np.abs(z - height_m).max() < 0.02
        assert z.std() > 1e-3
        forward, down = poses[:, :3, 2], poses[:, :3, 1]
        yaw = np.arctan2(forward[:, 1], forward[:, 0])
        error = np.angle(np.exp(1j * (yaw - path.x_y_yaw[:, 2])))
        assert np.abs(error).max() < 0.01
        assert (down[:, 2] < -0.998).all()


def test_a_world_too_narrow_to_drive_is_named(room: World, space: FreeSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    still = Drive(
        stamps_s=np.arange(3) * 0.02,
        x_y_yaw=np.ones((3, 3)),
        speed_yaw_rate=np.zeros((3, 2)),
        kidnapped_at=(),
        floor_m=0.0,
    )
    monkeypatch.setattr("reloc_ros.synthetic.paths.drive_through", lambda *_: still)
    with pytest.raises(DatasetError, match=r"0\.0 m of .* shorter"):
        random_path(space, ROBOT, room.rooms, np.random.default_rng(1))
