"""Rounds of transitions leave nothing behind, and a model that loads slowly holds none of them."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import onnx
import pytest

pytest.importorskip("rclpy", reason="needs rclpy (a ROS 2 installation or the ros_from_pip overlay)")

from fake_bundles import make_manifest, write_truth_bundle
from fake_robot import POSES, START_NS, TruthModel, fake_robot, truth_robot
from onnx import numpy_helper
from rclpy.lifecycle import TransitionCallbackReturn

from reloc_ros.bundle.load import write_bundle
from reloc_ros.errors import BackendError
from reloc_ros.inference import serving

pytestmark = pytest.mark.usefixtures("ros_domain_id")
SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
TRANSITIONS = ("configure", "activate", "deactivate", "cleanup")
ROUNDS, WARM_UP = 100, 10
MB = 1 << 20
LARGEST_GROWTH_MB = 8.0
"""A worker, a session or a subscription that stays each round is more; the allocator's own ways are less."""


def held(node: Any) -> dict[str, int]:
    kinds = ("publishers", "subscriptions", "clients", "services", "timers", "guards", "waitables")
    counts = {kind: len(list(getattr(node, kind))) for kind in kinds}
    return {**counts, "threads": threading.active_count(), "files": len(list(Path("/proc/self/fd").iterdir()))}


def grown(node: Any, before: dict[str, int]) -> dict[str, int]:
    """Return what is more than before; threads and files of an earlier test may end meanwhile."""
    return {kind: count for kind, count in held(node).items() if count > before[kind]}


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MB


def one_round(node: Any) -> None:
    for transition in TRANSITIONS:
        assert getattr(node, f"trigger_{transition}")() == SUCCESS, node._problem


def write_large_bundle(folder: Path, megabytes: int) -> None:
    """Write a truth bundle that carries so many megabytes of weights."""
    write_truth_bundle(folder.with_name("small"), POSES)
    graph = onnx.load(folder.with_name("small.onnx"))
    weights = np.zeros(megabytes * MB // 4, dtype=np.float32)
    graph.graph.initializer.append(numpy_helper.from_array(weights, "ballast"))
    onnx.save(graph, folder.with_name("large.onnx"))
    write_bundle(folder, make_manifest(), {"model.onnx": folder.with_name("large.onnx")})


def test_a_hundred_rounds_with_a_real_bundle_leave_nothing(tmp_path: Path) -> None:
    write_truth_bundle(tmp_path / "bundle", POSES)
    with fake_robot({"bundle": tmp_path / "bundle", "threads": 1, "trust": "verified"}) as robot:
        for _ in range(WARM_UP):
            one_round(robot.node)
        before, resident = held(robot.node), []
        for _ in range(ROUNDS):
            one_round(robot.node)
            resident.append(resident_mb())
        assert grown(robot.node, before) == {}
        slope_mb = np.polyfit(np.arange(ROUNDS), resident, 1)[0]
        assert slope_mb * ROUNDS < LARGEST_GROWTH_MB
        # And it still works.
        assert robot.configure()
        assert robot.node._relocalizer.model is not None


def test_a_destroyed_node_is_gone_from_dds_while_somebody_still_holds_it() -> None:
    def sockets() -> int:
        return sum(path.is_socket() for path in Path("/proc/self/fd").iterdir())

    before = sockets()
    with truth_robot() as robot:
        assert sockets() > before
    assert sockets() == before
    assert robot.node.context is not None


def test_no_transition_waits_for_a_large_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_large_bundle(tmp_path / "large", megabytes=100)
    monkeypatch.setattr("reloc_ros.node.relocalizer_node.QUICK_LOAD_S", 0.0)
    monkeypatch.setattr("reloc_ros.node.relocalizer._STOP_S", 0.0)
    may_load, loaded, real = Event(), [], serving.create_backend

    def create_slowly(*arguments: Any) -> Any:
        assert may_load.wait(60.0)
        backend = real(*arguments)
        loaded.append(backend)
        return backend

    monkeypatch.setattr(serving, "create_backend", create_slowly)
    with fake_robot({"bundle": tmp_path / "large", "tf_mode": "off", "threads": 1}) as robot:
        node = robot.node
        unconfigured = held(node)
        # Every way through the transitions, while nothing is loaded.
        one_round(node)
        assert loaded == []
        abandoned = [thread for thread in threading.enumerate() if thread.name == "relocalizer worker"]
        assert len(abandoned) == 1
        robot.bring_up()
        robot.send_camera_info()
        robot.send_image(4, START_NS)
        robot.spin_until(lambda: robot.count("in") == 1)
        assert loaded == []
        assert robot.poses == []
        may_load.set()
        robot.spin_until(lambda: len(robot.poses) > 0, timeout_s=30.0)
        assert robot.pose_stamps() == [START_NS]
        abandoned[0].join(60.0)
        assert len(loaded) == 2
        assert node.trigger_deactivate() == SUCCESS
        monkeypatch.setattr("reloc_ros.node.relocalizer._STOP_S", 60.0)
        assert node.trigger_cleanup() == SUCCESS
        # A search for an engine may be under way; told to stop, it ends.
        for thread in threading.enumerate():
            if thread.name == "engine watch":
                thread.join(60.0)
        assert grown(node, unconfigured).keys() <= {"files"}


def test_what_was_cleaned_up_while_it_loaded_serves_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reloc_ros.node.relocalizer_node.QUICK_LOAD_S", 0.0)
    monkeypatch.setattr("reloc_ros.node.relocalizer._STOP_S", 0.0)
    model, may_load = TruthModel(), Event()
    model.on_load = lambda: may_load.wait(30.0)  # type: ignore[assignment, return-value]
    with truth_robot(model=model) as robot:
        assert robot.configure()
        relocalizer = robot.node._relocalizer
        assert robot.node.trigger_cleanup() == SUCCESS
        may_load.set()
        assert relocalizer.worker.stop(30.0)
        assert relocalizer.model is None
        assert relocalizer.worker.error is None


def test_a_model_that_failed_after_configure_is_not_activated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reloc_ros.node.relocalizer_node.QUICK_LOAD_S", 0.0)
    model, may_fail = TruthModel(), Event()

    def fail() -> None:
        may_fail.wait(30.0)
        raise BackendError("planted in load")

    model.on_load = fail
    with truth_robot(model=model) as robot:
        node = robot.node
        assert robot.configure()
        may_fail.set()
        assert node._relocalizer.worker.wait_prepared(30.0)
        assert node.trigger_activate() == FAILURE
        assert "could not be loaded (planted in load); clean up and configure" in node._problem
        assert node.trigger_cleanup() == SUCCESS
        model.on_load = lambda: None
        one_round(node)
