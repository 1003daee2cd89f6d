"""The demo's second half, for real: player, node and recorder in three processes, joined by DDS.

The images carry their frame number as grey value and the network knows the pose of each, so the right result is known;
some poses of the network are wrong on purpose, and it has none for black images.
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
# While the robot is tracking, and as long as a passer-by stands before the camera.
WRONG_FRAMES = slice(70, 74)
SECONDS, RATE = 24.0, 4.0


@pytest.fixture(scope="module")
def world() -> World:
    """One room."""
    return small_world()


@pytest.fixture(scope="module")
def demo(world: World) -> DemoDrive:
    """A drive as long as grey values allow."""
    space = free_space(world.mesh, ROBOT.radius_m, ROBOT.height_m)
    return plan_demo_drive(space, ROBOT, world, SECONDS, np.random.default_rng(1))


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
    poses[WRONG_FRAMES, 1, 3] += 0.8
    folder = tmp_path_factory.mktemp("session")
    write_truth_bundle(folder / "bundle", [np.full((4, 4), np.nan), *poses])
    # The drive is short: six views decide from the start.
    given = {"votes_at_first": 1.0}
    console = Console(file=StringIO())
    recording = run_session(bag, folder / "bundle", demo, folder / "node.log", RATE, console, parameters=given)
    return judge(demo, recording)


def test_every_lit_image_is_accounted_for_and_no_dark_one_answered(verdict: Verdict, demo: DemoDrive) -> None:
    # A busy computer loses some images.
    assert verdict.sent == len(demo.steps) >= verdict.received > 0.9 * verdict.sent
    unanswered = verdict.withheld + verdict.dropped + sum(verdict.rejected_by_reason.values())
    assert verdict.poses + unanswered == verdict.received
    assert 0.4 < verdict.availability < 0.9
    assert verdict.black_frames == demo.black.sum() > 0
    assert verdict.black_answered == 0
    assert 0 < sum(verdict.rejected_by_reason.values()) <= verdict.black_frames


def test_the_robot_finds_itself_twice_and_nothing_wrong_is_published(verdict: Verdict) -> None:
    assert verdict.false_fixes == 0
    assert verdict.median_m < 0.02
    assert verdict.p90_deg < 1.0
    assert np.isinf(verdict.translation_m[WRONG_FRAMES]).all()
    assert np.isfinite(verdict.translation_m[WRONG_FRAMES.start - 1])
    assert 1.0 < verdict.start_s < verdict.recovery_s < 9.0
    assert 0 < verdict.latency_p50_ms <= verdict.latency_p99_ms < 5000


def test_table_picture_and_figures_are_written(verdict: Verdict, demo: DemoDrive, world: World, tmp_path: Path) -> None:
    output = StringIO()
    Console(file=output, width=120).print(result_table(verdict))
    assert "time to recover" in output.getvalue()
    write_json(verdict, tmp_path / "demo.json")
    assert '"false_fixes": 0' in (tmp_path / "demo.json").read_text(encoding="utf-8")
    write_figure(demo, verdict, Renderer(world.mesh, world.outdoors), world, tmp_path / "demo.png")
    assert (tmp_path / "demo.png").stat().st_size > 20_000


def test_a_bundle_that_is_missing_stops_the_demo_with_the_reason(bag: Path, demo: DemoDrive, tmp_path: Path) -> None:
    with pytest.raises(ProcessError, match="nowhere"):
        run_session(bag, tmp_path / "nowhere", demo, tmp_path / "node.log", RATE, Console(file=StringIO()))
