"""The second act of the demo: a drive without odometry on which the camera that knows the map is blinded for a while.

The robot carries a rig: the camera that the map was made with, and a panorama camera below it. Nothing but the front
camera can be localized in the map; the panorama camera sees the way on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from reloc_ros.cameras.equirectangular import EquirectangularCamera
from reloc_ros.cameras.pinhole import PinholeCamera
from reloc_ros.datasets.bag_writer import CAMERA, EPOCH_NS, BagWriter
from reloc_ros.errors import DatasetError
from reloc_ros.synthetic.bag_writer import BASE, step_stamp_ns
from reloc_ros.synthetic.camera_look import CameraLook
from reloc_ros.synthetic.free_space import FreeSpace
from reloc_ros.synthetic.render_pool import RenderPool, Shot
from reloc_ros.synthetic.robot import Robot
from reloc_ros.synthetic.trajectories import STEP_S, Drive, drive_through
from reloc_ros.synthetic.worlds import World
from reloc_ros.types import Array, Image

IMAGE_RATE_HZ = 5.0
STEPS_PER_IMAGE = round(1 / (IMAGE_RATE_HZ * STEP_S))
BLIND_SHARE = (0.4, 0.8)
SHORTEST_S = 10.0
PANORAMA = EquirectangularCamera(256, 128)
PANORAMA_HEIGHT_M = 0.5
RIG = "panorama_optical_frame"
"""The panorama's frame is that of the rig."""
TOPICS = {
    "front": ("/front/image", "sensor_msgs/msg/Image"),
    "front_info": ("/front/camera_info", "sensor_msgs/msg/CameraInfo"),
    "panorama": ("/panorama/image", "sensor_msgs/msg/Image"),
    "ground_truth": ("/ground_truth", "geometry_msgs/msg/PoseStamped"),
    "tf_static": ("/tf_static", "tf2_msgs/msg/TFMessage"),
}
RIG_CAMERAS = f"{TOPICS['front'][0]}, {TOPICS['panorama'][0]}:equirectangular"
_BLIND = CameraLook(exposure=1e-4, noise=1.5)


@dataclass(frozen=True, kw_only=True)
class CarriedDrive:
    """A drive as the rig sees it, one entry for each moment it looks.

    Args:
        drive: every state.
        steps: (N,) state in which each image is taken.
        stamps_ns: (N,).
        T_map_camera: (N, 4, 4) truth, of the panorama camera.
        T_map_front: (N, 4, 4) truth, of the front camera.
        blind: (N,) whether the front camera sees nothing.
        look: how both cameras develop their images.
    """

    drive: Drive
    steps: NDArray[np.int64]
    stamps_ns: NDArray[np.int64]
    T_map_camera: Array
    T_map_front: Array
    blind: NDArray[np.bool_]
    look: CameraLook

    @property
    def travelled_m(self) -> Array:
        """(N,) way of the panorama camera since the start."""
        moves = np.linalg.norm(np.diff(self.T_map_camera[:, :3, 3], axis=0), axis=1)
        return np.concatenate([[0.0], np.cumsum(moves)])


def plan_carried_drive(space: FreeSpace, robot: Robot, world: World, seconds: float, rng: Generator) -> CarriedDrive:
    """Return a drive of `seconds` on which the front camera is blind for the middle.

    Raises:
        DatasetError: it is too short to show anything, or no way can be driven.
    """
    if seconds < SHORTEST_S:
        raise DatasetError(f"a second act of {seconds:g} s is too short, at least {SHORTEST_S:g} s are needed")
    drive = drive_through(space, robot, world.rooms, seconds, rng)
    steps = np.arange(0, len(drive.stamps_s), STEPS_PER_IMAGE)
    share = drive.stamps_s[steps] / seconds
    return CarriedDrive(
        drive=drive,
        steps=steps,
        stamps_ns=np.array([step_stamp_ns(int(step)) for step in steps]),
        T_map_camera=np.stack([drive.T_map_base(int(step)) @ T_base_panorama(robot) for step in steps]),
        T_map_front=np.stack([drive.T_map_base(int(step)) @ robot.T_base_camera for step in steps]),
        blind=(share >= BLIND_SHARE[0]) & (share < BLIND_SHARE[1]),
        look=replace(CameraLook.random(rng), noise=2.0, vignette=0.0),
    )


def T_base_panorama(robot: Robot) -> Array:
    """Return how the panorama camera sits on the robot (4, 4): below the front camera, with its axes."""
    return replace(robot, camera_height_m=PANORAMA_HEIGHT_M).T_base_camera


def render_carried_drive(
    act: CarriedDrive, world: World, camera: PinholeCamera, workers: int, rng: Generator
) -> Iterator[tuple[Image, Image]]:
    """Yield the images of front and panorama camera, moment by moment."""
    seed = int(rng.random() * 2**31)
    looks = [_BLIND if blind else act.look for blind in act.blind]
    front = [Shot(pose, look, (seed, 2 * k)) for k, (pose, look) in enumerate(zip(act.T_map_front, looks))]
    around = [Shot(pose, act.look, (seed, 2 * k + 1)) for k, pose in enumerate(act.T_map_camera)]
    with RenderPool(world, camera, workers) as pool:
        yield from zip(pool.render(front), pool.render(around, PANORAMA), strict=True)


def write_carried_bag(
    path: Path, act: CarriedDrive, robot: Robot, camera: PinholeCamera, images: Iterable[tuple[Image, Image]]
) -> Iterator[int]:
    """Write the drive as a bag; yield the number of moments written so far.

    Raises:
        DatasetError: the folder exists, or the disk refuses the bag.
    """
    T_rig_front = np.linalg.inv(T_base_panorama(robot)) @ robot.T_base_camera
    with BagWriter(path, TOPICS) as bag:
        bag.put("tf_static", EPOCH_NS, bag.transform(EPOCH_NS, BASE, RIG, T_base_panorama(robot)))
        bag.put("tf_static", EPOCH_NS, bag.transform(EPOCH_NS, RIG, CAMERA, T_rig_front))
        for count, (stamp, T_map_camera, (front, panorama)) in enumerate(zip(act.stamps_ns, act.T_map_camera, images)):
            stamp_ns = int(stamp)
            bag.put("front_info", stamp_ns, bag.camera_info(stamp_ns, camera))
            bag.put("front", stamp_ns, bag.image(stamp_ns, front))
            bag.put("panorama", stamp_ns, bag.image(stamp_ns, panorama, RIG))
            bag.put("ground_truth", stamp_ns, bag.pose_in_map(stamp_ns, T_map_camera))
            yield count + 1
