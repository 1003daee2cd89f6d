"""The demo's second act, for real: a rig in a bag, the node with two bundles, player and recorder, joined by DDS.

Both networks know the truth: images carry their number as grey value (front) and in the blue channel (panorama).
"""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy")

from dataclasses import replace

from fake_bundles import CAMERA, write_truth_bundle
from fake_sequences import write_sequence_bundle
from rich.console import Console
from small_world import small_world

from reloc_ros.cli.demo_carried import PARAMETERS, WATCHED
from reloc_ros.cli.demo_carried_report import CarriedVerdict, carried_table, judge_carried, write_carried_figure
from reloc_ros.cli.demo_report import Verdict, write_json
from reloc_ros.cli.demo_session import run_session
from reloc_ros.errors import DatasetError
from reloc_ros.synthetic.carried_drive import (
    PANORAMA,
    CarriedDrive,
    plan_carried_drive,
    render_carried_drive,
    write_carried_bag,
)
from reloc_ros.synthetic.free_space import FreeSpace, free_space
from reloc_ros.synthetic.renderer import Renderer
from reloc_ros.synthetic.robot import Robot
from reloc_ros.synthetic.worlds import World
from reloc_ros.types import Image

ROBOT = Robot()
SECONDS, RATE = 18.0, 4.0
# What the network of the sequence is wrong by in the end, so that there is something to find.
OFF_M = 0.25


@pytest.fixture(scope="module")
def world() -> World:
    """One room."""
    return small_world()


@pytest.fixture(scope="module")
def space(world: World) -> FreeSpace:
    return free_space(world.mesh, ROBOT.radius_m, ROBOT.height_m)


@pytest.fixture(scope="module")
def act(world: World, space: FreeSpace) -> CarriedDrive:
    return plan_carried_drive(space, ROBOT, world, SECONDS, np.random.default_rng(3))


def panorama(number: int) -> Image:
    """Return a panorama with its number in blue, and contrast in red."""
    image = np.zeros((PANORAMA.height, PANORAMA.width, 3), np.uint8)
    image[..., 2] = number
    image[::2, ::2, 0] = 200
    return image


@pytest.fixture(scope="module")
def verdict(act: CarriedDrive, tmp_path_factory: pytest.TempPathFactory) -> CarriedVerdict:
    """What the session makes of it."""
    folder = tmp_path_factory.mktemp("carried")
    front = [
        np.full((CAMERA.height, CAMERA.width, 3), 0 if blind else k + 1, np.uint8) for k, blind in enumerate(act.blind)
    ]
    around = [panorama(k + 1) for k in range(len(act.steps))]
    written = list(write_carried_bag(folder / "carried", act, ROBOT, CAMERA, zip(front, around)))
    assert written == list(range(1, len(act.steps) + 1))
    nowhere = np.full((4, 4), np.nan)
    absolute = write_truth_bundle(folder / "absolute", [nowhere, *act.T_map_front])
    # The sequence drifts upwards, evenly.
    drifting = act.T_map_camera.copy()
    drifting[:, 2, 3] += OFF_M * act.travelled_m / act.travelled_m[-1]
    sequence = write_sequence_bundle(folder / "sequence", [np.eye(4), *drifting])
    recording = run_session(
        folder / "carried", sequence.path, act, folder / "carried_node.log", RATE, Console(file=StringIO()),
        parameters={**PARAMETERS, "anchor_bundle": str(absolute.path)}, remaps={}, watched=WATCHED,
    )  # fmt: skip
    return judge_carried(act, recording)


