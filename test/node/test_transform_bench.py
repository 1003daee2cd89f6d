"""The consumer of `reloc bench transforms`, for some seconds: the node in its own process."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy (a ROS 2 installation or the ros_from_pip overlay)")

from reloc_ros.cli.bench_soak import as_steps
from reloc_ros.evaluation.simulated_drives import FixErrors, Scenario, draw_run
from reloc_ros.node.transform_bench import RATE_HZ, ask_for_transforms

pytestmark = pytest.mark.usefixtures("ros_domain_id")


def test_a_consumer_in_another_process_never_extrapolates_and_feels_no_jump() -> None:
    always_right = FixErrors(rejected_share=0.0, wrong_share=0.0)
    scenario = replace(Scenario(), seconds=6.0, rate_hz=RATE_HZ, kidnap_s=np.inf, errors=always_right)
    steps = as_steps(draw_run(scenario, np.random.default_rng([3, 0])))
    record = ask_for_transforms(steps, image_rate_hz=5.0, parameters={"votes_to_accept": 2.0, "votes_at_first": 2.0})
    assert record.recoveries == 1
    assert record.asked > RATE_HZ
    assert record.extrapolations == record.others == 0
    assert record.jumps_m == []
    assert np.max(record.errors_m) < 0.4
