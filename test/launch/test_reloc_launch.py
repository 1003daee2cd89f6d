"""The launch file starts one lifecycle node and says its arguments; needs the real `launch` packages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("launch_ros", reason="needs launch_ros (a ROS 2 installation); it is not on PyPI")

import launch
from launch.launch_description_sources import get_launch_description_from_python_launch_file
from launch_ros.actions import LifecycleNode

LAUNCH_FILE = Path(__file__).resolve().parents[2] / "launch" / "reloc.launch.py"
OWN = {"params_file", "bundle", "anchor_bundle", "role", "tf_mode", "image", "camera_info"}
ARGUMENTS = OWN | {"use_sim_time", "namespace", "log_level"}


def entities(**arguments: str) -> list[Any]:
    """Return what the launch file starts when it is given these arguments."""
    description = get_launch_description_from_python_launch_file(str(LAUNCH_FILE))
    context = launch.LaunchContext()
    context.launch_configurations.update(arguments)
    for entity in description.entities:
        found = entity.visit(context)
        if found and any(isinstance(each, LifecycleNode) for each in found):
            return list(found)
    raise AssertionError("the launch file starts no lifecycle node")


def test_its_arguments() -> None:
    description = get_launch_description_from_python_launch_file(str(LAUNCH_FILE))
    assert {argument.name for argument in description.get_launch_arguments()} == ARGUMENTS
    defaults = {argument.name: argument.default_value for argument in description.get_launch_arguments()}
    assert Path(defaults["params_file"][0].text).is_file()


def test_only_arguments_that_are_given_override_the_parameter_file() -> None:
    def overrides(**arguments: str) -> dict[str, Any]:
        (node,) = (each for each in entities(**arguments) if isinstance(each, LifecycleNode))
        context = launch.LaunchContext()
        context.launch_configurations.update(dict.fromkeys(ARGUMENTS, "") | arguments)
        _, given = node._Node__parameters
        return {key[0].text: value.evaluate(context) for key, value in given.items()} if given else {}

    assert overrides() == {}
    assert overrides(bundle="/b", anchor_bundle="007", tf_mode="off", use_sim_time="true") == {
        "bundle": "/b",
        "anchor_bundle": "007",
        "tf_mode": "off",
        "use_sim_time": True,
    }
