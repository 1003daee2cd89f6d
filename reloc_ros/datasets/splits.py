"""Training and validation parts of a data set that never hold neighbouring video frames on both sides."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from reloc_ros.datasets.images import PosedImage, PosedImages
from reloc_ros.errors import ConfigError, DatasetError

PARTS = ("train", "val", "all")
_MIN_IMAGES = 3


@dataclass(frozen=True, kw_only=True)
class Split:
    """How a sequence is cut: validation blocks spread evenly, each between two gaps that belong to neither part.

    Args:
        val_fraction: share of the images that are held out, in (0, 0.5].
        block: images of a validation block at most; shorter sequences have one shorter block.
        guard: images left out on each side of a block; fewer where they would leave less than half for training.

    Raises:
        ConfigError: a value is out of range.
    """

    val_fraction: float = 0.1
    block: int = 25
    guard: int = 5

    def __post_init__(self) -> None:
        if not 0.0 < self.val_fraction <= 0.5:
            raise ConfigError(f"val_fraction is {self.val_fraction}, must lie in (0, 0.5]")
        if self.block < 1 or self.guard < 0:
            raise ConfigError(f"block is {self.block}, must be >= 1; guard is {self.guard}, must be >= 0")


def split_images(dataset: PosedImages, part: str, split: Split | None = None) -> PosedImages:
    """Return the `train`, `val` or `all` images of a data set; the same ones for the same input, on every machine.

    Sequences of fewer than three images are used for training only, unless there are no longer ones.

    Raises:
        DatasetError: the part is unknown, or there are fewer than three images to split.
    """
    if part not in PARTS:
        raise DatasetError(f"part '{part}' of data set {dataset.name} is unknown; use one of {', '.join(PARTS)}")
    if part == "all":
        return dataset
    if len(dataset.images) < _MIN_IMAGES:
        raise DatasetError(
            f"{dataset.name} has {len(dataset.images)} images, a split needs at least {_MIN_IMAGES}; use part 'all'"
        )
    settings = split or Split()
    sequences: dict[str, list[PosedImage]] = {}
    for image in sorted(dataset.images, key=lambda image: (image.sequence, image.stamp_ns, image.name)):
        sequences.setdefault(image.sequence, []).append(image)
    runs = list(sequences.values())
    if all(len(run) < _MIN_IMAGES for run in runs):
        runs = [[image for run in runs for image in run]]
    kept = tuple(image for run in runs for image, side in zip(run, _sides(len(run), settings)) if side == part)
    return replace(dataset, images=kept)


def _sides(count: int, split: Split) -> list[str]:
    """Return for each of `count` images in time order: `train`, `val` or `guard`."""
    sides = ["train"] * count
    if count < _MIN_IMAGES:
        return sides
    held_out = max(1, round(count * split.val_fraction))
    blocks = math.ceil(held_out / split.block)
    length = held_out // blocks
    spare = count - blocks * length - math.ceil(count / 2)
    guard = min(split.guard, max(0, spare // (2 * blocks)))
    starts = [round((index + 0.5) * count / blocks - length / 2) for index in range(blocks)]
    for start in starts:
        for index in range(max(0, start - guard), min(count, start + length + guard)):
            sides[index] = "guard"
    for start in starts:
        sides[start : start + length] = ["val"] * length
    return sides
