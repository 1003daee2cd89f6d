"""The soak of `reloc bench soak`, short: faults in every stage, and the process ends as whole as it began."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy (a ROS 2 installation or the ros_from_pip overlay)")

from reloc_ros.cli.bench_soak import legs, watched
from reloc_ros.evaluation.soak_report import soak_figures
from reloc_ros.node import soak_faults
from reloc_ros.node.soak import soak, unplanted

pytestmark = pytest.mark.usefixtures("ros_domain_id")


def test_faults_in_every_stage_leave_no_wrong_pose_and_no_stray_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    # More of everything than in the long run.
    monkeypatch.setattr(soak_faults, "_IMAGE_FAULT_SHARE", 0.3)
    monkeypatch.setattr(soak_faults, "_EVENT_SHARE", 0.5)
    record = soak(legs(30.0, 5), seconds=6.0, rate_hz=30.0, rng=np.random.default_rng(5))
    figures = soak_figures(watched(record))
    assert figures["faults"] == {}
    assert figures["exit_code"] == 0
    assert figures["wrong_poses"] == 0
    assert figures["frames"]["frames_withheld"] + figures["frames"]["frames_accepted"] > 10
    assert figures["calls"].get("answered", 0) == figures["calls"].get("asked", 0)
    assert len(figures["planted"]) > 8
    # How many images get as far as their fault depends on the machine.
    failed = [figures["frames"][f"rejected_{stage}_failed"] for stage in ("prepare", "inference", "solve", "gate")]
    assert sum(failed) > 2


def test_exceptions_that_nobody_planted_are_found_in_a_log(tmp_path) -> None:
    log = tmp_path / "node.log"
    log.write_text(
        "[ERROR] [node]: stage infer failed\nTraceback (most recent call last):\n"
        "RuntimeError: planted in infer\nValueError: shapes do not match\nreloc_ros.errors.ImageError: too small\n"
    )
    assert sorted(unplanted(log)) == ["ValueError: shapes do not match", "reloc_ros.errors.ImageError: too small"]
