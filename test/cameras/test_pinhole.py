from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from reloc_ros.cameras.pinhole import PinholeCamera
from reloc_ros.errors import CameraError

K = np.array([[400.0, 0.0, 310.0], [0.0, 500.0, 250.0], [0.0, 0.0, 1.0]])
LENSES = [
    ("plumb_bob", ()),
    ("plumb_bob", (-0.3, 0.1, 0.001, -0.002)),
    ("plumb_bob", (-0.28, 0.12, 0.001, -0.002, -0.02)),
    ("rational_polynomial", (-0.3, 0.1, 0.001, -0.002, 0.01)),
    ("rational_polynomial", (2.1, 1.3, 0.001, -0.001, 0.1, 2.4, 1.9, 0.3)),
    ("equidistant", (-0.02, 0.01, -0.004, 0.0005)),
]


def all_pixels(camera: PinholeCamera, step: int = 7) -> np.ndarray:
    u, v = np.meshgrid(np.arange(0, camera.width, step), np.arange(0, camera.height, step))
    return np.stack([u.ravel(), v.ravel()], axis=1).astype(float)


def test_axes_and_pixel_centre() -> None:
    # Top-left pixel's centre is (0, 0); x right, y down, z forward.
    ray = PinholeCamera(640, 480, K).rays(np.array([[0.0, 0.0]]))[0]
    assert_allclose(ray / ray[2], [-310 / 400, -250 / 500, 1.0])
    pixels, inside = PinholeCamera(640, 480, K).project(np.array([[0.4, -0.5, 2.0]]))
    assert_allclose(pixels, [[310 + 80, 250 - 125]])
    assert inside.tolist() == [True]


@pytest.mark.parametrize(("model", "distortion"), LENSES)
def test_pixels_to_rays_and_back(model: str, distortion: tuple[float, ...]) -> None:
    camera = PinholeCamera(640, 480, K, model, distortion)
    pixels = all_pixels(camera)
    rays = camera.rays(pixels)
    assert_allclose(np.linalg.norm(rays, axis=1), 1.0, atol=1e-12)
    found, inside = camera.project(3.7 * rays)
    assert np.all(inside)
    assert_allclose(found, pixels, atol=1e-6)


def test_points_outside_the_image_and_behind_the_camera() -> None:
    camera = PinholeCamera(640, 480, K)
    # u = -0.5 is the image's very edge.
    at_edge = [(-310.5 / 400) * 2.0, 0.0, 2.0]
    points = np.array([at_edge, [at_edge[0] - 1e-6, 0.0, 2.0], [0.0, 1.0, 1.0], [0.0, 0.0, -1.0], [0.0, 0.0, 0.0]])
    pixels, inside = camera.project(points)
    assert inside.tolist() == [True, False, False, False, False]
    assert_allclose(pixels[0], [-0.5, 250.0])
    assert np.all(np.isnan(pixels[3:]))


@pytest.mark.parametrize(("model", "distortion"), LENSES)
def test_resizing_keeps_the_ray_of_a_place_in_the_image(model: str, distortion: tuple[float, ...]) -> None:
    camera = PinholeCamera(640, 480, K, model, distortion)
    small = camera.resized(160, 160)
    pixels = all_pixels(camera, 31)
    moved = (pixels + 0.5) * (160 / 640, 160 / 480) - 0.5
    assert (small.width, small.height) == (160, 160)
    assert_allclose(small.rays(moved), camera.rays(pixels), atol=1e-12)


def test_resize_literal() -> None:
    half = PinholeCamera(640, 480, K).resized(320, 240)
    assert_allclose(half.K, [[200.0, 0.0, 154.75], [0.0, 250.0, 124.75], [0.0, 0.0, 1.0]])


@given(st.integers(1, 2000), st.integers(1, 2000))
def test_resizing_there_and_back(width: int, height: int) -> None:
    camera = PinholeCamera(640, 480, K)
    assert_allclose(camera.resized(width, height).resized(640, 480).K, K, rtol=1e-12)


def test_cropping_keeps_the_ray_of_a_pixel() -> None:
    camera = PinholeCamera(640, 480, K, "plumb_bob", (-0.3, 0.1, 0.001, -0.002))
    part = camera.cropped(100, 40, 200, 300)
    assert (part.width, part.height) == (200, 300)
    assert_allclose(part.rays(np.array([[3.0, 5.0]])), camera.rays(np.array([[103.0, 45.0]])), atol=1e-15)


def test_equal_cameras_are_one_key() -> None:
    one, same = PinholeCamera(640, 480, K), PinholeCamera(640, 480, K.tolist())
    assert one == same
    assert len({one, same}) == 1
    assert one != PinholeCamera(640, 480, K, "plumb_bob", (0.1, 0.0, 0.0, 0.0))
    assert one != PinholeCamera(640, 480, K + np.diag([1.0, 0.0, 0.0]))


def test_a_camera_cannot_be_changed_through_its_matrix() -> None:
    matrix = K.copy()
    camera = PinholeCamera(640, 480, matrix)
    matrix[0, 0] = 1.0
    assert camera.K[0, 0] == 400.0
    with pytest.raises(ValueError, match="read-only"):
        camera.K[0, 0] = 1.0


def with_entry(row: int, column: int, value: float) -> np.ndarray:
    matrix = K.copy()
    matrix[row, column] = value
    return matrix


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.zeros((3, 3)), "focal lengths fx = 0, fy = 0"),
        (with_entry(0, 0, -400.0), "must be > 0"),
        (with_entry(1, 1, 0.0), "must be > 0"),
        (with_entry(0, 2, np.nan), "finite"),
        (with_entry(0, 1, 0.1), "skew"),
        (with_entry(2, 2, 2.0), "skew"),
        (np.eye(2), r"\(3, 3\)"),
        ("K", r"\(3, 3\)"),
    ],
)
def test_unusable_matrices_are_refused(matrix: object, message: str) -> None:
    with pytest.raises(CameraError, match=message):
        PinholeCamera(640, 480, matrix)


@pytest.mark.parametrize(
    ("model", "distortion", "message"),
    [
        ("thin_prism", (), "use one of plumb_bob, rational_polynomial, equidistant"),
        ("plumb_bob", (0.1,), "1 distortion coefficients"),
        ("plumb_bob", (0.1,) * 8, "8 distortion coefficients"),
        ("rational_polynomial", (0.1,) * 12, "12 distortion coefficients"),
        ("equidistant", (0.1,) * 5, "5 distortion coefficients"),
        ("plumb_bob", (0.1, np.nan, 0.0, 0.0), "not finite"),
    ],
)
def test_unusable_distortion_is_refused(model: str, distortion: tuple[float, ...], message: str) -> None:
    with pytest.raises(CameraError, match=message):
        PinholeCamera(640, 480, K, model, distortion)


@pytest.mark.parametrize(("width", "height"), [(0, 480), (640, -1)])
def test_empty_images_are_refused(width: int, height: int) -> None:
    with pytest.raises(CameraError, match="at least 1"):
        PinholeCamera(width, height, K)
