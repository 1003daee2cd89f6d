"""What a frozen encoder makes of some views of each image: computed once, kept on disk, read at every step.

The head behind a frozen encoder trains on millions of shuffled patches in minutes, because no step runs the encoder
again (Brachmann et al., ACE, CVPR 2023). The store is keyed by all that decides its content: the encoder with its
weights, the images, the size, the augmentation and the seed. An interrupted build goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track
from torch import Tensor, nn

from reloc_ros.cameras.camera import cell_centres
from reloc_ros.training.augment import random_light, random_view
from reloc_ros.training.config import DimmConfig, MvlLocConfig
from reloc_ros.training.distributed import World
from reloc_ros.training.image_store import ImageStore
from reloc_ros.training.views import Tensors

_log = logging.getLogger(__name__)

_BATCH = 16
_DONE = "done.json"


@dataclass(frozen=True, kw_only=True)
class FeatureStore:
    """Features of V views of each of M images; entry m * V + v is view v of image m.

    Args:
        patches: (M * V, N, C) float16.
        summary: (M * V, C) float16.
        rays: (M * V, N, 3) float32 unit rays of the patches in the camera.
        inside: (M * V, N) whether a patch shows the image.
        images: the M images, for their poses.
        views: V.
    """

    patches: np.ndarray
    summary: np.ndarray
    rays: np.ndarray
    inside: np.ndarray
    images: ImageStore
    views: int

    def __len__(self) -> int:
        return len(self.patches)


@dataclass(frozen=True, kw_only=True)
class PatchBatch(Tensors):
    """Patches of many images, or all patches of some; shapes (B, N, ...), with N = 1 for shuffled single patches."""

    patches: Tensor
    summary: Tensor
    rays: Tensor
    inside: Tensor
    R_map_camera: Tensor
    position_map_m: Tensor


def open_features(
    encoder: nn.Module,
    images: ImageStore,
    grid: tuple[int, int],
    config: DimmConfig | MvlLocConfig,
    out: Path,
    world: World,
) -> FeatureStore:
    """Return the features of a frozen encoder, computing what is not yet on disk.

    Args:
        encoder: frozen, on the run's device.
        images: to encode.
        grid: rows and columns of the encoder's patches.
        config: says how many views, how they are augmented and where features are kept.
        out: run folder.
        world: the processes that train together; the first one computes.
    """
    encoder = encoder.eval().requires_grad_(requires_grad=False)
    folder = Path(config.features.folder or out / "features") / _key(encoder, images, config)
    views, patches = config.features.views, grid[0] * grid[1]
    count, channels = len(images) * views, encoder.channels
    shapes: dict[str, tuple[tuple[int, ...], type]] = {
        "patches": ((count, patches, channels), np.float16),
        "summary": ((count, channels), np.float16),
        "rays": ((count, patches, 3), np.float32),
        "inside": ((count, patches), np.bool_),
    }
    if world.leads:
        _build(encoder, images, grid, config, folder, shapes, world.device)
    world.wait()
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in shapes}
    return FeatureStore(images=images, views=views, **arrays)


def _build(
    encoder: nn.Module,
    images: ImageStore,
    grid: tuple[int, int],
    config: DimmConfig | MvlLocConfig,
    folder: Path,
    shapes: dict[str, tuple[tuple[int, ...], type]],
    device: torch.device,
) -> None:
    views, count = config.features.views, shapes["patches"][0][0]
    done = _done(folder)
    if done >= count:
        return
    size_mb = sum(int(np.prod(shape)) * np.dtype(kind).itemsize for shape, kind in shapes.values()) / 1e6
    _log.info(
        "features: %d images x %d views, %.0f MB in %s%s", len(images), views, size_mb, folder,
        f", {done} views are there" if done else "",
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {
        name: np.lib.format.open_memmap(
            folder / f"{name}.npy", mode="r+" if done else "w+", dtype=kind, shape=None if done else shape
        )
        for name, (shape, kind) in shapes.items()
    }
    height, width = images.images.shape[1:3]
    cells_px = cell_centres(height, width, *grid)
    starts = range(done, count, _BATCH)
    for start in track(starts, description="Encoding views"):
        places = range(start, min(start + _BATCH, count))
        seen = [_view(images, place, views, cells_px, config) for place in places]
        batch = torch.from_numpy(np.stack([image for image, _, _ in seen])).to(device)
        with torch.inference_mode():
            summary, patches = encoder(batch)
        end = places[-1] + 1
        arrays["patches"][start:end] = patches.float().cpu().numpy()
        arrays["summary"][start:end] = summary.float().cpu().numpy()
        arrays["rays"][start:end] = np.stack([rays for _, rays, _ in seen])
        arrays["inside"][start:end] = np.stack([inside for _, _, inside in seen])
        if (start // _BATCH) % 16 == 15 or end == count:
            for array in arrays.values():
                array.flush()
            # Written after the data: what it counts is on disk.
            partial = folder / f"{_DONE}.partial"
            partial.write_text(json.dumps({"views": end}), encoding="utf-8")
            partial.replace(folder / _DONE)


def _done(folder: Path) -> int:
    path = folder / _DONE
    return int(json.loads(path.read_text(encoding="utf-8"))["views"]) if path.is_file() else 0


def _view(
    images: ImageStore, place: int, views: int, cells_px: Any, config: DimmConfig | MvlLocConfig
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return image, rays and inside of one view; the first of each image is the image itself."""
    index, view = divmod(place, views)
    image, camera = np.array(images.images[index]), images.cameras[index]
    if view == 0:
        return image.astype(np.float32), camera.rays(cells_px).astype(np.float32), np.ones(len(cells_px), bool)
    seen = random_view(image, camera, cells_px, config.augment, np.random.default_rng((config.seed, view, index)))
    light = torch.Generator().manual_seed(hash((config.seed, view, index)) % 2**63)
    lit = random_light(torch.from_numpy(seen.image)[None], config.augment, light)[0]
    return lit.numpy(), seen.rays, seen.inside


