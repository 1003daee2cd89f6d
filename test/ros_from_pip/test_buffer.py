"""The transform buffer behaves as tf2 documents it."""

from __future__ import annotations

import math
import threading
from itertools import pairwise

import numpy as np
import pytest
import tf2_ros
from geometry_msgs.msg import TransformStamped
from hypothesis import given, settings
from hypothesis import strategies as st
from rclpy.duration import Duration
from rclpy.time import Time
from scipy.spatial.transform import Rotation
from tf2_ros import (
    Buffer,
    ConnectivityException,
    ExtrapolationException,
    InvalidArgumentException,
    LookupException,
    TransformException,
)
from tf_messages import stamped

LATEST = Time()


def at(time_s: float) -> Time:
    return Time(nanoseconds=round(time_s * 1e9))


def about_z(angle_rad: float) -> tuple[float, float, float, float]:
    return (0.0, 0.0, math.sin(angle_rad / 2), math.cos(angle_rad / 2))


def translation(message: TransformStamped) -> list[float]:
    t = message.transform.translation
    return [t.x, t.y, t.z]


def quat_xyzw(message: TransformStamped) -> list[float]:
    q = message.transform.rotation
    return [q.x, q.y, q.z, q.w]


def matrix(message: TransformStamped) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3] = Rotation.from_quat(quat_xyzw(message)).as_matrix()
    T[:3, 3] = translation(message)
    return T


def filled(*messages: TransformStamped, static: tuple[TransformStamped, ...] = (), cache_s: float = 10.0) -> Buffer:
    buffer = Buffer(cache_time=Duration(seconds=cache_s))
    for message in messages:
        buffer.set_transform(message, "test")
    for message in static:
        buffer.set_transform_static(message, "test")
    return buffer


def test_lookup_gives_the_pose_of_the_source_in_the_target_frame():
    buffer = filled(stamped("map", "base", 5.0, (1.0, 2.0, 3.0), about_z(math.pi / 2)))

    forward = buffer.lookup_transform("map", "base", at(5.0))
    assert (forward.header.frame_id, forward.child_frame_id) == ("map", "base")
    assert (forward.header.stamp.sec, forward.header.stamp.nanosec) == (5, 0)
    assert translation(forward) == pytest.approx([1.0, 2.0, 3.0])
    assert quat_xyzw(forward) == pytest.approx([0.0, 0.0, math.sqrt(0.5), math.sqrt(0.5)])

    # base sees the map's origin: R^T (-t) with R = 90 degrees about z.
    backward = buffer.lookup_transform("base", "map", at(5.0))
    assert (backward.header.frame_id, backward.child_frame_id) == ("base", "map")
    assert translation(backward) == pytest.approx([-2.0, 1.0, -3.0])


def test_quaternion_order_is_xyzw():
    literal = (1 / 11, 2 / 11, 4 / 11, 10 / 11)
    buffer = filled(stamped("map", "base", 5.0, (0.0, 0.0, 0.0), literal))
    assert quat_xyzw(buffer.lookup_transform("map", "base", LATEST)) == pytest.approx(literal)
    point = matrix(buffer.lookup_transform("map", "base", LATEST)) @ [1.0, 0.0, 0.0, 1.0]
    assert point[:3] == pytest.approx([81 / 121, 84 / 121, -32 / 121])


def test_between_two_stamps_translation_is_linear_and_rotation_spherical():
    buffer = filled(
        stamped("odom", "base", 10.0, (1.0, 0.0, 0.0), about_z(0.0)),
        stamped("odom", "base", 12.0, (5.0, 8.0, 0.0), about_z(2.0)),
    )
    quarter = buffer.lookup_transform("odom", "base", at(10.5))
    assert translation(quarter) == pytest.approx([2.0, 2.0, 0.0])
    assert quat_xyzw(quarter) == pytest.approx(about_z(0.5), abs=1e-12)
    assert (quarter.header.stamp.sec, quarter.header.stamp.nanosec) == (10, 500_000_000)


