"""The simulated drives are what they claim, and the machine's promises hold on them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from reloc_ros.evaluation.pose_error import rotation_error_deg, translation_error_m
from reloc_ros.evaluation.recovery_simulation import (
    Outcome,
    draw_runs,
    replay,
    run_scenario,
    summarize,
    trade_off,
)
from reloc_ros.evaluation.simulated_drives import SCENARIOS, draw_run
from reloc_ros.geometry import se3
from reloc_ros.localization.fusion import OdometryNoise
from reloc_ros.localization.recovery_settings import RecoverySettings


@pytest.fixture(scope="module")
def kidnaps():
    return draw_runs("kidnap", kidnaps=6, seed=4)


@pytest.fixture(scope="module")
def outcomes(kidnaps):
    return [replay(run, RecoverySettings(), OdometryNoise()) for run in kidnaps]


def test_the_same_seed_gives_the_same_drive(kidnaps):
    again = draw_runs("kidnap", kidnaps=2, seed=4)
    other = draw_runs("kidnap", kidnaps=1, seed=5)
    for one, two in zip(kidnaps[1], again[1]):
        np.testing.assert_array_equal(one.T_odom_body, two.T_odom_body)
        assert (one.fix is None) == (two.fix is None)
    assert not np.array_equal(kidnaps[0][-1].T_map_body, other[0][-1].T_map_body)


def test_fixes_err_as_the_model_that_they_stand_for():
    runs = draw_runs("blackout", kidnaps=12, seed=8)
    fixes = [sample for run in runs for sample in run if sample.fix is not None]
    errors_m = [translation_error_m(sample.fix.T_map_body, sample.T_map_body) for sample in fixes]
    errors_deg = [rotation_error_deg(sample.fix.T_map_body, sample.T_map_body) for sample in fixes]
    assert np.median(errors_m) == pytest.approx(0.17, abs=0.02)
    assert np.median(errors_deg) == pytest.approx(3.2, abs=0.4)
    assert 0.3 < np.quantile(errors_m, 0.9) < 0.5
    assert np.mean(np.array(errors_m) > 1.0) == pytest.approx(0.06, abs=0.03)


def test_odometry_drifts_by_some_percent_and_knows_nothing_of_the_kidnap(kidnaps):
    for run in kidnaps:
        event = next(i for i, sample in enumerate(run) if sample.kidnapped)
        before, after = run[event - 1], run[event]
        assert np.linalg.norm(after.T_map_body[:3, 3] - before.T_map_body[:3, 3]) >= 2.0
        np.testing.assert_array_equal(after.T_odom_body, before.T_odom_body)
        truly = se3.inverse(run[0].T_map_body) @ before.T_map_body
        measured = se3.inverse(run[0].T_odom_body) @ before.T_odom_body
        drift_m = np.linalg.norm(truly[:3, 3] - measured[:3, 3])
        assert 0.0 < drift_m < 1.0


def test_every_kidnapped_robot_finds_itself_and_nothing_wrong_is_published(outcomes):
    figures = summarize(outcomes)
    assert figures["success_rate"] == 1.0
    assert figures["false_fixes"] == 0
    assert figures["false_fixes_unguarded"] > 50
    assert figures["availability"] > 0.75
    assert figures["time_to_recover_s"]["p90"] < 15.0
    assert figures["misled_s"]["max"] < 8.0


def test_the_fused_pose_beats_the_single_fix(outcomes):
    figures = summarize(outcomes)
    assert figures["fused_error"]["median_m"] < 0.6 * figures["single_fix_error"]["median_m"]
    assert figures["fused_error"]["p99_m"] < 0.6 * figures["single_fix_error"]["p99_m"]
    assert figures["fused_error"]["median_deg"] < 0.6 * figures["single_fix_error"]["median_deg"]


def test_published_poses_know_their_error(kidnaps):
    """Covariances are not promised to be exact under correlated, heavy-tailed errors; nor may they be absurd."""
    from reloc_ros.geometry.covariance import difference
    from reloc_ros.localization.recovery import Recovery

    nees = []
    for run in kidnaps[:3]:
        recovery = Recovery(RecoverySettings(), OdometryNoise())
        for sample in run:
            if sample.fix is None:
                recovery.on_rejected(sample.stamp_ns, sample.T_odom_body, "")
                continue
            published = recovery.on_fix(sample.fix).publish
            if published is not None:
                d = difference(published.T_map_body, sample.T_map_body)
                nees.append(d @ np.linalg.solve(published.covariance, d))
    assert 2.0 < np.median(nees) < 12.0


@pytest.mark.parametrize("name", ["blackout", "unmapped", "aliasing", "bumped", "standing"])
def test_nothing_wrong_is_published_in(name):
    figures = run_scenario(name, kidnaps=2, seed=6, settings=RecoverySettings())
    assert figures["false_fixes"] == 0
    assert figures["misled_s"]["max"] == 0.0
    if name == "standing":
        assert figures["published"] == 0


def test_without_demands_wrong_poses_come_out():
    careless = RecoverySettings().with_votes(1.0)
    outcomes = [replay(run, careless, OdometryNoise()) for run in draw_runs("unmapped", kidnaps=2, seed=6)]
    assert summarize(outcomes)["false_fixes"] > 0


def test_a_trade_off_compares_on_the_same_drives():
    done = []
    points = trade_off(
        "signalled_kidnap", kidnaps=2, seed=3, settings=RecoverySettings(), votes=(2.0, 8.0), on_point=done.append
    )
    assert [point["votes_to_accept"] for point in points] == done == [2.0, 8.0]
    assert points[0]["time_to_recover_s"]["p50"] < points[1]["time_to_recover_s"]["p50"]


def test_figures_count_the_failures():
    found = Outcome(
        published=np.array([[0.1, 1.0], [0.6, 1.0], [0.1, 11.0]]),
        raw=np.array([[0.2, 1.0]] * 3),
        fixes=np.array([[0.2, 1.0]] * 3 + [[7.0, 1.0]] * 4),
        images=10,
        available=6,
        misled_s=1.5,
        recovered_s=4.0,
    )
    never = replace(
        found, published=np.zeros((0, 2)), raw=np.zeros((0, 2)), available=0, misled_s=0.5, recovered_s=None
    )
    figures = summarize([found, never])
    assert figures["kidnaps"] == 2
    assert figures["success_rate"] == 0.5
    assert figures["false_fixes"] == 2
    assert figures["false_fixes_unguarded"] == 8
    assert figures["availability"] == 0.3
    assert figures["misled_s"] == {"p50": 1.0, "max": 1.5}
    assert figures["time_to_recover_s"] == {"p50": 4.0, "p90": 4.0}
    assert summarize([never])["time_to_recover_s"] == {"p50": None, "p90": None}


def test_a_robot_that_stands_gets_no_views():
    run = draw_run(SCENARIOS["standing"], np.random.default_rng(1))
    np.testing.assert_array_equal(run[0].T_map_body, run[-1].T_map_body)