def _key(encoder: nn.Module, images: ImageStore, config: DimmConfig | MvlLocConfig) -> str:
    digest = hashlib.sha256()
    for name, value in encoder.state_dict().items():
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    digest.update(np.ascontiguousarray(images.images).tobytes())
    cameras = sorted({json.dumps(camera.to_dict(), sort_keys=True) for camera in images.cameras})
    decided = {
        "cameras": cameras,
        "augment": asdict(config.augment),
        "views": config.features.views,
        "seed": config.seed,
    }
    digest.update(json.dumps(decided, sort_keys=True).encode())
    return digest.hexdigest()[:20]


def patch_batches(
    store: FeatureStore, config: DimmConfig, *, first_step: int, rank: int, world: int
) -> Iterator[PatchBatch]:
    """Yield shuffled patches of all views without end; every patch occurs once in an epoch.

    The order depends on the seed and the step alone, so that a run resumes exactly.
    """
    patches = store.rays.shape[1]
    total = len(store) * patches
    together = min(config.rays, total // world) * world
    poses = torch.from_numpy(store.images.T_map_camera).float()
    per_epoch = total // together
    step, epoch, order = first_step, -1, np.zeros(0, np.int64)
    while True:
        if step // per_epoch != epoch:
            epoch = step // per_epoch
            order = np.random.default_rng((config.seed, epoch)).permutation(total)
        start = (step % per_epoch) * together
        # In the order of the file: neighbours in it share pages, and a batch has no order.
        entry, patch = np.divmod(np.sort(order[start + rank : start + together : world]), patches)
        image = torch.from_numpy(entry // store.views)
        yield PatchBatch(
            patches=torch.from_numpy(store.patches[entry, patch]).float()[:, None],
            summary=torch.from_numpy(store.summary[entry]).float()[:, None],
            rays=torch.from_numpy(store.rays[entry, patch])[:, None],
            inside=torch.from_numpy(store.inside[entry, patch]).float()[:, None],
            R_map_camera=poses[image, :3, :3],
            position_map_m=poses[image, :3, 3],
        )
        step += 1
