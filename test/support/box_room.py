"""A painted box seen from inside: the smallest world whose every place looks different."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from reloc_ros.cameras.camera import Camera, ray_grid
from reloc_ros.cameras.equirectangular import EquirectangularCamera
from reloc_ros.cameras.pinhole import PinholeCamera
from reloc_ros.types import Array, Image

HALF_SIZE_M = np.array([2.0, 1.5, 1.2])
OPTICAL_FROM_LEVEL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


def pinhole(width: int = 64, height: int = 64) -> PinholeCamera:
    focal_px = 0.6 * width
    K = np.array([[focal_px, 0.0, (width - 1) / 2], [0.0, focal_px, (height - 1) / 2], [0.0, 0.0, 1.0]])
    return PinholeCamera(width, height, K)


def panorama(width: int = 128, height: int = 64) -> EquirectangularCamera:
    return EquirectangularCamera(width, height)


def pose(x: float, y: float, z: float, yaw_rad: float) -> Array:
    """Return T_map_camera of a level camera that looks along yaw."""
    T_map_camera = np.eye(4)
    T_map_camera[:3, :3] = Rotation.from_euler("z", yaw_rad).as_matrix() @ OPTICAL_FROM_LEVEL
    T_map_camera[:3, 3] = x, y, z
    return T_map_camera


def trajectory(count: int) -> list[Array]:
    """Return poses along two near loops that look towards one side of the room."""
    turns = np.linspace(0, 4 * np.pi, count, endpoint=False)
    return [
        pose(0.6 * np.cos(a), 0.4 * np.sin(a), 0.1 * np.sin(a / 2), 0.5 * np.sin(a + 1) + 0.05 * np.cos(a / 2))
        for a in turns
    ]


def wall_points(T_map_camera: Array, rays_camera: Array) -> Array:
    """Return (N, 3) points of the walls that (N, 3) rays hit."""
    directions = rays_camera @ T_map_camera[:3, :3].T
    position = T_map_camera[:3, 3]
    with np.errstate(divide="ignore"):
        distance = (np.sign(directions) * HALF_SIZE_M - position) / directions
    return position + directions * np.min(np.where(distance > 0, distance, np.inf), axis=1)[:, None]


def render(camera: Camera, T_map_camera: Array, paint: int = 7) -> Image:
    """Return what a camera sees; rooms of another paint look different."""
    points = wall_points(T_map_camera, ray_grid(camera, camera.height, camera.width))
    generator = np.random.default_rng(paint)
    waves = generator.normal(0, 1.5, (24, 3))
    phase = generator.uniform(0, 2 * np.pi, 24)
    mix = generator.normal(0, 1, (24, 3))
    colour = 128 + 60 * np.tanh(np.sin(points @ waves.T + phase) @ mix / 2)
    return colour.reshape(camera.height, camera.width, 3).astype(np.uint8)


def write_sequence(folder: Path, camera: Camera, poses: list[Array], paint: int = 7) -> str:
    """Write a sequence and return its `FORMAT:PATH`."""
    frames = folder / "room" / "frames"
    frames.mkdir(parents=True)
    (folder / "room" / "camera.json").write_text(json.dumps(camera.to_dict()), encoding="utf-8")
    lines = []
    for index, T_map_camera in enumerate(poses):
        cv2.imwrite(str(frames / f"{index:06d}.png"), render(camera, T_map_camera, paint)[:, :, ::-1])
        quat_xyzw = Rotation.from_matrix(T_map_camera[:3, :3]).as_quat()
        lines.append(" ".join(map(repr, [index / 10, *map(float, T_map_camera[:3, 3]), *map(float, quat_xyzw)])))
    (folder / "room" / "poses.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return f"panorama_sequences:{folder}"
