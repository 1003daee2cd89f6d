"""A plain ROS node that spins in the background, for programs that talk to the relocalizer from Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition, Thread

import rclpy
from rclpy.executors import ExternalShutdownException, ShutdownException, SingleThreadedExecutor
from rclpy.node import Node


@contextmanager
def spinning_node(name: str, *, domain_id: int | None = None) -> Iterator[Node]:
    """Give a node in its own ROS context, spun by a background thread until the block ends.

    Args:
        name: node name.
        domain_id: DDS domain; None takes `ROS_DOMAIN_ID`.
    """
    context = rclpy.Context()
    rclpy.init(args=[], context=context, domain_id=domain_id)
    node = Node(name, context=context, start_parameter_services=False)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    thread = Thread(target=_spin, args=(executor,), name=f"spin {name}", daemon=True)
    thread.start()
    try:
        yield node
    finally:
        executor.shutdown()
        thread.join(timeout=5.0)
        node.destroy_node()
        context.try_shutdown()


def _spin(executor: SingleThreadedExecutor) -> None:
    try:
        executor.spin()
    except (ExternalShutdownException, ShutdownException):
        return  # the context went away first, for example on Ctrl-C


def wait_until(
    changed: Condition, condition: Callable[[], bool], *, timeout_s: float, describe: Callable[[], str]
) -> None:
    """Wait until the condition holds, looking again each time `changed` is notified.

    Raises:
        TimeoutError: it did not hold in time; the message ends with what `describe()` returns.
    """
    with changed:
        if not changed.wait_for(condition, timeout=timeout_s):
            raise TimeoutError(f"waited {timeout_s:g} s in vain: {describe()}")
