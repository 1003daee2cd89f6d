from __future__ import annotations

import numpy as np
import pytest
from dataset_files import T_MAP_CAMERA
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from reloc_ros.datasets.bag_poses import Track, TransformTree
from reloc_ros.errors import DatasetError
from reloc_ros.geometry import rotation, se3
from reloc_ros.types import Array

GAP_NS = 100


def shifted(x: float) -> Array:
    return se3.from_rotation_translation(np.eye(3), [x, 0.0, 0.0])


def turned(yaw: float) -> Array:
    return se3.from_rotation_translation(rotation.exp([0.0, 0.0, yaw]), [0.0, 0.0, 0.0])


def test_exact_stamps_are_taken_as_they_are_even_in_a_gap() -> None:
    track = Track.from_samples([(1000, T_MAP_CAMERA), (0, shifted(1.0))])
    assert_allclose(track.at(1000, GAP_NS), T_MAP_CAMERA)
    assert_allclose(track.at(0, GAP_NS), shifted(1.0))


def test_nothing_is_extrapolated_nor_interpolated_over_a_gap() -> None:
    track = Track.from_samples([(0, shifted(0.0)), (100, shifted(1.0)), (201, shifted(2.0))])
    assert track.at(-1, GAP_NS) is None
    assert track.at(202, GAP_NS) is None
    assert track.at(150, GAP_NS) is None
    assert_allclose(track.at(150, 101), shifted(1.0 + 50 / 101))


@given(st.integers(0, 100))
def test_rotation_and_translation_are_interpolated(stamp: int) -> None:
    end = turned(1.2)
    end[0, 3] = 5.0
    found = Track.from_samples([(0, np.eye(4)), (100, end)]).at(stamp, GAP_NS)
    assert found is not None
    assert_allclose(rotation.log(found[:3, :3]), [0.0, 0.0, 0.012 * stamp], atol=1e-12)
    assert_allclose(found[:3, 3], [0.05 * stamp, 0.0, 0.0], atol=1e-12)


def test_stamps_beyond_the_precision_of_a_double() -> None:
    start = 1_700_000_000_123_456_789
    track = Track.from_samples([(start, shifted(0.0)), (start + 100, shifted(1.0))])
    found = track.at(start + 25, GAP_NS)
    assert found is not None
    assert found[0, 3] == pytest.approx(0.25)


@pytest.fixture
def tree() -> TransformTree:
    """Frames map -> odom -> base -> camera, and a second sensor beside the camera."""
    return TransformTree.from_samples(
        [
            ("base", "camera", 0, T_MAP_CAMERA, True),
            ("base", "lidar", 0, turned(0.5), True),
            ("map", "odom", 0, turned(np.pi / 2), False),
            ("map", "odom", 100, turned(np.pi / 2), False),
            ("odom", "base", 0, shifted(0.0), False),
            ("odom", "base", 100, shifted(2.0), False),
        ]
    )


def test_chains_are_multiplied_in_order(tree: TransformTree) -> None:
    assert_allclose(tree.lookup("map", "base", 50, GAP_NS), turned(np.pi / 2) @ shifted(1.0), atol=1e-12)
    expected = turned(np.pi / 2) @ shifted(1.0) @ T_MAP_CAMERA
    assert_allclose(tree.lookup("map", "camera", 50, GAP_NS), expected, atol=1e-12)
    assert_allclose(tree.lookup("camera", "map", 50, GAP_NS), se3.inverse(expected), atol=1e-12)


def test_siblings_meet_at_their_parent_at_any_time(tree: TransformTree) -> None:
    found = tree.lookup("lidar", "camera", 10**18, GAP_NS)
    assert_allclose(found, se3.inverse(turned(0.5)) @ T_MAP_CAMERA, atol=1e-12)


def test_a_frame_in_itself(tree: TransformTree) -> None:
    assert_allclose(tree.lookup("camera", "camera", 5, GAP_NS), np.eye(4))


def test_no_transform_at_that_time(tree: TransformTree) -> None:
    assert tree.lookup("map", "camera", 101, GAP_NS) is None


def test_frames_that_are_not_connected(tree: TransformTree) -> None:
    with pytest.raises(DatasetError, match="'map' and 'gripper'; frames: base, camera, lidar, map, odom"):
        tree.lookup("map", "gripper", 0, GAP_NS)


def test_two_parents_and_loops() -> None:
    with pytest.raises(DatasetError, match="'base' has two parents in /tf, 'odom' and 'map'"):
        TransformTree.from_samples([("odom", "base", 0, np.eye(4), False), ("map", "base", 1, np.eye(4), False)])
    loop = TransformTree.from_samples([("a", "b", 0, np.eye(4), False), ("b", "a", 0, np.eye(4), False)])
    with pytest.raises(DatasetError, match="loop"):
        loop.lookup("c", "a", 0, GAP_NS)
