"""What a run learns from: the scenes of its data sets, cut into training and held-out images of the network's size."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from reloc_ros.bundle.manifest import InputSpec
from reloc_ros.datasets.images import PosedImages
from reloc_ros.datasets.posed_images import read_dataset
from reloc_ros.datasets.splits import split_images
from reloc_ros.errors import ConfigError, TrainingError
from reloc_ros.training.config import TrainConfig, config_to_dict
from reloc_ros.training.distributed import World
from reloc_ros.training.image_store import ImageStore, open_store

_NAMED = re.compile(r"(?P<name>[A-Za-z0-9_.-]+)=(?P<specification>.+)")


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One place: its name and its images."""

    name: str
    train: ImageStore
    val: ImageStore


@dataclass(frozen=True, kw_only=True)
class Material:
    """Scenes, the size of the network's images in pixels, and where it all came from."""

    scenes: tuple[Scene, ...]
    height: int
    width: int
    provenance: dict[str, Any]

    @property
    def count(self) -> dict[str, int]:
        """Number of images of each part."""
        return {part: sum(len(getattr(scene, part)) for scene in self.scenes) for part in ("train", "val")}


def read_scenes(data: Sequence[str]) -> dict[str, PosedImages]:
    """Return the data sets by scene name: that of `NAME=FORMAT:PATH`, or the data set's own.

    Raises:
        DatasetError: one cannot be read.
        ConfigError: two scenes have one name.
    """
    scenes: dict[str, PosedImages] = {}
    for entry in data:
        named = _NAMED.fullmatch(entry)
        specification = named["specification"] if named else entry
        dataset = read_dataset(specification)
        name = named["name"] if named else dataset.name
        if name in scenes:
            raise ConfigError(
                f"two scenes have the name {name!r} ({', '.join(data)}); name them apart, as in NAME={specification}"
            )
        scenes[name] = dataset
    return scenes


def read_material(
    data: Sequence[str], out: Path, config: TrainConfig, world: World, *, step_px: int, one_map: bool
) -> Material:
    """Return the images of all data sets, prepared once and kept in the run folder.

    Args:
        data: data sets as `FORMAT:PATH` or `NAME=FORMAT:PATH`.
        out: run folder; gets `config.yaml` and the stores.
        config: of the run.
        world: the processes that train together; the first one writes.
        step_px: both sides of the network's image are multiples of it.
        one_map: whether all data sets lie in one map frame and make one scene.

    Raises:
        DatasetError, ConfigError, TrainingError: the data cannot be trained on.
    """
    datasets = read_scenes(data)
    groups = {next(iter(datasets)): list(datasets.values())} if one_map else {k: [v] for k, v in datasets.items()}
    parts = {
        (name, part): [image for dataset in group for image in split_images(dataset, part, config.split).images]
        for name, group in groups.items()
        for part in ("train", "val")
    }
    for name in groups:
        if len(parts[name, "train"]) < 2:
            count = len(parts[name, "train"])
            raise TrainingError(f"{count} training images of {name} in {', '.join(data)}; at least 2 are needed")
    _check_models([image.camera.model for images in parts.values() for image in images])
    camera = parts[next(iter(groups)), "train"][0].camera
    width, height = config.input.size_for(camera.width, camera.height, step_px)
    spec = InputSpec(width=width, height=height)
    if world.leads:
        out.mkdir(parents=True, exist_ok=True)
        plain = {"data": list(data), **config_to_dict(config)}
        (out / "config.yaml").write_text(yaml.safe_dump(plain, sort_keys=False), encoding="utf-8")

    def stores(*, build: bool) -> dict[tuple[str, str], ImageStore]:
        return {
            (name, part): open_store(
                images,
                spec,
                _store_path(out, name, part, one_map=one_map),
                title=f"Preparing {name} {part}",
                build=build,
            )
            for (name, part), images in parts.items()
        }

    if world.leads:
        stores(build=True)
    world.wait()
    opened = stores(build=False)
    scenes = tuple(Scene(name=name, train=opened[name, "train"], val=opened[name, "val"]) for name in groups)
    return Material(
        scenes=scenes, height=height, width=width, provenance=_provenance(data, list(datasets.values()), config)
    )


def _check_models(models: Sequence[str]) -> None:
    if len(set(models)) != 1:
        raise TrainingError(
            f"images of the camera models {sorted(set(models))}; training needs images of one model: train panoramas "
            "and pinhole images apart"
        )


def _store_path(out: Path, name: str, part: str, *, one_map: bool) -> Path:
    return out / (f"{part}.npy" if one_map else f"{name}.{part}.npy")


def _provenance(data: Sequence[str], datasets: Sequence[PosedImages], config: TrainConfig) -> dict[str, Any]:
    return {
        "data": list(data),
        "ground_truth": sorted({dataset.ground_truth for dataset in datasets}),
        "metric": all(dataset.metric for dataset in datasets),
        "skipped_images": sum(len(dataset.skipped) for dataset in datasets),
        "split": config_to_dict(config)["split"],
    }