@given(
    st.lists(st.floats(-1, 1), min_size=8, max_size=8).filter(
        lambda q: np.linalg.norm(q[:4]) > 0.1 and np.linalg.norm(q[4:]) > 0.1
    ),
    st.floats(0.01, 0.99),
)
@settings(max_examples=60, deadline=None)
def test_interpolated_rotation_takes_the_shorter_arc(numbers: list[float], fraction: float):
    a, b = Rotation.from_quat(numbers[:4]), Rotation.from_quat(numbers[4:])
    angle = (a.inv() * b).magnitude()
    buffer = filled(
        stamped("odom", "base", 1.0, quat_xyzw=tuple(a.as_quat())),
        stamped("odom", "base", 2.0, quat_xyzw=tuple(b.as_quat())),
    )
    between = Rotation.from_quat(quat_xyzw(buffer.lookup_transform("odom", "base", at(1.0 + fraction))))
    assert (a.inv() * between).magnitude() == pytest.approx(fraction * angle, abs=1e-6)
    assert (between.inv() * b).magnitude() == pytest.approx((1 - fraction) * angle, abs=1e-6)


@pytest.mark.parametrize(
    ("time_s", "direction", "limit"),
    [(12.5, "into the future", "12.000000"), (9.25, "into the past", "10.000000")],
)
def test_extrapolation_is_refused_and_both_times_are_named(time_s: float, direction: str, limit: str):
    buffer = filled(stamped("odom", "base", 10.0), stamped("odom", "base", 12.0))
    with pytest.raises(ExtrapolationException) as error:
        buffer.lookup_transform("odom", "base", at(time_s))
    text = str(error.value)
    assert direction in text
    assert f"Requested time {time_s:.6f}" in text
    assert limit in text
    assert "from frame [base] to frame [odom]" in text


def test_a_single_transform_is_valid_at_its_own_time_only():
    buffer = filled(stamped("odom", "base", 10.0))
    buffer.lookup_transform("odom", "base", at(10.0))
    with pytest.raises(ExtrapolationException, match=r"at time 10\.500000, but only time 10\.000000"):
        buffer.lookup_transform("odom", "base", at(10.5))


def test_a_static_transform_holds_at_every_time_and_does_not_limit_the_common_time():
    buffer = filled(
        stamped("odom", "base", 10.0),
        stamped("odom", "base", 11.0),
        static=(stamped("base", "camera", 3.0, (0, 0, 1)),),
    )
    assert translation(buffer.lookup_transform("base", "camera", at(9999.0))) == [0.0, 0.0, 1.0]
    assert buffer.lookup_transform("base", "camera", LATEST).header.stamp.sec == 0
    assert buffer.lookup_transform("odom", "camera", LATEST).header.stamp.sec == 11


def test_time_zero_is_the_latest_time_common_to_the_whole_chain():
    buffer = filled(
        stamped("map", "odom", 1.0),
        stamped("map", "odom", 3.0, (2.0, 0.0, 0.0)),
        stamped("odom", "base", 2.0, (0.0, 10.0, 0.0)),
        stamped("odom", "base", 2.5, (0.0, 20.0, 0.0)),
    )
    found = buffer.lookup_transform("map", "base", LATEST)
    assert (found.header.stamp.sec, found.header.stamp.nanosec) == (2, 500_000_000)
    assert translation(found) == pytest.approx([1.5, 20.0, 0.0])
    assert buffer.get_latest_common_time("map", "base").nanoseconds == 2_500_000_000


def test_the_common_time_counts_only_links_between_the_two_frames():
    buffer = filled(
        stamped("map", "odom", 1.0),
        stamped("odom", "base", 7.0),
        stamped("odom", "lidar", 5.0),
    )
    assert buffer.get_latest_common_time("lidar", "base").nanoseconds == 5_000_000_000


