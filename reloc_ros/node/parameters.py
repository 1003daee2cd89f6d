"""What follows from the table of parameters, the fields of `Settings`: declaration, checks, documentation.

Declaration, `config/reloc.yaml` and the table in the README follow from it (`python -m reloc_ros.node.parameters`
prints the README table), and a test proves that they agree.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import Field, fields, replace
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, ParameterType
from rclpy.lifecycle import LifecycleNode
from rclpy.parameter import Parameter

from reloc_ros.errors import ConfigError
from reloc_ros.node.rig_images import rig_topics
from reloc_ros.node.settings import Settings

TABLE: tuple[Field[Any], ...] = fields(Settings)


def declare(node: LifecycleNode) -> dict[str, str]:
    """Declare every parameter and return what is wrong with the values given from outside, by parameter name.

    A wrong value is not raised here: the node must come up to say so. Its parameter takes the default meanwhile, and
    `require` refuses to go on until it is set to something allowed.
    """
    given = given_values(node)
    problems: dict[str, str] = {}
    for row in TABLE:
        value = _unquoted_off(row, given[row.name].value) if row.name in given else row.default
        problem = complaint(row.name, value)
        if problem is not None:
            problems[row.name] = problem
            value = row.default
        node.declare_parameter(row.name, value, _descriptor(row), ignore_override=True)
    known = ", ".join(row.name for row in TABLE)
    for name in given:
        if not node.has_parameter(name):
            problems[name] = f"parameter {name!r} is unknown, the node has {known}; correct or remove it"
    return problems


def given_values(node: LifecycleNode) -> dict[str, Parameter]:
    """Return the values given by parameter files and on the command line, whether declared or not."""
    # rclpy has no public way to see the values that nobody declared, and exactly those are the typing errors.
    return dict(node._parameter_overrides)  # noqa: SLF001


def current(node: LifecycleNode) -> Settings:
    """Return the values now."""
    return Settings(**{row.name: node.get_parameter(row.name).value for row in TABLE})


def require(node: LifecycleNode, settings: Settings, problems: dict[str, str]) -> None:
    """Check that the node can be configured.

    Args:
        node: for messages.
        settings: current values.
        problems: what `declare` found, less the parameters that were set to an allowed value since.

    Raises:
        ConfigError: a given value is unknown or not allowed, no bundle is given, or parameters contradict each other.
    """
    if problems:
        raise ConfigError("; ".join(problems.values()))
    if not settings.bundle:
        raise ConfigError(
            "parameter bundle is empty, expected the folder of a bundle; set it, and check that the parameter file "
            f"addresses this node ({node.get_fully_qualified_name()} or /**)"
        )
    if settings.rig_cameras:
        rig_topics(settings.rig_cameras)
    contradiction = _contradiction(settings)
    if contradiction:
        raise ConfigError(contradiction)


def _contradiction(settings: Settings) -> str:
    """Return which parameters do not go together, or an empty text."""
    if settings.uses_odometry and not settings.odom_frame:
        return f"parameter odom_frame is empty, but role {settings.role}, tf_mode {settings.tf_mode} needs odometry"
    if settings.role == "initializer" and settings.trust == "single":
        return "role initializer gives navigation verified poses only; set trust to verified"
    if settings.rig_cameras and not settings.rig_frame:
        return "rig_cameras is set, but rig_frame is empty; name the frame that the rig's panorama is to have"
    if settings.planar and not settings.uses_odometry:
        return "planar is about a robot's base, but there is no odometry; set planar to false"
    return ""


def complaint(name: str, value: Any) -> str | None:
    """Return what is wrong with a value of a parameter of the table, or None."""
    row = next((row for row in TABLE if row.name == name), None)
    if row is None:
        return None  # belongs to rclpy, for example use_sim_time
    limits, choices = row.metadata["limits"], row.metadata["choices"]
    if type(value) is not type(row.default):
        expected = f"{type(row.default).__name__}, for example {row.default!r}"
        return f"parameter {name} is {value!r}, expected {expected}"
    if limits is not None and not limits[0] <= value <= limits[1]:
        return f"parameter {name} is {value!r}, expected {limits[0]:g} to {limits[1]:g}"
    if choices and value not in choices:
        return f"parameter {name} is {value!r}, choose one of {', '.join(choices)}"
    return None


def refusal(parameters: Iterable[Parameter], *, configured: bool) -> str | None:
    """Return why these parameters cannot be set now, or None."""
    fixed = {row.name for row in TABLE if row.metadata["fixed"]}
    for parameter in parameters:
        problem = complaint(parameter.name, parameter.value)
        if problem is not None:
            return problem
        if configured and parameter.name in fixed:
            return f"parameter {parameter.name} is fixed while the node is configured; clean the node up first"
    return None


def updated(settings: Settings, changed: Iterable[Parameter]) -> Settings:
    """Return the settings with some parameters set to allowed values."""
    names = {row.name for row in TABLE}
    return replace(settings, **{parameter.name: parameter.value for parameter in changed if parameter.name in names})


def markdown_table() -> str:
    """Return the parameter table of the README."""
    lines = ["| parameter | default | allowed | changeable while running | meaning |", "|---|---|---|---|---|"]
    for row in TABLE:
        default = f"`{str(row.default).lower() if isinstance(row.default, bool) else repr(row.default)}`".replace(
            "'", '"'
        )
        changeable = "no" if row.metadata["fixed"] else "yes"
        lines.append(f"| `{row.name}` | {default} | {_allowed(row)} | {changeable} | {row.metadata['doc']} |")
    return "\n".join(lines) + "\n"


def _unquoted_off(row: Field[Any], value: Any) -> Any:
    # YAML, and so `-p tf_mode:=off`, reads an unquoted off as the boolean false.
    return "off" if value is False and "off" in row.metadata["choices"] else value


def _allowed(row: Field[Any]) -> str:
    limits, choices = row.metadata["limits"], row.metadata["choices"]
    if choices:
        return ", ".join(f"`{choice}`" for choice in choices)
    if limits:
        return f"{limits[0]:g} to {limits[1]:g}"
    if isinstance(row.default, bool):
        return "`true`, `false`"
    return "any text"


def _descriptor(row: Field[Any]) -> ParameterDescriptor:
    types = {
        bool: ParameterType.PARAMETER_BOOL,
        int: ParameterType.PARAMETER_INTEGER,
        float: ParameterType.PARAMETER_DOUBLE,
        str: ParameterType.PARAMETER_STRING,
    }
    descriptor = ParameterDescriptor(name=row.name, type=types[type(row.default)], description=row.metadata["doc"])
    limits, choices = row.metadata["limits"], row.metadata["choices"]
    if choices:
        descriptor.additional_constraints = "one of: " + ", ".join(choices)
    if limits and isinstance(row.default, int):
        descriptor.integer_range = [IntegerRange(from_value=int(limits[0]), to_value=int(limits[1]), step=0)]
    elif limits:
        descriptor.floating_point_range = [FloatingPointRange(from_value=limits[0], to_value=limits[1], step=0.0)]
    return descriptor


if __name__ == "__main__":
    sys.stdout.write(markdown_table())
