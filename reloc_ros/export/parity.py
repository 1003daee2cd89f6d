"""Does the exported graph give the poses of the network it came from? Judged in pose, which is what a robot uses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reloc_ros.bundle.manifest import Manifest
from reloc_ros.cameras.camera import Camera
from reloc_ros.errors import ExportError
from reloc_ros.geometry import rotation
from reloc_ros.inference.backend import Backend
from reloc_ros.localization.prepare import network_inputs
from reloc_ros.localization.solve import create_solver
from reloc_ros.localization.solve.solution import Solution
from reloc_ros.types import Image

MAX_TRANSLATION_M = 1e-3
MAX_ROTATION_DEG = 0.05


@dataclass(frozen=True, kw_only=True)
class Parity:
    """Largest differences of pose between two back ends over some images."""

    images: int
    translation_m: float
    rotation_deg: float


def check_parity(
    reference: Backend,
    candidate: Backend,
    manifest: Manifest,
    images: list[Image],
    camera: Camera,
) -> Parity:
    """Return the largest difference of the poses two back ends lead to.

    Args:
        reference: what to agree with.
        candidate: what is checked.
        manifest: of the bundle that both run.
        images: (H, W, 3) uint8 each, of the network's size.
        camera: model of these images.

    Raises:
        ExportError: the poses differ by more than 1 mm per metre of the mapped box or 0.05 degrees, or one has none.
    """
    solver = create_solver(manifest.output_kind, manifest.solve)
    moved_m, turned_deg = 0.0, 0.0
    for index, image in enumerate(images):
        inputs = network_inputs(manifest, np.ascontiguousarray(image)[np.newaxis], camera)
        poses = [solver(backend.run(inputs), camera) for backend in (reference, candidate)]
        solved = [pose for pose in poses if isinstance(pose, Solution)]
        if len(solved) == 1:
            raise ExportError(f"image {index} has a pose on one of {reference.name} and {candidate.name} only")
        if len(solved) == 2:
            apart_m, apart_deg = pose_difference(*solved)
            moved_m, turned_deg = max(moved_m, apart_m), max(turned_deg, apart_deg)
    sizes_m = [np.linalg.norm(np.subtract(s.map_bounds.max_m, s.map_bounds.min_m)) for s in manifest.scenes]
    limit_m = MAX_TRANSLATION_M * max(1.0, float(max(sizes_m)))
    if moved_m > limit_m or turned_deg > MAX_ROTATION_DEG:
        raise ExportError(
            f"{candidate.name} differs from {reference.name} by {1e3 * moved_m:.3f} mm and {turned_deg:.4f} deg, limits "
            f"{1e3 * limit_m:.3f} mm and {MAX_ROTATION_DEG} deg; the exported graph does not compute what was trained"
        )
    return Parity(images=len(images), translation_m=moved_m, rotation_deg=turned_deg)


def pose_difference(first: Solution, second: Solution) -> tuple[float, float]:
    """Return how far apart two poses are, metres and degrees."""
    a, b = first.T_map_camera, second.T_map_camera
    turned_rad = rotation.angle_between_rad(a[:3, :3], b[:3, :3])
    return float(np.linalg.norm(a[:3, 3] - b[:3, 3])), float(np.degrees(turned_rad))
