"""Pictures show what stands where, for every camera model, at the right pixel."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from reloc_ros.cameras.equirectangular import EquirectangularCamera
from reloc_ros.cameras.pinhole import PinholeCamera
from reloc_ros.geometry import se3
from reloc_ros.synthetic.camera_look import CameraLook, develop
from reloc_ros.synthetic.mesh import MeshBuilder
from reloc_ros.synthetic.renderer import Renderer
from reloc_ros.synthetic.robot import Robot, demo_camera, planar_pose
from reloc_ros.types import Array, Image

CAMERA = demo_camera(64, 48)
LEVEL = Robot(camera_height_m=1.2, camera_forward_m=0.0).T_base_camera


def colour_name(pixel: Array) -> str:
    """Return which wall a pixel shows."""
    red, green, blue = (float(value) for value in pixel)
    if max(red, green, blue) < 1.3 * min(red, green, blue) + 5:
        return "grey"
    if min(red, green) > 1.5 * blue:
        return "south"
    return {0: "east", 1: "north", 2: "west"}[int(np.argmax((red, green, blue)))]


@pytest.mark.parametrize(("yaw_deg", "wall"), [(0, "east"), (90, "north"), (180, "west"), (270, "south")])
def test_pinhole_looks_along_the_base_x_axis(room_renderer: Renderer, yaw_deg: float, wall: str) -> None:
    image = room_renderer.render(CAMERA, planar_pose(2.0, 1.5, np.radians(yaw_deg)) @ LEVEL)
    assert colour_name(image[10, 32]) == wall


def test_floor_is_at_the_bottom_and_the_right_hand_wall_on_the_right(room_renderer: Renderer) -> None:
    image = room_renderer.render(demo_camera(64, 48, 120.0), planar_pose(2.0, 1.5, 0.0) @ LEVEL)
    assert colour_name(image[46, 24]) == "grey"
    assert colour_name(image[24, 63]) == "south"
    assert colour_name(image[24, 0]) == "north"


def test_panorama_has_the_view_ahead_in_the_middle_and_right_of_it_the_right(room_renderer: Renderer) -> None:
    image = room_renderer.render(EquirectangularCamera(width=96, height=48), planar_pose(2.0, 1.5, 0.0) @ LEVEL)
    assert [colour_name(image[22, u]) for u in (48, 72, 24, 0)] == ["east", "south", "north", "west"]
    assert colour_name(image[46, 10]) == "grey"


def test_an_edge_lies_where_the_camera_projects_it() -> None:
    """A white square on black, distorted lens, tilted camera: its corners are where `project` says."""
    texture = np.zeros((100, 100, 3), np.uint8)
    texture[30:70, 30:70] = 255
    builder = MeshBuilder()
    builder.quad((3.0, 1.0, 2.0), (0, -2, 0), (0, 0, -2), builder.texture(texture))
    renderer = Renderer(builder.build(), np.zeros((8, 16, 3), np.uint8))
    K = np.array([[150.0, 0, 103.0], [0, 140.0, 71.0], [0, 0, 1]])
    camera = PinholeCamera(200, 150, K, "plumb_bob", (-0.2, 0.03, 0.002, -0.001))
    T_map_camera = planar_pose(0.4, 0.1, 0.15) @ LEVEL
    bright = renderer.light(camera, T_map_camera)[..., 0].astype(float)
    v, u = np.mgrid[:150, :200]
    measured = np.array([(u * bright).sum(), (v * bright).sum()]) / bright.sum()
    # The centroid of the square's picture, from many of its points weighted by the area each covers.
    grid = np.linspace(-0.4, 0.4, 81)
    y, z = (a.ravel() for a in np.meshgrid(grid, grid + 1.0))
    corners = np.stack([np.full_like(y, 3.0), y, z], axis=1)
    pixels, seen = camera.project(se3.transform_points(se3.inverse(T_map_camera), corners))
    assert seen.all()
    mask = np.zeros((150, 200), np.uint8)
    outline = cv2.convexHull(np.rint(pixels * 16).astype(np.int32))
    cv2.fillConvexPoly(mask, outline, 255, cv2.LINE_AA, 4)
    expected = np.array([(u * mask).sum(), (v * mask).sum()]) / mask.sum()
    np.testing.assert_allclose(measured, expected, atol=0.25)


def test_distant_fine_texture_turns_grey_instead_of_flickering() -> None:
    checks = np.kron(np.indices((64, 64)).sum(axis=0) % 2, np.ones((4, 4)))
    texture = np.repeat((checks * 255).astype(np.uint8)[..., None], 3, axis=2)
    builder = MeshBuilder()
    builder.quad((6.0, 0.5, 1.7), (0, -1, 0), (0, 0, -1), builder.texture(texture))
    renderer = Renderer(builder.build(), np.zeros((8, 16, 3), np.uint8))
    light = renderer.light(demo_camera(320, 240), planar_pose(0, 0, 0) @ LEVEL)[..., 1]
    inside = light[115:125, 155:165]
    # Half of the texels are white: their mean is grey 127, whose linear light is 0.25.
    assert inside.std() < 0.05
    assert inside.mean() == pytest.approx(0.25, abs=0.05)


def test_rendering_is_repeatable_and_noise_follows_its_seed(room_renderer: Renderer) -> None:
    pose = planar_pose(1.0, 1.0, 0.5) @ LEVEL
    look = CameraLook(noise=3.0, exposure=1.2, vignette=0.2)

    def shoot(seed: int) -> Image:
        return room_renderer.render(CAMERA, pose, look, np.random.default_rng(seed))

    assert np.array_equal(shoot(4), shoot(4))
    assert not np.array_equal(shoot(4), shoot(5))


def test_brighter_light_of_the_same_scene_is_exposed_alike() -> None:
    light = np.random.default_rng(0).random((24, 32, 3)).astype(np.float32) * 0.4
    dim, bright = (develop(light * factor, CameraLook()).astype(float).mean() for factor in (0.5, 1.0))
    assert abs(dim - bright) < 12
    assert develop(light, CameraLook(exposure=1e-4)).max() < 5


def test_floor_plan_has_north_on_top_and_the_table_in_its_corner(room_renderer: Renderer) -> None:
    plan = room_renderer.floor_plan((0.0, 0.0, 4.0, 3.0), 0.5, 0.05)
    assert plan.shape == (60, 80, 3)
    # Cut below the table's top one sees the floor inside it, where no light comes; (x, y) = (3.4, 2.5).
    dark = plan[60 - 50, 68].max()
    assert all(plan[row, column].max() > 1.5 * dark for row, column in ((50, 68), (10, 12), (50, 12)))
