"""What `replay.launch.py` starts: read as text, and with the real `launch` packages where they are."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

import pytest

from reloc_ros.cli.main import make_parser

FOLDER = Path(__file__).resolve().parents[2] / "launch"
LAUNCH_FILE = FOLDER / "replay.launch.py"
GIVEN = {"bag": "drive.mcap", "rate": "2.5", "image": "/front/image", "wait_for": "", "record": "poses.npz"}


def player_command(given: dict[str, str]) -> list[str]:
    """Return what the function of that name in the launch file says, without `launch`."""
    tree = ast.parse(LAUNCH_FILE.read_text(encoding="utf-8"))
    (function,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "player_command")
    names: dict[str, Any] = {"sys": sys}
    exec(compile(ast.Module([function], []), str(LAUNCH_FILE), "exec"), names)  # noqa: S102
    command: list[str] = names["player_command"](given)
    return command


def declared(path: Path) -> set[str]:
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    return {
        str(call.args[0].value)
        for call in calls
        if isinstance(call.func, ast.Name)
        and call.func.id == "DeclareLaunchArgument"
        and isinstance(call.args[0], ast.Constant)
    }


def test_the_player_is_called_with_options_it_has() -> None:
    command = player_command(GIVEN)
    assert command[:3] == [sys.executable, "-m", "reloc_ros"]
    args = make_parser().parse_args(command[3:])
    assert (args.command, args.bag, args.rate, args.clock) == ("play", Path("drive.mcap"), 2.5, True)
    assert args.wait_for_subscribers == ["/front/image"]
    assert args.record == Path("poses.npz")


def test_without_a_file_nothing_is_recorded_and_another_topic_may_be_waited_for() -> None:
    args = make_parser().parse_args(player_command({**GIVEN, "record": "", "wait_for": "/front/image/compressed"})[3:])
    assert args.record is None
    assert args.wait_for_subscribers == ["/front/image/compressed"]


def test_what_is_passed_on_is_declared_here_and_there() -> None:
    tree = ast.parse(LAUNCH_FILE.read_text(encoding="utf-8"))
    (passed_on,) = (
        {str(element.value) for element in node.value.elts if isinstance(element, ast.Constant)}
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Tuple)
        and ast.unparse(node.targets[0]) == "PASSED_ON"
    )
    assert "bundle" in passed_on
    assert passed_on <= declared(LAUNCH_FILE)
    assert {*passed_on, "use_sim_time"} <= declared(FOLDER / "reloc.launch.py")


def test_it_starts_node_and_player_on_bag_time() -> None:
    launch = pytest.importorskip("launch", reason="needs launch (a ROS 2 installation); it is not on PyPI")
    pytest.importorskip("launch_ros", reason="needs launch_ros (a ROS 2 installation); it is not on PyPI")
    from launch.launch_description_sources import get_launch_description_from_python_launch_file

    description = get_launch_description_from_python_launch_file(str(LAUNCH_FILE))
    context = launch.LaunchContext()
    context.launch_configurations.update({**dict.fromkeys(declared(LAUNCH_FILE), ""), **GIVEN})
    started = description.entities[-1].visit(context)
    kinds = [type(entity).__name__ for entity in started]
    assert kinds == ["IncludeLaunchDescription", "ExecuteProcess"]
    assert ("use_sim_time", "true") in started[0].launch_arguments
