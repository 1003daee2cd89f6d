"""The bond with nav2's lifecycle manager, by which that notices that this process hangs or has died."""

from __future__ import annotations

from typing import Any

from rclpy.lifecycle import LifecycleNode

_TOPIC = "bond"

_TIMEOUT_S = 4.0
"""Without a heartbeat of the manager for so long, the bond ends; what nodes of nav2 have."""


class ManagerBond:
    """Heartbeats between `activate` and `deactivate`, as `nav2_util::LifecycleNode` sends them.

    Package `bondpy` does the work; where it is not installed there is no bond, and the manager must not wait for one
    (`bond_timeout: 0.0`). Without a manager nobody answers, and the heartbeats end after ten seconds.

    Args:
        node: whose name the bond bears.
    """

    def __init__(self, node: LifecycleNode) -> None:
        self._node = node
        self._bond: Any = None
        self._is_lack_told = False

    def form(self, period_s: float) -> None:
        """Begin with heartbeats, one each `period_s`; 0 sends none."""
        self.end()
        if period_s == 0.0:
            return
        try:
            from bondpy import bondpy
        except ImportError:
            self._tell_lack()
            return
        bond = bondpy.Bond(self._node, _TOPIC, self._node.get_name())
        bond.set_heartbeat_period(period_s)
        bond.set_heartbeat_timeout(_TIMEOUT_S)
        bond.start()
        self._bond = bond

    def end(self) -> None:
        """Break the bond, which tells the manager that this end is meant."""
        bond, self._bond = self._bond, None
        if bond is None:
            return
        try:
            bond.shutdown()
        except Exception as error:
            # When the context ended first, as after Ctrl-C, nothing can be sent any more.
            self._node.get_logger().debug(f"the bond ends without a farewell: {error}")
        # bondpy frees both, but the node keeps what it does not free itself in its lists.
        self._node.destroy_publisher(bond.pub)
        self._node.destroy_subscription(bond.sub)

    def _tell_lack(self) -> None:
        if not self._is_lack_told:
            message = "no bond with a lifecycle manager: bondpy is not installed; give the manager bond_timeout 0.0"
            self._node.get_logger().info(message)
        self._is_lack_told = True
