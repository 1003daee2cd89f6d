"""Drives in trouble: seeded, rendered, and each trouble where and when it is said to be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_world import small_world

from reloc_ros.cameras.pinhole import PinholeCamera
from reloc_ros.geometry import rotation, se3
from reloc_ros.synthetic.crowd import Crowd
from reloc_ros.synthetic.robot import Robot, demo_camera
from reloc_ros.synthetic.troubled_drives import Trouble, TroubledDrive, plan, render
from reloc_ros.synthetic.worlds import World
from reloc_ros.types import Image

ROBOT = Robot()
CAMERA: PinholeCamera = demo_camera(64, 48)
SHORT = Trouble(before_s=2.0, during_s=1.0, after_s=1.0)


@pytest.fixture(scope="module")
def world() -> World:
    return small_world()


def images(drive: TroubledDrive, trouble: Trouble, world: World) -> list[Image]:
    return list(render(drive, trouble, CAMERA, world, None, seed=1, workers=1))


def test_a_covered_camera_sees_nothing_while_it_is_covered(world: World) -> None:
    trouble = replace(SHORT, covered=True)
    drive = plan("blackout", trouble, world, None, ROBOT, seed=1)
    brightness = np.array([image.mean() for image in images(drive, trouble, world)])
    assert len(brightness) == 20
    assert np.all(brightness[drive.troubled] < 8.0)
    assert np.all(brightness[~drive.troubled] > 30.0)
    again = plan("blackout", trouble, world, None, ROBOT, seed=1)
    np.testing.assert_array_equal(again.T_odom_base, drive.T_odom_base)


def test_a_bump_turns_the_camera_and_not_the_robot(world: World) -> None:
    drive = plan("bumped", replace(SHORT, bump_deg=5.0), world, None, ROBOT, seed=1)
    for index in (0, 9, 10, 19):
        T_base_camera = se3.inverse(drive.T_map_base[index]) @ drive.T_map_camera[index]
        turned = rotation.log(T_base_camera[:3, :3] @ ROBOT.T_base_camera[:3, :3].T)
        np.testing.assert_allclose(turned, [0.0, 0.0, np.radians(5.0) * (index >= 10)], atol=1e-9)
        np.testing.assert_allclose(T_base_camera[:3, 3], ROBOT.T_base_camera[:3, 3], atol=1e-9)


def test_odometry_goes_on_where_the_robot_is_carried(world: World) -> None:
    drive = plan("kidnap", Trouble(before_s=3.0, during_s=0.0, after_s=3.0, carried=True), world, None, ROBOT, seed=2)
    assert drive.carried_s == (3.0,)
    steps_m = np.linalg.norm(np.diff(drive.T_odom_base[:, :3, 3], axis=0), axis=1)
    carried_m = np.linalg.norm(np.diff(drive.T_map_base[:, :3, 3], axis=0), axis=1)
    assert np.max(steps_m) < 0.2
    assert np.argmax(carried_m) == 14
    assert carried_m[14] > 0.2


def test_people_hide_their_share_of_the_picture_and_move() -> None:
    grey = np.full((96, 128, 3), 100, np.uint8)
    crowd = Crowd(0.4, np.random.default_rng(5))
    seconds = np.linspace(0.0, 40.0, 60)
    hidden = np.array([np.any(crowd.before(grey, time_s) != grey, axis=2) for time_s in seconds])
    assert 0.3 < hidden.mean() < 0.6
    assert np.any(hidden[0] != hidden[1])
    assert np.all(crowd.before(grey, 3.0) == crowd.before(grey, 3.0))
    np.testing.assert_array_equal(Crowd(0.0, np.random.default_rng(5)).before(grey, 1.0), grey)
    with pytest.raises(ValueError, match=r"expected 0 to 0\.8"):
        Crowd(0.9, np.random.default_rng(5))
