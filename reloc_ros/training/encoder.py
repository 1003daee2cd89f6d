"""Pre-training of an encoder on many scenes at once: one head a scene, thrown away afterwards.

Each head must find the map points that its scene's patches show and the rays of the cameras that saw them. What all the
scenes share, the encoder, cannot learn any of them by heart; what remains helps in a scene it has not seen (Brachmann
et al., ACE, CVPR 2023, train their encoder so).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from reloc_ros.errors import ConfigError
from reloc_ros.localization.camera_cache import cached_ray_grid
from reloc_ros.networks.dimm import encode_rays
from reloc_ros.networks.token_encoders import SCRATCH, create_token_encoder, step_px
from reloc_ros.training.augment import random_light
from reloc_ros.training.config import EncoderConfig
from reloc_ros.training.distributed import World
from reloc_ros.training.losses import consistency, ray_targets, reprojection
from reloc_ros.training.material import read_material
from reloc_ros.training.scene_extent import scene_extent
from reloc_ros.training.task import Verdict
from reloc_ros.training.validate import predict
from reloc_ros.training.views import Batch, Views, view_loader

_OUTPUTS = ("points", "range", "directions", "moments")
_FREQUENCIES = 6
_HIDDEN = 256
# Share of the training images whose patches are shown without what the whole image makes of them when their points are
# asked for; half of a token must know its point by its own look.
_WITHOUT_CONTEXT = 0.5
# The losses are of like size with these.
_CONSISTENCY, _REPROJECTION, _RAYS = 4.0, 20.0, 2.0


class SceneHeads(nn.Module):
    """A perceptron for each scene; all run as one batched product, so that each image meets its own."""

    def __init__(self, scenes: int, inputs: int, outputs: int) -> None:
        super().__init__()
        sizes = (inputs, _HIDDEN, _HIDDEN, outputs)
        self.weights = nn.ParameterList(
            nn.Parameter(torch.randn(scenes, before, after) / math.sqrt(before))
            for before, after in itertools.pairwise(sizes)
        )
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(scenes, 1, after)) for after in sizes[1:])
        with torch.no_grad():
            self.weights[-1].mul_(0.01)

    def forward(self, x: Tensor, scene: Tensor) -> Tensor:
        """Return (B, N, outputs) for (B, N, inputs) and the scene (B,) of each."""
        for index, (weight, bias) in enumerate(zip(self.weights, self.biases)):
            x = torch.baddbmm(bias[scene].to(x), x, weight[scene].to(x))
            if index + 1 < len(self.weights):
                x = nn.functional.gelu(x)
        return x


class Pretraining(nn.Module):
    """Encoder and heads; everything in units of each scene's size about its centre."""

    def __init__(self, encoder: nn.Module, scenes: int) -> None:
        super().__init__()
        self.encoder = encoder
        channels = encoder.channels
        self.points = SceneHeads(scenes, channels, 4)
        self.rays = SceneHeads(scenes, 2 * channels + 3 + 6 * _FREQUENCIES, 6)

    def forward(self, images: Tensor, rays: Tensor, scene: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return points (B, N, 3), ranges (B, N), unit directions (B, N, 3) and moments (B, N, 3), in scene units.

        Args:
            images: (B, H, W, 3) uint8 or 0..255.
            rays: (B, N, 3) unit rays of the patches in the camera.
            scene: (B,) index of each image's scene.
        """
        summary, patches = self.encoder(images)
        local, context = patches[..., : self.encoder.local_channels], patches[..., self.encoder.local_channels :]
        if self.training:
            context = context * (torch.rand(len(images), 1, 1, device=images.device) >= _WITHOUT_CONTEXT)
        found = self.points(torch.cat([local, context], dim=-1), scene).float()
        seen = torch.cat(
            [patches, summary.unsqueeze(1).expand_as(patches), encode_rays(rays, _FREQUENCIES).to(patches)], -1
        )
        lines = self.rays(seen, scene).float()
        directions = nn.functional.normalize(rays + lines[..., :3], dim=-1)
        return found[..., :3], found[..., 3].clamp(-6.0, 4.0).exp(), directions, lines[..., 3:]


class EncoderTask:
    """Pre-training on many scenes; see `reloc_ros.training.task.Task`."""

    def __init__(self, data: Sequence[str], out: Path, config: EncoderConfig, world: World) -> None:
        if config.encoder.kind not in SCRATCH or config.encoder.frozen:
            raise ConfigError(f"encoder is {config.encoder}; pre-training is for {', '.join(SCRATCH)}, not frozen")
        self._config, self._world = config, world
        self.material = read_material(data, out, config, world, step_px=step_px(config.encoder), one_map=False)
        height, width = self.material.height, self.material.width
        encoder = create_token_encoder(config.encoder, height, width)
        self._grid = encoder.grid(height, width)
        self.network = Pretraining(encoder, len(self.material.scenes)).to(world.device)
        extents = [scene_extent(scene.train) for scene in self.material.scenes]
        self._centres_m = torch.from_numpy(np.array([extent.centre_m for extent in extents])).float().to(world.device)
        self._scales_m = torch.tensor([extent.range_m for extent in extents]).float().to(world.device)
        self._views = Views([scene.train for scene in self.material.scenes], self._grid, config, config.balance)
        self.step_images: float = config.batch_size * self.material.count["train"] / len(self._views)

    def trained_part(self, network: nn.Module) -> nn.Module:
        """Return all of the network."""
        return network

    def batches(self, first_step: int) -> Iterable[Batch]:
        """Return random views of all scenes' training images, mixed."""
        return view_loader(
            self._views, self._config, first_step=first_step, rank=self._world.rank, world=self._world.size
        )

    def loss(self, forward: Callable[..., Any], batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum of the losses of points and rays."""
        points, ranges, directions, moments = forward(
            random_light(batch.images, self._config.augment), batch.rays, batch.scene
        )
        position = (batch.position_map_m - self._centres_m[batch.scene]) / self._scales_m[batch.scene, None]
        seen = (points - position[:, None]) @ batch.R_map_camera
        true_directions, true_moments = ray_targets(batch.rays, batch.R_map_camera, position)
        inside, count = batch.inside, batch.inside.sum().clamp_min(1)
        ray_error = (directions - true_directions).norm(dim=-1) + (moments - true_moments).norm(dim=-1)
        parts = {
            "consistency": consistency(seen, batch.rays * ranges[..., None], inside, 1.0, progress),
            "reprojection": reprojection(seen, batch.rays, inside, progress),
            "rays": (ray_error * inside).sum() / count,
        }
        total = _CONSISTENCY * parts["consistency"] + _REPROJECTION * parts["reprojection"] + _RAYS * parts["rays"]
        return total, parts

    def validate(self, network: nn.Module) -> Verdict:
        """Return how far points lie from their rays and directions from the truth, held-out images of every scene."""
        summary: dict[str, Any] = {}
        across_deg, turned_deg = [], []
        for index, scene in enumerate(self.material.scenes):
            point_deg, direction_deg = self._errors_deg(network, index)
            across_deg.append(point_deg)
            turned_deg.append(direction_deg)
            summary[scene.name] = {"points_deg": point_deg, "directions_deg": direction_deg}
        score = float(np.mean(across_deg) + np.mean(turned_deg))
        figures = {"points_deg": float(np.mean(across_deg)), "directions_deg": float(np.mean(turned_deg))}
        headline = f"points {figures['points_deg']:.2f} deg, rays {figures['directions_deg']:.2f} deg"
        return Verdict(headline=headline, summary={**figures, "scenes": summary}, score=score, serving={})

    def _errors_deg(self, network: nn.Module, index: int) -> tuple[float, float]:
        val = self.material.scenes[index].val
        device = self._world.device

        def of_scene(images: Tensor, rays: Tensor) -> Any:
            return network(images, rays, torch.full((len(images),), index, device=device))

        outputs = predict(of_scene, val, device, _OUTPUTS, self._grid)
        found = {name: torch.from_numpy(np.concatenate([output[name] for output in outputs])) for name in _OUTPUTS}
        rays = torch.from_numpy(np.stack([cached_ray_grid(camera, *self._grid) for camera in val.cameras])).float()
        T_map_camera = torch.from_numpy(val.T_map_camera).float()
        position = (T_map_camera[:, :3, 3] - self._centres_m[index].cpu()) / self._scales_m[index].cpu()
        seen = (found["points"] - position[:, None]) @ T_map_camera[:, :3, :3]
        true_directions, _ = ray_targets(rays, T_map_camera[:, :3, :3], position)
        across = _angle_deg(nn.functional.normalize(seen, dim=-1), rays)
        return float(across.median()), float(_angle_deg(found["directions"], true_directions).median())

    def describe(self, network: nn.Module) -> dict[str, Any]:
        """Return the encoder by itself, and the network with its heads for nothing but to resume."""
        encoder = network.encoder
        return {
            "encoder": encoder.describe(),
            "encoder_weights": encoder.state_dict(),
            "network": network.state_dict(),
        }


def _angle_deg(first: Tensor, second: Tensor) -> Tensor:
    return torch.rad2deg(2 * torch.asin(((first - second).norm(dim=-1) / 2).clamp(max=1)))
