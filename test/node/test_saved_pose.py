"""The pose on disk: as it was written, or refused with the reason."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reloc_ros.errors import ConfigError
from reloc_ros.node import saved_pose
from reloc_ros.node.saved_pose import SavedPose

POSE = SavedPose(
    map_frame="map",
    bundle="abc",
    stamp_ns=1_700_000_000_123_456_789,
    T_map_body=np.diag([1.0, -1.0, -1.0, 1.0]).tolist(),
    covariance=(0.1 * np.eye(6)).tolist(),
)


def test_a_pose_comes_back_as_it_was_and_the_draft_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "reloc_ros" / "node-map.json"
    saved_pose.write(path, replace(POSE, stamp_ns=1))
    saved_pose.write(path, POSE)
    assert saved_pose.read(path, map_frame="map", bundle="abc") == POSE
    assert [each.name for each in path.parent.iterdir()] == ["node-map.json"]
    assert np.all(np.diag(saved_pose.with_doubt(POSE)) > 0.1)


def test_there_may_be_none(tmp_path: Path) -> None:
    assert saved_pose.read(tmp_path / "none.json", map_frame="map", bundle="abc") is None


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"map_frame": "cellar"}, "is in map frame 'cellar', expected 'map'"),
        ({"bundle": "xyz"}, "was found with another bundle"),
        ({"covariance": [[1.0]]}, "expected finite"),
        ({"T_map_body": [[float("nan")] * 4] * 4}, "expected finite"),
        ({"T_map_body": "here"}, "is unreadable|expected finite"),
        ({"colour": "red"}, "is unreadable"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(tmp_path: Path, changes: dict[str, object], named: str) -> None:
    path = tmp_path / "pose.json"
    saved_pose.write(path, POSE)
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")
    with pytest.raises(ConfigError, match=named):
        saved_pose.read(path, map_frame="map", bundle="abc")


def test_half_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pose.json"
    saved_pose.write(path, POSE)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ConfigError, match="is unreadable"):
        saved_pose.read(path, map_frame="map", bundle="abc")


def test_each_node_and_map_has_its_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ROS_HOME", str(tmp_path))
    path = saved_pose.path_of("/robot_1/relocalizer_node", "floor/2")
    assert path == tmp_path / "reloc_ros" / "robot_1_relocalizer_node-floor_2.json"
    monkeypatch.delenv("ROS_HOME")
    monkeypatch.setenv("HOME", "/somebody")
    assert saved_pose.path_of("/n", "map") == Path("/somebody/.ros/reloc_ros/n-map.json")
