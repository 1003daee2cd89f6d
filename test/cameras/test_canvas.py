from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.transform import Rotation

from reloc_ros.cameras.camera import Camera
from reloc_ros.cameras.canvas import COVERED, Canvas, View, narrowed, roll_rotation, rolled
from reloc_ros.cameras.equirectangular import EquirectangularCamera
from reloc_ros.cameras.narrow import NarrowCamera
from reloc_ros.cameras.pinhole import PinholeCamera
from reloc_ros.errors import CameraError, ImageError

PANORAMA = EquirectangularCamera(64, 32)
CANVAS = Canvas(64, 32)


def pinhole(width: int = 80, height: int = 60, focal_px: float = 45.0) -> PinholeCamera:
    K = np.array([[focal_px, 0.0, width / 2 - 0.5], [0.0, focal_px, height / 2 - 0.5], [0.0, 0.0, 1.0]])
    return PinholeCamera(width, height, K)


def colour_of(rays: np.ndarray) -> np.ndarray:
    """A smooth picture of the sphere without any symmetry."""
    waves = np.stack([rays @ (0.9, 0.3, -0.2), rays @ (-0.4, 0.8, 0.5), rays @ (0.3, -0.6, 0.7)], axis=-1)
    return np.round(127.5 + 120.0 * np.sin(1.5 * waves + (0.1, 0.5, 0.9))).astype(np.uint8)


def picture(camera: Camera, R_world_camera: np.ndarray | None = None) -> np.ndarray:
    u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    rays = camera.rays(np.stack([u.ravel(), v.ravel()], axis=1).astype(float))
    seen = rays if R_world_camera is None else rays @ R_world_camera.T
    return colour_of(seen).reshape(camera.height, camera.width, 3)


def canvas_colours() -> np.ndarray:
    return picture(PANORAMA).astype(int)


def test_a_panorama_of_the_same_size_stays_as_it_is() -> None:
    image = np.random.default_rng(3).integers(0, 256, (32, 64, 3), np.uint8)
    painted = CANVAS.paint(image, PANORAMA)
    assert_array_equal(painted[..., :3], image)
    assert np.all(painted[..., 3] == COVERED)


@pytest.mark.parametrize("size", [(512, 256), (48, 24), (100, 50)])
def test_panoramas_of_other_sizes_show_the_same_sphere(size: tuple[int, int]) -> None:
    camera = EquirectangularCamera(*size)
    painted = CANVAS.paint(picture(camera), camera)
    assert np.all(painted[..., 3] == COVERED)
    assert np.abs(painted[1:-1, :, :3].astype(int) - canvas_colours()[1:-1]).max() <= 6


@pytest.mark.parametrize("camera", [pinhole(), pinhole(640, 480, 500.0), pinhole(30, 60, 15.0)])
def test_a_pinhole_image_is_found_again_along_its_rays(camera: PinholeCamera) -> None:
    painted = CANVAS.paint(picture(camera), camera)
    covered = painted[..., 3] == COVERED
    assert np.abs(painted[..., :3].astype(int) - canvas_colours())[covered].max() <= 6
    assert np.all(painted[~covered] == 0)
    u, v = np.meshgrid(np.arange(64.0), np.arange(32.0))
    rays = PANORAMA.rays(np.stack([u.ravel(), v.ravel()], axis=1))
    assert_array_equal(covered.ravel(), camera.project(rays)[1])


def test_fine_images_are_averaged_not_picked() -> None:
    # Black and white columns by turns are grey from afar; picking pixels would give either.
    camera = pinhole(1280, 960, 640.0)
    stripes = np.zeros((960, 1280, 3), np.uint8)
    stripes[:, ::2] = 255
    painted = CANVAS.paint(stripes, camera)
    colours = painted[painted[..., 3] == COVERED][:, 0]
    assert colours.min() > 90
    assert colours.max() < 165


