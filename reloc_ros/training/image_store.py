"""The images of a data set as the network wants them, made once and kept beside the run.

Decoding and resizing a VGA image costs more than the network's step on it; a memory-mapped array makes every epoch
after the first cheap, and lets several processes share it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import track

from reloc_ros.bundle.manifest import CameraAssumption, InputSpec
from reloc_ros.cameras.camera import Camera
from reloc_ros.datasets.images import PosedImage
from reloc_ros.errors import TrainingError
from reloc_ros.localization.prepare import prepare
from reloc_ros.localization.solve.solution import Failure
from reloc_ros.types import Array, Frame


@dataclass(frozen=True, kw_only=True)
class ImageStore:
    """Prepared images with what is known of each.

    Args:
        images: (M, height, width, 3) uint8, RGB, memory-mapped.
        cameras: M models of the prepared images.
        T_map_camera: (M, 4, 4).
    """

    images: np.ndarray
    cameras: tuple[Camera, ...]
    T_map_camera: Array

    def __len__(self) -> int:
        return len(self.cameras)

    def subset(self, indices: Sequence[int]) -> ImageStore:
        """Return the store of some of the images."""
        cameras = tuple(self.cameras[index] for index in indices)
        return ImageStore(
            images=self.images[list(indices)], cameras=cameras, T_map_camera=self.T_map_camera[list(indices)]
        )


def open_store(images: Sequence[PosedImage], spec: InputSpec, path: Path, *, title: str, build: bool) -> ImageStore:
    """Return the prepared images, from `path` if it holds just these, else prepared now.

    Args:
        images: what to prepare.
        spec: size the network wants.
        path: array file; the list of what it holds lies beside it.
        title: what the progress bar says.
        build: whether this process may write; another process must have built the store otherwise.

    Raises:
        TrainingError: there are no images, cameras of several models, or a camera that cannot be prepared.
    """
    models = sorted({image.camera.model for image in images})
    if len(models) != 1:
        raise TrainingError(f"{len(images)} images of the camera models {models}; training needs images of one model")
    assumption = CameraAssumption(model=models[0], horizontal_fov_deg_min=0.0, horizontal_fov_deg_max=360.0)
    if build and not _is_current(images, spec, path):
        _build(images, spec, assumption, path, title)
    T_map_camera = np.stack([image.T_map_camera for image in images])
    cameras = tuple(_prepared_camera(image, spec, assumption) for image in images)
    return ImageStore(images=np.load(path, mmap_mode="r"), cameras=cameras, T_map_camera=T_map_camera)


def _prepared_camera(image: PosedImage, spec: InputSpec, assumption: CameraAssumption) -> Camera:
    # The fit depends on the camera alone; the image need not be read for it.
    blank = np.zeros((image.camera.height, image.camera.width, 3), np.uint8)
    return _prepare(image, blank, spec, assumption)[1]


def _prepare(
    image: PosedImage, pixels: np.ndarray | None, spec: InputSpec, assumption: CameraAssumption
) -> tuple[np.ndarray, Camera]:
    frame = image.frame() if pixels is None else Frame(image=pixels, camera=image.camera)
    prepared = prepare(frame, spec, assumption)
    if isinstance(prepared, Failure):
        raise TrainingError(f"{image.name} cannot be prepared: {prepared.detail}")
    return prepared.image[0], prepared.camera


def _build(images: Sequence[PosedImage], spec: InputSpec, assumption: CameraAssumption, path: Path, title: str) -> None:
    marker = _marker(path)
    marker.unlink(missing_ok=True)
    shape = (len(images), spec.height, spec.width, 3)
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    for index, image in enumerate(track(images, description=title)):
        array[index] = _prepare(image, None, spec, assumption)[0]
    array.flush()
    # Written last: a store without its marker is incomplete and is built again.
    marker.write_text(json.dumps({"digest": _digest(images, spec)}), encoding="utf-8")


def _is_current(images: Sequence[PosedImage], spec: InputSpec, path: Path) -> bool:
    marker = _marker(path)
    if not (marker.is_file() and path.is_file()):
        return False
    return bool(json.loads(marker.read_text(encoding="utf-8"))["digest"] == _digest(images, spec))


def _digest(images: Sequence[PosedImage], spec: InputSpec) -> str:
    digest = hashlib.sha256(f"{spec.width}x{spec.height}".encode())
    for image in images:
        digest.update(f"{image.sequence}/{image.name}/{image.stamp_ns}/{image.camera.to_dict()}".encode())
    return digest.hexdigest()


def _marker(path: Path) -> Path:
    return path.with_suffix(".json")
