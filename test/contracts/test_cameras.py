"""What every camera in the table promises."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from reloc_ros.cameras.camera import Camera, ray_grid
from reloc_ros.cameras.pinhole import DISTORTION_MODELS
from reloc_ros.cameras.table import CAMERAS, camera_from_dict
from reloc_ros.errors import CameraError

_COEFFICIENTS = {
    "plumb_bob": [-0.1, 0.05, 0.001, -0.002, 0.01],
    "rational_polynomial": [0.3, 0.1, 0.001, -0.002, 0.01, 0.4, 0.1, 0.02],
    "equidistant": [-0.02, 0.01, -0.004, 0.0005],
}
_K = [[70.0, 0.0, 50.0], [0.0, 80.0, 25.0], [0.0, 0.0, 1.0]]
DESCRIPTIONS: dict[str, dict[str, Any]] = {
    "equirectangular": {"model": "equirectangular", "width": 96, "height": 48},
    "pinhole": {"model": "pinhole", "width": 96, "height": 48, "K": _K},
    **{
        model: {
            "model": "pinhole",
            "width": 96,
            "height": 48,
            "K": _K,
            "distortion_model": model,
            "distortion": _COEFFICIENTS[model],
        }
        for model in DISTORTION_MODELS
    },
}

every_camera = pytest.mark.parametrize("description", DESCRIPTIONS.values(), ids=DESCRIPTIONS)


def test_every_model_of_the_table_is_covered() -> None:
    assert {description["model"] for description in DESCRIPTIONS.values()} == set(CAMERAS)


@every_camera
def test_it_is_a_camera_and_says_which(description: dict[str, Any]) -> None:
    camera = camera_from_dict(description)
    assert isinstance(camera, Camera)
    assert (camera.model, camera.width, camera.height) == (description["model"], 96, 48)


@every_camera
def test_its_description_survives_json(description: dict[str, Any]) -> None:
    camera = camera_from_dict(description)
    again = camera_from_dict(json.loads(json.dumps(camera.to_dict())))
    assert again == camera
    assert hash(again) == hash(camera)


@every_camera
def test_rays_are_unit_vectors_that_project_to_their_pixels(description: dict[str, Any]) -> None:
    camera = camera_from_dict(description)
    pixels = np.array([[0.0, 0.0], [95.0, 0.0], [0.0, 47.0], [95.0, 47.0], [31.25, 17.5]])
    rays = camera.rays(pixels)
    assert rays.dtype == np.float64
    assert_allclose(np.linalg.norm(rays, axis=1), 1.0, atol=1e-12)
    found, inside = camera.project(rays * 4.0)
    assert inside.dtype == np.bool_
    assert np.all(inside)
    assert_allclose(found, pixels, atol=1e-6)


@every_camera
def test_u_grows_to_the_right_and_v_downwards(description: dict[str, Any]) -> None:
    camera = camera_from_dict(description)
    left, right, up, down = camera.rays(np.array([[40.0, 24.0], [60.0, 24.0], [48.0, 20.0], [48.0, 30.0]]))
    assert right[0] > left[0]
    assert down[1] > up[1]
    assert np.all(np.array([left, right, up, down])[:, 2] > 0.0)


@every_camera
def test_no_points_are_fine(description: dict[str, Any]) -> None:
    camera = camera_from_dict(description)
    assert camera.rays(np.zeros((0, 2))).shape == (0, 3)
    pixels, inside = camera.project(np.zeros((0, 3)))
    assert (pixels.shape, inside.shape) == ((0, 2), (0,))


@every_camera
def test_resized_grid_cells_keep_their_rays(description: dict[str, Any]) -> None:
    camera = camera_from_dict(description)
    assert_allclose(ray_grid(camera.resized(192, 24), 6, 8), ray_grid(camera, 6, 8), atol=1e-9)


def test_ray_grid_goes_row_by_row() -> None:
    rays = ray_grid(camera_from_dict(DESCRIPTIONS["pinhole"]), 2, 3)
    slopes = rays[:, :2] / rays[:, 2:]
    u, v = np.array([15.5, 47.5, 79.5]), np.array([11.5, 35.5])
    assert_allclose(slopes[:, 0], np.tile((u - 50.0) / 70.0, 2))
    assert_allclose(slopes[:, 1], np.repeat((v - 25.0) / 80.0, 3))


@every_camera
def test_unknown_and_missing_keys_are_errors(description: dict[str, Any]) -> None:
    with pytest.raises(CameraError, match=r"unknown keys \['focal'\]"):
        camera_from_dict({**description, "focal": 1.0})
    for key in ("width", "height"):
        with pytest.raises(CameraError, match=rf"lacks \['{key}'\]"):
            camera_from_dict({name: value for name, value in description.items() if name != key})
        for value in (96.5, "96", True, None):
            with pytest.raises(CameraError, match="whole number"):
                camera_from_dict({**description, key: value})


@pytest.mark.parametrize("model", [None, "fish", 3, ["pinhole"]])
def test_unknown_models_are_errors(model: object) -> None:
    with pytest.raises(CameraError, match="use one of pinhole, equirectangular"):
        camera_from_dict({"model": model, "width": 96, "height": 48})


def test_values_of_a_wrong_type_are_errors() -> None:
    with pytest.raises(CameraError, match="pinhole camera cannot be made"):
        camera_from_dict({**DESCRIPTIONS["pinhole"], "distortion": 3.0})
    with pytest.raises(CameraError, match=r"\(3, 3\)"):
        camera_from_dict({**DESCRIPTIONS["pinhole"], "K": None})
