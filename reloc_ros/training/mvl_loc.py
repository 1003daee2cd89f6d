"""Training of MVL-Loc: which of several described scenes an image shows, and the pose in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from reloc_ros.errors import ConfigError, DegenerateGeometryError, TrainingError
from reloc_ros.geometry import rotation
from reloc_ros.localization.camera_cache import cached_ray_grid
from reloc_ros.localization.solve.solution import Failure, Solution
from reloc_ros.networks.mvl_loc import OUTPUT_NAMES, MvlLoc, ScenePlaces, create_network, describe_network
from reloc_ros.networks.token_encoders import create_token_encoder, step_px
from reloc_ros.training import checkpoint
from reloc_ros.training.augment import random_light
from reloc_ros.training.config import MvlLocConfig
from reloc_ros.training.distributed import World
from reloc_ros.training.feature_store import open_features
from reloc_ros.training.image_features import FeatureBatch, ImageFeatures
from reloc_ros.training.losses import PoseTargets, pose_loss
from reloc_ros.training.material import Scene, read_material, read_scenes
from reloc_ros.training.scene_sentences import create_text_encoder, encode_sentences, sentences_of
from reloc_ros.training.serving import fit_scene, serving_of
from reloc_ros.training.task import Verdict
from reloc_ros.training.tune_regression import predicted_scenes, solve_in_scene, tune_regression
from reloc_ros.training.validate import Validation, measure, predict, solve_all
from reloc_ros.training.views import Batch, Views, view_loader
from reloc_ros.types import Array, Reason

# Each head does without this share of the images, those in slabs of the scene that are its own (radians for each unit of
# a scene): what heads disagree about was not seen, or was seen by too few.
_LEFT_OUT = 0.25
_SLABS = 60.0


class MvlLocTask:
    """MVL-Loc on one or more scenes; see `reloc_ros.training.task.Task`."""

    def __init__(self, data: Sequence[str], out: Path, config: MvlLocConfig, world: World) -> None:
        self._config, self._world = config, world
        # Descriptions first: what is wrong with them shows before images are prepared for minutes.
        text = create_text_encoder(config)
        self._descriptions = sentences_of(read_scenes(data), out, config, world, text)
        sentences = encode_sentences(self._descriptions, text)
        material = read_material(data, out, config, world, step_px=step_px(config.encoder), one_map=False)
        self.material = replace(material, provenance={**material.provenance, "descriptions": self._descriptions})
        _check_unchanged(out, self._descriptions)
        scenes = self.material.scenes
        if config.initial is None:
            encoder = create_token_encoder(config.encoder, self.material.height, self.material.width)
            network = create_network(encoder, config.decoder, sentences, _places(scenes))
        else:
            network = _load_initial(config.initial, self._descriptions)
        self.network = network.to(world.device)
        self._grid: tuple[int, int] = self.network.encoder.grid(self.material.height, self.material.width)
        rays = [cached_ray_grid(scene.train.cameras[0], *self._grid) for scene in scenes]
        self._rays = torch.from_numpy(np.stack(rays)).float().to(world.device)
        directions = np.random.default_rng(config.seed).normal(size=(3, self.network.decoder.config.members))
        self._slabs = torch.from_numpy(_SLABS * directions).float().to(world.device)
        self._source: ImageFeatures | Views
        if config.encoder.frozen:
            stores = [open_features(self.network.encoder, s.train, self._grid, config, out, world) for s in scenes]
            self._source = ImageFeatures(stores, config, config.balance)
        else:
            self._source = Views([scene.train for scene in scenes], self._grid, config, config.balance)
        count = len(self._source)
        self.step_images: float = min(config.batch_size, count) * self.material.count["train"] / count

    def trained_part(self, network: nn.Module) -> nn.Module:
        """Return what follows a frozen encoder, else all of the network."""
        return cast("MvlLoc", network).decoder if self._config.encoder.frozen else network

    def batches(self, first_step: int) -> Iterable[Batch | FeatureBatch]:
        """Return random views of all scenes' training images, mixed."""
        rank, world = self._world.rank, self._world.size
        if isinstance(self._source, ImageFeatures):
            return self._source.batches(first_step=first_step, rank=rank, world=world)
        return view_loader(self._source, self._config, first_step=first_step, rank=rank, world=world)

    def loss(
        self,
        forward: Callable[..., Any],
        batch: Batch | FeatureBatch,
        progress: float,  # noqa: ARG002 (the losses of poses have no schedule)
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return what is lost by poses in the true scene and by taking one scene for another."""
        shown = self._shown(batch.scene)
        if isinstance(batch, FeatureBatch):
            found = forward(batch.summary, batch.patches, self._grid, shown)
        else:
            found = forward(random_light(batch.images, self._config.augment), shown)
        decoder = self.network.decoder
        position = (batch.position_map_m - decoder.centres_m[batch.scene]) / decoder.scales_m[batch.scene, None]
        turned = view_rotation(batch.rays, self._rays[batch.scene], batch.inside)
        R_map_view = batch.R_map_camera.double().cpu().numpy() @ turned
        log_quat = torch.from_numpy(rotation.log_quat(rotation.to_quat_xyzw(R_map_view)))
        counts = torch.cos(position @ self._slabs) > np.cos(np.pi * (1 - _LEFT_OUT))
        targets = PoseTargets(position=position, log_quat=log_quat.to(position), counts=counts.float())
        return pose_loss(found, targets)

    def _shown(self, scene: Tensor) -> Tensor:
        """Return (B, S) scenes: the true one of each image, then others at random."""
        count = len(self.material.scenes)
        others = torch.rand(len(scene), count - 1, device=scene.device).argsort(dim=1)[:, : self._config.contrast]
        return torch.cat([scene[:, None], (scene[:, None] + 1 + others) % count], dim=1)

    def validate(self, network: nn.Module) -> Verdict:
        """Localize the held-out images with the robot's own solver, in the scene it finds and in the true one."""
        scenes = self.material.scenes
        outputs = [predict(network, scene.val, self._world.device, OUTPUT_NAMES) for scene in scenes]
        settings = tune_regression(outputs, [scene.val for scene in scenes], self._grid)
        fits, figures, scores, right = [], {}, [], []
        for index, (scene, of_scene) in enumerate(zip(scenes, outputs, strict=True)):
            solved = [_of_scene(one, index) for one in solve_all("regression", settings, of_scene, scene.val)]
            fit = fit_scene(scene, solved)
            oracle = measure(solve_in_scene(of_scene, settings, index), scene.val.T_map_camera)
            found = predicted_scenes(of_scene) == index
            fits.append(fit)
            right.append(found)
            figures[scene.name] = {
                "frames": len(scene.val),
                **fit.validation.summary(),
                "scene_accuracy": float(found.mean()),
                "oracle": oracle.summary(),
            }
            scores.append(oracle.score(float(self.network.decoder.scales_m[index])) + 1 - float(found.mean()))
        together = Validation(
            position_error_m=np.concatenate([fit.validation.position_error_m for fit in fits]),
            rotation_error_deg=np.concatenate([fit.validation.rotation_error_deg for fit in fits]),
        )
        accuracy = float(np.concatenate(right).mean())
        serving = serving_of(fits, settings, self._config.augment.log_zoom, self._descriptions)
        return Verdict(
            headline=f"scenes {100 * accuracy:.1f} %, {together.headline()}",
            summary={**together.summary(), "scene_accuracy": accuracy, "scenes": figures},
            score=float(np.mean(scores)),
            serving={**serving, "metrics": {"part": "val", **figures}},
        )

    def describe(self, network: nn.Module) -> dict[str, Any]:
        """Return the network's configurations and weights, with the descriptions' features as constants."""
        return describe_network(cast("MvlLoc", network))


def view_rotation(rays: Tensor, camera_rays: Tensor, inside: Tensor) -> Array:
    """Return (B, 3, 3): how the camera would have to turn to see each view; x_camera = R x_view.

    The network is not told the rays, so a view that was turned in the plane or moved over the image must have another
    pose. The camera stays in its place, and the turn is the one that best takes the camera's rays to the view's (Kabsch).
    It is exact for turned views and panoramas; for a moved one it is what a turn of the camera looks like in the middle.
    Zoom is no turn: cells count in pairs across the centre, whose rays it moves apart alike.

    Args:
        rays: (B, N, 3) unit rays of the views' cells in the camera.
        camera_rays: (B, N, 3) of the cells of whole images.
        inside: (B, N) 1 where a cell shows the image.
    """
    weights = inside * inside.flip(1) + 1e-6
    sums = torch.einsum("bn,bni,bnj->bij", weights, rays, camera_rays).double().cpu().numpy()
    left, _, right = np.linalg.svd(sums)
    left[..., -1] *= np.linalg.det(left @ right)[:, None]
    return cast("Array", left @ right)


def _of_scene(solution: Solution | Failure, scene: int) -> Solution | Failure:
    """Return the solution if it lies in that scene."""
    if isinstance(solution, Solution) and solution.scene != scene:
        return Failure(reason=Reason.UNSURE_SCENE, detail=f"taken for scene {solution.scene}, it is {scene}")
    return solution


def _places(scenes: Sequence[Scene]) -> ScenePlaces:
    centres_m, scales_m, log_quats = [], [], []
    for scene in scenes:
        positions_m = scene.train.T_map_camera[:, :3, 3]
        centres_m.append(positions_m.mean(0))
        spread_m = float(np.sqrt(np.mean(np.sum((positions_m - centres_m[-1]) ** 2, axis=1))))
        scales_m.append(spread_m if spread_m > 0 else 1.0)
        quats_xyzw = rotation.to_quat_xyzw(scene.train.T_map_camera[:, :3, :3])
        try:
            mean_xyzw = rotation.mean_quat_xyzw(quats_xyzw)
        except DegenerateGeometryError:
            # Cameras that look everywhere have no mean; any is as good to start from.
            mean_xyzw = quats_xyzw[0]
        log_quats.append(rotation.log_quat(mean_xyzw))
    return ScenePlaces(
        centres_m=torch.from_numpy(np.array(centres_m)),
        scales_m=torch.tensor(scales_m),
        log_quats=torch.from_numpy(np.array(log_quats)),
    )


def _load_initial(initial: str, descriptions: dict[str, str]) -> MvlLoc:
    """Return a trained network to go on from; its descriptions are constants, so they must be these."""
    network, content = checkpoint.load_trained(initial, "mvl_loc")
    before = {scene["name"]: scene["description"] for scene in content["serving"]["scenes"]}
    if list(before.items()) != list(descriptions.items()):
        raise ConfigError(
            f"initial {initial} was trained with the scenes {before}, this run has {descriptions}; give the same data, in "
            "the same order, and its descriptions as descriptions.file"
        )
    return cast("MvlLoc", network)


def _check_unchanged(out: Path, descriptions: dict[str, str]) -> None:
    path = out / checkpoint.LAST
    if path.is_file() and checkpoint.load(path)["provenance"]["descriptions"] != descriptions:
        raise TrainingError(
            f"descriptions of scenes changed after the run in {out} began, whose network has read the old ones; take the "
            "change back, choose another --out, or remove the folder to start over"
        )
