"""The scene's place and size come out of the images, whatever the camera and the unit."""

from __future__ import annotations

import box_room
import numpy as np
import pytest

from reloc_ros.training.image_store import ImageStore
from reloc_ros.training.scene_extent import scene_extent


def _painted(camera, T_map_camera):
    """The room with a fine pattern over it: SIFT wants corners."""
    from reloc_ros.cameras.camera import ray_grid

    points = box_room.wall_points(T_map_camera, ray_grid(camera, camera.height, camera.width))
    tiles = np.floor(points / 0.17).astype(int) @ np.array([73, 179, 283])
    shade = np.random.default_rng(1).integers(30, 226, 997)[tiles % 997]
    return np.repeat(shade.reshape(camera.height, camera.width, 1), 3, axis=2).astype(np.uint8)


@pytest.mark.parametrize("unit", [1.0, 10.0])
def test_triangulates_the_walls(unit):
    camera = box_room.pinhole(192, 160)
    poses = [box_room.pose(x, 0.1 * x, 0.0, 0.05 * x) for x in np.linspace(-0.8, 0.4, 13)]
    images = np.stack([_painted(camera, T) for T in poses])
    scaled = np.stack(poses)
    scaled[:, :3, 3] *= unit
    extent = scene_extent(ImageStore(images=images, cameras=(camera,) * len(poses), T_map_camera=scaled))
    assert 1.2 * unit < extent.range_m < 3.2 * unit
    # All look towards +x, at walls up to 2 m away.
    assert extent.centre_m[0] == pytest.approx(1.6 * unit, abs=0.6 * unit)


def test_images_without_texture_fall_back_to_the_path(caplog):
    camera = box_room.pinhole()
    poses = np.stack(box_room.trajectory(12))
    store = ImageStore(images=np.zeros((12, 64, 64, 3), np.uint8), cameras=(camera,) * 12, T_map_camera=poses)
    extent = scene_extent(store)
    assert "could be triangulated" in caplog.text
    assert extent.range_m == pytest.approx(np.linalg.norm(np.ptp(poses[:, :3, 3], axis=0)))
