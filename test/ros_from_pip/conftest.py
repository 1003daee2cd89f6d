"""A node for the tests of the overlay, which hold against the originals of a ROS installation as well."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed; make setup installs it")
pytest.importorskip("tf2_ros", reason="tf2_ros is not installed; ros_from_pip/install.py installs it")

import rclpy
from rclpy.node import Node

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def node(ros_domain_id: int) -> Iterator[Node]:
    """A node in a context and a DDS domain of its own."""
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=ros_domain_id)
    node = Node("overlay_test", context=context)
    yield node
    node.destroy_node()
    context.try_shutdown()
