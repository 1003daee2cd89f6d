"""Planted mistakes are found and named, in a drawn room and in real recordings; what is right passes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import box_room
import numpy as np
import pytest

from reloc_ros.cameras.camera import Camera, ray_grid
from reloc_ros.cameras.pinhole import PinholeCamera
from reloc_ros.datasets import pose_check
from reloc_ros.datasets.images import PosedImage, PosedImages
from reloc_ros.datasets.matched_pairs import matched_pairs
from reloc_ros.datasets.pose_check import AS_GIVEN, check_poses
from reloc_ros.datasets.posed_images import read_dataset
from reloc_ros.errors import DatasetError
from reloc_ros.geometry import se3
from reloc_ros.types import Array, Image

OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
ROBOT_AXES = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])

MISTAKES: dict[str, tuple[Callable[[Array], Array], str]] = {
    "inverted": (se3.inverse, "poses look inverted (map to camera"),
    "opengl": (lambda T: T @ OPENGL, "camera axes look like OpenGL's"),
    "inverted_opengl": (lambda T: se3.inverse(T @ OPENGL), "poses look inverted, with OpenGL's"),
    "robot": (lambda T: T @ ROBOT_AXES, "camera axes look like a robot's"),
    "inverted_robot": (lambda T: se3.inverse(T @ ROBOT_AXES), "poses look inverted, with a robot's"),
}
SHARED = {
    "seven_scenes:redkitchen": True,
    "transforms_json:office": True,
    "transforms_json:phone_desk": True,
    "transforms_json:fox": True,
    "transforms_json:hospital": True,
    # Driving ahead hardly shows the focal length, and a panorama has none.
    "transforms_json:street": False,
    "panorama_sequences:panoramas": False,
}


def painted(camera: Camera, T_map_camera: Array) -> Image:
    """Return the room with a fine pattern over it: SIFT wants corners."""
    points = box_room.wall_points(T_map_camera, ray_grid(camera, camera.height, camera.width))
    tiles = np.floor(points / 0.17).astype(int) @ np.array([73, 179, 283])
    shade = np.random.default_rng(1).integers(30, 226, 997)[tiles % 997]
    return np.repeat(shade.reshape(camera.height, camera.width, 1), 3, axis=2).astype(np.uint8)


def walk(camera: Camera, step_m: float = 0.05) -> PosedImages:
    """Return eight images of a camera that moves to the side and forward while it turns a little."""
    poses = [box_room.pose(step_m * i - 0.4, 1.2 * step_m * i - 0.3, 0.4 * step_m * i, 0.04 * i) for i in range(8)]
    return drawn(camera, poses)


def drawn(camera: Camera, poses: list[Array]) -> PosedImages:
    """Return what a camera sees from these poses in the painted room, in time order."""
    images = []
    for index, T_map_camera in enumerate(poses):
        picture = painted(camera, T_map_camera)
        images.append(
            PosedImage(
                name=f"{index}.png",
                stamp_ns=index,
                T_map_camera=T_map_camera,
                camera=camera,
                load=lambda picture=picture: picture,
                sequence="walk",
            )
        )
    return PosedImages(images=tuple(images), skipped=(), ground_truth="drawn", name="room", metric=True)


def with_mistake(dataset: PosedImages, mistake: Callable[[Array], Array], focal_scale: float = 1.0) -> PosedImages:
    return replace(
        dataset,
        images=tuple(
            replace(image, T_map_camera=mistake(image.T_map_camera), camera=scaled(image.camera, focal_scale))
            for image in dataset.images
        ),
    )


def scaled(camera: Camera, scale: float) -> Camera:
    if not isinstance(camera, PinholeCamera):
        return camera
    K = camera.K.copy()
    K[0, 0] *= scale
    K[1, 1] *= scale
    return replace(camera, K=K)


@pytest.fixture(scope="module")
def room() -> PosedImages:
    return walk(box_room.pinhole(240, 180))


def test_the_right_poses_pass(room: PosedImages) -> None:
    check = check_poses(room)
    assert (check.findings, check.best, check.focal_scale) == ((), AS_GIVEN, 1.0)
    assert check.fits[AS_GIVEN].median_px < 1.0


def test_a_panorama_passes_and_its_mistakes_are_found() -> None:
    room = walk(box_room.panorama(320, 160), 0.1)
    assert check_poses(room).findings == ()
    mistake, finding = MISTAKES["opengl"]
    assert check_poses(with_mistake(room, mistake)).findings[0].startswith(finding)


@pytest.mark.parametrize("name", MISTAKES)
def test_planted_mistakes_are_named(room: PosedImages, name: str) -> None:
    mistake, finding = MISTAKES[name]
    (found,) = check_poses(with_mistake(room, mistake)).findings
    assert found.startswith(finding)


def test_a_wrong_focal_length_is_named_with_the_right_one(room: PosedImages) -> None:
    check = check_poses(with_mistake(room, lambda T: T, 585 / 525))
    (found,) = check.findings
    assert found.startswith("focal length looks 0.")
    assert check.focal_scale == pytest.approx(525 / 585, abs=0.03)


def test_two_mistakes_at_once(room: PosedImages) -> None:
    first, second = check_poses(with_mistake(room, se3.inverse, 1.2)).findings
    assert first.startswith("poses look inverted (map")
    assert second.startswith("focal length looks 0.8")


def test_a_straight_way_is_inverted_though_every_epipolar_line_is_right() -> None:
    # Without turns, and with the camera's axes those of the map, inverting turns the way round and nothing else.
    poses = [se3.from_rotation_translation(np.eye(3), [0.06 * i - 0.3, 0.02 * i, 0.04 * i]) for i in range(8)]
    straight = drawn(box_room.pinhole(240, 180), poses)
    assert check_poses(straight).findings == ()
    (found,) = check_poses(with_mistake(straight, se3.inverse)).findings
    assert found.startswith("poses look inverted (map")


def test_poses_of_other_images_fit_nothing(room: PosedImages) -> None:
    order = [5, 2, 7, 0, 3, 6, 1, 4]
    images = tuple(
        replace(image, T_map_camera=box_room.pose(0.3 * np.sin(7 * k), 0.4 * np.cos(5 * k), 0.1 * k, 2.1 * k))
        for image, k in zip(room.images, order, strict=True)
    )
    assert any("whatever is tried" in finding for finding in check_poses(replace(room, images=images)).findings)


def test_images_without_texture_cannot_be_checked(room: PosedImages) -> None:
    blank = tuple(replace(image, load=lambda: np.zeros((180, 240, 3), np.uint8)) for image in room.images)
    with pytest.raises(DatasetError, match="room: only 0 pairs"):
        check_poses(replace(room, images=blank))


@pytest.mark.parametrize("specification", SHARED)
def test_real_recordings_pass_and_planted_mistakes_are_found(
    specification: str, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, _, folder = specification.partition(":")
    if not (shared_data / folder).exists():
        pytest.skip(f"{shared_data / folder} is missing")
    dataset = read_dataset(f"{name}:{shared_data / folder}")
    pairs = list(matched_pairs(dataset.images))

    def findings(mistake: Callable[[Array], Array], focal_scale: float = 1.0) -> tuple[str, ...]:
        """Check with a mistake in the poses of the pairs: matching, which sees no poses, is done once."""
        wrong = [
            tuple(
                replace(view, T_map_camera=mistake(view.T_map_camera), camera=scaled(view.camera, focal_scale))
                for view in pair
            )
            for pair in pairs
        ]
        monkeypatch.setattr(pose_check, "matched_pairs", lambda _: wrong)
        return check_poses(dataset).findings

    assert findings(lambda T: T) == ()
    for mistake, finding in (MISTAKES["inverted"], MISTAKES["opengl"]):
        assert findings(mistake)[0].startswith(finding)
    if SHARED[specification]:
        assert findings(lambda T: T, 585 / 525)[0].startswith("focal length looks 0.")
