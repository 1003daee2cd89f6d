"""The parameter table, `config/reloc.yaml`, the declaration and the README say the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

pytest.importorskip("rclpy", reason="needs rclpy (a ROS 2 installation or the ros_from_pip overlay)")

import rclpy
from rcl_interfaces.msg import ParameterDescriptor

from reloc_ros.node import parameters
from reloc_ros.node.parameters import TABLE
from reloc_ros.node.relocalizer_node import RelocalizerNode

CHECKOUT = Path(__file__).resolve().parents[1]
PARAMETER_FILE = CHECKOUT / "config" / "reloc.yaml"


def test_the_yaml_file_holds_every_parameter_with_its_default_in_order() -> None:
    content = yaml.safe_load(PARAMETER_FILE.read_text(encoding="utf-8"))
    found = content["/**"]["ros__parameters"]
    expected = [(row.name, row.default, type(row.default)) for row in TABLE]
    assert [(name, value, type(value)) for name, value in found.items()] == expected


def test_the_readme_holds_the_table() -> None:
    assert parameters.markdown_table() in (CHECKOUT / "README.md").read_text(encoding="utf-8"), (
        "paste what `python -m reloc_ros.node.parameters` prints into README.md"
    )


def test_the_declaration_holds_every_parameter_and_the_file_is_accepted(ros_domain_id: int) -> None:
    context = rclpy.Context()
    rclpy.init(args=[], context=context)
    arguments = ["--ros-args", "--params-file", str(PARAMETER_FILE)]
    node = RelocalizerNode(context=context, cli_args=arguments, use_global_arguments=False)
    try:
        assert node._parameter_problems == {}
        assert parameters.current(node) == parameters.Settings()
        for row in TABLE:
            descriptor: ParameterDescriptor = node.describe_parameter(row.name)
            assert descriptor.description == row.metadata["doc"]
            ranges = [*descriptor.integer_range, *descriptor.floating_point_range]
            found = [(each.from_value, each.to_value) for each in ranges]
            assert found == ([] if row.metadata["limits"] is None else [row.metadata["limits"]]), row.name
            assert descriptor.additional_constraints.endswith(", ".join(row.metadata["choices"]))
    finally:
        node.destroy_node()
        context.try_shutdown()


@pytest.mark.parametrize("row", TABLE, ids=[row.name for row in TABLE])
def test_each_row_is_complete_and_its_default_allowed(row: object) -> None:
    assert parameters.complaint(row.name, row.default) is None  # type: ignore[attr-defined]
    metadata = row.metadata  # type: ignore[attr-defined]
    assert metadata["doc"].endswith(".")
    if metadata["limits"] is not None:
        low, high = metadata["limits"]
        kind = type(row.default)  # type: ignore[attr-defined]
        assert parameters.complaint(row.name, kind(high) + kind(1)) is not None  # type: ignore[attr-defined]
        assert parameters.complaint(row.name, kind(low) - kind(1)) is not None  # type: ignore[attr-defined]
        assert parameters.complaint(row.name, float("nan")) is not None  # type: ignore[attr-defined]
    if metadata["choices"]:
        assert parameters.complaint(row.name, "nonsense") is not None  # type: ignore[attr-defined]
