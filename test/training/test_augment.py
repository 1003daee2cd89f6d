"""A random view shows what its rays say: the same wall points, seen through the moved camera."""

from __future__ import annotations

import box_room
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reloc_ros.cameras.camera import cell_centres
from reloc_ros.training.augment import random_light, random_view
from reloc_ros.training.image_config import AugmentConfig

CAMERAS = {"pinhole": box_room.pinhole(96, 64), "panorama": box_room.panorama(128, 64)}
T_MAP_CAMERA = box_room.pose(0.2, 0.1, 0.0, 0.4)


def test_cell_centres_are_the_middles_of_blocks_of_pixels():
    cells = cell_centres(height=16, width=24, rows=2, columns=3)
    np.testing.assert_allclose(cells, [[3.5, 3.5], [11.5, 3.5], [19.5, 3.5], [3.5, 11.5], [11.5, 11.5], [19.5, 11.5]])


@pytest.mark.parametrize("name", CAMERAS)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_pixels_and_rays_move_together(name, seed):
    camera = CAMERAS[name]
    image = box_room.render(camera, T_MAP_CAMERA)
    # One cell for each pixel: every pixel's ray can be compared with its colour.
    cells = cell_centres(camera.height, camera.width, camera.height, camera.width)
    view = random_view(image, camera, cells, AugmentConfig(rotation_deg=40.0), np.random.default_rng(seed))
    points = box_room.wall_points(T_MAP_CAMERA, view.rays.astype(np.float64))
    pixels, visible = camera.project((points - T_MAP_CAMERA[:3, 3]) @ T_MAP_CAMERA[:3, :3])
    rows, columns = (np.clip(np.rint(pixels[:, i]), 0, n - 1).astype(int) for i, n in ((1, 64), (0, camera.width)))
    shown = view.image.reshape(-1, 3).astype(float)
    expected = image[rows, columns].astype(float)
    compared = view.inside & visible
    assert compared.mean() > 0.3
    # Nearest against bilinear sampling differ by a pixel's gradient; a wrong ray differs by the room's contrast.
    assert np.median(np.abs(shown - expected)[compared]) < 4.0
    assert np.median(np.abs(shown - np.roll(expected, 37, axis=0))[compared]) > 8.0


def test_cells_outside_the_image_are_marked():
    camera = CAMERAS["pinhole"]
    white = np.full((64, 96, 3), 255, np.uint8)
    cells = cell_centres(64, 96, 64, 96)
    config = AugmentConfig(rotation_deg=45.0, log_zoom=0.7, erase=0.0)
    for seed in range(5):
        view = random_view(white, camera, cells, config, np.random.default_rng(seed))
        brightness = view.image.reshape(-1, 3).mean(1)
        assert brightness[view.inside].mean() > 250
        if not view.inside.all():
            assert brightness[~view.inside].mean() < 160


@pytest.mark.parametrize("name", CAMERAS)
def test_erased_cells_are_marked_and_the_others_untouched(name):
    camera = CAMERAS[name]
    white = np.full((64, camera.width, 3), 255, np.uint8)
    cells = cell_centres(64, camera.width, 64, camera.width)
    config = AugmentConfig(rotation_deg=0.0, log_zoom=0.0, shift=0.0, erase=1.0)
    for seed in range(5):
        view = random_view(white, camera, cells, config, np.random.default_rng(seed))
        painted = (view.image.reshape(-1, 3) != 255).any(1)
        assert 0.01 < painted.mean() < 0.25
        np.testing.assert_array_equal(painted, ~view.inside)


def test_light_is_random_but_repeatable_and_stays_in_range():
    images = torch.randint(0, 256, (4, 16, 16, 3), dtype=torch.uint8)
    first, again, other = (
        random_light(images, AugmentConfig(), torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.min() >= 0
    assert first.max() <= 255
    still = AugmentConfig(brightness=0, contrast=0, saturation=0, white_balance=0, noise=0)
    assert torch.allclose(random_light(images, still, torch.Generator()), images.float(), atol=1e-3)
