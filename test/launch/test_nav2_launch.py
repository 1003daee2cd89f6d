"""What the launch files for nav2 start, with the real `launch` packages; nav2's one launch helper has a stand-in here."""

from __future__ import annotations

import sys
import types
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("launch_ros", reason="needs launch_ros (a ROS 2 installation); it is not on PyPI")

import launch
from launch.launch_description_sources import get_launch_description_from_python_launch_file
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions
from launch_ros.actions import Node

LAUNCH = Path(__file__).resolve().parents[2] / "launch"
MANAGER = "lifecycle_manager_localization"


class RewrittenYaml(launch.Substitution):
    """Does of nav2_common's what is used here: puts a file below a root key."""

    folder: Path

    def __init__(self, *, source_file: Any, root_key: Any, param_rewrites: dict[str, Any], convert_types: bool) -> None:
        super().__init__()
        assert (param_rewrites, convert_types) == ({}, True)
        self._source_file = normalize_to_list_of_substitutions(source_file)
        self._root_key = normalize_to_list_of_substitutions(root_key)

    def perform(self, context: launch.LaunchContext) -> str:
        data = yaml.safe_load(Path(perform_substitutions(context, self._source_file)).read_text())
        root_key = perform_substitutions(context, self._root_key)
        path = self.folder / f"{id(self)}.yaml"
        path.write_text(yaml.safe_dump({root_key: data} if root_key else data))
        return str(path)


@pytest.fixture(autouse=True)
def nav2_common(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    RewrittenYaml.folder = tmp_path
    stand_in = types.ModuleType("nav2_common.launch")
    stand_in.RewrittenYaml = RewrittenYaml  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "nav2_common", types.ModuleType("nav2_common"))
    monkeypatch.setitem(sys.modules, "nav2_common.launch", stand_in)
    monkeypatch.setitem(sys.modules, "bondpy", None)


class Started:
    """One node as its process would be started."""

    def __init__(self, node: Node, context: launch.LaunchContext) -> None:
        node._perform_substitutions(context)
        self.name = node.node_name
        self.executable = (node.node_package, node.node_executable)
        self.remappings = dict(node.expanded_remapping_rules or [])
        self.for_all_nodes = [
            each for each in context.launch_configurations["global_params"] if isinstance(each, tuple)
        ]
        self.parameters: dict[str, Any] = {}
        for value, is_file in node._Node__expanded_parameter_arguments:
            if is_file:
                # ROS reads a list behind this tag.
                self._read(yaml.safe_load(Path(value).read_text().replace("!!python/tuple", "")))

    def _read(self, content: dict[str, Any]) -> None:
        """Merge like rclpy: files in order, names in full; `/**` would be outweighed by those and is not used."""
        for key, value in content.items():
            if "ros__parameters" not in value:
                self._read({f"{key}/{inner}": below for inner, below in value.items()})
            elif f"/{key.strip('/')}" == self.name:
                self.parameters |= value["ros__parameters"]
            assert key != "/**"


def started(file: str, *, pushed: str = "", **arguments: str) -> dict[str, Started]:
    """Return the nodes that a launch file starts, by name and in order."""
    context = launch.LaunchContext()
    context.launch_configurations.update(arguments)
    if pushed:
        context.launch_configurations["ros_namespace"] = pushed
    found: dict[str, Started] = {}
    waiting: list[Any] = list(get_launch_description_from_python_launch_file(str(LAUNCH / file)).entities)
    while waiting:
        entity = waiting.pop(0)
        if isinstance(entity, Node):
            one = Started(entity, context)
            found[one.name] = one
        else:
            waiting[:0] = entity.visit(context) or []
    return found


def test_authority_is_map_server_and_ours_under_the_manager() -> None:
    nodes = started("nav2_localization.launch.py")
    assert [one.executable for one in nodes.values()] == [
        ("nav2_map_server", "map_server"),
        ("reloc_ros", "relocalizer_node"),
        ("nav2_lifecycle_manager", "lifecycle_manager"),
    ]
    assert nodes[f"/{MANAGER}"].parameters == {
        "autostart": True,
        "node_names": ["map_server", "relocalizer_node"],
        "bond_timeout": 0.0,
    }
    assert [str(value) for one in nodes.values() for _, value in one.for_all_nodes] == ["False"] * 3
    ours = nodes["/relocalizer_node"].parameters
    assert (ours["role"], ours["use_sim_time"], ours["pose_of"]) == ("authority", False, "base")
    assert "amcl" not in "".join(nodes)


def test_the_manager_waits_for_bonds_where_bondpy_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    bondpy = types.ModuleType("bondpy")
    bondpy.__spec__ = ModuleSpec("bondpy", None)
    monkeypatch.setitem(sys.modules, "bondpy", bondpy)
    assert started("nav2_localization.launch.py")[f"/{MANAGER}"].parameters["bond_timeout"] == 4.0


def test_initializer_starts_amcl_before_ours() -> None:
    nodes = started("amcl_initializer.launch.py")
    assert list(nodes) == ["/map_server", "/amcl", "/relocalizer_node", f"/{MANAGER}"]
    assert nodes[f"/{MANAGER}"].parameters["node_names"] == ["map_server", "amcl", "relocalizer_node"]
    assert nodes["/relocalizer_node"].parameters["role"] == "initializer"
    assert nodes["/amcl"].executable == ("nav2_amcl", "amcl")
    assert nodes["/amcl"].parameters["set_initial_pose"] is False


def test_what_is_given_outweighs_the_file_and_what_is_not_leaves_it_its_say(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    sections = {"map_server": {"yaml_filename": "/m"}, "relocalizer_node": {"bundle": "/b", "use_sim_time": False}}
    file.write_text(yaml.safe_dump({name: {"ros__parameters": section} for name, section in sections.items()}))
    left = started("nav2_localization.launch.py", params_file=str(file))
    assert left["/map_server"].parameters["yaml_filename"] == "/m"
    assert left["/relocalizer_node"].parameters["bundle"] == "/b"
    given = started(
        "nav2_localization.launch.py", params_file=str(file), map="/n", bundle="/c", use_sim_time="true", image="/cam"
    )
    assert given["/map_server"].parameters["yaml_filename"] == "/n"
    ours = given["/relocalizer_node"]
    assert (ours.parameters["bundle"], ours.parameters["use_sim_time"]) == ("/c", True)
    assert ours.remappings == {"/tf": "tf", "/tf_static": "tf_static", "image": "/cam", "camera_info": "camera_info"}


@pytest.mark.parametrize("pushed", ["", "/robot1"])
def test_a_namespace_is_pushed_once_and_roots_the_parameters(pushed: str) -> None:
    nodes = started("nav2_localization.launch.py", namespace="robot1", bundle="/c", pushed=pushed)
    assert list(nodes) == [f"/robot1/{name}" for name in ("map_server", "relocalizer_node", MANAGER)]
    ours = nodes["/robot1/relocalizer_node"].parameters
    assert (ours["bundle"], ours["planar"]) == ("/c", True)


def test_an_unknown_role_is_refused() -> None:
    with pytest.raises(RuntimeError, match="role"):
        started("nav2_localization.launch.py", role="boss")


def test_its_arguments_are_shown_from_both_files() -> None:
    names = [
        {one.name for one in get_launch_description_from_python_launch_file(str(LAUNCH / file)).get_launch_arguments()}
        for file in ("nav2_localization.launch.py", "amcl_initializer.launch.py")
    ]
    assert names[1] <= names[0]
    assert {"map", "bundle", "params_file"} <= names[1]