def test_the_pose_is_carried_while_the_front_camera_is_blind(verdict: CarriedVerdict, act: CarriedDrive) -> None:
    assert verdict.blind_frames == act.blind.sum() > 0.3 * len(act.steps)
    # A busy computer loses some moments.
    assert verdict.carried > 0.9 * verdict.blind_frames
    assert verdict.fixes > 0.3 * (~act.blind).sum()
    assert verdict.fix_median_m < 0.05
    drifted_m = OFF_M * verdict.blind_m / act.travelled_m[-1]
    assert 0.3 * drifted_m < verdict.carried_end_m < drifted_m + 0.1
    assert verdict.carried_median_m < 0.3 * verdict.standing_median_m
    assert verdict.carried_median_deg < 2.0
    assert verdict.blind_s == pytest.approx(0.4 * SECONDS, abs=0.3)
    assert 0.0 < verdict.back_s < 6.0


def test_table_picture_and_figures_are_written(
    verdict: CarriedVerdict, act: CarriedDrive, world: World, tmp_path: Path
) -> None:
    output = StringIO()
    Console(file=output, width=140).print(carried_table(verdict))
    assert "last fix kept instead" in output.getvalue()
    write_carried_figure(act, verdict, Renderer(world.mesh, world.outdoors), world, tmp_path / "carried.png")
    assert (tmp_path / "carried.png").stat().st_size > 20_000
    write_json(_nothing(), tmp_path / "demo.json", verdict)
    figures = json.loads((tmp_path / "demo.json").read_text(encoding="utf-8"))
    assert figures["second_act"]["carried"] == verdict.carried
    assert "translation_m" not in figures["second_act"]


def _nothing() -> Verdict:
    empty = np.empty(0)
    whole = dict.fromkeys(
        ("frames", "poses", "false_fixes", "withheld", "black_frames", "black_answered", "dropped", "received", "sent"),
        0,
    )
    real = dict.fromkeys(
        ("median_m", "median_deg", "p90_m", "p90_deg", "availability", "start_s", "recovery_s", "latency_p50_ms", "latency_p99_ms"),
        np.inf,
    )  # fmt: skip
    return Verdict(**whole, **real, rejected_by_reason={}, translation_m=empty, rotation_deg=empty, position=empty)


def test_without_any_pose_the_errors_are_infinite(act: CarriedDrive) -> None:
    from reloc_ros.node.recorder import Recording

    none = Recording(
        stamps_ns=np.empty(0, np.int64), received_s=np.empty(0), T_map_camera=np.empty((0, 4, 4)),
        covariances=np.empty((0, 6, 6)), map_frames=(), diagnostics=(), transforms=(),
    )  # fmt: skip
    verdict = judge_carried(act, none)
    assert (verdict.carried, verdict.fixes, verdict.honest) == (0, 0, 0.0)
    assert np.isinf([verdict.carried_end_m, verdict.carried_median_m, verdict.standing_median_m, verdict.back_s]).all()
    # Poses relative to the first frame are none in the map.
    first = replace(
        none, stamps_ns=act.stamps_ns[:1], T_map_camera=np.eye(4)[np.newaxis], covariances=np.eye(6)[np.newaxis],
        map_frames=("spr_origin",),
    )  # fmt: skip
    assert judge_carried(act, first).fixes == 0


def test_the_front_camera_is_dark_while_it_is_blind_and_the_panorama_never(act: CarriedDrive, world: World) -> None:
    dark = int(np.argmax(act.blind))
    chosen = [dark - 1, dark]
    some = replace(
        act, steps=act.steps[chosen], stamps_ns=act.stamps_ns[chosen], T_map_camera=act.T_map_camera[chosen],
        T_map_front=act.T_map_front[chosen], blind=act.blind[chosen],
    )  # fmt: skip
    (front, around), (blind, still) = render_carried_drive(some, world, CAMERA, 1, np.random.default_rng(0))
    assert front.shape == (CAMERA.height, CAMERA.width, 3)
    assert around.shape == (PANORAMA.height, PANORAMA.width, 3)
    assert blind.mean() < 15
    assert min(front.mean(), around.mean(), still.mean()) > 40


def test_too_short_an_act_is_refused(world: World, space: FreeSpace) -> None:
    with pytest.raises(DatasetError, match="second act of 3 s is too short"):
        plan_carried_drive(space, ROBOT, world, 3.0, np.random.default_rng(0))
