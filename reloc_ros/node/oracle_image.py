"""The answer written into the pixels of an image: where a network that is asked about it shall say that it was taken.

Whoever sends such images to `oracle_node` decides what the relocalizer sees: the truth, a twin of it, or a fault in
the stage of its choice. Nothing but the network is played.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from reloc_ros.cameras.pinhole import PinholeCamera
from reloc_ros.types import Array, Image

WIDTH, HEIGHT = 64, 48
CAMERA = PinholeCamera(WIDTH, HEIGHT, np.array([[55.0, 0.0, 31.5], [0.0, 55.0, 23.5], [0.0, 0.0, 1.0]]))

_MAGIC = b"pose"
_MATRIX = slice(len(_MAGIC) + 1, len(_MAGIC) + 1 + 12 * 8)


class Plant(IntEnum):
    """What goes wrong with an image, by the stage it happens in."""

    NOTHING = 0
    IN_PREPARE = 1
    IN_INFER = 2
    SLOW_INFER = 3
    NOT_A_NUMBER = 4
    NOTHING_SEEN = 5
    IN_SOLVE = 6
    IN_GATE = 7


def write(T_map_camera: Array, plant: Plant = Plant.NOTHING) -> Image:
    """Return an image (HEIGHT, WIDTH, 3) that says where it was taken, and what shall go wrong with it."""
    pixels = np.zeros(HEIGHT * WIDTH * 3, dtype=np.uint8)
    payload = _MAGIC + bytes([plant]) + np.asarray(T_map_camera[:3], dtype="<f8").tobytes()
    pixels[: len(payload)] = np.frombuffer(payload, dtype=np.uint8)
    return pixels.reshape(HEIGHT, WIDTH, 3)


def read(image: Image) -> tuple[Array, Plant]:
    """Return T_map_camera and the fault of an image that `write` made; any other shows nothing."""
    payload = np.ascontiguousarray(image).reshape(-1)[: _MATRIX.stop].tobytes()
    T_map_camera = np.eye(4)
    if not payload.startswith(_MAGIC):
        return T_map_camera, Plant.NOTHING_SEEN
    T_map_camera[:3] = np.frombuffer(payload[_MATRIX], dtype="<f8").reshape(3, 4)
    return T_map_camera, Plant(payload[len(_MAGIC)])
