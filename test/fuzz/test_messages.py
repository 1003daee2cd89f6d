"""Thousands of malformed messages: each is understood or refused by name, and nothing else happens."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy (a ROS 2 installation or the ros_from_pip overlay)")

from malformed import strange_camera_info, strange_compressed, strange_image

from reloc_ros.cameras.camera import ray_grid
from reloc_ros.errors import CameraError, ImageError
from reloc_ros.node.conversions import camera_info_to_camera, image_to_rgb

pytestmark = pytest.mark.filterwarnings("error")


def test_raw_images_decode_to_their_size_or_are_refused() -> None:
    rng, outcomes = np.random.default_rng(11), Counter[str]()
    for _ in range(4000):
        message = strange_image(rng)
        try:
            image = image_to_rgb(message)
        except ImageError:
            outcomes["refused"] += 1
            continue
        outcomes["taken"] += 1
        assert (image.shape, image.dtype) == ((message.height, message.width, 3), np.uint8)
    assert min(outcomes["refused"], outcomes["taken"]) > 50


def test_compressed_images_decode_or_are_refused() -> None:
    rng, outcomes = np.random.default_rng(12), Counter[str]()
    for _ in range(1500):
        try:
            image = image_to_rgb(strange_compressed(rng))
        except ImageError:
            outcomes["refused"] += 1
            continue
        outcomes["taken"] += 1
        assert (image.ndim, image.shape[2], image.dtype) == (3, 3, np.uint8)
    assert min(outcomes["refused"], outcomes["taken"]) > 50


def test_camera_infos_give_finite_unit_rays_or_are_refused() -> None:
    rng, outcomes = np.random.default_rng(13), Counter[str]()
    for _ in range(4000):
        message = strange_camera_info(rng)
        try:
            camera = camera_info_to_camera(message)
        except CameraError:
            outcomes["refused"] += 1
            continue
        outcomes["taken"] += 1
        np.testing.assert_allclose(np.linalg.norm(ray_grid(camera, 3, 4), axis=1), 1.0, atol=1e-6, err_msg=str(message))
    assert min(outcomes["refused"], outcomes["taken"]) > 50
