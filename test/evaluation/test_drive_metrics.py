"""Waiting times, ATE, RPE and errors against conditions, on drives whose answers are known."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from frame_results import estimated, make_result, rejected, result_with_errors

from reloc_ros.evaluation.condition_plots import conditions_figure
from reloc_ros.evaluation.conditions import by_condition, conditions
from reloc_ros.evaluation.drive_metrics import drive_figures
from reloc_ros.evaluation.metrics import accuracy
from reloc_ros.evaluation.report import Subject, write_report
from reloc_ros.evaluation.timeline import played_s
from reloc_ros.geometry import rotation, se3

if TYPE_CHECKING:
    from pathlib import Path

INF = math.inf


def test_hours_between_held_out_blocks_are_nobodys_waiting_time() -> None:
    results = [result_with_errors(index, 0.01, 0.1) for index in (0, 1, 2, 5000, 5001)]
    assert played_s(results).tolist() == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])


def test_the_first_fix_is_the_first_right_one() -> None:
    # Rejected, a false fix, rejected, then right: 0.3 s; in the second sequence at once.
    first = [result_with_errors(i, *error) for i, error in enumerate([(INF, INF), (0.6, 1.0), (INF, INF), (0.1, 1.0)])]
    second = [make_result(i, r.T_map_camera, r.localization, sequence="b") for i, r in enumerate([first[3], first[0]])]
    figures = drive_figures([*first, *second])
    assert figures["time_to_first_fix_s"] == {"median": pytest.approx(0.15), "max": pytest.approx(0.3)}
    assert figures["longest_without_fix_s"] == pytest.approx(0.3)


def test_a_drive_without_any_fix_waits_for_ever() -> None:
    figures = drive_figures([make_result(i, np.eye(4), rejected()) for i in range(4)])
    assert figures["time_to_first_fix_s"]["max"] == INF
    assert figures["longest_without_fix_s"] == pytest.approx(0.3)
    assert figures["ate"] == {"none": None, "se3": None}
    assert figures["rpe"] is None


def test_a_pose_turned_too_far_or_in_another_scene_is_a_false_fix() -> None:
    turned, far, right = (
        result_with_errors(0, 0.1, 11.0),
        result_with_errors(1, 0.51, 0.0),
        result_with_errors(2, 0.4, 9.0),
    )
    elsewhere = replace(right, scene="kitchen")
    figures = accuracy([turned, far, right, elsewhere, result_with_errors(4, INF, INF)])
    assert (figures["false_fixes"], figures["false_fix_rate"], figures["availability"]) == (3, 0.75, 0.8)
    assert figures["max_translation_error_m"] == INF


def test_ate_and_rpe_are_those_of_evo_for_the_files_beside_them(tmp_path: Path) -> None:
    evo_metrics = pytest.importorskip("evo.core.metrics")
    file_interface = pytest.importorskip("evo.tools.file_interface")
    rng = np.random.default_rng(3)
    results = []
    for i in range(40):
        truth = se3.from_rotation_translation(
            rotation.exp(np.array([0.1, 0.03 * i, -0.2])), np.array([0.2 * i, np.sin(0.4 * i), 0.01 * i * i])
        )
        off = se3.from_rotation_translation(rotation.exp(rng.normal(0, 0.02, 3)), rng.normal(0, 0.05, 3))
        results.append(make_result(i, truth, rejected() if i % 7 == 3 else estimated(truth @ off)))
    subject = Subject(
        bundle="b", method="dimm", model_sha256="0" * 64, data="tum:x", split="all", split_settings={},
        ground_truth="planted", metric=True, skipped=0, backend="onnxruntime", device="cpu", precision="fp32", threads=0,
    )  # fmt: skip
    report = write_report(tmp_path, subject, results)
    truth_path, estimate_path = (
        file_interface.read_tum_trajectory_file(str(tmp_path / f"{name}.tum")) for name in ("ground_truth", "estimate")
    )
    from evo.core.sync import associate_trajectories

    pair = associate_trajectories(truth_path, estimate_path)
    ape = evo_metrics.APE(evo_metrics.PoseRelation.translation_part)
    ape.process_data(pair)
    rpe = evo_metrics.RPE(evo_metrics.PoseRelation.translation_part, 1, evo_metrics.Unit.frames)
    rpe.process_data(pair)
    for name in ("rmse", "mean", "median", "std", "min", "max"):
        assert report["ate"]["none"][name] == pytest.approx(ape.get_all_statistics()[name], abs=1e-8)
        assert report["rpe"][name] == pytest.approx(rpe.get_all_statistics()[name], abs=1e-8)
    assert 0 < report["ate"]["se3"]["rmse"] < report["ate"]["none"]["rmse"]


def test_errors_by_condition_are_in_its_order() -> None:
    # Frame i stands 0.1 i along x, is i cm off, gets darker.
    results = [
        replace(result_with_errors(i, 0.01 * i if i < 25 else INF, 0.5), brightness=1 - i / 40) for i in range(30)
    ]
    start = results[0].T_map_camera[:3, 3]
    found = conditions(results, np.stack([start, start - 5.0]), "m")
    assert [condition.name for condition in found] == ["distance_from_mapping_m", "speed_mps", "turn_degps", "light"]
    binned = by_condition(results, found)
    distance = binned["distance_from_mapping_m"]
    assert [part["frames"] for part in distance] == [5] * 6
    assert (distance[0]["from"], distance[0]["to"]) == pytest.approx((0.0, 0.4))
    assert distance[0]["median_translation_error_m"] == pytest.approx(0.02)
    assert (distance[-1]["rejection_rate"], distance[-1]["median_translation_error_m"]) == (1.0, INF)
    # The darkest come first there, and all frames are as fast.
    assert binned["light"][0]["rejection_rate"] == 1.0
    assert [part["from"] for part in binned["speed_mps"]] == pytest.approx([1.0] * 6)
    assert {round(part["to"], 6) for part in binned["turn_degps"]} == {0.0}
    labels = [axes.get_xlabel() for axes in conditions_figure(results, found, "m").axes]
    assert labels[0] == "distance from the nearest learned camera position [m]"


def test_what_is_not_known_is_left_out() -> None:
    (lonely,) = [result_with_errors(0, 0.1, 1.0)]
    assert conditions([lonely], None, "m") == []
    assert by_condition([lonely], []) == {}
