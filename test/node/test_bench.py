"""The bench measures a real node and writes what it measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs rclpy (a ROS 2 installation or the ros_from_pip overlay)")

from argparse import ArgumentParser

from reloc_ros.cli import bench as command
from reloc_ros.node import bench
from reloc_ros.node.bench import NodeFigures, bench_trivial


def figures(**changes: object) -> NodeFigures:
    values: dict[str, object] = {
        "width": 640,
        "height": 480,
        "backend": "trivial",
        "frames_sent": 300,
        "frames_in": 299,
        "frames_dropped": 1,
        "poses": 298,
        "latency_p50_ms": 4.0,
        "latency_p99_ms": 9.0,
        "overhead_p50_ms": 3.0,
        "overhead_p99_ms": 8.0,
        "stages_p50_ms": {"solve": 2.0},
        "aim_ms": 5.0,
        "round_trip_p50_ms": 6.0,
        "round_trip_p99_ms": float("nan"),
        "cpu_share": 0.25,
        "rate_hz": 30.0,
    }
    return NodeFigures(**{**values, **changes})  # type: ignore[arg-type]


def test_a_panorama_gets_through_a_real_node(ros_domain_id: int) -> None:
    # Five megabytes each: to best effort a busy computer may lose all of them.
    found = bench_trivial("equirectangular", frames=20, image_reliability="reliable")
    assert (found.width, found.height, found.aim_ms) == (1920, 960, 12.0)
    assert found.backend == "trivial"
    assert found.frames_sent == 20
    assert 0 < found.poses <= found.frames_in <= 20
    assert 0.0 < found.stages_p50_ms["solve"] < found.latency_p50_ms <= found.latency_p99_ms
    assert found.overhead_p50_ms <= found.latency_p50_ms < found.round_trip_p99_ms
    assert found.cpu_share > 0.0


def test_the_command_writes_every_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = {"pinhole": (640, 480), "equirectangular": (1920, 960)}
    for name in ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE", "FASTDDS_BUILTIN_TRANSPORTS"):
        monkeypatch.setenv(name, "as it was")
    monkeypatch.setattr(
        bench, "bench_trivial", lambda kind: figures(width=sizes[kind][0], height=sizes[kind][1], aim_ms=None)
    )
    parser = ArgumentParser()
    command.add_arguments(parser)
    assert command.run(parser.parse_args(["node", "--json", str(tmp_path / "node.json")])) == 0
    report = json.loads((tmp_path / "node.json").read_text())
    assert report["bench"] == "node"
    assert [(run["width"], run["height"]) for run in report["runs"]] == list(sizes.values())
    assert report["runs"][0]["round_trip_p99_ms"] is None
    assert "298/300" in capsys.readouterr().out
