"""The camera of an image follows the latest camera_info."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sensor_msgs", reason="needs ROS messages (a ROS 2 installation or the ros_from_pip overlay)")

from fake_robot import camera_info

from reloc_ros.cameras.pinhole import PinholeCamera
from reloc_ros.localization.solve import Failure
from reloc_ros.node.camera_source import CameraSource
from reloc_ros.types import Reason


def reason(found: object) -> Reason:
    assert isinstance(found, Failure)
    return found.reason


def test_a_new_calibration_holds_at_once_and_an_old_one_is_not_computed_again() -> None:
    source = CameraSource("/camera_info")
    assert reason(source.camera("pinhole", 128, 96)) is Reason.NO_CAMERA_INFO
    source.update(camera_info())
    first = source.camera("pinhole", 128, 96)
    assert isinstance(first, PinholeCamera)
    source.update(camera_info())
    assert source.camera("pinhole", 128, 96) is first
    source.update(camera_info(d=[0.0, 0.0, 0.0, 0.0, 0.25]))
    changed = source.camera("pinhole", 128, 96)
    assert isinstance(changed, PinholeCamera)
    assert changed.distortion[4] == 0.25
    source.update(camera_info(k=np.zeros(9)))
    assert reason(source.camera("pinhole", 128, 96)) is Reason.NO_CAMERA_INFO
    source.update(camera_info())
    assert reason(source.camera("pinhole", 96, 128)) is Reason.CAMERA_MISMATCH
    assert source.camera("equirectangular", 96, 128).width == 96
