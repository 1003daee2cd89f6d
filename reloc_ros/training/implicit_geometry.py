"""Training of implicit scene geometry: from images and poses, or from positions alone once poses have been seen."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from reloc_ros.networks.implicit_geometry import OUTPUT_NAMES, STEP_PX, ImplicitGeometry, describe_network
from reloc_ros.training import checkpoint
from reloc_ros.training.augment import random_light
from reloc_ros.training.config import ImplicitGeometryConfig
from reloc_ros.training.differentiable import weighted_kabsch
from reloc_ros.training.distributed import World
from reloc_ros.training.losses import Labels, total_loss
from reloc_ros.training.material import read_material
from reloc_ros.training.scene_extent import scene_extent
from reloc_ros.training.serving import fit_scene, serving_of
from reloc_ros.training.task import Verdict
from reloc_ros.training.tune_points import tune_points
from reloc_ros.training.validate import predict, solve_all
from reloc_ros.training.views import Batch, Views, view_loader

_log = logging.getLogger(__name__)

# Clouds that were trained before need not form again: the losses of a fine-tuning start half way.
_ALREADY_FORMED = 0.5


class ImplicitGeometryTask:
    """Implicit scene geometry on one map; see `reloc_ros.training.task.Task`."""

    def __init__(self, data: Sequence[str], out: Path, config: ImplicitGeometryConfig, world: World) -> None:
        self._config, self._world = config, world
        self.material = read_material(data, out, config, world, step_px=STEP_PX, one_map=True)
        self._scene = self.material.scenes[0]
        self.network = self._create_network().to(world.device, memory_format=torch.channels_last)
        self._grid = self.network.config.grid(self.material.height, self.material.width)
        self._scale_m = float(self.network.scale_m)
        self._teacher = copy.deepcopy(self.network).eval() if config.labels == "position" else None
        self.step_images: float = min(config.batch_size, len(self._scene.train))

    def _create_network(self) -> ImplicitGeometry:
        if self._config.initial is not None:
            network, _ = checkpoint.load_trained(self._config.initial, "implicit_geometry")
            return cast("ImplicitGeometry", network)
        extent = scene_extent(self._scene.train)
        _log.info("scene: centre %s m, typical range %.2f m", extent.centre_m.round(2), extent.range_m)
        wrap = self._scene.train.cameras[0].model == "equirectangular"
        shape = replace(self._config.network, wrap=wrap)
        return ImplicitGeometry(shape, torch.from_numpy(extent.centre_m), extent.range_m)

    def trained_part(self, network: nn.Module) -> nn.Module:
        """Return all of the network."""
        return network

    def batches(self, first_step: int) -> Iterable[Batch]:
        """Return random views of the training images."""
        views = Views([self._scene.train], self._grid, self._config)
        return view_loader(views, self._config, first_step=first_step, rank=self._world.rank, world=self._world.size)

    def loss(self, forward: Callable[..., Any], batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum of consistency, re-projection and pose losses."""
        images = random_light(batch.images, self._config.augment)
        predicted = forward(images)
        R_map_camera = batch.R_map_camera
        if self._teacher is not None:
            R_map_camera = self._taught_rotation(self._teacher, images, batch)
        labels = Labels(
            rays=batch.rays,
            inside=batch.inside,
            R_map_camera=R_map_camera,
            position_map_m=batch.position_map_m,
        )
        if self._config.initial is not None:
            progress = max(progress, _ALREADY_FORMED)
        return total_loss(predicted, labels, self._config.loss, scale_m=self._scale_m, progress=progress)

    @staticmethod
    def _taught_rotation(teacher: nn.Module, images: Tensor, batch: Batch) -> Tensor:
        """Return the rotations that the network had before the run: what position labels leave open must not drift."""
        with torch.no_grad():
            points_map, range_m, weights = teacher(images)
            return weighted_kabsch(points_map, batch.rays * range_m[..., None], weights * batch.inside + 1e-6)[0]

    def validate(self, network: nn.Module) -> Verdict:
        """Localize the held-out images with the robot's own solver, whose numbers are fitted on the way."""
        val = self._scene.val
        outputs = predict(network, val, self._world.device, OUTPUT_NAMES)
        settings = tune_points(outputs, val, self._grid, self._scale_m)
        fit = fit_scene(self._scene, solve_all("points", settings, outputs, val))
        settings["min_inlier_ratio"] = fit.min_inlier_ratio("inlier_ratio")
        settings["min_conditioning"] = fit.min_conditioning()
        return Verdict(
            headline=fit.validation.headline(),
            summary=fit.validation.summary(),
            score=fit.validation.score(self._scale_m, only_position=self._config.labels == "position"),
            serving=serving_of([fit], settings, self._config.augment.log_zoom),
        )

    def describe(self, network: nn.Module) -> dict[str, Any]:
        """Return the network's configuration and weights."""
        return describe_network(network)  # type: ignore[arg-type]
