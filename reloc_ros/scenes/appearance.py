"""Naming parts of an image by colour and texture: the describer for places without a language model.

An image is cut into square cells; each gets a colour name (median in CIELAB) and a texture word (median slope of the
lightness): medians, so that a cell on an edge between two plain surfaces takes after one of them. Regions of one name, such as "textured brown", play the part that objects play for a language model.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from reloc_ros.scenes.colours import COLOURS, colour_indices
from reloc_ros.scenes.sightings import SceneObject
from reloc_ros.types import Image

CELL_PX = 8
LONG_SIDE_CELLS = 24
TEXTURED_FROM = 3.0  # slope of the lightness 0..100, per pixel of a cell
_LARGE_SHARE, _SMALL_SHARE = 0.12, 0.04  # of the image

_TEXTURED = "textured "
NAMES = tuple(f"{texture}{colour}" for colour in COLOURS for texture in ("", _TEXTURED))
"""Every name that `name_cells` can give."""


def name_cells(image: Image) -> NDArray[np.int64]:
    """Return (rows, columns) indices into NAMES for the cells of an (H, W, 3) uint8 RGB image."""
    height, width = image.shape[:2]
    scale = LONG_SIDE_CELLS / max(height, width)
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    small = cv2.resize(image, (columns * CELL_PX, rows * CELL_PX), interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB)
    slope = np.hypot(*np.gradient(lab[..., 0]))
    seen = np.dstack([lab, slope]).reshape(rows, CELL_PX, columns, CELL_PX, 4)
    cells = np.median(seen, axis=(1, 3))
    colours = colour_indices(cells[..., :3])
    textured = cells[..., 3] >= TEXTURED_FROM
    return np.asarray(2 * colours + textured, dtype=np.int64)


def spoken(region: SceneObject) -> SceneObject:
    """Return the region under the name that a sentence uses: its size first, a noun last."""
    if region.share >= _LARGE_SHARE:
        return replace(region, name=f"large {region.name} area")
    return replace(region, name=f"small {region.name} patch" if region.share < _SMALL_SHARE else f"{region.name} area")


def colour_of(name: str) -> str:
    """Return the colour in one of NAMES, for keeping a description varied."""
    return name.removeprefix(_TEXTURED)
