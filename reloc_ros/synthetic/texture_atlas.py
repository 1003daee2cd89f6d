"""All textures of a mesh in one flat array with mip levels, for fast filtered look-ups."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from reloc_ros.synthetic.mesh import Floats
from reloc_ros.types import Image

MAX_LEVELS = 11


class TextureAtlas:
    """Mip pyramids of a list of textures."""

    def __init__(self, textures: tuple[Image, ...]) -> None:
        """Halve every texture until it is one pixel wide or high; (H, W, 3) uint8 RGB each."""
        count = len(textures)
        self.size = np.array([t.shape[:2] for t in textures], np.int32)
        self._levels = np.zeros(count, np.int32)
        offsets = np.zeros((count, MAX_LEVELS), np.int64)
        self._width = np.ones((count, MAX_LEVELS), np.int32)
        self._height = np.ones((count, MAX_LEVELS), np.int32)
        chunks: list[NDArray[np.uint32]] = []
        used = 0
        for index, texture in enumerate(textures):
            image = np.ascontiguousarray(texture)
            for level in range(MAX_LEVELS):
                height, width = image.shape[:2]
                packed = np.zeros((height * width, 4), np.uint8)
                packed[:, :3] = image.reshape(-1, 3)
                chunks.append(packed.view(np.uint32)[:, 0])
                offsets[index, level], self._width[index, level] = used, width
                self._height[index, level], self._levels[index] = height, level
                used += height * width
                if min(height, width) == 1:
                    break
                image = cv2.resize(image, (max(1, width // 2), max(1, height // 2)), interpolation=cv2.INTER_AREA)
        self._texels = np.concatenate(chunks)
        self._offset = offsets.ravel()

    def sample(self, texture: NDArray[np.int32], uv: Floats, detail: Floats) -> Floats:
        """Return (N, 3) colours 0..255, bilinear within the nearest mip level.

        Args:
            texture: (N,) which texture.
            uv: (N, 2) texture coordinates, repeating outside [0, 1].
            detail: (N,) log2 of the number of full-size texels under one pixel.
        """
        level = np.minimum(np.maximum(detail + np.float32(0.5), 0).astype(np.int32), self._levels[texture])
        slot = texture * MAX_LEVELS + level
        width, height = self._width.ravel()[slot], self._height.ravel()[slot]
        offset = self._offset[slot]
        x, left, right = _neighbours(uv[:, 0], width)
        y, top, bottom = _neighbours(uv[:, 1], height)
        upper, lower = offset + top * width, offset + bottom * width
        a, b = self._fetch(upper + left), self._fetch(upper + right)
        a += (b - a) * x
        c, d = self._fetch(lower + left), self._fetch(lower + right)
        c += (d - c) * x
        a += (c - a) * y
        return a

    def _fetch(self, index: NDArray[np.int64]) -> Floats:
        texels = np.take(self._texels, index)
        return texels.view(np.uint8).reshape(-1, 4)[:, :3].astype(np.float32)


def _neighbours(coordinate: Floats, size: NDArray[np.int32]) -> tuple[Floats, NDArray[np.int32], NDArray[np.int32]]:
    """Return the weight of the second neighbour, (N, 1), and both neighbours along one axis."""
    position = (coordinate - np.floor(coordinate)) * size - np.float32(0.5)
    floor = np.floor(position)
    first = floor.astype(np.int32)
    second = first + 1
    weight = (position - floor).astype(np.float32)[:, None]
    return weight, np.where(first < 0, size - 1, first), np.where(second >= size, 0, second)
