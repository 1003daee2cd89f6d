"""The pose filter against its own covariance, against a batch solution, and in whatever map."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from driving import COVARIANCE, pose
from hypothesis import given, settings
from hypothesis import strategies as st

from reloc_ros.geometry import covariance, rotation, se3
from reloc_ros.localization import fusion
from reloc_ros.localization.fusion import NS_PER_S, Belief, OdometryNoise

NOISE = OdometryNoise()
SILENT = OdometryNoise(
    position_m_per_sqrt_m=0.0,
    rotation_rad_per_sqrt_m=0.0,
    rotation_rad_per_sqrt_rad=0.0,
    position_m_per_sqrt_s=0.0,
    rotation_rad_per_sqrt_s=0.0,
)
START = Belief(
    T_map_body=pose(3.0, -1.0, 0.8, z=0.2), covariance=COVARIANCE, T_odom_body=pose(1.0, 2.0, 0.3), stamp_ns=0
)


def fix_at(belief: Belief, moved: np.ndarray, cov: np.ndarray = COVARIANCE) -> Belief:
    return replace(belief, T_map_body=belief.T_map_body @ moved, covariance=cov)


def test_map_to_odom_follows_from_the_pose():
    np.testing.assert_allclose(START.T_map_odom @ START.T_odom_body, START.T_map_body, atol=1e-12)


def test_odometry_carries_the_pose_and_the_lever_of_a_turn():
    ahead = fusion.predict(START, START.T_odom_body @ pose(10.0), NS_PER_S, SILENT)
    np.testing.assert_allclose(ahead.T_map_body, START.T_map_body @ pose(10.0), atol=1e-12)
    np.testing.assert_allclose(ahead.T_map_odom, START.T_map_odom, atol=1e-12)
    side = START.T_map_body[:3, :3] @ [0.0, 1.0, 0.0]
    # 0.03 rad of yaw at 10 m push 0.3 m sideways, besides the 0.1 m from before.
    assert side @ ahead.covariance[:3, :3] @ side == pytest.approx(0.1**2 + 0.3**2)
    np.testing.assert_allclose(ahead.covariance[3:, 3:], START.covariance[3:, 3:])


def test_the_noise_of_a_way_does_not_depend_on_how_it_is_divided():
    noise = OdometryNoise(rotation_rad_per_sqrt_m=0.0, rotation_rad_per_sqrt_s=0.0)
    whole = fusion.predict(START, START.T_odom_body @ pose(4.0), 8 * NS_PER_S, noise)
    part = START
    for i in range(8):
        part = fusion.predict(part, part.T_odom_body @ pose(0.5), (i + 1) * NS_PER_S, noise)
    np.testing.assert_allclose(whole.covariance, part.covariance, rtol=1e-9)
    assert whole.covariance[2, 2] > START.covariance[2, 2] + 4.0 * noise.position_m_per_sqrt_m**2 * 0.99


def test_fusing_equal_certainty_meets_half_way_and_halves_the_variance():
    fused = fusion.fuse(START, fix_at(START, pose(0.06, 0.0, 0.02)), freedoms=6)
    half = fusion.difference(START.T_map_body, fused.T_map_body)
    whole = fusion.difference(START.T_map_body, START.T_map_body @ pose(0.06, 0.0, 0.02))
    np.testing.assert_allclose(half, 0.5 * whole, atol=1e-12)
    np.testing.assert_allclose(fused.covariance, 0.5 * COVARIANCE, atol=1e-12)


def test_a_repeated_view_brings_less():
    fix = fix_at(START, pose(0.06))
    tenth = fusion.fuse(START, fix, freedoms=6, share=0.1)
    assert np.linalg.norm(tenth.T_map_body[:3, 3] - START.T_map_body[:3, 3]) == pytest.approx(0.06 / 11.0)
    assert tenth.covariance[0, 0] == pytest.approx(0.1**2 * 10 / 11)


def test_the_further_off_a_fix_the_smaller_its_weight():
    moves = [
        np.linalg.norm(
            fusion.fuse(START, fix_at(START, pose(d)), freedoms=6).T_map_body[:3, 3] - START.T_map_body[:3, 3]
        )
        for d in (0.1, 1.0, 10.0)
    ]
    assert moves[0] == pytest.approx(0.05)
    assert moves[1] < 0.2
    assert moves[2] < 0.1


def test_the_filter_knows_its_own_error():
    rng = np.random.default_rng(5)
    nees = []
    for _ in range(60):
        T_map_body, T_odom_body = pose(*rng.uniform(-5, 5, 2), rng.uniform(-3, 3)), pose(1.0, 2.0, 0.3)
        belief = None
        for i in range(12):
            step = pose(0.4, 0.1, 0.2)
            position, turned = NOISE.variances(travel_m=fusion.motion(step)[0], turn_rad=0.2, seconds=1.0)
            slip = np.concatenate([rng.normal(0.0, position**0.5, 3), rng.normal(0.0, turned**0.5, 3)])
            T_map_body, T_odom_body = T_map_body @ step, T_odom_body @ step @ moved_by(slip)
            error = rng.multivariate_normal(np.zeros(6), COVARIANCE)
            T_fix = T_map_body.copy()
            T_fix[:3, :3], T_fix[:3, 3] = rotation.exp(error[3:]) @ T_fix[:3, :3], T_fix[:3, 3] + error[:3]
            fix = Belief(T_map_body=T_fix, covariance=COVARIANCE, T_odom_body=T_odom_body, stamp_ns=(i + 1) * NS_PER_S)
            if belief is None:
                belief = fix
            else:
                belief = fusion.fuse(fusion.predict(belief, T_odom_body, fix.stamp_ns, NOISE), fix, freedoms=6)
        d = fusion.difference(belief.T_map_body, T_map_body)
        nees.append(d @ np.linalg.solve(belief.covariance, d))
    # Mean of 60 chi-squares with 6 freedoms: 6 +- 0.45.
    assert 4.5 < np.mean(nees) < 7.5


def moved_by(error: np.ndarray) -> np.ndarray:
    return se3.from_rotation_translation(rotation.exp(error[3:]), error[:3])


@settings(max_examples=50, deadline=None)
@given(
    rotvec=st.tuples(*[st.floats(-3, 3)] * 3),
    shift=st.tuples(*[st.floats(-100, 100)] * 3),
    off=st.tuples(*[st.floats(-0.2, 0.2)] * 3),
)
def test_the_map_frame_does_not_matter(rotvec, shift, off):
    T_new_map = se3.from_rotation_translation(rotation.exp(rotvec), shift)

    def moved(belief):
        turned = covariance.change_map_frame(belief.covariance, T_new_map[:3, :3])
        return replace(belief, T_map_body=T_new_map @ belief.T_map_body, covariance=turned)

    T_odom_next = START.T_odom_body @ pose(0.7, 0.1, 0.4)
    fix = replace(fix_at(START, pose(0.7, 0.1, 0.4) @ pose(*off)), T_odom_body=T_odom_next, stamp_ns=NS_PER_S)
    here = fusion.fuse(fusion.predict(START, T_odom_next, NS_PER_S, NOISE), fix, freedoms=6)
    there = fusion.fuse(fusion.predict(moved(START), T_odom_next, NS_PER_S, NOISE), moved(fix), freedoms=6)
    np.testing.assert_allclose(moved(here).T_map_body, there.T_map_body, atol=1e-9)
    np.testing.assert_allclose(moved(here).covariance, there.covariance, atol=1e-9)


def test_a_correction_glides_at_the_body_not_at_the_odometry_origin():
    far = replace(START, T_odom_body=pose(200.0, 50.0, 1.0))
    T_shown = far.T_map_body @ pose(0.0, 0.0, 0.1) @ se3.inverse(far.T_odom_body)
    half = fusion.approach(T_shown, far, seconds=np.log(2.0) * 0.5, time_constant_s=0.5) @ far.T_odom_body
    np.testing.assert_allclose(half, far.T_map_body @ pose(0.0, 0.0, 0.05), atol=1e-9)
    at_once = fusion.approach(T_shown, far, seconds=0.02, time_constant_s=0.0)
    np.testing.assert_allclose(at_once, far.T_map_odom, atol=1e-9)
    still = fusion.approach(T_shown, far, seconds=-1.0, time_constant_s=0.5)
    np.testing.assert_allclose(still, T_shown, atol=1e-9)