def test_a_rig_covers_what_its_cameras_see_in_its_own_axes() -> None:
    turns = [Rotation.from_euler("yx", angles, degrees=True).as_matrix() for angles in ((0, 5), (90, 0), (200, -10))]
    views = []
    for R_rig_camera in turns:
        T_rig_camera = np.eye(4)
        T_rig_camera[:3, :3] = R_rig_camera
        T_rig_camera[:3, 3] = (0.1, -0.2, 0.3)
        views.append(View(picture(pinhole(), R_rig_camera), pinhole(), T_rig_camera))
    painted = CANVAS.paint_rig(views)
    covered = painted[..., 3] == COVERED
    assert 0.2 < covered.mean() < 0.3
    assert np.abs(painted[..., :3].astype(int) - canvas_colours())[covered].max() <= 6
    # To the right of the rig is what its second camera looks at.
    assert covered[15, 47]
    assert not covered[15, 16]


def test_where_cameras_overlap_the_more_central_one_shows() -> None:
    right = np.eye(4)
    right[:3, :3] = Rotation.from_euler("y", 30, degrees=True).as_matrix()
    red = np.zeros((60, 80, 3), np.uint8) + np.array([255, 0, 0], np.uint8)
    blue = red[..., ::-1].copy()
    for views in ([View(red, pinhole(), np.eye(4)), View(blue, pinhole(), right)],) * 2:
        painted = CANVAS.paint_rig(views)
        assert painted[15, 32].tolist() == [255, 0, 0, COVERED]
        assert painted[15, 37].tolist() == [0, 0, 255, COVERED]
        assert painted[15, 34, 2] == 255 or painted[15, 34, 0] == 255


@pytest.mark.parametrize(("fov_deg", "share"), [(360.0, 1.0), (180.0, 0.5), (90.0, 0.125)])
def test_a_narrow_field_of_view_is_less_coverage(fov_deg: float, share: float) -> None:
    painted = CANVAS.paint(picture(PANORAMA), PANORAMA)
    left = narrowed(painted, fov_deg)
    covered = left[..., 3] == COVERED
    assert covered.mean() == share
    assert_array_equal(left[covered], painted[covered])
    assert np.all(left[~covered] == 0)
    assert covered[16, 32]


def test_a_rolled_canvas_is_that_of_the_turned_camera() -> None:
    painted = CANVAS.paint(picture(PANORAMA), PANORAMA)
    turned, R_rolled_camera = rolled(painted, 7)
    assert_allclose(turned[..., :3].astype(int), picture(PANORAMA, R_rolled_camera.T).astype(int), atol=1)
    assert_allclose(roll_rotation(0.25) @ (0.0, 0.0, 1.0), (1.0, 0.0, 0.0), atol=1e-12)


def test_errors_name_the_value() -> None:
    with pytest.raises(CameraError, match="0 x 32"):
        Canvas(0, 32)
    with pytest.raises(CameraError, match="400"):
        narrowed(np.zeros((32, 64, 4), np.uint8), 400.0)
    with pytest.raises(ImageError, match=r"\(31, 64, 3\)"):
        CANVAS.paint(np.zeros((31, 64, 3), np.uint8), PANORAMA)


@pytest.mark.parametrize("fov_deg", [90.0, 180.0, 300.0])
def test_a_narrowed_camera_paints_the_narrowed_canvas(fov_deg: float) -> None:
    image = picture(PANORAMA)
    assert_array_equal(
        CANVAS.paint(image, NarrowCamera(PANORAMA, fov_deg)), narrowed(CANVAS.paint(image, PANORAMA), fov_deg)
    )
    # Wider than the lens changes nothing.
    assert_array_equal(
        CANVAS.paint(picture(pinhole()), NarrowCamera(pinhole(), 180.0)), CANVAS.paint(picture(pinhole()), pinhole())
    )
    with pytest.raises(CameraError, match="-5"):
        NarrowCamera(PANORAMA, -5.0)
