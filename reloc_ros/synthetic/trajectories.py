"""Drives of a differential-drive robot from room to room, and what its odometry makes of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from reloc_ros.errors import DatasetError
from reloc_ros.synthetic.free_space import FreeSpace
from reloc_ros.synthetic.planner import Planner
from reloc_ros.synthetic.robot import Robot, planar_pose
from reloc_ros.types import Array

STEP_S = 0.02
LOOK_AHEAD_M = 0.35
ARRIVED_M = 0.15
TURN_IN_PLACE_RAD = 1.0
MAX_LEGS = 200

Area = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class Drive:
    """Where a robot was: one state every `STEP_S`.

    Args:
        stamps_s: (N,) seconds from the start.
        x_y_yaw: (N, 3) metres and radians (yaw not wrapped) of the base in the map.
        speed_yaw_rate: (N, 2) metres per second forward and radians per second, between state k - 1 and k.
        kidnapped_at: indices of states before which the robot was carried somewhere else.
        floor_m: height of the floor.
    """

    stamps_s: Array
    x_y_yaw: Array
    speed_yaw_rate: Array
    kidnapped_at: tuple[int, ...]
    floor_m: float

    def T_map_base(self, index: int) -> Array:
        """Return (4, 4) pose of the base in the map at one state."""
        x, y, yaw = self.x_y_yaw[index]
        return planar_pose(x, y, yaw, self.floor_m)


@dataclass(frozen=True, kw_only=True)
class OdometryNoise:
    """Errors of wheel odometry.

    Variances grow with the way driven and the angle turned, so that they do not depend on the rate (the alpha model of
    Thrun, Burgard, Fox 2005, table 5.6, with variances linear in the motion), on top of constant scale errors.

    Args:
        turn_per_turn: rad^2 per rad.
        turn_per_way: rad^2 per m.
        way_per_way: m^2 per m.
        way_per_turn: m^2 per rad.
        way_scale: standard deviation of the constant relative error of the way (tyre pressure).
        turn_scale: standard deviation of the constant relative error of turns (wheel base).
    """

    turn_per_turn: float = 4e-4
    turn_per_way: float = 2e-4
    way_per_way: float = 2e-4
    way_per_turn: float = 5e-5
    way_scale: float = 0.01
    turn_scale: float = 0.01


def drive_through(
    space: FreeSpace,
    robot: Robot,
    rooms: dict[str, Area],
    seconds: float,
    rng: Generator,
    start_room: str | None = None,
) -> Drive:
    """Return a drive of the given length that visits room after room in random order.

    Raises:
        DatasetError: no way could be driven (free space too narrow for the robot's turns).
    """
    planner, total = Planner(space), round(seconds / STEP_S) + 1
    names = [name for name, area in rooms.items() if len(space.inside(area))]
    here = start_room if start_room in names else names[int(rng.random() * len(names))]
    x, y = _somewhere(space, rooms[here], rng)
    states, controls = [np.array([x, y, 2 * np.pi * rng.random()])], [np.zeros(2)]
    unvisited = [name for name in names if name != here]
    for _ in range(MAX_LEGS):
        if not unvisited:
            unvisited = [name for name in names if name != here] or [here]
        target = unvisited[int(rng.random() * len(unvisited))]
        goal = _somewhere(space, rooms[target], rng)
        leg = _follow(planner.plan(states[-1][:2], goal), states[-1], controls[-1], robot)
        if not space.is_free(leg[0][:, :2]).all():
            continue
        states.extend(leg[0])
        controls.extend(leg[1])
        unvisited.remove(target)
        here = target
        if len(states) >= total:
            return Drive(
                stamps_s=np.arange(total, dtype=float) * STEP_S,
                x_y_yaw=np.array(states[:total]),
                speed_yaw_rate=np.array(controls[:total]),
                kidnapped_at=(),
                floor_m=space.floor_m,
            )
    raise DatasetError(
        f"only {len(states) * STEP_S:.0f} s of a {seconds:g} s drive found after {MAX_LEGS} legs; "
        "use a smaller robot or a world with more free floor"
    )


def kidnapped(before: Drive, after: Drive) -> Drive:
    """Return a drive that goes on as `after` at once when `before` ends, as if the robot had been carried there."""
    shift = before.stamps_s[-1] + STEP_S
    count = len(before.stamps_s)
    return Drive(
        stamps_s=np.concatenate([before.stamps_s, after.stamps_s + shift]),
        x_y_yaw=np.concatenate([before.x_y_yaw, after.x_y_yaw]),
        speed_yaw_rate=np.concatenate([before.speed_yaw_rate, after.speed_yaw_rate]),
        kidnapped_at=(*before.kidnapped_at, count, *(count + index for index in after.kidnapped_at)),
        floor_m=before.floor_m,
    )


def odometry(drive: Drive, noise: OdometryNoise, rng: Generator) -> Array:
    """Return (N, 3) x, y, yaw of the base in the `odom` frame: dead reckoning that does not notice a kidnap."""
    way, turn = (drive.speed_yaw_rate * STEP_S).T
    way_scale, turn_scale = 1 + np.array([noise.way_scale, noise.turn_scale]) * rng.standard_normal(2)
    way_variance = noise.way_per_way * np.abs(way) + noise.way_per_turn * np.abs(turn)
    turn_variance = noise.turn_per_turn * np.abs(turn) + noise.turn_per_way * np.abs(way)
    way = way * way_scale + np.sqrt(way_variance) * rng.standard_normal(len(way))
    turn = turn * turn_scale + np.sqrt(turn_variance) * rng.standard_normal(len(turn))
    yaw = np.cumsum(turn)
    # Half of the turn happens before, half after the middle of the step.
    heading = yaw - turn / 2
    return np.stack([np.cumsum(way * np.cos(heading)), np.cumsum(way * np.sin(heading)), yaw], axis=1)


def _somewhere(space: FreeSpace, area: Area, rng: Generator) -> Array:
    """Return x, y of a free place in a room, among the more spacious half."""
    cells = space.inside(area)
    clearance = space.clearance[cells[:, 0], cells[:, 1]]
    roomy = cells[clearance >= np.median(clearance)]
    return space.centres(roomy[int(rng.random() * len(roomy))])


def _follow(path: Array, state: Array, control: Array, robot: Robot) -> tuple[NDArray[np.float64], Array]:
    """Return the states and controls of a robot that follows a path by pure pursuit within its limits."""
    x, y, yaw = state
    speed, yaw_rate = control
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    reached, states, controls = 0, [], []
    # The time limit ends a leg that circles around its goal; what was driven counts.
    limit = int((along[-1] / robot.max_speed_m_s * 3 + 15) / STEP_S)
    for _ in range(limit):
        ahead = path[reached : reached + 40]
        reached += int(np.argmin(np.hypot(ahead[:, 0] - x, ahead[:, 1] - y)))
        target = path[min(int(np.searchsorted(along, along[reached] + LOOK_AHEAD_M)), len(path) - 1)]
        error = _wrapped(np.arctan2(target[1] - y, target[0] - x) - yaw)
        left = along[-1] - along[reached]
        if left < ARRIVED_M:
            break
        wanted_speed = 0.0 if abs(error) > TURN_IN_PLACE_RAD else robot.max_speed_m_s * np.cos(error) ** 3
        wanted_speed = min(wanted_speed, np.sqrt(2 * 0.7 * robot.max_acceleration_m_s2 * left))
        wanted_rate = float(np.clip(2.5 * error, -robot.max_yaw_rate_rad_s, robot.max_yaw_rate_rad_s))
        speed = _towards(speed, wanted_speed, robot.max_acceleration_m_s2 * STEP_S)
        yaw_rate = _towards(yaw_rate, wanted_rate, robot.max_yaw_acceleration_rad_s2 * STEP_S)
        heading = yaw + yaw_rate * STEP_S / 2
        x, y = x + speed * STEP_S * np.cos(heading), y + speed * STEP_S * np.sin(heading)
        yaw += yaw_rate * STEP_S
        states.append((x, y, yaw))
        controls.append((speed, yaw_rate))
    return np.array(states).reshape(-1, 3), np.array(controls).reshape(-1, 2)


def _towards(value: float, wanted: float, step: float) -> float:
    return float(value + np.clip(wanted - value, -step, step))


def _wrapped(angle_rad: float) -> float:
    return float((angle_rad + np.pi) % (2 * np.pi) - np.pi)
