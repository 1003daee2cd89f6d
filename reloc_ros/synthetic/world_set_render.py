"""Renders the sequences of one world of a set; what is there already is not rendered again."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator

from reloc_ros.cameras.camera import Camera
from reloc_ros.errors import DatasetError
from reloc_ros.synthetic.camera_look import CameraLook
from reloc_ros.synthetic.free_space import free_space
from reloc_ros.synthetic.paths import Path as RobotPath
from reloc_ros.synthetic.paths import camera_poses, random_path
from reloc_ros.synthetic.renderer import FEW_SUBPIXELS_PX, Renderer
from reloc_ros.synthetic.robot import Robot
from reloc_ros.synthetic.sequence_writer import write_sequence
from reloc_ros.synthetic.world_set import WorldSet, WorldSpec
from reloc_ros.synthetic.worlds import World, load_world
from reloc_ros.types import Array, Image

ROBOT = Robot(radius_m=0.2, height_m=1.8)
"""As high as the highest camera, so that none is driven through a lamp or a shelf."""
SMALL_ROBOT = replace(ROBOT, radius_m=0.12)
"""For mesh files whose furniture leaves narrow passages."""
MIN_FREE_M2 = 1.5
MESH_RAYS = 8
RATE_HZ = 5.0
PARTIAL = ".partial"

Report = Callable[[str, float], None]
"""Is told of `light` (share done), `planned` (number of images of this world) and `image` (one more is there)."""


class Stopped(Exception):  # noqa: N818 - no error: the user wants it to end
    """Raised between two images when the user has stopped the rendering."""


@dataclass(frozen=True, kw_only=True)
class SequenceRecord:
    """What the manifest says about one sequence."""

    name: str
    split: str
    world: str
    trajectory: int
    height_above_floor_m: float
    frames: int
    path_length_m: float

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class WorldRecord:
    """What the manifest says about one world: its sequences, or why there are none."""

    spec: WorldSpec
    rooms: int
    free_floor_m2: float
    sequences: tuple[SequenceRecord, ...]
    skipped: str = ""


def render_world(spec: WorldSpec, settings: WorldSet, out: Path, report: Report) -> WorldRecord:
    """Render what is missing of a world's sequences below `out`; each appears whole or not at all.

    Raises:
        DatasetError: a file cannot be written. A world that cannot be read or driven through is no error: the record
            says why it was skipped.
    """
    try:
        world = load_world(spec.source, spec.seed, partial(report, "light"), MESH_RAYS)
        paths, free_m2 = _plan(world, spec, settings)
    except DatasetError as error:
        return WorldRecord(spec=spec, rooms=0, free_floor_m2=0.0, sequences=(), skipped=str(error))
    per_path = len(settings.heights_m) * len(settings.cameras())
    report("planned", float(per_path * sum(len(path.x_y_yaw) for path in paths)))
    renderer = Renderer(world.mesh, world.outdoors, FEW_SUBPIXELS_PX)
    records = []
    for trajectory, path in enumerate(paths):
        for name, camera, height_m, numbers in settings.sequences(spec.name, trajectory):
            record = SequenceRecord(
                name=name,
                split=spec.split,
                world=spec.name,
                trajectory=trajectory,
                height_above_floor_m=height_m,
                frames=len(path.x_y_yaw),
                path_length_m=round(path.length_m, 3),
            )
            records.append(record)
            if (out / spec.split / name / "poses.txt").exists():
                report("image", float(record.frames))
                continue
            rng = np.random.default_rng([settings.seed, spec.number, trajectory, 1 + numbers[0], 1 + numbers[1]])
            poses = camera_poses(path, height_m, rng)
            unfinished = out / PARTIAL / name
            shutil.rmtree(unfinished, ignore_errors=True)
            notes = {"height_above_floor_m": height_m, "world": f"{spec.name}:{spec.seed}"}
            for _ in write_sequence(unfinished, camera, _take(renderer, camera, poses, rng), poses, RATE_HZ, notes):
                report("image", 1.0)
            unfinished.rename(out / spec.split / name)
    return WorldRecord(spec=spec, rooms=len(world.rooms), free_floor_m2=round(free_m2, 1), sequences=tuple(records))


def _take(renderer: Renderer, camera: Camera, poses: list[Array], rng: Generator) -> Iterator[Image]:
    """Yield the pictures of one camera, whose look is drawn once."""
    look = replace(CameraLook.random(rng), vignette=0.0)
    for T_map_camera in poses:
        yield renderer.render(camera, T_map_camera, look, rng)


def _plan(world: World, spec: WorldSpec, settings: WorldSet) -> tuple[list[RobotPath], float]:
    """Return the paths through a world and the size of its free floor, square metres."""
    for robot in (ROBOT, SMALL_ROBOT):
        space = free_space(world.mesh, robot.radius_m, robot.height_m, world.floor_m)
        free_m2 = float(space.free.sum() * space.resolution**2)
        if free_m2 >= MIN_FREE_M2:
            break
    else:
        raise DatasetError(
            f"{spec.name}: only {free_m2:.1f} m^2 of free floor for a robot of radius {SMALL_ROBOT.radius_m} m, "
            f"{MIN_FREE_M2} m^2 are needed; leave this world out"
        )
    paths = []
    for trajectory in range(settings.trajectories):
        rng = np.random.default_rng([settings.seed, spec.number, trajectory])
        paths.append(random_path(space, robot, world.rooms, rng, settings.length_m, settings.spacing_m))
    return paths, free_m2
