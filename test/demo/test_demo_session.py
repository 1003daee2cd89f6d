"""The demo's second half, for real: player, node and recorder in three processes, joined by DDS.

The images carry their frame number as grey value and the network knows the pose of each, so the right result is known;
one pose of the network is wrong on purpose, and it has none for black images.
"""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy")

from fake_bundles import CAMERA, write_truth_bundle
from rich.console import Console
from small_world import small_world

from reloc_ros.cli.demo_report import Verdict, judge, result_table, write_figure, write_json
from reloc_ros.cli.demo_session import run_session
from reloc_ros.errors import ProcessError
from reloc_ros.synthetic.bag_writer import DriveBag
from reloc_ros.synthetic.demo_drive import STEPS_PER_IMAGE, DemoDrive, plan_demo_drive
from reloc_ros.synthetic.free_space import free_space
from reloc_ros.synthetic.renderer import Renderer
from reloc_ros.synthetic.robot import Robot
from reloc_ros.synthetic.trajectories import OdometryNoise, odometry
from reloc_ros.synthetic.worlds import World

ROBOT = Robot()
WRONG_FRAME = 17
RATE = 3.0


@pytest.fixture(scope="module")
def world() -> World:
    """One room."""
    return small_world()


@pytest.fixture(scope="module")
def demo(world: World) -> DemoDrive:
    """A drive of 11 s."""
    space = free_space(world.mesh, ROBOT.radius_m, ROBOT.height_m)
    return plan_demo_drive(space, ROBOT, world, 11.0, np.random.default_rng(1))


@pytest.fixture(scope="module")
def bag(demo: DemoDrive, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drive as a bag; image k is plain grey k + 1, black ones are 0."""
    path = tmp_path_factory.mktemp("demo") / "drive"
    noise = OdometryNoise()
    odom = odometry(demo.drive, noise, np.random.default_rng(2))
    greys = np.where(demo.black, 0, np.arange(len(demo.steps)) + 1)
    images = [np.full((CAMERA.height, CAMERA.width, 3), grey, np.uint8) for grey in greys]
    with DriveBag(path) as writer:
        list(writer.write(demo.drive, odom, noise, CAMERA, ROBOT.T_base_camera, images, STEPS_PER_IMAGE))
    return path


@pytest.fixture(scope="module")
def verdict(bag: Path, demo: DemoDrive, tmp_path_factory: pytest.TempPathFactory) -> Verdict:
    """What the session makes of it."""
    poses = demo.T_map_camera.copy()
    poses[WRONG_FRAME, 1, 3] += 0.8
    folder = tmp_path_factory.mktemp("session")
    write_truth_bundle(folder / "bundle", [np.full((4, 4), np.nan), *poses])
    recording = run_session(bag, folder / "bundle", demo, folder / "node.log", RATE, Console(file=StringIO()))
    return judge(demo, recording)


def test_every_lit_image_is_localized_and_no_dark_one(verdict: Verdict, demo: DemoDrive) -> None:
    assert verdict.sent == verdict.received == len(demo.steps)
    assert verdict.dropped == 0
    assert verdict.availability == 1.0
    assert verdict.black_frames == demo.black.sum() > 0
    assert verdict.black_answered == 0
    assert sum(verdict.rejected_by_reason.values()) == verdict.black_frames


def test_errors_are_those_of_the_network(verdict: Verdict) -> None:
    assert verdict.median_m < 1e-3
    assert verdict.p90_deg < 0.1
    assert verdict.wrong == 1
    assert int(np.argmax(np.where(np.isfinite(verdict.translation_m), verdict.translation_m, 0))) == WRONG_FRAME
    assert verdict.translation_m[WRONG_FRAME] == pytest.approx(0.8, abs=0.01)
    assert verdict.recovery_s == 0.0
    assert 0 < verdict.latency_p50_ms <= verdict.latency_p99_ms < 5000


def test_table_picture_and_figures_are_written(verdict: Verdict, demo: DemoDrive, world: World, tmp_path: Path) -> None:
    output = StringIO()
    Console(file=output, width=120).print(result_table(verdict))
    assert "recall 25 cm / 5 deg" in output.getvalue()
    write_json(verdict, tmp_path / "demo.json")
    assert '"wrong": 1' in (tmp_path / "demo.json").read_text(encoding="utf-8")
    write_figure(demo, verdict, Renderer(world.mesh, world.outdoors), world, tmp_path / "demo.png")
    assert (tmp_path / "demo.png").stat().st_size > 20_000


def test_a_bundle_that_is_missing_stops_the_demo_with_the_reason(bag: Path, demo: DemoDrive, tmp_path: Path) -> None:
    with pytest.raises(ProcessError, match="nowhere"):
        run_session(bag, tmp_path / "nowhere", demo, tmp_path / "node.log", RATE, Console(file=StringIO()))
