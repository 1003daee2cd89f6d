"""Real recordings: they are read whole, and their poses and axes agree with what the images show."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from reloc_ros.cameras.camera import Camera
from reloc_ros.datasets.bag_file import open_bag
from reloc_ros.datasets.posed_images import PosedImage, read_dataset
from reloc_ros.datasets.rosbag import read_rosbag
from reloc_ros.errors import DatasetError
from reloc_ros.geometry import se3
from reloc_ros.geometry.rotation import skew
from reloc_ros.types import Array

# Images far enough apart that a wrong axis, a transposed matrix or a wrong focal length shows.
WHOLE = {
    "seven_scenes:redkitchen": (750, True, (640, 480)),
    "transforms_json:office": (303, False, (540, 360)),
    "transforms_json:phone_desk": (79, False, (612, 512)),
    "transforms_json:fox": (50, False, (540, 960)),
    "transforms_json:hospital": (189, False, (640, 480)),
    "transforms_json:street": (51, False, (613, 185)),
    "panorama_sequences:panoramas": (122, True, (512, 256)),
}
PAIRS = {
    "seven_scenes:redkitchen": (100, 115),
    "transforms_json:fox": (0, 6),
    "transforms_json:phone_desk": (0, 4),
    "transforms_json:hospital": (20, 26),
    "transforms_json:office": (10, 13),
    "panorama_sequences:panoramas": (10, 13),
}


def located(specification: str, shared_data: Path) -> str:
    name, _, folder = specification.partition(":")
    if not (shared_data / folder).exists():
        pytest.skip(f"{shared_data / folder} is missing")
    return f"{name}:{shared_data / folder}"


@pytest.mark.parametrize("specification", WHOLE)
def test_it_is_read_whole(specification: str, shared_data: Path) -> None:
    count, metric, size = WHOLE[specification]
    dataset = read_dataset(located(specification, shared_data))
    assert (len(dataset), len(dataset.skipped), dataset.metric) == (count, 0, metric)
    for image in (dataset.images[0], dataset.images[-1]):
        assert image.frame().image.shape == (size[1], size[0], 3)


def matched_pixels(first: PosedImage, second: PosedImage) -> tuple[Array, Array]:
    """Return (N, 2) and (N, 2) pixels of SIFT matches that pass the ratio test, without any geometric check."""
    detector = cv2.SIFT_create(1200)
    (points_a, words_a), (points_b, words_b) = (
        detector.detectAndCompute(cv2.cvtColor(image.frame().image, cv2.COLOR_RGB2GRAY), None)
        for image in (first, second)
    )
    pairs = cv2.BFMatcher().knnMatch(words_a, words_b, k=2)
    good = [best for best, other in pairs if best.distance < 0.7 * other.distance]
    pixels_a = np.array([points_a[match.queryIdx].pt for match in good])
    return pixels_a, np.array([points_b[match.trainIdx].pt for match in good])


def epipolar_errors_px(rays_a: Array, rays_b: Array, T_a_b: Array, camera: Camera) -> Array:
    """Return (N,) angles of ray a to the epipolar plane of ray b, times the pixels of a radian at the centre."""
    normals = rays_b @ (skew(T_a_b[:3, 3]) @ T_a_b[:3, :3]).T
    sines = np.sum(rays_a * normals, axis=1) / np.linalg.norm(normals, axis=1)
    centre = np.array([[camera.width / 2, camera.height / 2], [camera.width / 2 + 1, camera.height / 2]])
    one, beside = camera.rays(centre)
    return np.abs(np.arcsin(sines)) / np.linalg.norm(beside - one)


@pytest.mark.parametrize("specification", PAIRS)
def test_poses_axes_and_camera_agree_with_the_images(specification: str, shared_data: Path) -> None:
    dataset = read_dataset(located(specification, shared_data))
    first, second = (dataset.images[index] for index in PAIRS[specification])
    pixels_a, pixels_b = matched_pixels(first, second)
    assert len(pixels_a) > 30
    rays_a, rays_b = first.camera.rays(pixels_a), second.camera.rays(pixels_b)
    T_a_b = se3.inverse(first.T_map_camera) @ second.T_map_camera
    right = np.median(epipolar_errors_px(rays_a, rays_b, T_a_b, first.camera))
    assert right <= 3.0
    # The same check must notice the two classic mistakes.
    opengl = np.diag([1.0, -1.0, -1.0, 1.0])
    for mistake in (se3.inverse(T_a_b), opengl @ T_a_b @ opengl):
        assert np.median(epipolar_errors_px(rays_a, rays_b, mistake, first.camera)) > 2 * right


@pytest.mark.parametrize("name", ["malformed_mcap", "malformed_sqlite3"])
def test_a_bag_whose_images_lie(name: str, shared_data: Path) -> None:
    topics = "image=/test/sensor_msgs/image&pose=/test/geometry_msgs/pose_stamped"
    dataset = read_rosbag(f"{shared_data / 'bags' / name}?{topics}")
    with pytest.raises(DatasetError, match=f"{name}, topic /test/sensor_msgs/image.*30 bytes"):
        dataset.images[0].frame()


@pytest.mark.parametrize("name", ["nav2_turtlebot.mcap", "tf_example", "ROS_example.bag"])
def test_bags_without_images_list_their_topics(name: str, shared_data: Path) -> None:
    path = shared_data / "bags" / name
    with open_bag(path) as reader:
        topics = [connection.topic for connection in reader.connections]
    with pytest.raises(DatasetError, match="0 topics could be the image") as error:
        read_rosbag(str(path))
    assert all(topic in str(error.value) for topic in topics)