def test_chains_through_a_common_ancestor_compose():
    rng = np.random.default_rng(4)
    names = ["map", "odom", "base", "mast", "camera"]
    chain = [
        stamped(parent, child, 1.0, tuple(rng.normal(size=3)), tuple(Rotation.random(random_state=7 + i).as_quat()))
        for i, (parent, child) in enumerate(pairwise(names))
    ]
    other = stamped("odom", "lidar", 1.0, (0.3, -2.0, 0.7), tuple(Rotation.random(random_state=1).as_quat()))
    buffer = filled(*chain, other)

    T_odom_camera = matrix(chain[1]) @ matrix(chain[2]) @ matrix(chain[3])
    np.testing.assert_allclose(matrix(buffer.lookup_transform("odom", "camera", at(1.0))), T_odom_camera, atol=1e-12)
    np.testing.assert_allclose(
        matrix(buffer.lookup_transform("lidar", "camera", at(1.0))),
        np.linalg.inv(matrix(other)) @ T_odom_camera,
        atol=1e-12,
    )


def test_links_above_the_common_ancestor_need_no_data_at_that_time():
    buffer = filled(
        stamped("map", "base", 100.0), static=(stamped("base", "camera", 0.0, (1, 0, 0)), stamped("base", "imu", 0.0))
    )
    assert translation(buffer.lookup_transform("imu", "camera", at(3.0))) == [1.0, 0.0, 0.0]


def test_full_lookup_goes_through_the_fixed_frame_at_two_times():
    buffer = filled(
        stamped("odom", "base", 1.0, (0.0, 0.0, 0.0)),
        stamped("odom", "base", 3.0, (4.0, 0.0, 0.0), about_z(math.pi / 2)),
    )
    found = buffer.lookup_transform_full("base", at(3.0), "base", at(1.5), "odom")
    # At 1.5 s the robot was at x = 1, that is 3 m behind its place at 3 s, seen from a robot that turned left since.
    assert translation(found) == pytest.approx([0.0, 3.0, 0.0], abs=1e-12)
    assert found.header.stamp.sec == 3
    assert not buffer.can_transform_full("base", at(3.5), "base", at(1.5), "odom")
    with pytest.raises(ExtrapolationException, match=r"3\.500000.*3\.000000"):
        buffer.lookup_transform_full("base", at(3.5), "base", at(1.5), "odom")


def test_unknown_frames_and_separate_trees_have_errors_of_their_own():
    buffer = filled(stamped("map", "odom", 1.0), stamped("world", "base", 1.0))
    with pytest.raises(
        LookupException, match='"nowhere" passed to lookupTransform argument target_frame does not exist'
    ):
        buffer.lookup_transform("nowhere", "odom", LATEST)
    with pytest.raises(LookupException, match="source_frame"):
        buffer.lookup_transform("map", "nowhere", LATEST)
    for time in (LATEST, at(1.0)):
        with pytest.raises(ConnectivityException, match=r"'map' and 'base'.*not part of the same tree"):
            buffer.lookup_transform("map", "base", time)
    with pytest.raises(InvalidArgumentException):
        buffer.lookup_transform("", "odom", LATEST)
    with pytest.raises(InvalidArgumentException):
        buffer.lookup_transform("/map", "odom", LATEST)


def test_exceptions_form_one_family():
    for name in ("Lookup", "Connectivity", "Extrapolation", "InvalidArgument", "Timeout"):
        assert issubclass(getattr(tf2_ros, f"{name}Exception"), TransformException)


def test_a_loop_is_reported_and_not_followed_for_ever():
    buffer = filled(stamped("a", "b", 1.0), stamped("b", "a", 1.0), stamped("x", "y", 1.0))
    with pytest.raises(LookupException, match="contains a loop"):
        buffer.lookup_transform("x", "a", at(1.0))


def test_what_is_older_than_the_cache_time_is_forgotten_and_refused():
    buffer = filled(*(stamped("odom", "base", float(second)) for second in range(1, 9)), cache_s=3.0)
    buffer.lookup_transform("odom", "base", at(5.0))
    with pytest.raises(ExtrapolationException, match=r"earliest data is at time 5\.0"):
        buffer.lookup_transform("odom", "base", at(4.5))
    buffer.set_transform(stamped("odom", "base", 2.0), "test")
    with pytest.raises(ExtrapolationException, match=r"earliest data is at time 5\.0"):
        buffer.lookup_transform("odom", "base", at(2.0))


def test_late_transforms_are_sorted_in():
    buffer = filled(*(stamped("odom", "base", t, (t, 0.0, 0.0)) for t in (1.0, 4.0, 2.0, 3.0)))
    assert translation(buffer.lookup_transform("odom", "base", at(2.5))) == pytest.approx([2.5, 0.0, 0.0])


