"""Recordings hold what a robot's network and disk made of images: those that cannot be read are counted, not fatal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from reloc_ros.datasets.images import PosedImage, PosedImages, Skipped
from reloc_ros.errors import DatasetError


def without_unreadable(dataset: PosedImages, images: Iterable[PosedImage]) -> PosedImages:
    """Return the data set with images that cannot be decoded, or that lie about their size, among the skipped.

    Args:
        dataset: what was recorded.
        images: those of it, to show progress.

    Raises:
        DatasetError: none can be read.
    """
    kept, skipped = [], list(dataset.skipped)
    for image in images:
        try:
            image.frame()
        except DatasetError as error:
            skipped.append(Skipped(path=image.name, reason=f"unreadable: {error}"))
        else:
            kept.append(image)
    return replace(dataset, images=tuple(kept), skipped=tuple(skipped))
