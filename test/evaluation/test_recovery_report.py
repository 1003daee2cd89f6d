"""Cuts between drives are kidnaps, pictures and pages show what the figures say, and each image is localized once."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from reloc_ros.cameras.pinhole import PinholeCamera
from reloc_ros.datasets.images import PosedImage, PosedImages
from reloc_ros.errors import DatasetError
from reloc_ros.evaluation.recovery_drives import cut_runs, drives_of, fix_figures, localize_all, thinned
from reloc_ros.evaluation.recovery_report import Source, as_markdown, measure, steps_of, write_report
from reloc_ros.evaluation.recovery_simulation import draw_runs, replay
from reloc_ros.evaluation.recovery_traces import trace
from reloc_ros.geometry import rotation, se3
from reloc_ros.localization.decision import State
from reloc_ros.localization.fusion import OdometryNoise
from reloc_ros.localization.recovery_settings import RecoverySettings
from reloc_ros.types import Estimate, Frame, Reason, Rejected

CAMERA = PinholeCamera(4, 3, np.array([[4.0, 0.0, 1.5], [0.0, 4.0, 1.0], [0.0, 0.0, 1.0]]))
COVARIANCE = np.diag([0.02, 0.02, 0.02, 0.01, 0.01, 0.01]) ** 2
RATE_HZ = 5.0


def circling(index: int):
    """Return a level camera on a circle of 3 m, 0.6 m/s at 5 Hz."""
    angle = 0.04 * index
    R_level = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    R_map_camera = rotation.exp([0.0, 0.0, angle + np.pi / 2]) @ R_level
    return se3.from_rotation_translation(R_map_camera, [3.0 * np.cos(angle), 3.0 * np.sin(angle), 1.0])


def recorded(count: int = 220, sequence: str = "round", rate_hz: float = RATE_HZ) -> list[PosedImage]:
    return [
        PosedImage(
            name=f"{sequence}/{index}",
            stamp_ns=round(index / rate_hz * 1e9),
            T_map_camera=circling(index),
            camera=CAMERA,
            load=lambda index=index: np.full((3, 4, 3), index, np.uint8),
            sequence=sequence,
        )
        for index in range(count)
    ]


def data_set(images: list[PosedImage]) -> PosedImages:
    return PosedImages(images=tuple(images), skipped=(), ground_truth="test", name="test", metric=True)


def knowing(frame: Frame, *, shift_m: float = 0.0) -> Estimate:
    """Return the truth, or a place that lies a constant shift away from it."""
    T_map_camera = circling(int(frame.image[0, 0, 0]))
    T_map_camera[0, 3] += shift_m
    return Estimate(
        T_map_camera=T_map_camera, covariance=COVARIANCE, map_frame="map", stamp_ns=frame.stamp_ns, evidence={}
    )


def drives(localize=knowing):
    dataset = data_set(recorded())
    return drives_of(dataset, localize_all(dataset, localize))


def runs_of(**changes):
    cuts = {"kidnaps": 3, "seed": 5, "before_s": 10.0, "after_s": 15.0}
    localize = changes.pop("localize", knowing)
    return cut_runs(drives(localize), **{**cuts, **changes})


def test_a_cut_is_a_kidnap_that_odometry_does_not_notice():
    for run in runs_of():
        assert len(run) == 125
        cut = next(index for index, sample in enumerate(run) if sample.kidnapped)
        assert cut == 50
        assert sum(sample.kidnapped for sample in run) == 1
        before, after = run[cut - 1], run[cut]
        assert np.linalg.norm(after.T_map_body[:3, 3] - before.T_map_body[:3, 3]) >= 2.0
        np.testing.assert_array_equal(after.T_odom_body, before.T_odom_body)
        assert set(np.diff([sample.stamp_ns for sample in run])) == {200_000_000}


def test_odometry_drifts_by_some_percent_and_stays_level():
    run = runs_of()[0][:50]
    truly = se3.inverse(run[0].T_map_body) @ run[-1].T_map_body
    measured = se3.inverse(run[0].T_odom_body) @ run[-1].T_odom_body
    drift_m = np.linalg.norm(truly[:3, 3] - measured[:3, 3])
    assert 0.001 < drift_m < 0.5
    assert truly[1, 3] == pytest.approx(measured[1, 3], abs=1e-9)
    np.testing.assert_array_equal(run[0].T_odom_body, np.eye(4))


def test_a_kidnap_depends_on_its_seed_and_number_alone():
    three, one, other = runs_of(), runs_of(kidnaps=1), runs_of(kidnaps=1, seed=6)
    for sample, again in zip(three[0], one[0]):
        np.testing.assert_array_equal(sample.T_odom_body, again.T_odom_body)
        np.testing.assert_array_equal(sample.T_map_body, again.T_map_body)
    assert not np.array_equal(one[0][-1].T_odom_body, other[0][-1].T_odom_body)
    assert not np.array_equal(three[0][-1].T_map_body, three[1][-1].T_map_body)


def test_drives_end_at_gaps_leaps_and_other_sequences():
    images = recorded(30)
    leap, late = circling(20), 3_000_000_000
    leap[2, 3] += 4.0
    images[20] = replace(images[20], T_map_camera=leap)
    images[25:] = [replace(image, stamp_ns=image.stamp_ns + late) for image in images[25:]]
    dataset = data_set([*images, *recorded(7, "other")])
    found = drives_of(dataset, localize_all(dataset, knowing))
    assert [len(drive) for drive in found] == [20, 1, 4, 5, 7]


def test_fast_recordings_are_thinned_by_time_and_not_across_sequences():
    dataset = thinned(data_set([*recorded(30, "a", 30.0), *recorded(5, "b", 4.0)]), RATE_HZ)
    assert [image.name for image in dataset.images] == [
        "a/0",
        "a/6",
        "a/12",
        "a/18",
        "a/24",
        *(f"b/{i}" for i in range(5)),
    ]


def test_drives_that_are_too_short_or_all_in_one_place_are_refused():
    with pytest.raises(DatasetError, match=r"lasts 43\.8 s, 60 s are needed"):
        runs_of(after_s=60.0)
    still = [replace(image, T_map_camera=circling(1)) for image in recorded(60)]
    dataset = data_set(still)
    with pytest.raises(DatasetError, match="2 m apart"):
        cut_runs(drives_of(dataset, localize_all(dataset, knowing)), kidnaps=1, seed=1, before_s=3.0, after_s=3.0)


def test_each_image_is_localized_once_for_a_key(tmp_path):
    asked = []

    def counting(frame: Frame):
        asked.append(int(frame.image[0, 0, 0]))
        if asked[-1] == 3:
            return Rejected(reason=Reason.TOO_UNCERTAIN, detail="planted", stamp_ns=frame.stamp_ns)
        return knowing(frame, shift_m=0.25)

    dataset = data_set(recorded(6))
    first = localize_all(dataset, counting, cache=tmp_path / "new", key="bundle one")
    again = localize_all(dataset, counting, cache=tmp_path / "new", key="bundle one")
    assert asked == list(range(6))
    assert [look.T_map_camera_seen is None for look in again] == [index == 3 for index in range(6)]
    np.testing.assert_array_equal(first[4].T_map_camera_seen, again[4].T_map_camera_seen)
    np.testing.assert_array_equal(again[4].covariance, COVARIANCE)
    localize_all(dataset, counting, cache=tmp_path / "new", key="bundle two")
    assert len(asked) == 12
    assert all(sample.fix is None for sample in runs_of(localize=_refuse)[0])


def _refuse(frame: Frame) -> Rejected:
    return Rejected(reason=Reason.DEGENERATE, detail="planted", stamp_ns=frame.stamp_ns)


def test_fixes_are_described_by_errors_runs_and_covariance():
    def failing(frame: Frame):
        number = int(frame.image[0, 0, 0])
        if number in {7, 8}:
            return _refuse(frame)
        return knowing(frame, shift_m=0.7 if 20 <= number < 31 else 0.04)

    figures = fix_figures(drives(failing))
    assert figures["images"] == 220
    assert figures["rejected_share"] == pytest.approx(2 / 220)
    assert figures["median_m"] == pytest.approx(0.04)
    assert figures["wrong_share"] == pytest.approx(11 / 218)
    assert figures["longest_wrong_run_s"] == pytest.approx(2.2)
    assert figures["nees_median"] == pytest.approx(4.0)
    # Chi-square of six freedoms: 5.35 at 50 %.
    assert [figures[f"coverage_{level}%"] for level in (50, 90, 95)] == [pytest.approx(207 / 218)] * 3
    assert fix_figures(drives(_refuse)) == {"images": 220, "rejected_share": 1.0}


def test_a_relocalizer_that_knows_recovers_and_one_that_lies_in_concert_is_found_out():
    def source(localize):
        return Source(
            title="test", draw=lambda _name: runs_of(localize=localize), scenarios=("kidnap",), details={"images": 220}
        )

    right = measure(source(knowing), RecoverySettings(), seed=5).report
    assert right["success_rate"] == 1.0
    assert right["false_fixes"] == 0
    assert 2.0 < right["time_to_recover_s"]["p50"] < 10.0
    lying = measure(source(lambda frame: knowing(frame, shift_m=0.8)), RecoverySettings(), seed=5)
    assert lying.report["success_rate"] == 0.0
    assert lying.report["false_fixes"] == lying.report["published"] > 50
    assert lying.report["recover_s"] == [None] * 3
    assert lying.report["time_to_recover_s"] == {"p50": None, "p90": None}
    assert "never" in as_markdown(lying.report)


def test_a_trace_says_what_a_replay_says():
    settings = RecoverySettings().with_votes(1.0)
    for run in draw_runs("kidnap", kidnaps=1, seed=4):
        outcome, traced = replay(run, settings, OdometryNoise()), trace(run, settings, OdometryNoise())
        assert traced.false_fixes == outcome.false_fixes
        assert traced.recovered_s == outcome.recovered_s
        assert np.sum(traced.trusted <= 1.0) == outcome.available
        assert np.sum(np.isfinite(traced.published)) == len(outcome.published)
        assert traced.kidnap_s == 25.0
        assert {State.CANDIDATE, State.TRACKING} <= set(traced.states)


def test_a_report_is_written_for_programs_people_and_eyes(tmp_path):
    votes, done = (6.0,), []
    source = Source(
        title="simulated",
        draw=lambda name: draw_runs(name, kidnaps=1, seed=3),
        scenarios=("signalled_kidnap", "blackout"),
        details={},
    )
    measured = measure(source, RecoverySettings(), seed=3, votes=votes, on_run=lambda: done.append(1))
    assert len(done) == steps_of(source, votes=votes)
    write_report(tmp_path / "out", measured)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert {"kidnaps", "success_rate", "time_to_recover_s", "false_fixes", "availability", "misled_s"} <= set(report)
    assert (report["kidnaps"], report["scenario"], report["seed"]) == (1, "signalled_kidnap", 3)
    assert list(report["scenarios"]) == ["signalled_kidnap", "blackout"]
    assert report["scenarios"]["signalled_kidnap"]["published"] == report["published"]
    assert [point["votes_to_accept"] for point in report["trade_off"]] == [6.0]
    assert report["trade_off"][0]["published"] == report["published"]
    assert report["settings"]["view_s"] is None
    assert report["settings"]["votes_to_accept"] == 6.0
    page = (tmp_path / "out" / "report.md").read_text()
    assert "| blackout | 1 | 100% |" in page
    assert (tmp_path / "out" / "recovery.png").read_bytes().startswith(b"\x89PNG")
    assert list(measured.traces) == ["typical run", "worst run"]


def test_the_picture_shows_the_runs_that_went_worst():
    def draw(_name: str):
        honest = runs_of(kidnaps=4)
        return [*honest[:2], *runs_of(kidnaps=1, localize=lambda frame: knowing(frame, shift_m=0.8)), *honest[2:]]

    traces = measure(
        Source(title="test", draw=draw, scenarios=("kidnap",), details={}), RecoverySettings(), seed=5
    ).traces
    assert list(traces) == ["typical run", "worst run", "second worst run"]
    assert traces["worst run"].false_fixes > 50
    assert traces["second worst run"].false_fixes == 0
    assert traces["typical run"].recovered_s <= traces["second worst run"].recovered_s
