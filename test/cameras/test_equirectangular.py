from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from reloc_ros.cameras.equirectangular import EquirectangularCamera
from reloc_ros.errors import CameraError

CAMERA = EquirectangularCamera(512, 256)

numbers = st.floats(-10.0, 10.0)
points = st.tuples(numbers, numbers, numbers).filter(lambda p: np.linalg.norm(p) > 1e-3)


@pytest.mark.parametrize(
    ("pixel", "direction"),
    [
        pytest.param((255.5, 127.5), (0.0, 0.0, 1.0), id="centre looks along +z"),
        pytest.param((383.5, 127.5), (1.0, 0.0, 0.0), id="a quarter right is +x"),
        pytest.param((127.5, 127.5), (-1.0, 0.0, 0.0), id="a quarter left is -x"),
        pytest.param((-0.5, 127.5), (0.0, 0.0, -1.0), id="left edge is behind"),
        pytest.param((255.5, 255.5), (0.0, 1.0, 0.0), id="bottom is +y, down"),
        pytest.param((255.5, 63.5), (0.0, -np.sqrt(0.5), np.sqrt(0.5)), id="upper half looks up"),
    ],
)
def test_axes(pixel: tuple[float, float], direction: tuple[float, float, float]) -> None:
    assert_allclose(CAMERA.rays(np.array([pixel]))[0], direction, atol=1e-15)
    found, seen = CAMERA.project(np.array([direction]) * 3.0)
    assert seen.tolist() == [True]
    assert_allclose(found[0, 1], pixel[1], atol=1e-9)
    if abs(direction[1]) < 1.0:
        assert_allclose(found[0, 0], pixel[0], atol=1e-9)


def test_every_pixel_to_its_ray_and_back() -> None:
    u, v = np.meshgrid(np.arange(512.0), np.arange(256.0))
    pixels = np.stack([u.ravel(), v.ravel()], axis=1)
    rays = CAMERA.rays(pixels)
    assert_allclose(np.linalg.norm(rays, axis=1), 1.0, atol=1e-12)
    found, seen = CAMERA.project(rays)
    assert np.all(seen)
    assert_allclose(found, pixels, atol=1e-9)


@given(points)
def test_all_directions_project_into_the_image_and_back(point: tuple[float, float, float]) -> None:
    found, seen = CAMERA.project(np.array([point]))
    assert seen.tolist() == [True]
    assert -0.5 <= found[0, 0] < 511.5
    assert -0.5 <= found[0, 1] <= 255.5
    assert_allclose(CAMERA.rays(found)[0], point / np.linalg.norm(point), atol=1e-9)


@pytest.mark.parametrize("x", [0.0, -0.0, 1e-300, -1e-300])
def test_the_seam_has_one_column(x: float) -> None:
    found, _ = CAMERA.project(np.array([[x, 0.0, -1.0]]))
    assert found[0, 0] == pytest.approx(-0.5)


@given(st.floats(-600.0, 600.0))
def test_columns_wrap_round(u: float) -> None:
    assert_allclose(CAMERA.rays(np.array([[u, 100.0]])), CAMERA.rays(np.array([[u + 512.0, 100.0]])), atol=1e-12)


def test_the_centre_and_nan_have_no_direction() -> None:
    found, seen = CAMERA.project(np.array([[0.0, 0.0, 0.0], [np.nan, 1.0, 1.0]]))
    assert not np.any(seen)
    assert np.all(np.isnan(found))


def test_resizing_keeps_the_ray_of_a_place_in_the_image() -> None:
    pixels = np.array([[10.0, 20.0], [500.0, 130.0]])
    small = CAMERA.resized(128, 96)
    assert_allclose(small.rays((pixels + 0.5) * (128 / 512, 96 / 256) - 0.5), CAMERA.rays(pixels), atol=1e-12)


def test_a_panorama_is_not_cut() -> None:
    assert CAMERA.cropped(0, 0, 512, 256) == CAMERA
    with pytest.raises(CameraError, match="cuts a panorama"):
        CAMERA.cropped(0, 0, 256, 256)


def test_empty_images_are_refused() -> None:
    with pytest.raises(CameraError, match="at least 1"):
        EquirectangularCamera(0, 256)
