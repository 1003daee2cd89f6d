"""Rigs: one camera made of several."""

from __future__ import annotations

import numpy as np
import pytest

from reloc_ros.cameras.canvas import Canvas
from reloc_ros.cameras.pinhole import PinholeCamera
from reloc_ros.cameras.rig import RigCamera
from reloc_ros.errors import CameraError, ImageError
from reloc_ros.geometry import rotation, se3

FRONT = PinholeCamera(40, 30, np.array([[25.0, 0.0, 19.5], [0.0, 25.0, 14.5], [0.0, 0.0, 1.0]]))
RIGHT = PinholeCamera(32, 20, np.array([[20.0, 0.0, 15.5], [0.0, 20.0, 9.5], [0.0, 0.0, 1.0]]))
# The second camera looks along +x, to the right of the rig.
T_RIG_RIGHT = se3.from_rotation_translation(rotation.exp([0.0, np.pi / 2, 0.0]), [0.1, 0.0, 0.0])
RIG = RigCamera((FRONT, RIGHT), (np.eye(4), T_RIG_RIGHT))


def test_the_image_of_a_rig_is_those_of_its_cameras_one_below_the_other() -> None:
    front, right = np.full((30, 40, 3), 10, np.uint8), np.full((20, 32, 3), 200, np.uint8)
    image = RIG.join([front, right])
    assert image.shape == (RIG.height, RIG.width, 3) == (50, 40, 3)
    views = RIG.views(image)
    np.testing.assert_array_equal(views[0].image, front)
    np.testing.assert_array_equal(views[1].image, right)
    assert views[1].camera == RIGHT


def test_the_right_camera_is_painted_right_of_the_middle() -> None:
    image = RIG.join([np.full((30, 40, 3), 10, np.uint8), np.full((20, 32, 3), 200, np.uint8)])
    canvas = Canvas(64, 32).paint_rig(RIG.views(image))
    assert canvas[16, 32].tolist() == [10, 10, 10, 255]
    assert canvas[16, 48].tolist() == [200, 200, 200, 255]
    assert canvas[16, 16].tolist() == [0, 0, 0, 0]


def test_rays_and_projection_are_those_of_the_cameras() -> None:
    pixels = np.array([[19.5, 14.5], [15.5, 39.5], [36.0, 45.0]])
    rays = RIG.rays(pixels)
    np.testing.assert_allclose(rays[:2], [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]], atol=1e-12)
    assert np.isnan(rays[2]).all()
    found, seen = RIG.project(np.array([[0.0, 0.0, 4.0], [4.1, 0.0, 0.0], [-3.0, 0.0, 0.0]]))
    assert seen.tolist() == [True, True, False]
    np.testing.assert_allclose(found[:2], pixels[:2], atol=1e-9)


def test_what_makes_no_rig_is_refused() -> None:
    with pytest.raises(CameraError, match="2 cameras and 1 poses"):
        RigCamera((FRONT, RIGHT), (np.eye(4),))
    with pytest.raises(CameraError, match="resize the images of its cameras"):
        RIG.resized(20, 25)
    with pytest.raises(CameraError, match="crop its cameras"):
        RIG.cropped(0, 0, 5, 5)
    with pytest.raises(ImageError, match="its camera says"):
        RIG.join([np.zeros((30, 40, 3), np.uint8), np.zeros((20, 40, 3), np.uint8)])
    assert RIG.to_dict()["model"] == "rig"
