"""What the launch files, their parameters and the RViz view name exists; read as text, so that no launch is needed."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

CHECKOUT = Path(__file__).resolve().parents[2]
LAUNCH_FILES = sorted((CHECKOUT / "launch").glob("*.launch.py"))
NAV2_FILE = CHECKOUT / "launch" / "nav2_localization.launch.py"
# What localization_launch.py of nav2_bringup takes (Humble to Kilted), less the two for composition in C++ containers.
NAV2_ARGUMENTS = {"namespace", "map", "use_sim_time", "params_file", "autostart", "use_respawn", "log_level"}


def read_yaml(*place: str) -> Any:
    return yaml.safe_load((CHECKOUT / Path(*place)).read_text(encoding="utf-8"))


def calls(path: Path, function: str) -> list[ast.Call]:
    return [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path)))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == function
    ]


def literal(value: ast.expr) -> Any:
    return value.value if isinstance(value, ast.Constant) else None


def arguments(path: Path) -> dict[str, Any]:
    """Return the declared arguments with their default values, None where those are computed."""
    return {
        literal(call.args[0]): next(
            (literal(keyword.value) for keyword in call.keywords if keyword.arg == "default_value"), None
        )
        for call in calls(path, "DeclareLaunchArgument")
    }


def keys_of(path: Path, variable: str) -> set[str]:
    """Return the texts that are keys in the dicts assigned to a variable."""
    assigned = [
        node.value
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == variable
    ]
    dicts = [node for value in assigned for node in ast.walk(value) if isinstance(node, ast.Dict)]
    return {key.value for one in dicts for key in one.keys if isinstance(key, ast.Constant)}


def test_every_configuration_that_is_read_is_declared() -> None:
    declared = {path: set(arguments(path)) for path in LAUNCH_FILES}
    for path in LAUNCH_FILES:
        read = {literal(call.args[0]) for call in calls(path, "LaunchConfiguration")} - {None}
        assert read <= declared[path], path.name
    assert sum(map(len, declared.values())) > 15


def test_the_arguments_are_named_as_those_of_nav2_and_have_its_defaults() -> None:
    found = arguments(NAV2_FILE)
    assert set(found) >= NAV2_ARGUMENTS
    assert set(found) - NAV2_ARGUMENTS == {"bundle", "image", "camera_info", "role"}
    nav2_defaults = {"namespace": "", "map": "", "use_sim_time": "false", "autostart": "true", "log_level": "info"}
    assert {name: found[name] for name in nav2_defaults} == nav2_defaults


@pytest.mark.parametrize(
    ("file", "variable", "some"), [("reloc", "OVERRIDES", "tf_mode"), ("nav2_localization", "relocalizer", "role")]
)
def test_parameters_given_by_launch_files_are_the_nodes(file: str, variable: str, some: str) -> None:
    names = keys_of(CHECKOUT / "launch" / f"{file}.launch.py", variable)
    assert some in names
    assert names - {"use_sim_time"} <= {row.name for row in table()}


def test_the_parameter_file_for_nav2_holds_what_the_node_takes() -> None:
    from reloc_ros.node.parameters import complaint

    rows = {row.name for row in table()}
    content = read_yaml("config", "nav2_localization.yaml")
    assert set(content) == {"map_server", "relocalizer_node", "amcl"}
    given = content["relocalizer_node"]["ros__parameters"]
    assert set(given) <= rows
    assert [complaint(name, value) for name, value in given.items()] == [None] * len(given)


def test_the_files_the_launch_files_stand_on_exist() -> None:
    for path in LAUNCH_FILES:
        for name in re.findall(r'/ "config" / "([\w.]+)"|with_name\("([\w.]+)"\)', path.read_text(encoding="utf-8")):
            assert list(CHECKOUT.glob(f"*/{''.join(name)}")), (path.name, name)


def test_rviz_shows_topics_of_the_node_as_it_publishes_them() -> None:
    view = read_yaml("rviz", "reloc.rviz")["Visualization Manager"]
    assert view["Global Options"]["Fixed Frame"] == "map"
    shown = {display["Class"].split("/")[1]: display for display in view["Displays"]}
    assert set(shown) == {"Grid", "Map", "TF", "PoseWithCovariance", "Image"}
    source = "".join(path.read_text(encoding="utf-8") for path in (CHECKOUT / "reloc_ros" / "node").glob("*.py"))
    for kind, name, reliability, durability in (
        ("PoseWithCovariance", "pose_with_covariance", "Reliable", "Transient Local"),
        ("Image", "debug_image", "Best Effort", "Volatile"),
    ):
        topic = shown[kind]["Topic"]
        assert topic["Value"] == f"/relocalizer_node/{name}"
        assert f'"~/{name}"' in source
        assert (topic["Reliability Policy"], topic["Durability Policy"]) == (reliability, durability)


def table() -> Any:
    """Return the node's parameters, where rclpy is there to read them."""
    pytest.importorskip("rclpy", reason="needs rclpy (a ROS 2 installation or the ros_from_pip overlay)")
    from reloc_ros.node.parameters import TABLE

    return TABLE
