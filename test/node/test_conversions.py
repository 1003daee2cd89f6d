"""Messages and nouns, pinned by asymmetric literals."""

from __future__ import annotations

import array

import numpy as np
import pytest

pytest.importorskip("sensor_msgs", reason="needs ROS messages (a ROS 2 installation or the ros_from_pip overlay)")

from builtin_interfaces.msg import Time
from geometry_msgs.msg import Pose
from hypothesis import given
from hypothesis import strategies as st
from sensor_msgs.msg import CameraInfo, Image, RegionOfInterest

from reloc_ros.errors import CameraError
from reloc_ros.node import conversions

# Quaternion (1, 2, 4, 10) / 11 as a matrix, by the textbook formula.
R = np.array([[81, -76, 48], [84, 87, -4], [-32, 36, 111]]) / 121.0
T = np.block([[R, np.array([[1.5], [-2.5], [0.25]])], [np.zeros((1, 3)), np.ones((1, 1))]])


@given(st.integers(min_value=0, max_value=2**31 * 10**9 - 1))
def test_stamps_survive(stamp_ns: int) -> None:
    assert conversions.stamp_to_ns(conversions.ns_to_stamp(stamp_ns)) == stamp_ns


def test_stamp_literal() -> None:
    assert conversions.stamp_to_ns(Time(sec=3, nanosec=5)) == 3_000_000_005


def test_pose_literal() -> None:
    pose = Pose()
    pose.position.x, pose.position.y, pose.position.z = 1.5, -2.5, 0.25
    q = pose.orientation
    q.x, q.y, q.z, q.w = (value / 11 for value in (1.0, 2.0, 4.0, 10.0))
    np.testing.assert_allclose(conversions.pose_to_matrix(pose), T, atol=1e-12)
    back = conversions.matrix_to_pose(T)
    assert back.orientation.w == pytest.approx(10 / 11)
    assert back.orientation.x == pytest.approx(1 / 11)
    assert back.position == pose.position


def test_transform_literal() -> None:
    message = conversions.matrix_to_transform(T, parent="map", child="odom", stamp_ns=2_000_000_001)
    assert (message.header.frame_id, message.child_frame_id) == ("map", "odom")
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (2, 1)
    assert message.transform.translation.y == -2.5
    assert message.transform.rotation.z == pytest.approx(4 / 11)
    np.testing.assert_allclose(conversions.transform_to_matrix(message.transform), T, atol=1e-12)


def test_covariance_is_row_major() -> None:
    covariance = np.arange(36.0).reshape(6, 6)
    message = conversions.pose_with_covariance(T, covariance, map_frame="map", stamp_ns=0)
    assert message.pose.covariance[6 * 1 + 4] == covariance[1, 4]


def test_image_message() -> None:
    message = Image(width=2, height=1, step=7, encoding="bgr8", data=array.array("B", [1, 2, 3, 4, 5, 6, 99]))
    assert conversions.image_to_rgb(message).tolist() == [[[3, 2, 1], [6, 5, 4]]]


def test_camera_info_with_region_and_binning() -> None:
    message = CameraInfo(width=640, height=480, distortion_model="plumb_bob", binning_x=2, binning_y=4)
    message.k = np.array([500.0, 0, 320.0, 0, 510.0, 250.0, 0, 0, 1])
    message.d = [0.1, -0.2, 0.001, 0.002, 0.05]
    message.roi = RegionOfInterest(x_offset=20, y_offset=40, width=600, height=400)
    camera = conversions.camera_info_to_camera(message)
    assert (camera.width, camera.height) == (300, 100)
    # (u + 0.5) / 2 - 0.5 of the shifted principal point (300, 210).
    expected = [[250.0, 0.0, 149.75], [0.0, 127.5, 52.125], [0.0, 0.0, 1.0]]
    np.testing.assert_allclose(camera.to_dict()["K"], expected, atol=1e-12)
    assert camera.to_dict()["distortion"] == [0.1, -0.2, 0.001, 0.002, 0.05]


def test_an_uncalibrated_camera_is_refused() -> None:
    with pytest.raises(CameraError, match="uncalibrated"):
        conversions.camera_info_to_camera(CameraInfo(width=640, height=480))
