"""The training loop: read data, start or resume, step until the time or the epochs are over, keep the best."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
import yaml
from torch import nn

from reloc_ros.bundle.manifest import InputSpec
from reloc_ros.datasets.images import PosedImages
from reloc_ros.datasets.posed_images import read_dataset
from reloc_ros.datasets.splits import split_images
from reloc_ros.errors import TrainingError
from reloc_ros.networks.implicit_geometry import ImplicitGeometry, describe_network
from reloc_ros.training import checkpoint
from reloc_ros.training.augment import random_light
from reloc_ros.training.config import TrainConfig, config_to_dict
from reloc_ros.training.differentiable import weighted_kabsch
from reloc_ros.training.distributed import World
from reloc_ros.training.image_store import ImageStore, open_store
from reloc_ros.training.journal import Journal
from reloc_ros.training.losses import Labels, total_loss
from reloc_ros.training.scene_extent import scene_extent
from reloc_ros.training.serving import describe_serving, fit_serving
from reloc_ros.training.validate import predict
from reloc_ros.training.views import Batch, view_loader

_log = logging.getLogger(__name__)

# The rate rises over this many steps, or over this share of a run that is shorter.
_WARM_UP_STEPS = 200
_WARM_UP_SHARE = 0.05
# The cosine ends here, as a share of the peak.
_FINAL_RATE = 0.01
_GRADIENT_NORM = 5.0


@dataclass(frozen=True, kw_only=True)
class Material:
    """What a run learns from: both stores, the grid of cells, the scene's scale and where it all came from."""

    train: ImageStore
    val: ImageStore
    grid: tuple[int, int]
    provenance: dict[str, Any]


def train(data: Sequence[str], out: Path, config: TrainConfig, world: World) -> Path:
    """Train, or resume, a run folder and return its best checkpoint.

    The folder gets `config.yaml`, `metrics.jsonl`, `training.png`, `last.pt` (to resume) and `best.pt` (to export).
    A folder with a `last.pt` of the same data and configuration is resumed where it stopped.

    Args:
        data: data sets as `FORMAT:PATH`, all in one map frame.
        out: run folder.
        config: what to do.
        world: the processes that train together.

    Raises:
        DatasetError, ConfigError, TrainingError: the input cannot be trained on; nothing is lost of an earlier run.
    """
    resumed = _resumable(out, data, config)
    material = _read_material(data, out, config, world)
    return _Run(out, config, material, world, resumed).finish()


def _resumable(out: Path, data: Sequence[str], config: TrainConfig) -> dict[str, Any] | None:
    path = out / checkpoint.LAST
    if not path.is_file():
        return None
    content = checkpoint.load(path)
    if content["data"] != list(data) or content["train_config"] != config_to_dict(config):
        raise TrainingError(
            f"{out} holds a run with other data or another configuration ({out / 'config.yaml'}); "
            "choose another --out, or remove the folder to start over"
        )
    return content


def _read_material(data: Sequence[str], out: Path, config: TrainConfig, world: World) -> Material:
    datasets = [read_dataset(specification) for specification in data]
    parts = {
        name: [image for dataset in datasets for image in split_images(dataset, name, config.split).images]
        for name in ("train", "val")
    }
    if len(parts["train"]) < 2:
        raise TrainingError(f"{len(parts['train'])} training images in {', '.join(data)}; at least 2 are needed")
    camera = parts["train"][0].camera
    width, height = config.input.size_for(camera.width, camera.height)
    spec = InputSpec(width=width, height=height)
    if world.leads:
        out.mkdir(parents=True, exist_ok=True)
        plain = {"data": list(data), **config_to_dict(config)}
        (out / "config.yaml").write_text(yaml.safe_dump(plain, sort_keys=False), encoding="utf-8")

    def stores(*, build: bool) -> dict[str, ImageStore]:
        return {
            name: open_store(images, spec, out / f"{name}.npy", title=f"Preparing {name}", build=build)
            for name, images in parts.items()
        }

    if world.leads:
        stores(build=True)
    world.wait()
    grid = config.network.grid(height, width)
    return Material(**stores(build=False), grid=grid, provenance=_provenance(data, datasets, config))


