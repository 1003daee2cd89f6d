"""The image is cut and resized, and its camera follows exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reloc_ros.bundle.manifest import CameraAssumption, InputSpec
from reloc_ros.cameras.equirectangular import EquirectangularCamera
from reloc_ros.cameras.field_of_view import horizontal_fov_deg
from reloc_ros.cameras.pinhole import PinholeCamera
from reloc_ros.localization.camera_cache import CameraCache, cached_ray_grid
from reloc_ros.localization.prepare import Prepared, central_crop, prepare
from reloc_ros.localization.solve import Failure
from reloc_ros.types import Frame, Reason

ANY_PINHOLE = CameraAssumption(model="pinhole", horizontal_fov_deg_min=0.0, horizontal_fov_deg_max=180.0)


def pinhole(width: int, height: int, focal_px: float = 100.0) -> PinholeCamera:
    K = np.array([[focal_px, 0.0, (width - 1) / 2], [0.0, focal_px, (height - 1) / 2], [0.0, 0.0, 1.0]])
    return PinholeCamera(width, height, K)


def frame(camera: PinholeCamera | EquirectangularCamera) -> Frame:
    image = np.zeros((camera.height, camera.width, 3), dtype=np.uint8)
    image[..., 0] = np.linspace(0, 255, camera.width)[np.newaxis]
    image[..., 1] = np.linspace(0, 255, camera.height)[:, np.newaxis]
    return Frame(image=image, camera=camera)


def prepared(camera: PinholeCamera, spec: InputSpec) -> Prepared:
    result = prepare(frame(camera), spec, ANY_PINHOLE)
    assert isinstance(result, Prepared)
    return result


@settings(deadline=None, max_examples=40)
@given(
    width=st.integers(20, 400), height=st.integers(20, 400), to_width=st.integers(8, 200), to_height=st.integers(8, 200)
)
def test_the_pixels_and_the_camera_tell_the_same_direction(
    width: int, height: int, to_width: int, to_height: int
) -> None:
    camera = pinhole(width, height, focal_px=max(width, height))
    result = prepared(camera, InputSpec(width=to_width, height=to_height))
    assert result.image.shape == (1, to_height, to_width, 3)
    assert result.image.dtype == np.uint8
    assert (result.camera.width, result.camera.height) == (to_width, to_height)
    # Colour is a linear function of the original pixel, so a prepared pixel says where it came from.
    centre_px = np.array([[to_width // 2, to_height // 2]], dtype=float)
    original_px, _ = camera.project(result.camera.rays(centre_px))
    red, green, _ = result.image[0, to_height // 2, to_width // 2]
    assert red == pytest.approx(255 * original_px[0, 0] / (width - 1), abs=3)
    assert green == pytest.approx(255 * original_px[0, 1] / (height - 1), abs=3)


@pytest.mark.parametrize(
    ("size", "aspect", "expected"),
    [
        ((640, 480), 4 / 3, (0, 0, 640, 480)),
        ((640, 482), 4 / 3, (0, 0, 640, 482)),
        ((1280, 720), 4 / 3, (160, 0, 960, 720)),
        ((480, 640), 4 / 3, (0, 140, 480, 360)),
        ((1000, 10), 1.0, (495, 0, 10, 10)),
    ],
)
def test_another_aspect_ratio_is_cropped_in_the_middle(
    size: tuple[int, int], aspect: float, expected: tuple[int, int, int, int]
) -> None:
    assert central_crop(*size, aspect) == expected


def test_a_halved_image_is_the_mean_of_its_blocks() -> None:
    camera = pinhole(4, 2)
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3) * 4
    result = prepare(Frame(image=image, camera=camera), InputSpec(width=2, height=1), ANY_PINHOLE)
    assert isinstance(result, Prepared)
    assert result.image[0, 0].tolist() == [[30, 34, 38], [54, 58, 62]]


def test_a_large_image_is_averaged_over_whole_blocks() -> None:
    image = np.random.default_rng(1).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    result = prepare(Frame(image=image, camera=pinhole(128, 96)), InputSpec(width=16, height=12), ANY_PINHOLE)
    assert isinstance(result, Prepared)
    blocks = image.reshape(12, 8, 16, 8, 3).astype(float).mean(axis=(1, 3))
    # Two halvings and a last step round to grey levels each time.
    assert np.max(np.abs(result.image[0] - blocks)) <= 1.5


@pytest.mark.parametrize(
    ("camera", "assumption", "detail"),
    [
        (EquirectangularCamera(64, 32), ANY_PINHOLE, "camera model is equirectangular"),
        (
            pinhole(64, 48),
            CameraAssumption(model="pinhole", horizontal_fov_deg_min=40.0, horizontal_fov_deg_max=50.0),
            "field of view is 35.5 deg, the bundle serves 40.0 to 50.0 deg",
        ),
        (
            pinhole(64, 48),
            CameraAssumption(model="pinhole", horizontal_fov_deg_min=10.0, horizontal_fov_deg_max=35.0),
            "field of view is 35.5 deg, the bundle serves 10.0 to 35.0 deg",
        ),
    ],
)
def test_a_camera_the_network_cannot_serve_is_a_mismatch(
    camera: PinholeCamera, assumption: CameraAssumption, detail: str
) -> None:
    result = prepare(frame(camera), InputSpec(width=32, height=24), assumption)
    assert isinstance(result, Failure)
    assert result.reason is Reason.CAMERA_MISMATCH
    assert detail in result.detail


def test_an_image_that_shows_less_than_training_did_is_refused() -> None:
    camera = pinhole(64, 48)
    image = np.full((48, 64, 3), 100, np.uint8)
    image[:, 32:] += 20
    spec, low = InputSpec(width=64, height=48, min_contrast=9.5), InputSpec(width=64, height=48, min_contrast=10.5)
    assumption = CameraAssumption(model="pinhole", horizontal_fov_deg_min=10.0, horizontal_fov_deg_max=90.0)
    assert isinstance(prepare(Frame(image=image, camera=camera), spec, assumption), Prepared)
    result = prepare(Frame(image=image, camera=camera), low, assumption)
    assert isinstance(result, Failure)
    assert result.reason is Reason.NO_CONTRAST
    assert "contrast is 10.0 grey levels, the bundle was trained from 10.5 on" in result.detail


def test_the_field_of_view_that_counts_is_that_of_the_crop() -> None:
    wide = pinhole(1280, 720, focal_px=480.0)
    assert horizontal_fov_deg(wide) == pytest.approx(2 * np.degrees(np.arctan(640 / 480)))
    result = prepared(wide, InputSpec(width=64, height=48))
    assert horizontal_fov_deg(result.camera) == pytest.approx(90.0)


def test_a_panorama_is_seen_all_round() -> None:
    camera = EquirectangularCamera(64, 32)
    assert horizontal_fov_deg(camera) == pytest.approx(360.0)
    assumption = CameraAssumption(model="equirectangular", horizontal_fov_deg_min=360.0, horizontal_fov_deg_max=360.0)
    result = prepare(frame(camera), InputSpec(width=32, height=16), assumption)
    assert isinstance(result, Prepared)


def test_a_new_image_of_the_same_camera_is_not_the_old_one() -> None:
    camera = pinhole(64, 48)
    spec = InputSpec(width=32, height=24)
    for value in (7, 9):
        image = np.full((48, 64, 3), value, dtype=np.uint8)
        result = prepare(Frame(image=image, camera=camera), spec, ANY_PINHOLE)
        assert isinstance(result, Prepared)
        assert np.unique(result.image).tolist() == [value]


def test_the_cache_tells_cameras_apart_and_forgets_the_oldest() -> None:
    calls: list[int] = []
    cache: CameraCache[int] = CameraCache(capacity=2)

    def ask(width: int) -> int:
        def compute() -> int:
            calls.append(width)
            return width

        return cache.get(pinhole(width, 48), "key", compute)

    assert [ask(width) for width in (10, 11, 10, 12, 11, 10)] == [10, 11, 10, 12, 11, 10]
    assert calls == [10, 11, 12, 10]


def test_cameras_without_a_hash_are_told_apart_by_identity() -> None:
    class Unhashable(EquirectangularCamera):
        __hash__ = None  # type: ignore[assignment]

    cache: CameraCache[int] = CameraCache()
    first, second = Unhashable(8, 4), Unhashable(8, 4)
    assert [cache.get(first, 0, lambda: 1), cache.get(second, 0, lambda: 2), cache.get(first, 0, lambda: 3)] == [
        1,
        2,
        1,
    ]


def test_a_cached_ray_grid_cannot_be_spoilt() -> None:
    camera = pinhole(64, 48)
    grid = cached_ray_grid(camera, 3, 4)
    assert grid is cached_ray_grid(pinhole(64, 48), 3, 4)
    with pytest.raises(ValueError, match="read-only"):
        grid[0] = 0.0
