"""The last verified pose on disk, one file for each node and map: where the robot most likely is when it wakes."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from reloc_ros.errors import ConfigError
from reloc_ros.types import Array

_MOVED_STD = np.array([0.3, 0.3, 0.05, 0.05, 0.05, 0.3])
"""Metres and radians by which a robot may have been pushed about while it was off."""


@dataclass(frozen=True, kw_only=True)
class SavedPose:
    """A verified pose of the base.

    Args:
        map_frame: it is in.
        bundle: fingerprint of the network that found it.
        stamp_ns: of its image.
        T_map_body: 4 x 4 numbers.
        covariance: 6 x 6 numbers.
    """

    map_frame: str
    bundle: str
    stamp_ns: int
    T_map_body: list[list[float]]
    covariance: list[list[float]]


def path_of(node_name: str, map_frame: str) -> Path:
    """Return where the pose of a node in a map is kept: below `ROS_HOME`, else `~/.ros`."""
    home = Path(os.environ.get("ROS_HOME") or Path.home() / ".ros")
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", f"{node_name.strip('/')}-{map_frame}")
    return home / "reloc_ros" / f"{name}.json"


def write(path: Path, pose: SavedPose) -> None:
    """Replace the file in one step, so that a power cut leaves the old pose or the new one.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(asdict(pose)), encoding="utf-8")
    draft.replace(path)


def read(path: Path, *, map_frame: str, bundle: str) -> SavedPose | None:
    """Return the pose in a file, or None where there is no file.

    Raises:
        ConfigError: it cannot be used, because it is damaged or belongs to another map or bundle.
    """
    if not path.is_file():
        return None
    try:
        pose = SavedPose(**json.loads(path.read_text(encoding="utf-8")))
        shapes = np.shape(pose.T_map_body), np.shape(pose.covariance)
        finite = all(np.all(np.isfinite(numbers)) for numbers in (pose.T_map_body, pose.covariance))
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"saved pose {path} is unreadable ({error}); delete it") from error
    if shapes != ((4, 4), (6, 6)) or not finite:
        raise ConfigError(f"saved pose {path} holds shapes {shapes}, expected finite (4, 4) and (6, 6); delete it")
    if pose.map_frame != map_frame:
        raise ConfigError(f"saved pose {path} is in map frame {pose.map_frame!r}, expected {map_frame!r}; not used")
    if pose.bundle != bundle:
        raise ConfigError(f"saved pose {path} was found with another bundle, whose map may differ; not used")
    return pose


def with_doubt(pose: SavedPose) -> Array:
    """Return the (6, 6) covariance of a saved pose now."""
    return np.array(pose.covariance, dtype=np.float64) + np.diag(_MOVED_STD**2)
