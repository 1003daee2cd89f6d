"""What a soak is judged by: memory that grows is told from memory that only wavers."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path

import numpy as np

from reloc_ros.evaluation.soak_report import Watched, slope_per_hour, soak_figures, write_soak

SECONDS = np.arange(0.0, 1800.0)


def memory(mib_per_hour: float) -> np.ndarray:
    """Return memory that grows, under waves of minutes and noise of seconds."""
    rng = np.random.default_rng(2)
    return 180.0 + mib_per_hour * SECONDS / 3600.0 + 0.5 * np.sin(SECONDS / 90.0) + rng.normal(0.0, 0.2, len(SECONDS))


def watched(mib_per_hour: float = 0.0, **changes: object) -> Watched:
    flat = 0 * SECONDS
    usage = np.stack([SECONDS, memory(mib_per_hour), 0.2 * SECONDS, flat + 16, flat + 21, 0.01 * SECONDS], axis=1)
    whole = Watched(
        usage=usage,
        latency=np.stack([SECONDS, 0 * SECONDS + 5.0, 0 * SECONDS + 20.0], axis=1),
        errors=np.array([[10.0, 0.05, 1.0], [20.0, 0.1, 2.0]]),
        seconds=1800.0,
        sent=54000,
        counts={"frames_in": 54000},
        planted=Counter({"in_infer": 3, "flood": 1}),
        states=Counter({"tracking": 1500}),
        transitions=[("activate", 0.1), ("cleanup", 0.4)],
        calls=Counter({"asked": 4, "answered": 4}),
        faults=Counter(),
        exit_code=0,
    )
    return dataclasses.replace(whole, **changes)


def test_the_slope_is_found_and_its_interval_holds_it() -> None:
    for true in (0.0, 40.0):
        slope, low, high = slope_per_hour(SECONDS, memory(true))
        assert low < true < high
        assert abs(slope - true) < 3.0
        assert high - low < 8.0


def test_a_whole_soak_has_no_complaints_and_is_written(tmp_path: Path) -> None:
    seen = watched()
    figures = soak_figures(seen)
    assert figures["complaints"] == []
    assert figures["rate_hz"] == 30.0
    assert abs(figures["cpu_ms_per_image"]["second_half"] - 200.0 / 30.0) < 0.01
    assert abs(figures["starved"]["second_half"] - 0.01 / 0.21) < 1e-6
    assert figures["faults_planted"] == 4
    assert figures["slowest_transition"] == {"name": "cleanup", "seconds": 0.4}
    picture = write_soak(seen, figures, tmp_path / "deep" / "soak.json")
    assert picture.stat().st_size > 10_000
    assert json.loads((tmp_path / "deep" / "soak.json").read_text())["error_m"]["max"] == 0.1


def test_each_ill_is_named() -> None:
    growing = np.stack([SECONDS, 5.0 + 0.01 * SECONDS, 20.0 + 0 * SECONDS], axis=1)
    ills = {
        "memory grows": watched(40.0),
        "1 wrong poses": watched(errors=np.array([[10.0, 0.05, 1.0], [20.0, 0.1, 11.0]])),
        "no pose at all": watched(errors=np.zeros((0, 3))),
        "latency grows": watched(latency=growing),
        "cleanup took 1.2 s": watched(transitions=[("cleanup", 1.2)]),
        "calls unanswered": watched(calls=Counter({"asked": 4, "answered": 3})),
        "nobody planted: KeyError": watched(faults=Counter({"KeyError": 1})),
        "exit code -11": watched(exit_code=-11),
    }
    for name, seen in ills.items():
        (complaint,) = soak_figures(seen)["complaints"]
        assert name in complaint


def test_latency_is_not_judged_where_others_take_the_cpu() -> None:
    growing = np.stack([SECONDS, 5.0 + 0.01 * SECONDS, 20.0 + 0 * SECONDS], axis=1)
    seen = watched(latency=growing)
    seen.usage[:, 5] = 0.3 * SECONDS
    assert soak_figures(seen)["complaints"] == []
