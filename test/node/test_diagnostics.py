"""Each status says the value and its limit, and warns on the right side of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("diagnostic_msgs", reason="needs ROS messages (a ROS 2 installation or the ros_from_pip overlay)")

from frame_results import estimated

from reloc_ros.localization.decision import State
from reloc_ros.node.diagnostics import (
    ERROR,
    OK,
    WARN,
    NodeView,
    TrustView,
    diagnose,
    frames_status,
    latency_status,
    model_status,
    scene_status,
    trust_status,
)
from reloc_ros.node.settings import Settings
from reloc_ros.node.statistics import Statistics, Summary
from reloc_ros.types import Reason


def view(**changes: Any) -> NodeView:
    return NodeView(**{"name": "relocalizer_node", "lifecycle": "active", "model": "ready", **changes})


def summary(**changes: Any) -> Summary:
    values: dict[str, Any] = {
        "counts": {"in": 10, "dropped": 1, "repeated": 2, "accepted": 4},
        "rejected": {Reason.OUTSIDE_MAP: 3},
        "last_rejection": "outside_map: 7 m",
        "recent_rejected": 3 / 7,
        "fix_age_s": 0.5,
        "latencies_s": np.array([0.01, 0.02, 0.06]),
        "overheads_s": np.array([0.001, 0.002, 0.003]),
        "stages_s": {"prepare": np.array([0.001, 0.003, 0.004]), "infer": np.array([0.009])},
        "scene": "kitchen",
        "scene_probability": 0.9725,
        "scene_hint": "",
        "scene_hint_answer": "",
    }
    return Summary(**{**values, **changes})


def values(status: Any) -> dict[str, str]:
    return {pair.key: pair.value for pair in status.values}


@pytest.mark.parametrize(
    ("changes", "level", "named"),
    [
        ({}, OK, "active, model ready"),
        ({"model": "loading"}, WARN, "being loaded"),
        ({"model": "ended"}, ERROR, "worker thread has ended"),
        ({"model": "none", "problem": "cannot configure: no bundle"}, ERROR, "no bundle"),
    ],
)
def test_model(changes: dict[str, str], level: bytes, named: str) -> None:
    status = model_status(view(device="cpu", **changes))
    assert (status.level, status.hardware_id, status.name) == (level, "cpu", "relocalizer_node: model")
    assert named in status.message


@pytest.mark.parametrize(
    ("changes", "rate", "age_s", "level", "named"),
    [
        ({}, 0.5, 5.0, OK, "4 poses from 10 frames"),
        ({}, 0.4, 5.0, WARN, "43% of the latest frames rejected (limit 40%), last: outside_map: 7 m"),
        ({}, 0.5, 0.4, WARN, "last pose is 0.5 s old (limit 0.4 s)"),
        ({"fix_age_s": None}, 0.5, 0.4, OK, "4 poses"),
        ({"counts": {"in": 0, "dropped": 0, "repeated": 0, "accepted": 0}}, 0.5, 5.0, WARN, "no image yet"),
    ],
)
def test_frames(changes: dict[str, Any], rate: float, age_s: float, level: bytes, named: str) -> None:
    status = frames_status(view(), summary(**changes), rate, age_s)
    assert status.level == level
    assert named in status.message
    assert values(status)["rejected_outside_map"] == "3"
    assert values(status)["rejected_bad_image"] == "0"
    assert values(status)["frames_rejected"] == "3"


@pytest.mark.parametrize(
    ("trust", "lifecycle", "level", "text"),
    [
        (TrustView(state=State.TRACKING, detail="the fix agrees"), "active", OK, "tracking: the fix agrees"),
        (TrustView(state=State.LOST, detail="no image"), "active", WARN, "lost: no image"),
        (TrustView(), "inactive", OK, "init"),
        (TrustView(state=State.TRACKING, handover="given_up", handover_failed=True), "active", ERROR, "(given_up)"),
    ],
)
def test_trust(trust: TrustView, lifecycle: str, level: bytes, text: str) -> None:
    status = trust_status(view(trust=trust, lifecycle=lifecycle))
    assert status.level == level
    assert text in status.message
    assert values(status)["trust_state"] == trust.state.value


@pytest.mark.parametrize(("limit_s", "level"), [(0.031, OK), (0.029, WARN)])
def test_latency(limit_s: float, level: bytes) -> None:
    status = latency_status(view(), summary(), limit_s)
    assert status.level == level
    found = values(status)
    assert found["latency_mean_ms"] == "30.00"
    assert found["latency_last_ms"] == "60.00"
    assert found["latency_p99_ms"] == "59.20"
    assert found["overhead_p50_ms"] == "2.00"
    assert found["prepare_p50_ms"] == "3.00"


@pytest.mark.parametrize(
    ("changes", "text", "probability"),
    [
        ({}, "in kitchen (97%)", "0.973"),
        ({"scene_probability": None}, "in kitchen", ""),
        ({"scene_hint": "by the sink"}, "in kitchen (97%), hint: by the sink", "0.973"),
        ({"scene": "", "scene_probability": None}, "no pose yet", ""),
    ],
)
def test_scene(changes: dict[str, Any], text: str, probability: str) -> None:
    status = scene_status(view(), summary(scene_hint_answer="kitchen 95 %", **changes))
    assert (status.level, status.message) == (OK, text)
    assert values(status)["scene_probability"] == probability
    assert values(status)["scene_hint_answer"] == "kitchen 95 %"


def test_the_whole_message_before_the_first_frame() -> None:
    message = diagnose(view(lifecycle="unconfigured", model="none"), Statistics().summary(), Settings(), 1_500_000_000)
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (1, 500_000_000)
    assert [status.level for status in message.status] == [OK, OK, OK, OK, OK]


def test_statistics_count_every_frame_once() -> None:
    statistics = Statistics()
    for event in ("in", "in", "in", "dropped"):
        statistics.count(event)
    statistics.timed(latency_s=0.02, stage_seconds={"prepare": 0.001, "infer": 0.015})
    statistics.timed(latency_s=0.01, stage_seconds={"prepare": 0.002})
    statistics.accepted(estimated(np.eye(4)))
    statistics.rejected(Reason.DEGENERATE, "a line")
    found = statistics.summary()
    assert found.counts == {"in": 3, "dropped": 1, "repeated": 0, "accepted": 1, "withheld": 0}
    assert found.rejected == {Reason.DEGENERATE: 1}
    assert found.recent_rejected == 0.5
    assert found.last_rejection == "degenerate: a line"
    np.testing.assert_allclose(found.overheads_s, [0.005, 0.01])
    np.testing.assert_allclose(found.stages_s["prepare"], [0.001, 0.002])


def test_statistics_keep_the_scene_of_the_latest_pose_and_the_hint() -> None:
    statistics = Statistics()
    sure = replace(estimated(np.eye(4)), scene="office", evidence={"scene_probability": 0.7})
    statistics.accepted(sure)
    statistics.hinted("by the desks", "office 95 %")
    found = statistics.summary()
    assert (found.scene, found.scene_probability) == ("office", 0.7)
    assert (found.scene_hint, found.scene_hint_answer) == ("by the desks", "office 95 %")
    statistics.accepted(replace(sure, scene="room", evidence={}))
    assert statistics.summary().scene_probability is None
