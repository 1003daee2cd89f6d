"""Composition of anchors and sequences, and what it says of its own error."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reloc_ros.geometry import rotation, se3
from reloc_ros.localization.sequence_anchor import Anchor, Drift, History, Passage
from reloc_ros.types import Array

YAW_STD_RAD = 0.1
FIRST = Passage(stamp_ns=10, T_first_body=np.eye(4), drift=Drift())
ANCHOR = Anchor(
    source="initialpose",
    map_frame="map",
    T_map_body=se3.from_rotation_translation(rotation.exp([0.0, 0.0, np.pi / 2]), [5.0, 1.0, 0.0]),
    covariance=np.diag([0.04, 0.04, 0.04, 1e-4, 1e-4, YAW_STD_RAD**2]),
    at=FIRST,
)


def passage(T_first_body: Array, drift: Drift | None = None, stamp_ns: int = 20) -> Passage:
    return Passage(stamp_ns=stamp_ns, T_first_body=T_first_body, drift=drift or Drift())


def ahead(metres: float) -> Array:
    return se3.from_rotation_translation(np.eye(3), [metres, 0.0, 0.0])


def test_a_pose_in_the_map_is_the_anchor_times_the_way_since() -> None:
    T_map_body, covariance = ANCHOR.carry(passage(ahead(3.0)))
    # The robot faces +y in the map: three metres on it is at y = 4, and its yaw error swings it along x.
    np.testing.assert_allclose(T_map_body[:3, 3], [5.0, 4.0, 0.0], atol=1e-12)
    assert covariance[0, 0] == pytest.approx(0.04 + (3.0 * YAW_STD_RAD) ** 2)
    assert covariance[1, 1] == pytest.approx(0.04)
    assert covariance[5, 5] == pytest.approx(YAW_STD_RAD**2)


def test_errors_from_before_the_anchor_do_not_count_and_those_since_do() -> None:
    then = Drift(position_m2=0.5, rotation_rad2=0.2)
    now = Drift(position_m2=0.75, rotation_rad2=0.21)
    anchor = Anchor(
        source="fix", map_frame="map", T_map_body=np.eye(4), covariance=np.eye(6), at=passage(ahead(4.0), then)
    )
    _, covariance = anchor.carry(passage(ahead(4.0), now))
    np.testing.assert_allclose(covariance, np.eye(6) + np.diag([0.25] * 3 + [0.01] * 3))


def test_what_comes_after_a_new_origin_swings_about_its_rotation() -> None:
    grown = Drift(position_m2=0.5, rotation_rad2=0.3, turned_rad2=0.3).since(Drift(), 2.0)
    assert grown[0, 0] == pytest.approx(0.5 + 0.3 * 4.0)
    assert grown[3, 3] == pytest.approx(0.3)


@given(
    st.lists(st.floats(-2.0, 2.0), min_size=6, max_size=6),
    st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
)
def test_doubt_along_a_way_is_never_less_than_that_of_the_sequence(
    motion: list[float], position_m2: float, rotation_rad2: float
) -> None:
    T_first_body = se3.from_rotation_translation(rotation.exp(motion[:3]), motion[3:])
    now = passage(T_first_body, Drift(position_m2=position_m2, rotation_rad2=rotation_rad2))
    _, covariance = ANCHOR.carry(now)
    assert np.linalg.eigvalsh(covariance[:3, :3])[0] >= position_m2 - 1e-9
    assert np.linalg.eigvalsh(covariance[3:, 3:])[0] >= rotation_rad2 - 1e-9


def test_the_carried_covariance_is_that_of_sampled_errors() -> None:
    rng = np.random.default_rng(0)
    now = passage(
        se3.from_rotation_translation(rotation.exp([0.1, 0.0, 0.4]), [2.0, -1.0, 0.5]),
        Drift(position_m2=0.01, rotation_rad2=0.0004),
    )
    T_map_body, covariance = ANCHOR.carry(now)
    errors = []
    for _ in range(4000):
        drawn = rng.multivariate_normal(np.zeros(6), ANCHOR.covariance)
        T_true = ANCHOR.T_map_body.copy()
        T_true[:3, :3] = rotation.exp(drawn[3:]) @ T_true[:3, :3]
        T_true[:3, 3] += drawn[:3]
        moved = T_true @ now.T_first_body
        moved[:3, 3] += rng.normal(0.0, 0.1, 3)
        errors.append(
            np.concatenate(
                [
                    moved[:3, 3] - T_map_body[:3, 3],
                    rotation.log(rotation.exp(rng.normal(0, 0.02, 3)) @ moved[:3, :3] @ T_map_body[:3, :3].T),
                ]
            )
        )
    np.testing.assert_allclose(np.cov(np.array(errors).T), covariance, atol=0.006)


def test_the_past_is_known_between_two_frames_and_no_further() -> None:
    history = History()
    assert history.at(5) is None
    assert history.newest is None
    for stamp_ns, metres in ((100, 0.0), (200, 1.0), (300, 3.0)):
        history.note(passage(ahead(metres), Drift(position_m2=metres), stamp_ns))
    between = history.at(250)
    assert between is not None
    np.testing.assert_allclose(between.T_first_body, ahead(2.0))
    assert between.drift.position_m2 == 1.0
    exact = history.at(200)
    assert exact is not None
    np.testing.assert_array_equal(exact.T_first_body, ahead(1.0))
    assert history.at(99) is None
    assert history.at(301) is None
    assert history.newest is not None
    assert history.newest.stamp_ns == 300
