"""What a robot needs besides the weights, measured on held-out images: gates, calibrated covariances, cameras."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from reloc_ros.bundle.manifest import CovarianceSpec
from reloc_ros.cameras.camera import Camera
from reloc_ros.cameras.field_of_view import horizontal_fov_deg
from reloc_ros.geometry.covariance import difference
from reloc_ros.localization.calibration import calibrated
from reloc_ros.localization.prepare import contrast
from reloc_ros.localization.solve.solution import Failure, Solution
from reloc_ros.training.fit_covariance import fit_covariance
from reloc_ros.training.material import Scene
from reloc_ros.training.validate import Validation, measure
from reloc_ros.types import Array

# Gates cut where held-out images of the place end: the least certain twentieth, and the hundredth with the least support.
# In the demo's apartment looser ones let black images pass.
_CERTAIN_PERCENTILE = 95
_SUPPORTED_PERCENTILE = 1
_LARGEST_MIN_INLIER_RATIO = 0.3
# Degenerate clouds are far below anything held out, not a little.
_CONDITIONING_MARGIN = 9.0
# Of the contrast of the faintest training image: what shows less is dark, covered or fogged.
_CONTRAST_SHARE = 0.5
# A camera may leave the box of training positions by this share of its diagonal. Whatever held-out images do, what is
# less certain than that, or than this angle, tells nobody where a camera is.
_BOUNDS_MARGIN = 0.25
_LARGEST_STD_RAD = 0.5
# Of a scene where nothing held out was localized: no pose passes.
_NOTHING_PASSES = 1e-9


@dataclass(frozen=True, kw_only=True)
class SceneFit:
    """What held-out images of one scene say.

    Args:
        scene: its images.
        solved: solutions, failures left out.
        covariance: calibration of their covariances.
        validation: errors of all images.
    """

    scene: Scene
    solved: tuple[Solution, ...]
    covariance: CovarianceSpec
    validation: Validation

    def min_inlier_ratio(self, *names: str) -> float:
        """Return the share of support that held-out images hardly ever fall below, in any of the named evidences."""
        ratios = [min(solution.evidence[name] for name in names) for solution in self.solved] or [0.0]
        return min(float(np.percentile(ratios, _SUPPORTED_PERCENTILE)), _LARGEST_MIN_INLIER_RATIO)

    def min_conditioning(self) -> float:
        """Return a conditioning well below that of any held-out image."""
        conditionings = [solution.evidence["conditioning"] for solution in self.solved] or [0.0]
        return float(np.min(conditionings)) / _CONDITIONING_MARGIN

    def spec(self, description: str = "") -> dict[str, Any]:
        """Return the scene's entry in the manifest, without its map frame."""
        positions = self.scene.train.T_map_camera[:, :3, 3]
        extent_m = float(np.linalg.norm(np.ptp(positions, axis=0)))
        margin_m = max(_BOUNDS_MARGIN * extent_m, 1e-6)
        covariances = calibrated(_stacked(self.solved), self.covariance)
        return {
            "name": self.scene.name,
            "map_bounds": {"min_m": positions.min(0).tolist(), "max_m": positions.max(0).tolist()},
            "gate": {
                "max_position_std_m": min(_usual_std(covariances[:, :3, :3]), margin_m),
                "max_rotation_std_rad": min(_usual_std(covariances[:, 3:, 3:]), _LARGEST_STD_RAD),
                "bounds_margin_m": margin_m,
                "min_contrast": _CONTRAST_SHARE * min(contrast(image) for image in self.scene.train.images),
            },
            "covariance": asdict(self.covariance),
            "description": description,
        }


def fit_scene(scene: Scene, solutions: Sequence[Solution | Failure]) -> SceneFit:
    """Return what the solutions of a scene's held-out images say.

    Args:
        scene: its images.
        solutions: one for each held-out image, with covariances as solved.
    """
    truth = scene.val.T_map_camera
    pairs = [(found, T) for found, T in zip(solutions, truth, strict=True) if isinstance(found, Solution)]
    solved = tuple(found for found, _ in pairs)
    errors = np.array([difference(found.T_map_camera, T) for found, T in pairs]).reshape(-1, 6)
    return SceneFit(
        scene=scene,
        solved=solved,
        covariance=fit_covariance(errors, _stacked(solved)),
        validation=measure(solutions, truth),
    )


def serving_of(
    fits: Sequence[SceneFit], settings: dict[str, Any], log_zoom: float, descriptions: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return all of the manifest that depends on data: the solver's numbers, the scenes, the cameras and the figures.

    Args:
        fits: of each scene, in the order of the network's outputs.
        settings: of the solver.
        log_zoom: of the training's augmentation.
        descriptions: of each scene by name, if there are any.
    """
    said = descriptions or {}
    scenes = [fit.spec(said.get(fit.scene.name, "")) for fit in fits]
    cameras = [camera for fit in fits for camera in fit.scene.train.cameras]
    low_deg, high_deg = horizontal_fov_range_deg(cameras, log_zoom)
    summaries = {fit.scene.name: {"frames": len(fit.scene.val), **fit.validation.summary()} for fit in fits}
    return {
        "solve": settings,
        "scenes": scenes,
        "assumption": {
            "model": cameras[0].model,
            "horizontal_fov_deg_min": low_deg,
            "horizontal_fov_deg_max": high_deg,
        },
        "camera": fits[0].scene.val.cameras[0].to_dict(),
        "min_contrast": min(scene["gate"]["min_contrast"] for scene in scenes),
        "metrics": {"part": "val", **(summaries if len(fits) > 1 else summaries[fits[0].scene.name])},
    }


def horizontal_fov_range_deg(cameras: Sequence[Camera], log_zoom: float) -> tuple[float, float]:
    """Return the fields of view that training showed the network: those of its cameras, widened by the random zoom."""
    fields_deg = [horizontal_fov_deg(camera) for camera in set(cameras)]
    low, high = min(fields_deg), max(fields_deg)
    if high > 179.0:
        return low, high
    low_tangent, high_tangent = (np.tan(np.radians(value) / 2) for value in (low, high))
    return (
        float(2 * np.degrees(np.arctan(low_tangent * np.exp(-log_zoom)))),
        float(2 * np.degrees(np.arctan(high_tangent * np.exp(log_zoom)))),
    )


def _stacked(solved: Sequence[Solution]) -> Array:
    """Return (M, 6, 6) covariances as solved."""
    return np.array([solution.covariance for solution in solved]).reshape(-1, 6, 6)


def _usual_std(covariances: Array) -> float:
    """Return the 95th percentile of the largest standard deviation of (M, 3, 3) covariances."""
    if not len(covariances):
        return _NOTHING_PASSES
    return float(np.percentile(np.sqrt(np.linalg.eigvalsh(covariances)[:, -1]), _CERTAIN_PERCENTILE))
