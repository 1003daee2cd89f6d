"""Which images a bundle has not seen: the part of its data that its training held out, and no other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from reloc_ros.bundle.load import Bundle
from reloc_ros.datasets.images import PosedImages
from reloc_ros.datasets.splits import Split, split_images
from reloc_ros.errors import BundleError, ConfigError


def training_split(bundle: Bundle) -> Split:
    """Return the split the bundle was trained with, so that its held-out part is held out here, too.

    Raises:
        BundleError: this program does not know such a split.
    """
    recorded = bundle.manifest.training.get("split", {})
    try:
        return Split(**recorded)
    except TypeError as error:
        raise BundleError(
            f"{bundle.path}: training.split is {recorded!r}, not a split this program knows ({error})"
        ) from error


def trained_on(bundle: Bundle) -> dict[str, str]:
    """Return what each scene was trained on; training takes `SCENE=FORMAT:PATH` as well as `FORMAT:PATH`."""
    # Networks of several scenes are trained on one data set for each, in the order of the scenes.
    names = [scene.name for scene in bundle.manifest.scenes]
    recorded = [str(entry) for entry in bundle.manifest.training.get("data", ())]
    return {name: entry.removeprefix(f"{name}=") for name, entry in zip(names, recorded)}


def common_split(bundles: Sequence[Bundle], data: str, dataset: PosedImages, part: str) -> Split:
    """Return the split of all bundles.

    Args:
        bundles: at least one.
        data: how the data set is named.
        dataset: all of it.
        part: `train`, `val` or `all`; for all of it any split will do.

    Raises:
        BundleError: a split is unknown.
        ConfigError: the bundles have different ones, or one held out other images than this data set's.
    """
    splits = [training_split(bundle) for bundle in bundles]
    if part == "all":
        return splits[0]
    if any(split != splits[0] for split in splits):
        cut = "; ".join(f"{bundle.path.name}: {asdict(split)}" for bundle, split in zip(bundles, splits))
        raise ConfigError(
            f"the bundles were trained with different splits ({cut}), so part {part} of one is not that of another; "
            "compare them on data that none has seen, with --split all"
        )
    counts = {name: len(split_images(dataset, name, splits[0]).images) for name in ("train", "val")}
    for bundle in bundles:
        _refuse_other_images(bundle, data, counts, part)
    return splits[0]


def _refuse_other_images(bundle: Bundle, data: str, counts: dict[str, int], part: str) -> None:
    """Refuse a data set that is cut elsewhere than in training: what is held out here would have been learned from."""
    recorded, sources = bundle.manifest.training.get("images", {}), trained_on(bundle)
    # Those of several scenes or drives count all of them together.
    if len(sources) != 1 or not recorded or data in sources.values():
        return
    if any(recorded.get(name) != count for name, count in counts.items()):
        (source,) = sources.values()
        raise ConfigError(
            f"part {part} of {data} is not what {bundle.path} held out: it was trained on {recorded.get('train')} images "
            f"of {source} and held out {recorded.get('val')}, the same cut leaves {counts['train']} and {counts['val']} "
            f"here; give --data {source}, or judge it on a drive that it has not seen, with --split all"
        )
