"""How well a network localizes held-out images: the same solver that runs on the robot, on un-augmented images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from reloc_ros.geometry import rotation
from reloc_ros.localization.camera_cache import cached_ray_grid
from reloc_ros.localization.solve import create_solver
from reloc_ros.localization.solve.solution import Failure, Solution
from reloc_ros.training.image_store import ImageStore
from reloc_ros.types import Array, Outputs

_BATCH = 16
# Rayleigh's median in deviations: an angle across a ray has two components.
RAYLEIGH_MEDIAN = float(np.sqrt(2 * np.log(2)))
# Median of the length of three components of unit deviation (Maxwell's distribution).
MAXWELL_MEDIAN = 1.5382
_TUNING_IMAGES = 64


@dataclass(frozen=True, kw_only=True)
class Validation:
    """Errors on held-out images; an image without a pose counts as infinite.

    Args:
        position_error_m: (M,).
        rotation_error_deg: (M,).
    """

    position_error_m: Array
    rotation_error_deg: Array

    def summary(self) -> dict[str, float]:
        """Return the medians and the recall at 0.05 m, 5 deg and at 0.25 m, 5 deg."""
        turned_little = self.rotation_error_deg <= 5.0
        return {
            "median_translation_error_m": float(np.median(self.position_error_m)),
            "median_rotation_error_deg": float(np.median(self.rotation_error_deg)),
            "recall_0.05m_5deg": float(np.mean((self.position_error_m <= 0.05) & turned_little)),
            "recall_0.25m_5deg": float(np.mean((self.position_error_m <= 0.25) & turned_little)),
        }

    def headline(self) -> str:
        """Return both medians for people."""
        return f"{100 * np.median(self.position_error_m):.1f} cm {np.median(self.rotation_error_deg):.2f} deg"

    def score(self, scale_m: float, *, only_position: bool = False) -> float:
        """Return one figure to choose a checkpoint by: median errors relative to the scene and to a radian."""
        position = float(np.median(self.position_error_m)) / scale_m
        return position if only_position else position + float(np.radians(np.median(self.rotation_error_deg)))


def predict(
    network: nn.Module,
    store: ImageStore,
    device: torch.device,
    names: Sequence[str],
    rays_grid: tuple[int, int] | None = None,
) -> list[Outputs]:
    """Return the network's outputs for each stored image, in single precision, as the exported graph gives them.

    Args:
        network: in evaluation mode.
        store: images.
        device: of the network.
        names: of its outputs.
        rays_grid: rows and columns of the cells whose rays are its second input, if it has one.
    """
    outputs: list[Outputs] = []
    with torch.inference_mode():
        for start in range(0, len(store), _BATCH):
            end = min(start + _BATCH, len(store))
            inputs = [np.array(store.images[start:end])]
            if rays_grid is not None:
                rays = [cached_ray_grid(camera, *rays_grid) for camera in store.cameras[start:end]]
                inputs.append(np.stack(rays).astype(np.float32))
            batch = [values.cpu().numpy() for values in network(*(torch.from_numpy(x).to(device) for x in inputs))]
            outputs += [dict(zip(names, (v[i : i + 1] for v in batch))) for i in range(end - start)]
    return outputs


def some(outputs: Sequence[Outputs], store: ImageStore) -> tuple[list[Outputs], ImageStore]:
    """Return some images with their outputs, spread over all: enough to try numbers of a solver on."""
    chosen = np.unique(np.linspace(0, len(outputs) - 1, _TUNING_IMAGES).astype(int)).tolist()
    return [outputs[index] for index in chosen], store.subset(chosen)


def solve_all(
    kind: str, settings: dict[str, Any], outputs: Sequence[Outputs], store: ImageStore
) -> list[Solution | Failure]:
    """Return the answer of a kind's solver for each stored image."""
    solver = create_solver(kind, settings)
    return [solver(output, camera) for output, camera in zip(outputs, store.cameras)]


def measure(solutions: Sequence[Solution | Failure], T_map_camera: Array) -> Validation:
    """Return the errors of solutions against (M, 4, 4) true poses."""
    position, turned = np.full(len(solutions), np.inf), np.full(len(solutions), np.inf)
    for index, (solution, truth) in enumerate(zip(solutions, T_map_camera)):
        if isinstance(solution, Solution):
            position[index] = np.linalg.norm(solution.T_map_camera[:3, 3] - truth[:3, 3])
            turned[index] = np.degrees(rotation.angle_between_rad(solution.T_map_camera[:3, :3], truth[:3, :3]))
    return Validation(position_error_m=position, rotation_error_deg=turned)
