"""The bond with nav2's lifecycle manager lives exactly as long as the node is active; bondpy has a stand-in."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs rclpy (a ROS 2 installation or the ros_from_pip overlay)")

from fake_robot import truth_robot
from rclpy.lifecycle import TransitionCallbackReturn
from std_msgs.msg import String

pytestmark = pytest.mark.usefixtures("ros_domain_id")
SUCCESS = TransitionCallbackReturn.SUCCESS


class Bond:
    """What bondpy has, with another message; frees its publisher and subscription as bondpy does."""

    made: list[Bond]
    is_context_gone = False

    def __init__(self, node: Any, topic: str, bond_id: str) -> None:
        self.settings: dict[str, Any] = {"topic": topic, "id": bond_id}
        self.steps: list[str] = []
        self.node = node
        self.pub = node.create_publisher(String, topic, 1)
        self.made.append(self)

    def set_heartbeat_period(self, seconds: float) -> None:
        assert self.steps == []
        self.settings["period"] = seconds

    def set_heartbeat_timeout(self, seconds: float) -> None:
        assert self.steps == []
        self.settings["timeout"] = seconds

    def start(self) -> None:
        self.steps.append("start")
        self.sub = self.node.create_subscription(String, self.settings["topic"], lambda _: None, 1)

    def shutdown(self) -> None:
        self.steps.append("shutdown")
        self.sub.destroy()
        if self.is_context_gone:
            raise RuntimeError("publisher's context is invalid")
        self.pub.destroy()


@pytest.fixture
def bonds(monkeypatch: pytest.MonkeyPatch) -> list[Bond]:
    Bond.made = []
    package, module = ModuleType("bondpy"), ModuleType("bondpy.bondpy")
    package.bondpy = module  # type: ignore[attr-defined]
    module.Bond = Bond  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "bondpy", package)
    monkeypatch.setitem(sys.modules, "bondpy.bondpy", module)
    return Bond.made


def entities(node: Any) -> int:
    return len(list(node.publishers)) + len(list(node.subscriptions))


def test_the_bond_lasts_from_activate_to_deactivate_and_leaves_nothing(bonds: list[Bond]) -> None:
    with truth_robot(bond_heartbeat_period=0.25) as robot:
        node = robot.node
        node.trigger_configure()
        before = entities(node)
        assert bonds == []
        for number in range(2):
            assert node.trigger_activate() == SUCCESS
            assert len(bonds) == number + 1
            assert bonds[-1].steps == ["start"]
            assert entities(node) == before + 2
            assert node.trigger_deactivate() == SUCCESS
            assert bonds[-1].steps == ["start", "shutdown"]
            assert entities(node) == before
        assert bonds[0].settings == {"topic": "bond", "id": "relocalizer_node", "period": 0.25, "timeout": 4.0}


@pytest.mark.parametrize("end", ["trigger_shutdown", "destroy_node"])
def test_every_other_end_breaks_the_bond_too(bonds: list[Bond], end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bond, "is_context_gone", True)
    with truth_robot() as robot:
        robot.node.trigger_configure()
        robot.node.trigger_activate()
        getattr(robot.node, end)()
        assert bonds[0].steps == ["start", "shutdown"]


def test_a_period_of_zero_forms_none(bonds: list[Bond]) -> None:
    with truth_robot(bond_heartbeat_period=0.0) as robot:
        robot.node.trigger_configure()
        assert robot.node.trigger_activate() == SUCCESS
        assert bonds == []


def test_without_bondpy_the_node_says_so_and_is_active(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "bondpy", None)
    with truth_robot() as robot:
        robot.node.trigger_configure()
        assert robot.node.trigger_activate() == SUCCESS
        assert robot.node.trigger_deactivate() == SUCCESS
        assert robot.node.trigger_activate() == SUCCESS
    printed = capfd.readouterr()
    assert (printed.out + printed.err).count("bondpy is not installed; give the manager bond_timeout 0.0") == 1


def test_a_bond_that_cannot_be_formed_refuses_activation(bonds: list[Bond], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bond, "start", lambda _: 1 / 0)
    with truth_robot() as robot:
        robot.node.trigger_configure()
        assert robot.node.trigger_activate() != SUCCESS
        assert "division by zero" in robot.node._problem
        monkeypatch.undo()
        assert not robot.node._relocalizer._active
