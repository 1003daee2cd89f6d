"""Whatever comes as a pose from outside is taken or refused by name, and the state machine survives it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy (a ROS 2 installation or the ros_from_pip overlay)")

from driving_robot import driving_robot
from hostile_poses import hostile

from reloc_ros.errors import ConfigError
from reloc_ros.localization.fusion import Belief, OdometryNoise
from reloc_ros.localization.recovery_settings import RecoverySettings
from reloc_ros.node.conversions import usable_pose
from reloc_ros.node.trust import VerifiedTrust


@pytest.mark.filterwarnings("error")
def test_thousands_of_hostile_poses_are_taken_or_refused() -> None:
    rng, outcomes = np.random.default_rng(5), Counter[str]()
    for index in range(3000):
        try:
            T_map_body, covariance = usable_pose(hostile(rng))
        except ConfigError as error:
            outcomes[str(error).split()[1]] += 1
            continue
        outcomes["taken"] += 1
        if index % 10:
            continue
        trust = VerifiedTrust(RecoverySettings(), OdometryNoise())
        prior = Belief(
            T_map_body=T_map_body, covariance=covariance + 0.01 * np.eye(6), T_odom_body=np.eye(4), stamp_ns=5
        )
        fix = Belief(T_map_body=np.eye(4), covariance=0.01 * np.eye(6), T_odom_body=np.eye(4), stamp_ns=6)
        trust.on_prior("map", prior, anchor=True)
        assert np.all(np.isfinite(trust.on_fix("map", fix).decision.trusted.T_map_odom))
    assert set(outcomes) == {"taken", "quaternion", "position", "covariance"}
    assert min(outcomes.values()) > 50


def test_a_fault_in_a_callback_is_survived_and_said(monkeypatch: pytest.MonkeyPatch, ros_domain_id: int) -> None:
    with driving_robot() as robot:
        robot.drive_until_tracking()
        with monkeypatch.context() as patch:
            patch.setattr(robot.node._relocalizer.navigation._monitors, "step", lambda _: 1 / 0)
            robot.spin_until(lambda: robot.status == ("init", "reset"))
            assert "a fault: ZeroDivisionError" in robot.statuses[-1]["detail"]
        assert robot.drive_until_tracking() == 6