def test_clear_forgets_moving_transforms_and_keeps_static_ones():
    buffer = filled(stamped("odom", "base", 100.0), static=(stamped("base", "camera", 0.0),))
    buffer.clear()
    assert buffer.can_transform("base", "camera", LATEST)
    with pytest.raises(TransformException):
        buffer.lookup_transform("odom", "base", LATEST)
    # After a jump back in time older stamps are accepted again.
    buffer.set_transform(stamped("odom", "base", 1.0, (7.0, 0.0, 0.0)), "test")
    assert translation(buffer.lookup_transform("odom", "camera", at(1.0))) == [7.0, 0.0, 0.0]


@pytest.mark.parametrize(
    "message",
    [
        stamped("base", "base", 1.0),
        stamped("", "base", 1.0),
        stamped("odom", "base", 1.0, (math.nan, 0.0, 0.0)),
        stamped("odom", "base", 1.0, quat_xyzw=(0.0, 0.0, 0.0, 0.0)),
        stamped("odom", "base", 1.0, quat_xyzw=(0.0, 0.0, 0.0, 1.2)),
    ],
    ids=["self", "no parent", "nan", "zero quaternion", "long quaternion"],
)
def test_unusable_transforms_are_ignored(message: TransformStamped):
    buffer = filled(message)
    assert not buffer.can_transform("odom", "base", LATEST)


def test_message_stamps_are_accepted_as_times():
    message = stamped("odom", "base", 2.25, (1.0, 0.0, 0.0))
    buffer = filled(message)
    assert translation(buffer.lookup_transform("odom", "base", message.header.stamp)) == [1.0, 0.0, 0.0]


def test_can_transform_says_why_not():
    buffer = filled(stamped("odom", "base", 1.0))
    assert buffer.can_transform("odom", "base", LATEST)
    possible, reason = buffer.can_transform("odom", "base", at(2.0), return_debug_tuple=True)
    assert not possible
    assert "2.000000" in reason
    assert not buffer.can_transform("odom", "base", at(2.0), timeout=Duration(seconds=0.01))


def test_waiting_ends_when_the_transform_arrives():
    buffer = filled(stamped("odom", "base", 1.0))
    waiting = threading.Event()
    results: list[object] = []

    def wait() -> None:
        waiting.set()
        results.append(buffer.lookup_transform("odom", "base", at(2.0), timeout=Duration(seconds=20.0)))

    thread = threading.Thread(target=wait)
    thread.start()
    assert waiting.wait(10.0)
    buffer.set_transform(stamped("odom", "base", 2.0, (6.0, 0.0, 0.0)), "test")
    thread.join(10.0)
    assert not thread.is_alive()
    assert translation(results[0]) == [6.0, 0.0, 0.0]


def test_a_future_completes_with_the_transform():
    buffer = filled(stamped("odom", "base", 1.0))
    future = buffer.wait_for_transform_async("odom", "base", at(1.5))
    assert not future.done()
    buffer.set_transform(stamped("odom", "base", 2.0, (6.0, 0.0, 0.0)), "test")
    assert translation(future.result()) == pytest.approx([3.0, 0.0, 0.0])
    assert buffer.wait_for_transform_async("odom", "base", at(2.0)).done()


def test_several_threads_read_while_one_writes():
    buffer = filled(stamped("odom", "base", 0.001), static=(stamped("base", "camera", 0.0, (0, 0, 1)),))
    faults: list[str] = []
    written = threading.Event()

    def read() -> None:
        while not written.is_set():
            found = buffer.lookup_transform("odom", "camera", LATEST)
            time_s = found.header.stamp.sec + found.header.stamp.nanosec * 1e-9
            x = found.transform.translation.x
            if time_s > 0.5 and abs(x - time_s) > 1e-9:
                faults.append(f"x = {x} at {time_s}")

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for i in range(1, 1001):
        buffer.set_transform(stamped("odom", "base", i * 0.01, (i * 0.01, 0.0, 0.0)), "test")
    written.set()
    for reader in readers:
        reader.join(10.0)
    assert not faults
