"""What a frozen frame encoder makes of every frame in several views: computed once, read at every step.

Kept under a name that says all that decides its content, and filled in order: an interrupted build goes on where it
stopped. What cannot be done to features is done to the canvas (narrower views, the mirror); a turn of the camera is a
roll of the features, by whole columns.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track

from reloc_ros.cameras.canvas import narrowed
from reloc_ros.networks.frame_encoder import FrameEncoder
from reloc_ros.training.distributed import World
from reloc_ros.training.sequence_config import FIELDS_OF_VIEW_DEG

_log = logging.getLogger(__name__)

_BATCH = 32
_SAVE_EVERY = 16


@dataclass(frozen=True, kw_only=True)
class FrameView:
    """One way to look at every frame."""

    fov_deg: float
    mirrored: bool


# The mirror where most is learnt: each view costs as much time as the first.
VIEWS = (
    FrameView(fov_deg=FIELDS_OF_VIEW_DEG[0], mirrored=False),
    FrameView(fov_deg=FIELDS_OF_VIEW_DEG[0], mirrored=True),
    *(FrameView(fov_deg=fov_deg, mirrored=False) for fov_deg in FIELDS_OF_VIEW_DEG[1:]),
)


def open_sequence_features(
    encoder: FrameEncoder, canvases: NDArray[np.uint8], folder: Path, world: World
) -> NDArray[np.float16]:
    """Return features (M, len(VIEWS), F) of canvases (M, H, W, 4), computing what is not yet on disk.

    Args:
        encoder: on the run's device.
        canvases: of all frames.
        folder: where to keep them.
        world: the processes that train together; the first one computes.
    """
    encoder = encoder.eval().requires_grad_(requires_grad=False)
    path = folder / f"features_{_key(encoder, canvases)}.npy"
    if world.leads:
        folder.mkdir(parents=True, exist_ok=True)
        _build(encoder, canvases, path, world.device)
    world.wait()
    return np.asarray(np.load(path, mmap_mode="r"))


def _build(encoder: FrameEncoder, canvases: NDArray[np.uint8], path: Path, device: torch.device) -> None:
    marker = path.with_suffix(".json")
    done = int(json.loads(marker.read_text(encoding="utf-8"))["frames"]) if marker.is_file() and path.is_file() else 0
    count = len(canvases)
    if done >= count:
        return
    _log.info("features: %d frames in %d views, %s", count, len(VIEWS), path)
    shape = (count, len(VIEWS), encoder.config.size)
    array = np.lib.format.open_memmap(
        path, mode="r+" if done else "w+", dtype=np.float16, shape=None if done else shape
    )
    starts = range(done, count, _BATCH)
    for number, start in enumerate(track(starts, description="Encoding frames")):
        end = min(start + _BATCH, count)
        array[start:end] = np.stack([_encode(encoder, canvases[start:end], view, device) for view in VIEWS], axis=1)
        if number % _SAVE_EVERY == _SAVE_EVERY - 1 or end == count:
            array.flush()
            # Written after the data: what it counts is on disk.
            partial = marker.with_suffix(".partial")
            partial.write_text(json.dumps({"frames": end}), encoding="utf-8")
            partial.replace(marker)


def _encode(
    encoder: FrameEncoder, canvases: NDArray[np.uint8], view: FrameView, device: torch.device
) -> NDArray[np.float32]:
    shown = narrowed(canvases[:, :, ::-1] if view.mirrored else canvases, view.fov_deg)
    with torch.inference_mode():
        return np.asarray(encoder(torch.from_numpy(np.ascontiguousarray(shown)).to(device)).float().cpu().numpy())


def _key(encoder: FrameEncoder, canvases: NDArray[np.uint8]) -> str:
    digest = hashlib.sha256(json.dumps([vars(view) for view in VIEWS]).encode())
    for name, value in encoder.state_dict().items():
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    digest.update(np.ascontiguousarray(canvases).tobytes())
    return digest.hexdigest()[:20]
