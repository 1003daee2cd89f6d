"""Training of DIMM: rays of shuffled patches of a frozen encoder, or of whole images when the encoder learns too."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from reloc_ros.networks.dimm import OUTPUT_NAMES, Dimm, Found, describe_network, of_patches
from reloc_ros.networks.token_encoders import create_token_encoder, step_px
from reloc_ros.training import checkpoint
from reloc_ros.training.augment import random_light
from reloc_ros.training.config import DimmConfig
from reloc_ros.training.distributed import World
from reloc_ros.training.feature_store import PatchBatch, open_features, patch_batches
from reloc_ros.training.image_features import FeatureBatch, ImageFeatures
from reloc_ros.training.losses import consistency, fit_loss, ray_loss, reprojection
from reloc_ros.training.material import read_material
from reloc_ros.training.scene_extent import scene_extent
from reloc_ros.training.serving import fit_scene, serving_of
from reloc_ros.training.task import Verdict
from reloc_ros.training.tune_rays import tune_rays
from reloc_ros.training.validate import predict, solve_all
from reloc_ros.training.views import Batch, Views, view_loader

# The losses of points are then of like size with those of rays.
_CONSISTENCY, _REPROJECTION = 4.0, 20.0
# Part of the training after which the fitted pose teaches too; before, the points are too crude to be fitted.
_FIT_FROM = 0.2


class DimmTask:
    """DIMM on one map; see `reloc_ros.training.task.Task`."""

    def __init__(self, data: Sequence[str], out: Path, config: DimmConfig, world: World) -> None:
        self._config, self._world = config, world
        self.material = read_material(data, out, config, world, step_px=step_px(config.encoder), one_map=True)
        self._scene = self.material.scenes[0]
        self.network = self._create_network().to(world.device)
        self._grid = self.network.encoder.grid(self.material.height, self.material.width)
        self._frozen = config.encoder.frozen
        self.step_images: float = min(config.batch_size, len(self._scene.train))
        if self._frozen:
            self._features = open_features(self.network.encoder, self._scene.train, self._grid, config, out, world)
            if not config.head.geometric_token:
                patches = self._grid[0] * self._grid[1]
                self.step_images = config.rays / (patches * config.features.views)

    def _create_network(self) -> Dimm:
        config = self._config
        if config.initial is not None:
            network, _ = checkpoint.load_trained(config.initial, "dimm")
            return cast("Dimm", network)
        encoder = create_token_encoder(config.encoder, self.material.height, self.material.width)
        extent = scene_extent(self._scene.train)
        # Moments are about the middle of the cameras: that is where they are smallest, and so are their errors.
        centre_m = torch.from_numpy(self._scene.train.T_map_camera[:, :3, 3].mean(0))
        return Dimm(encoder, config.head, centre_m, extent.range_m)

    def trained_part(self, network: nn.Module) -> nn.Module:
        """Return the head after a frozen encoder, else all of the network."""
        return network.head if self._frozen else network  # type: ignore[return-value]

    def batches(self, first_step: int) -> Iterable[Batch | FeatureBatch | PatchBatch]:
        """Return views of images, or the features of views, or shuffled patches of all views of all images."""
        rank, world = self._world.rank, self._world.size
        if not self._frozen:
            views = Views([self._scene.train], self._grid, self._config)
            return view_loader(views, self._config, first_step=first_step, rank=rank, world=world)
        if self._config.head.geometric_token:
            images = ImageFeatures([self._features], self._config, balance=0.0)
            return images.batches(first_step=first_step, rank=rank, world=world)
        return patch_batches(self._features, self._config, first_step=first_step, rank=rank, world=world)

    def loss(
        self, forward: Callable[..., Any], batch: Batch | FeatureBatch | PatchBatch, progress: float
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the errors of directions and moments, and what the confidences lose by misjudging them.

        The points behind the geometric token learn like those of implicit scene geometry.
        """
        chosen = self._some_patches(batch.rays)
        if isinstance(batch, Batch):
            found: Found = forward(random_light(batch.images, self._config.augment), batch.rays, chosen)
        else:
            summary = batch.summary[:, None] if isinstance(batch, FeatureBatch) else batch.summary
            found = forward(batch.patches, summary, batch.rays, chosen)
        position = (batch.position_map_m - self.network.centre_m) / self.network.scale_m
        rays, inside = (
            values if chosen is None else of_patches(values, chosen) for values in (batch.rays, batch.inside)
        )
        total, parts = ray_loss(found, rays, batch.R_map_camera, position, inside)
        if found.fitted is not None:
            seen = (found.fitted.points - position[:, None]) @ batch.R_map_camera
            points_camera = batch.rays * found.fitted.ranges[..., None]
            parts["consistency"] = consistency(seen, points_camera, batch.inside, 1.0, progress)
            parts["reprojection"] = reprojection(seen, batch.rays, batch.inside, progress)
            total = total + _CONSISTENCY * parts["consistency"] + _REPROJECTION * parts["reprojection"]
            if progress >= _FIT_FROM:
                parts["fit"] = fit_loss(found.fitted, batch.rays, batch.R_map_camera, position, batch.inside)
                total = total + parts["fit"]
        return total, parts

    def _some_patches(self, rays: Tensor) -> Tensor | None:
        """Return the indices (B, M) of the patches of each image whose rays are asked for; None for all.

        Neighbouring patches tell nearly the same, and the mappers cost the most.
        """
        images, patches = rays.shape[:2]
        number = self._config.rays // images
        if number >= patches:
            return None
        return torch.rand(images, patches, device=rays.device).argsort(1)[:, : max(1, number)]

    def validate(self, network: nn.Module) -> Verdict:
        """Localize the held-out images with the robot's own solver, whose numbers are fitted on the way."""
        val = self._scene.val
        outputs = predict(network, val, self._world.device, OUTPUT_NAMES, self._grid)
        centre_m = self.network.centre_m.cpu().numpy()
        settings = tune_rays(outputs, val, self._grid, centre_m)
        fit = fit_scene(self._scene, solve_all("rays", settings, outputs, val))
        settings["min_inlier_ratio"] = fit.min_inlier_ratio("direction_inlier_ratio", "moment_inlier_ratio")
        return Verdict(
            headline=fit.validation.headline(),
            summary=fit.validation.summary(),
            score=fit.validation.score(float(self.network.scale_m)),
            serving=serving_of([fit], settings, self._config.augment.log_zoom),
        )

    def describe(self, network: nn.Module) -> dict[str, Any]:
        """Return the network's configurations and weights."""
        return describe_network(network)  # type: ignore[arg-type]
