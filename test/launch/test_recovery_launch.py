"""The real launch file under the real `launch_testing`: start, silent, tracking, kidnapped, recovered."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs rclpy (a ROS 2 installation or the ros_from_pip overlay)")
pytest.importorskip("launch_ros", reason="needs launch_ros (a ROS 2 installation); it is not on PyPI")
pytest.importorskip("launch_testing", reason="needs launch_testing (a ROS 2 installation); it is not on PyPI")

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launched_recovery import write_folder

try:
    get_package_prefix("reloc_ros")
except PackageNotFoundError:
    pytest.skip("needs reloc_ros built and sourced, for its executable", allow_module_level=True)

SCENARIO = Path(__file__).resolve().parents[1] / "support" / "launched_recovery.py"


def test_a_kidnapped_robot_finds_itself_under_launch(tmp_path: Path, ros_domain_id: int) -> None:
    write_folder(tmp_path)
    command = [sys.executable, "-m", "launch_testing.launch_test", str(SCENARIO), f"folder:={tmp_path}"]
    environment = {**os.environ, "ROS_DOMAIN_ID": str(ros_domain_id)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180.0, check=False)
    assert ended.returncode == 0, f"{ended.stdout[-6000:]}\n{ended.stderr[-3000:]}"
