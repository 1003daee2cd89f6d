"""Scenarios of trouble are judged by what was published and broadcast, against the truth."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from reloc_ros.evaluation.scenario_report import EXPECTED, Played, scenario_figures, write_scenarios
from reloc_ros.geometry import rotation, se3
from reloc_ros.localization.decision import State

TIMES_S = np.arange(0.0, 30.0, 0.2)
NOWHERE = np.full((4, 4), np.nan)


def pose(x: float, yaw_deg: float = 0.0) -> np.ndarray:
    return se3.from_rotation_translation(rotation.exp([0.0, 0.0, np.radians(yaw_deg)]), [x, 1.0, 0.0])


def played(name: str = "blackout", **changes: object) -> Played:
    """Return a drive in which everything is right: found after 5 s, dark from 10 to 20 s, poses at once after it."""
    truth = np.stack([pose(0.1 * time_s) for time_s in TIMES_S])
    dark = (TIMES_S >= 10.0) & (TIMES_S < 20.0)
    found = TIMES_S >= 5.0
    whole = Played(
        name=name,
        times_s=TIMES_S,
        T_map_base=truth,
        T_map_camera=truth,
        troubled=dark,
        mapped=np.ones(len(TIMES_S), dtype=bool),
        carried_s=(),
        states=tuple(State.DEGRADED if d else State.TRACKING if f else State.INIT for d, f in zip(dark, found)),
        rejections=tuple("degenerate" if d else "" for d in dark),
        T_map_base_shown=np.where(found[:, None, None], truth, NOWHERE),
        T_map_camera_published=np.where((found & ~dark)[:, None, None], truth, NOWHERE),
    )
    return dataclasses.replace(whole, **changes)


def changed(array: np.ndarray, start_s: float, end_s: float, value: np.ndarray) -> np.ndarray:
    within = (start_s <= TIMES_S) & (end_s > TIMES_S)
    return np.where(within[:, None, None], value, array)


def test_what_is_as_expected_has_its_figures_and_no_complaint() -> None:
    figures = scenario_figures(played())
    assert figures["complaints"] == []
    assert figures["start_s"] == pytest.approx(5.0)
    assert figures["again_s"] == pytest.approx(0.0)
    assert figures["availability"] == pytest.approx(25.0 / 30.0)
    assert figures["rejections_in_trouble"] == {"degenerate": 50}


def test_each_thing_that_should_not_happen_is_named() -> None:
    right = played()
    poses, shown = right.T_map_camera_published, right.T_map_base_shown
    ills = {
        "1 wrong poses": played(T_map_camera_published=changed(poses, 6.0, 6.1, pose(5.0))),
        "5 poses where it should be silent": played(
            T_map_camera_published=changed(poses, 11.0, 11.9, right.T_map_camera[57])
        ),
        "found itself after never": played(T_map_camera_published=changed(poses, 0.0, 10.0, NOWHERE)),
        "available in 50%": played(T_map_base_shown=changed(shown, 15.0, 20.0, NOWHERE)),
        "poses again after 5.0 s": played(T_map_camera_published=changed(poses, 20.0, 25.0, NOWHERE)),
    }
    for name, seen in ills.items():
        (complaint,) = scenario_figures(seen)["complaints"]
        assert name in complaint


def test_off_the_map_every_pose_is_wrong_and_trust_has_to_end() -> None:
    dark = played().troubled
    elsewhere = played("unmapped", mapped=~dark, carried_s=(10.0, 20.0))
    assert scenario_figures(elsewhere)["complaints"] == ["trust ended after never, limit 15 s"]
    elsewhere = dataclasses.replace(elsewhere, T_map_camera_published=elsewhere.T_map_camera)
    figures = scenario_figures(elsewhere)
    assert figures["false_fixes"] == int(dark.sum())
    assert figures["misled_s"] == pytest.approx(10.0)


def test_the_report_is_written_with_a_line_for_each_scenario(tmp_path: Path) -> None:
    everything = [played(name) for name in ("blackout", "crowd")]
    everything.append(played("kidnap", troubled=np.zeros(len(TIMES_S), dtype=bool), carried_s=(15.0,)))
    everything.append(played("aliasing", troubled=np.ones(len(TIMES_S), dtype=bool)))
    write_scenarios(tmp_path / "out", "a test", everything, {"seed": 3})
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert list(report["scenarios"]) == ["blackout", "crowd", "kidnap", "aliasing"]
    page = (tmp_path / "out" / "report.md").read_text()
    assert EXPECTED["crowd"].words in page
    assert page.count("as expected") == 4
    assert (tmp_path / "out" / "scenarios.png").stat().st_size > 10_000
