"""What a data set of many worlds consists of: worlds, seen and unseen, and the sequences recorded in each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reloc_ros.cameras.camera import Camera
from reloc_ros.cameras.equirectangular import EquirectangularCamera
from reloc_ros.errors import DatasetError
from reloc_ros.synthetic.paths import LENGTH_M, SPACING_M
from reloc_ros.synthetic.robot import demo_camera

SPLITS = ("seen", "unseen")
MAX_WORLDS = 10_000
FIRST_MESH_NUMBER = 1_000_000
MIN_CAMERA_HEIGHT_M, MAX_CAMERA_HEIGHT_M = 0.05, 1.75
TURNING = 1.45
"""Frames that are taken because the robot turned, on top of those because it moved on (measured over 60 interiors)."""
BYTES_PER_PIXEL = 0.36
SECONDS_PER_PIXEL = 3.6e-7
SECONDS_PER_WORLD, SECONDS_PER_MESH = 2.5, 20.0
"""Of one core, measured with `reloc bench rendering` and over the same interiors; mesh files: 5 to 22 s each."""


@dataclass(frozen=True, kw_only=True)
class WorldSpec:
    """One world of a set: its name there, `interior` or a mesh file, the seed and the number that its draws start from."""

    name: str
    source: str
    seed: int
    number: int
    split: str


@dataclass(frozen=True, kw_only=True)
class WorldSet:
    """What is rendered; two sets of equal settings hold the same pictures.

    Args:
        seed: of everything.
        worlds: number of procedural interiors.
        unseen_worlds: how many of these are kept for the split `unseen`.
        meshes: mesh files, worlds of the split `seen`.
        unseen_meshes: mesh files, worlds of the split `unseen`.
        model: `equirectangular` or `pinhole`.
        width, height: of the pictures, pixels.
        fov_deg: horizontal fields of view, of pinhole cameras: each sequence is recorded with each.
        heights_m: of the camera above the floor: each path is recorded at each.
        trajectories: paths in each world.
        length_m: shortest and longest path.
        spacing_m: smallest and largest distance between frames.
    """

    seed: int = 1
    worlds: int = 10
    unseen_worlds: int = 2
    meshes: tuple[Path, ...] = ()
    unseen_meshes: tuple[Path, ...] = ()
    model: str = "equirectangular"
    width: int = 256
    height: int = 128
    fov_deg: tuple[float, ...] = ()
    heights_m: tuple[float, ...] = (0.1, 0.5, 1.7)
    trajectories: int = 4
    length_m: tuple[float, float] = LENGTH_M
    spacing_m: tuple[float, float] = SPACING_M

    def __post_init__(self) -> None:
        if not 0 <= self.unseen_worlds <= self.worlds <= MAX_WORLDS or self.seed < 0:
            raise DatasetError(
                f"seed {self.seed}, {self.worlds} worlds, {self.unseen_worlds} of them unseen: the seed must be 0 or "
                f"more, the worlds at most {MAX_WORLDS}, the unseen ones among them"
            )
        for what, (low, high) in (("length", self.length_m), ("spacing", self.spacing_m)):
            if not 0 < low <= high:
                raise DatasetError(f"{what} from {low} m to {high} m; give two numbers above 0, the smaller one first")
        if not self.heights_m or not all(MIN_CAMERA_HEIGHT_M <= h <= MAX_CAMERA_HEIGHT_M for h in self.heights_m):
            raise DatasetError(
                f"camera heights {self.heights_m} m; give some between {MIN_CAMERA_HEIGHT_M} and {MAX_CAMERA_HEIGHT_M} m"
            )
        names = [path.stem for path in (*self.meshes, *self.unseen_meshes)]
        if len(set(names)) < len(names):
            raise DatasetError(f"mesh files {names} do not all have names of their own; rename or drop the doubles")
        if not self.specs():
            raise DatasetError("no world asked for; use --worlds N with N above 0, or --mesh FILE")

    def specs(self) -> tuple[WorldSpec, ...]:
        """Return the worlds, the unseen ones first, mesh files after interiors: an interrupted set is of use."""
        meshes = [(path, "seen") for path in self.meshes] + [(path, "unseen") for path in self.unseen_meshes]
        files = [
            WorldSpec(name=path.stem, source=str(path), seed=self.seed, number=FIRST_MESH_NUMBER + k, split=split)
            for k, (path, split) in enumerate(meshes)
        ]
        interiors = [
            WorldSpec(
                name=f"interior_{k:04d}",
                source="interior",
                seed=self.seed * MAX_WORLDS + k,
                number=k,
                split="seen" if k < self.worlds - self.unseen_worlds else "unseen",
            )
            for k in range(self.worlds)
        ]
        return tuple(sorted((*interiors, *files), key=lambda spec: spec.split == "seen"))

    def cameras(self) -> dict[str, Camera]:
        """Return the cameras by the ending that names of their sequences get."""
        if self.model == "equirectangular":
            return {"": EquirectangularCamera(width=self.width, height=self.height)}
        return {f"_fov{angle:03.0f}": demo_camera(self.width, self.height, angle) for angle in self.fov_deg}

    def sequences(self, world: str, trajectory: int) -> Iterator[tuple[str, Camera, float, tuple[int, int]]]:
        """Yield name, camera, height and (camera number, height number) of each recording of one path."""
        for c, (ending, camera) in enumerate(self.cameras().items()):
            for h, height_m in enumerate(self.heights_m):
                yield f"{world}_t{trajectory}_h{100 * height_m:03.0f}{ending}", camera, height_m, (c, h)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON holds them; mesh files by name and size, wherever they lie."""
        settings = asdict(self)
        for key in ("meshes", "unseen_meshes"):
            settings[key] = [{"name": path.name, "bytes": path.stat().st_size} for path in settings[key]]
        return {key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()}

    def estimate(self, workers: int) -> Estimate:
        """Return about how much there will be to render; half as much or twice as much is possible."""
        paths = self.trajectories * len(self.specs())
        per_path = TURNING * float(np.mean(self.length_m) / np.mean(self.spacing_m))
        images = round(paths * per_path * len(self.heights_m) * len(self.cameras()))
        pixels = images * self.width * self.height
        meshes = len(self.meshes) + len(self.unseen_meshes)
        seconds = pixels * SECONDS_PER_PIXEL + self.worlds * SECONDS_PER_WORLD + meshes * SECONDS_PER_MESH
        return Estimate(images=images, size_bytes=round(pixels * BYTES_PER_PIXEL), seconds=seconds / workers)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """About how many images, how many bytes and how long."""

    images: int
    size_bytes: int
    seconds: float
