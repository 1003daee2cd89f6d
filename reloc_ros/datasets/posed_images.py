"""The data set table: `FORMAT:PATH` to images with poses."""

from __future__ import annotations

from collections.abc import Callable

from reloc_ros.datasets.cambridge import read_cambridge
from reloc_ros.datasets.images import PosedImage, PosedImages, Skipped
from reloc_ros.datasets.loc360 import read_loc360
from reloc_ros.datasets.panorama_sequences import read_panorama_sequences
from reloc_ros.datasets.rosbag import read_rosbag
from reloc_ros.datasets.seven_scenes import read_seven_scenes
from reloc_ros.datasets.transforms_json import read_transforms_json
from reloc_ros.datasets.tum import read_tum
from reloc_ros.datasets.twelve_scenes import read_twelve_scenes
from reloc_ros.datasets.wayspots import read_wayspots
from reloc_ros.errors import DatasetError

__all__ = ["FORMATS", "PosedImage", "PosedImages", "Skipped", "read_dataset"]

FORMATS: dict[str, Callable[[str], PosedImages]] = {
    "seven_scenes": read_seven_scenes,
    "transforms_json": read_transforms_json,
    "rosbag": read_rosbag,
    "panorama_sequences": read_panorama_sequences,
    "cambridge": read_cambridge,
    "twelve_scenes": read_twelve_scenes,
    "wayspots": read_wayspots,
    "tum": read_tum,
    "loc360": read_loc360,
}
"""Format name: the reader of what stands behind the colon."""


def read_dataset(specification: str) -> PosedImages:
    """Return the data set named by `FORMAT:PATH`, for example `seven_scenes:/data/redkitchen`.

    Raises:
        DatasetError: the format is unknown, the path is missing, or the data set is broken.
    """
    name, colon, location = specification.partition(":")
    if not colon or name not in FORMATS:
        raise DatasetError(f"data set '{specification}' must read FORMAT:PATH with FORMAT one of {', '.join(FORMATS)}")
    if not location:
        raise DatasetError(f"data set '{specification}' names no path after the colon")
    return FORMATS[name](location)
