"""All textures of a mesh with their mip levels in one picture, looked up for many rays at once."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from reloc_ros.errors import DatasetError
from reloc_ros.synthetic.mesh import Floats
from reloc_ros.types import Image

MAX_LEVELS = 11
MAX_SIZE_PX = 32_000
"""OpenCV's remap addresses pixels with 16 bits."""
ROW_PX = 256


class TextureAtlas:
    """Mip pyramids of a list of textures, each level with a border of one pixel that continues it periodically."""

    def __init__(self, textures: tuple[Image, ...]) -> None:
        """Halve every texture until it is one pixel wide or high; (H, W, 3) uint8 RGB each.

        Raises:
            DatasetError: together they are too large for one picture.
        """
        self.size = np.array([texture.shape[:2] for texture in textures], np.int32)
        levels = {
            (index, level): image
            for index, texture in enumerate(textures)
            for level, image in enumerate(_pyramid(texture))
        }
        self._last = np.zeros(len(textures), np.float32)
        for index, level in levels:
            self._last[index] = level  # levels of a texture come in ascending order
        corners, (height, width) = _pack({key: image.shape[:2] for key, image in levels.items()})
        if max(height, width) > MAX_SIZE_PX:
            raise DatasetError(
                f"the textures of this world need a picture of {width} x {height} pixels and {MAX_SIZE_PX} is the limit; "
                "use smaller textures"
            )
        self._picture = np.zeros((height, width, 3), np.uint8)
        # x and y of the corner of the level's first pixel, width, height: pixels, one column for each level.
        self._places = np.ones((4, len(textures) * MAX_LEVELS), np.float32)
        for (index, level), (y, x) in corners.items():
            image = levels[index, level]
            rows, columns = image.shape[:2]
            self._picture[y : y + rows + 2, x : x + columns + 2] = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="wrap")
            # Half a pixel less: the centre of the first pixel is at half a pixel of the texture.
            self._places[:, index * MAX_LEVELS + level] = (x + 0.5, y + 0.5, columns, rows)

    def sample(self, texture: NDArray[np.int32], u: Floats, v: Floats, detail: Floats) -> NDArray[np.uint8]:
        """Return (N, 3) colours, bilinear within the nearest mip level.

        Args:
            texture: (N,) which texture.
            u: (N,) texture coordinates along the width, repeating outside [0, 1].
            v: (N,) texture coordinates along the height, likewise.
            detail: (N,) log2 of the number of full-size texels under one pixel.
        """
        level = np.minimum(np.maximum(detail + np.float32(0.5), 0), self._last[texture]).astype(np.int32)
        left, top, width, height = np.take(self._places, texture * MAX_LEVELS + level, axis=1, mode="clip")
        count = len(texture)
        x, y = (np.zeros((-(-count // ROW_PX), ROW_PX), np.float32) for _ in range(2))
        x.reshape(-1)[:count] = left + (u - np.floor(u)) * width
        y.reshape(-1)[:count] = top + (v - np.floor(v)) * height
        found = cv2.remap(self._picture, x, y, cv2.INTER_LINEAR)
        return np.asarray(found.reshape(-1, 3)[:count], np.uint8)


def _pyramid(texture: Image) -> list[Image]:
    images = [np.ascontiguousarray(texture)]
    while min(images[-1].shape[:2]) > 1 and len(images) < MAX_LEVELS:
        height, width = images[-1].shape[:2]
        size = (max(1, width // 2), max(1, height // 2))
        images.append(cv2.resize(images[-1], size, interpolation=cv2.INTER_AREA))
    return images


def _pack(
    sizes: dict[tuple[int, int], tuple[int, int]],
) -> tuple[dict[tuple[int, int], tuple[int, int]], tuple[int, int]]:
    """Return where (row, column) each rectangle of (height, width) goes, with a border of one pixel, and the whole size.

    The rectangles stand on shelves, highest first.
    """
    area = sum((height + 2) * (width + 2) for height, width in sizes.values())
    whole = max(int(1.05 * np.sqrt(area)), max(width for _, width in sizes.values()) + 2)
    corners, top, left, shelf = {}, 0, 0, 0
    for key, (height, width) in sorted(sizes.items(), key=lambda item: -item[1][0]):
        if left + width + 2 > whole:
            top, left, shelf = top + shelf, 0, 0
        corners[key] = (top, left)
        left, shelf = left + width + 2, max(shelf, height + 2)
    return corners, (top + shelf, whole)
