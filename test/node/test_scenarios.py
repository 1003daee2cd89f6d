"""Scenarios of trouble over DDS, the node in its own process: short ones, with a network that knows the truth.

`reloc bench scenarios` plays them in full, with the apartment's bundle and rendered images.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy (a ROS 2 installation or the ros_from_pip overlay)")

from small_world import small_world

from reloc_ros.cli.bench_scenarios import play_drive, play_twins
from reloc_ros.evaluation.scenario_report import Played, scenario_figures
from reloc_ros.node.oracle_image import CAMERA, Plant, write
from reloc_ros.node.soak import MODULE
from reloc_ros.synthetic.robot import Robot
from reloc_ros.synthetic.troubled_drives import Trouble, TroubledDrive, plan
from reloc_ros.types import Image

pytestmark = pytest.mark.usefixtures("ros_domain_id")

ROBOT = Robot()


def play(drive: TroubledDrive, images: Iterator[Image]) -> Played:
    return play_drive(drive, images, CAMERA, ROBOT.T_base_camera, {"bundle": "oracle"}, module=MODULE)


def test_a_covered_camera_ends_poses_and_light_brings_them_back() -> None:
    trouble = Trouble(before_s=12.0, during_s=5.0, after_s=4.0)
    drive = plan("blackout", trouble, small_world(), None, ROBOT, seed=3)
    images = (
        write(T_map_camera, Plant.NOTHING_SEEN if troubled else Plant.NOTHING)
        for T_map_camera, troubled in zip(drive.T_map_camera, drive.troubled)
    )
    figures = scenario_figures(play(drive, images))
    assert figures["complaints"] == []
    assert figures["poses_in_trouble"] == 0
    assert figures["availability_in_trouble"] == 1.0
    assert figures["rejections_in_trouble"] == {"too_few_inliers": 25}
    assert figures["poses"] > 20
    assert figures["worst_m"] < 0.1


def test_a_kidnapped_robot_is_right_again_and_said_nothing_wrong() -> None:
    trouble = Trouble(before_s=12.0, during_s=0.0, after_s=15.0, carried=True)
    drive = plan("kidnap", trouble, small_world(), None, ROBOT, seed=4)
    figures = scenario_figures(play(drive, (write(T_map_camera) for T_map_camera in drive.T_map_camera)))
    assert figures["complaints"] == []
    assert 0.0 < figures["again_s"] < 15.0
    assert figures["worst_m"] < 0.3


def test_between_twin_rooms_nothing_wrong_is_said() -> None:
    played = play_twins(1, seconds=12.0)
    assert len(played.states) == 60
    figures = scenario_figures(played)
    assert figures["false_fixes"] == 0
    assert figures["complaints"] == []
    # It was tried: most images gave a fix, and four in ten of those were in the wrong room.
    assert np.mean([rejection == "" for rejection in played.rejections]) > 0.8