def _provenance(data: Sequence[str], datasets: Sequence[PosedImages], config: TrainConfig) -> dict[str, Any]:
    return {
        "data": list(data),
        "ground_truth": sorted({dataset.ground_truth for dataset in datasets}),
        "metric": all(dataset.metric for dataset in datasets),
        "skipped_images": sum(len(dataset.skipped) for dataset in datasets),
        "split": config_to_dict(config)["split"],
    }


def pick_precision(name: str, device: torch.device) -> torch.dtype:
    """Return the type of the network's activations; `auto` takes bfloat16 where the device computes in it."""
    if name != "auto":
        return getattr(torch, name)  # type: ignore[no-any-return]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    native = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    return torch.bfloat16 if native else torch.float32


class _Run:
    """The state of one run: what a checkpoint holds, and how it moves."""

    def __init__(
        self, out: Path, config: TrainConfig, material: Material, world: World, resumed: dict[str, Any] | None
    ) -> None:
        self._out, self._config, self._material, self._world = out, config, material, world
        torch.manual_seed(config.seed)
        network = self._create_network()
        self._average = copy.deepcopy(network).eval()
        self._teacher = copy.deepcopy(self._average) if config.labels == "position" else None
        self._network = network.train()
        self._scale_m = float(network.scale_m)
        self._wrapped = world.wrap(network)
        self._parameters = list(network.parameters())
        self._optimizer = _create_optimizer(network, config)
        self._dtype = pick_precision(config.precision, world.device)
        self._scaler = torch.amp.GradScaler(world.device.type, enabled=self._dtype == torch.float16)
        self._journal = Journal(out, enabled=world.leads)
        self.step, self._seconds_before, self._best = 0, 0.0, math.inf
        self._validated_step = 0
        # Clouds that were trained before need not form again: the losses start half way.
        self._already = 0.5 if config.initial is not None else 0.0
        if resumed is not None:
            self._restore(resumed)
        self._light = torch.Generator(device=world.device)

    def _create_network(self) -> ImplicitGeometry:
        config, device = self._config, self._world.device
        if config.initial is not None:
            network, _ = checkpoint.load_trained(config.initial)
        else:
            extent = scene_extent(self._material.train)
            _log.info("scene: centre %s m, typical range %.2f m", extent.centre_m.round(2), extent.range_m)
            wrap = self._material.train.cameras[0].model == "equirectangular"
            shape = replace(config.network, wrap=wrap)
            network = ImplicitGeometry(shape, torch.from_numpy(extent.centre_m), extent.range_m)
        network.to(device, memory_format=torch.channels_last)
        return network

    def finish(self) -> Path:
        """Step until the time or the epochs are over; return the best checkpoint."""
        config, world = self._config, self._world
        started = perf_counter()
        count = len(self._material.train)
        last_step = math.ceil(config.epochs * count / (min(config.batch_size, count) * world.size))
        loader = view_loader(
            self._material.train, self._material.grid, config,
            first_step=self.step, rank=world.rank, world=world.size,
        )  # fmt: skip
        next_validation_s = self._seconds_before + 60 * config.validate_every_minutes
        with self._journal.progress_bar():
            for batch in loader:
                seconds = world.agree(self._seconds_before + perf_counter() - started)
                progress = max(seconds / (60 * config.max_minutes), self.step / last_step)
                if progress >= 1:
                    break
                losses = self._learn(batch.to(world.device), progress)
                self._journal.show(progress, self.step, self.step * config.batch_size * world.size / count, losses)
                if seconds >= next_validation_s:
                    self._validate(seconds)
                    next_validation_s = seconds + 60 * config.validate_every_minutes
        if self.step > self._validated_step:
            self._validate(world.agree(self._seconds_before + perf_counter() - started))
        self._journal.draw()
        return self._out / checkpoint.BEST

    def _learn(self, batch: Batch, progress: float) -> dict[str, torch.Tensor]:
        config, device = self._config, self._world.device
        self._set_rate(progress)
        # Chance depends on the step alone, so that a resumed run goes on as if it had never stopped.
        seed = hash((config.seed, self.step, self._world.rank)) % 2**63
        self._light.manual_seed(seed)
        torch.manual_seed(seed)
        images = random_light(batch.images, config.augment, self._light)
        with torch.autocast(device.type, self._dtype, enabled=self._dtype != torch.float32):
            predicted = self._wrapped(images)
        R_map_camera = batch.R_map_camera
        if self._teacher is not None:
            R_map_camera = self._taught_rotation(self._teacher, images, batch)
        labels = Labels(
            rays=batch.rays,
            inside=batch.inside,
            R_map_camera=R_map_camera,
            position_map_m=batch.position_map_m,
        )
        progress = max(progress, self._already)
        loss, parts = total_loss(predicted, labels, config.loss, scale_m=self._scale_m, progress=progress)
        self._optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()
        self._scaler.unscale_(self._optimizer)
        norm = nn.utils.clip_grad_norm_(self._parameters, _GRADIENT_NORM)
        # A singular alignment has no gradient; one such batch must not poison the weights.
        if self._scaler.is_enabled() or torch.isfinite(norm):
            self._scaler.step(self._optimizer)
        self._scaler.update()
        self.step += 1
        # A young average would remember the random start.
        decay = min(config.average, self.step / (self.step + 10))
        checkpoint.average_into(self._average, self._network, decay)
        return {"loss": loss.detach(), **{name: value.detach() for name, value in parts.items()}}

    @staticmethod
    def _taught_rotation(teacher: nn.Module, images: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Return the rotations that the network had before the run: what position labels leave open must not drift."""
        with torch.no_grad():
            points_map, range_m, weights = teacher(images)
            return weighted_kabsch(points_map, batch.rays * range_m[..., None], weights * batch.inside + 1e-6)[0]

    def _set_rate(self, progress: float) -> None:
        risen = max((self.step + 1) / _WARM_UP_STEPS, progress / _WARM_UP_SHARE)
        warm = min(1.0, risen)
        cosine = _FINAL_RATE + (1 - _FINAL_RATE) * (1 + math.cos(math.pi * progress)) / 2
        for group in self._optimizer.param_groups:
            group["lr"] = self._config.learning_rate * warm * cosine

    def _validate(self, seconds: float) -> None:
        self._validated_step = self.step
        if not self._world.leads:
            return
        material = self._material
        outputs = predict(self._average, material.val, self._world.device)
        fitted, result = fit_serving(outputs, material.val, material.grid, self._scale_m)
        self._journal.write(step=self.step, seconds=seconds, validation=result.summary())
        described = self._describe(seconds)
        score = result.score(self._scale_m, only_position=self._config.labels == "position")
        if score <= self._best or not (self._out / checkpoint.BEST).is_file():
            self._best = score
            serving = describe_serving(fitted, material.train, material.val, self._config.augment.log_zoom)
            best = {**described, **describe_network(self._average), "serving": serving}
            checkpoint.save(self._out / checkpoint.BEST, best)
        state = {
            "network": self._network.state_dict(),
            "average": self._average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
            "best": self._best,
        }
        checkpoint.save(self._out / checkpoint.LAST, {**described, **state})

    def _describe(self, seconds: float) -> dict[str, Any]:
        return {
            "method": "implicit_geometry",
            "data": self._material.provenance["data"],
            "provenance": self._material.provenance,
            "train_config": config_to_dict(self._config),
            "input": list(self._material.train.images.shape[1:3]),
            "grid": list(self._material.grid),
            "images": {"train": len(self._material.train), "val": len(self._material.val)},
            "step": self.step,
            "seconds": seconds,
        }

    def _restore(self, content: dict[str, Any]) -> None:
        self._network.load_state_dict(content["network"])
        self._average.load_state_dict(content["average"])
        self._optimizer.load_state_dict(content["optimizer"])
        self._scaler.load_state_dict(content["scaler"])
        self.step, self._seconds_before, self._best = content["step"], content["seconds"], content["best"]
        self._validated_step = self.step
        _log.info("resuming at step %d after %.1f min", self.step, self._seconds_before / 60)


def _create_optimizer(network: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    # Decay pulls weights towards zero; biases and batch-norm scales have no reason to be there.
    matrices = [p for p in network.parameters() if p.ndim > 1]
    vectors = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)
