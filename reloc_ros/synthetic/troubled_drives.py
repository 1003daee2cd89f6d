"""Drives through the apartment in which something happens to the camera, the light or the robot: seeded and rendered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from reloc_ros.cameras.camera import Camera
from reloc_ros.errors import DatasetError
from reloc_ros.geometry import rotation
from reloc_ros.synthetic.camera_look import CameraLook
from reloc_ros.synthetic.crowd import Crowd
from reloc_ros.synthetic.free_space import free_space
from reloc_ros.synthetic.render_pool import RenderPool, Shot
from reloc_ros.synthetic.robot import Robot, planar_pose
from reloc_ros.synthetic.trajectories import STEP_S, Drive, OdometryNoise, drive_through, odometry
from reloc_ros.synthetic.worlds import World
from reloc_ros.types import Array, Image

RATE_HZ = 5.0
COVERED = CameraLook(exposure=1e-4, noise=1.5)
DUSK_EXPOSURE = 0.05
"""A twentieth of the light: three to four grey levels are left of a lit wall's sixty, below the noise."""
CROWD_SHARE = 0.4
BUMP_DEG = 5.0

_STEPS = round(1.0 / (RATE_HZ * STEP_S))
_TRIES = 20


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What happens, and for how long.

    Args:
        before_s, during_s, after_s: lengths of the three parts.
        carried: between the parts the robot is carried elsewhere and odometry does not notice.
        elsewhere: during the trouble it drives through another apartment, which no map shows.
        exposure: factor on the light during the trouble.
        covered: the camera is.
        crowd: share of the picture that people hide during the trouble.
        bump_deg: by which the camera is turned to the side, from the trouble on.
    """

    before_s: float = 15.0
    during_s: float = 10.0
    after_s: float = 15.0
    carried: bool = False
    elsewhere: bool = False
    exposure: float = 1.0
    covered: bool = False
    crowd: float = 0.0
    bump_deg: float = 0.0


TROUBLES = {
    "kidnap": Trouble(before_s=20.0, during_s=0.0, after_s=25.0, carried=True),
    "blackout": Trouble(covered=True),
    "unmapped": Trouble(before_s=18.0, during_s=25.0, after_s=25.0, carried=True, elsewhere=True),
    "crowd": Trouble(during_s=30.0, after_s=10.0, crowd=CROWD_SHARE),
    "dark": Trouble(during_s=12.0, exposure=DUSK_EXPOSURE),
    "bumped": Trouble(during_s=25.0, after_s=0.0, bump_deg=BUMP_DEG),
}


@dataclass(frozen=True, kw_only=True)
class TroubledDrive:
    """A drive as it is played, one entry for each image.

    Args:
        name: of the trouble.
        times_s: (N,) from the start.
        T_map_base: (N, 4, 4) truth.
        T_odom_base: (N, 4, 4) what odometry says.
        T_map_camera: (N, 4, 4) truth, the camera as it is mounted by then.
        troubled: (N,) whether the trouble holds.
        mapped: (N,) whether the robot is where the map is; elsewhere no pose can be right.
        carried_s: times at which it was carried.
    """

    name: str
    times_s: Array
    T_map_base: Array
    T_odom_base: Array
    T_map_camera: Array
    troubled: NDArray[np.bool_]
    mapped: NDArray[np.bool_]
    carried_s: tuple[float, ...]


def plan(name: str, trouble: Trouble, world: World, other: World | None, robot: Robot, seed: int) -> TroubledDrive:
    """Return the drive of a trouble.

    Args:
        name: of the trouble.
        trouble: what happens.
        world: that the map shows.
        other: another one, for `Trouble.elsewhere`.
        robot: that drives.
        seed: of drive and odometry.
    """
    rng = np.random.default_rng([seed, *name.encode()])
    lengths = [trouble.before_s, trouble.during_s, trouble.after_s]
    worlds = [world, other if trouble.elsewhere and other is not None else world, world]
    if not trouble.carried:
        lengths, worlds = [sum(lengths)], [world]
    drives = [_drive(each, robot, seconds, rng) for each, seconds in zip(worlds, lengths) if seconds > 0.0]
    pieces = [np.arange(0, len(drive.stamps_s) - 1, _STEPS) for drive in drives]
    T_map_base = np.concatenate(
        [np.stack([drive.T_map_base(int(step)) for step in steps]) for drive, steps in zip(drives, pieces)]
    )
    times_s = np.arange(len(T_map_base)) / RATE_HZ
    during = (times_s >= trouble.before_s) & (times_s < trouble.before_s + trouble.during_s)
    T_base_camera = np.repeat(robot.T_base_camera[np.newaxis], len(times_s), axis=0)
    # Base axes: a turn about z, with the lens where it was.
    turned = rotation.exp([0.0, 0.0, np.radians(trouble.bump_deg)]) @ robot.T_base_camera[:3, :3]
    T_base_camera[times_s >= trouble.before_s, :3, :3] = turned
    starts = np.cumsum([0, *map(len, pieces)])[1:-1]
    return TroubledDrive(
        name=name,
        times_s=times_s,
        T_map_base=T_map_base,
        T_odom_base=_odometry(drives, pieces, rng),
        T_map_camera=T_map_base @ T_base_camera,
        troubled=during,
        mapped=~during if trouble.elsewhere else np.ones(len(times_s), dtype=bool),
        carried_s=tuple(times_s[starts].tolist()),
    )


def render(
    drive: TroubledDrive,
    trouble: Trouble,
    camera: Camera,
    world: World,
    other: World | None,
    *,
    seed: int,
    workers: int,
) -> Iterator[Image]:
    """Yield the images of a drive in order."""
    rng = np.random.default_rng([seed, *drive.name.encode(), 1])
    usual = replace(CameraLook.random(rng), noise=2.0)
    unusual = COVERED if trouble.covered else replace(usual, exposure=usual.exposure * trouble.exposure)
    crowd = Crowd(trouble.crowd, rng)
    shots = [
        Shot(T_map_camera, unusual if troubled else usual, (seed, index))
        for index, (T_map_camera, troubled) in enumerate(zip(drive.T_map_camera, drive.troubled))
    ]
    start = 0
    for mapped, count in _runs(drive.mapped):
        place = world if mapped or other is None else other
        with RenderPool(place, camera, workers) as pool:
            for index, image in enumerate(pool.render(shots[start : start + count]), start):
                yield crowd.before(image, float(drive.times_s[index])) if drive.troubled[index] else image
        start += count


def _runs(mask: NDArray[np.bool_]) -> Iterator[tuple[bool, int]]:
    edges = np.flatnonzero(np.diff(mask.astype(np.int8))) + 1
    for begin, end in zip([0, *edges], [*edges, len(mask)]):
        yield bool(mask[begin]), int(end - begin)


def _drive(world: World, robot: Robot, seconds: float, rng: Generator) -> Drive:
    """Return a drive; where a robot gets stuck in a niche another one starts elsewhere."""
    space = free_space(world.mesh, robot.radius_m, robot.height_m, world.floor_m)
    for _ in range(_TRIES - 1):
        try:
            return drive_through(space, robot, world.rooms, seconds, rng)
        except DatasetError:
            continue
    return drive_through(space, robot, world.rooms, seconds, rng)


def _odometry(drives: list[Drive], pieces: list[NDArray[np.int64]], rng: Generator) -> Array:
    """Return (N, 4, 4) T_odom_base over all drives, as if each went on where the one before ended."""
    T_odom_start, found = np.eye(4), []
    for drive, steps in zip(drives, pieces):
        x_y_yaw = odometry(drive, OdometryNoise(), rng)
        found += [T_odom_start @ planar_pose(*x_y_yaw[step]) for step in steps]
        T_odom_start = T_odom_start @ planar_pose(*x_y_yaw[-1])
    return np.stack(found)
