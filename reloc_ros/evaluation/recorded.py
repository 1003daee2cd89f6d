"""Poses that a node published while a bag was played, as if a localizer had said them."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reloc_ros.datasets.images import PosedImage
from reloc_ros.errors import DatasetError
from reloc_ros.evaluation.replay import FrameResult
from reloc_ros.types import Array, Estimate, Localization, Reason, Rejected

_ARRAYS = {"stamps_ns": (), "T_map_camera": (4, 4), "covariances": (6, 6), "map_frames": ()}
"""Name: shape of one entry."""


def write_recorded(
    path: Path, stamps_ns: NDArray[np.int64], T_map_camera: Array, covariances: Array, map_frames: Sequence[str]
) -> None:
    """Write poses to a file: (N,) image stamps, (N, 4, 4), (N, 6, 6) and (N) frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        np.savez(
            file,
            stamps_ns=stamps_ns,
            T_map_camera=T_map_camera,
            covariances=covariances,
            map_frames=np.array(map_frames, dtype=np.str_),
        )


def recorded_results(path: Path, images: Iterable[PosedImage]) -> list[FrameResult]:
    """Return what was published for each image; for the latest pose of several with one stamp.

    There are no durations: what a recording shows is not when an image arrived.

    Raises:
        DatasetError: the file is missing or not such a recording.
    """
    published = _read(path)
    return [
        FrameResult(
            name=image.name,
            sequence=image.sequence,
            stamp_ns=image.stamp_ns,
            T_map_camera=image.T_map_camera,
            localization=published.get(image.stamp_ns) or _nothing(image.stamp_ns),
            seconds=math.nan,
            stage_seconds={},
        )
        for image in images
    ]


def _nothing(stamp_ns: int) -> Localization:
    return Rejected(reason=Reason.NOT_PUBLISHED, detail="no pose of this image was recorded", stamp_ns=stamp_ns)


def _read(path: Path) -> dict[int, Localization]:
    try:
        # Pickled objects could run code; a recording has none.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: np.asarray(file[name]) for name in _ARRAYS}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DatasetError(
            f"{path} is no recording of poses ({error}); `reloc play BAG --record FILE` writes one"
        ) from error
    count = len(arrays["stamps_ns"])
    for name, shape in _ARRAYS.items():
        if arrays[name].shape != (count, *shape):
            raise DatasetError(
                f"{path}: {name} has the shape {arrays[name].shape}, must be {(count, *shape)}; record again"
            )
    return {
        int(stamp_ns): Estimate(
            T_map_camera=T, covariance=covariance, map_frame=str(frame), stamp_ns=int(stamp_ns), evidence={}
        )
        for stamp_ns, T, covariance, frame in zip(*(arrays[name] for name in _ARRAYS))
    }
