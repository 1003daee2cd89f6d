"""The relocalizer node with a network that costs nothing: what remains is the node's own time.

Everything else is real: messages, image conversion, resizing, solving a full point cloud, gates, publishing. The
parameter `bundle` names the camera model, `pinhole` or `equirectangular`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reloc_ros.bundle.manifest import (
    CameraAssumption,
    CovarianceSpec,
    GateSpec,
    InputSpec,
    Manifest,
    MapBounds,
    SceneSpec,
)
from reloc_ros.cameras.camera import Camera, ray_grid
from reloc_ros.cameras.equirectangular import EquirectangularCamera
from reloc_ros.cameras.pinhole import PinholeCamera
from reloc_ros.errors import BundleError
from reloc_ros.localization.localizer import Localizer
from reloc_ros.node import relocalizer_node
from reloc_ros.node.model import Load, Model
from reloc_ros.node.settings import Settings
from reloc_ros.types import Outputs

# The sizes that the aims of the bench are given for.
CAMERAS: dict[str, Camera] = {
    "pinhole": PinholeCamera(640, 480, np.array([[525.0, 0.0, 320.0], [0.0, 525.0, 240.0], [0.0, 0.0, 1.0]])),
    "equirectangular": EquirectangularCamera(1920, 960),
}
INPUTS = {"pinhole": InputSpec(width=320, height=240), "equirectangular": InputSpec(width=512, height=256)}

_ROWS, _COLUMNS = 30, 40
_RANGE_M = (1.0, 4.0)


class TrivialBackend:
    """Answers every image with the same point cloud, seen from the origin of the map."""

    name, device, precision, verdict = "trivial", "cpu", "fp32", ""

    def __init__(self, camera: Camera) -> None:
        rng = np.random.default_rng(0)
        range_m = rng.uniform(*_RANGE_M, _ROWS * _COLUMNS)
        # A hundredth of noise, so that the robust solve iterates as it does on a real network's cloud.
        points_map = ray_grid(camera, _ROWS, _COLUMNS) * range_m[:, np.newaxis] + rng.normal(
            0.0, 0.01, (len(range_m), 3)
        )
        self._outputs: Outputs = {
            "points_map": points_map[np.newaxis].astype(np.float32),
            "range_m": range_m[np.newaxis].astype(np.float32),
            "weights": np.ones((1, len(range_m)), dtype=np.float32),
        }

    def run(self, _: Mapping[str, NDArray[Any]]) -> Outputs:
        """Return the cloud."""
        return self._outputs

    def close(self) -> None:
        """Free nothing."""


def open_trivial(settings: Settings) -> Load:
    """Return what makes the trivial model of the camera that the parameter `bundle` names."""
    kind = settings.bundle
    if kind not in CAMERAS:
        raise BundleError(f"bundle is {kind!r}, this node has {', '.join(CAMERAS)}")

    def load() -> Model:
        spec = INPUTS[kind]
        backend = TrivialBackend(CAMERAS[kind].resized(spec.width, spec.height))
        return Model(
            localizer=Localizer(_manifest(kind, spec), backend),
            method="trivial",
            camera_model=kind,
            backend=backend,
        )

    return load


def _manifest(kind: str, spec: InputSpec) -> Manifest:
    return Manifest(
        method="trivial",
        output_kind="points",
        input=spec,
        camera=CameraAssumption(model=kind, horizontal_fov_deg_min=0.0, horizontal_fov_deg_max=360.0),
        outputs=("points_map", "range_m", "weights"),
        solve={
            "rows": _ROWS,
            "columns": _COLUMNS,
            "angle_std_rad": 0.01,
            "range_std_log": 0.1,
            "min_inlier_ratio": 0.1,
            "min_conditioning": 1e-6,
        },
        scenes=(
            SceneSpec(
                name="nowhere",
                map_frame="map",
                map_bounds=MapBounds(min_m=(-1.0, -1.0, -1.0), max_m=(1.0, 1.0, 1.0)),
                gate=GateSpec(max_position_std_m=1.0, max_rotation_std_rad=1.0, bounds_margin_m=1.0),
                covariance=CovarianceSpec(
                    position_scale=1.0, rotation_scale=1.0, position_floor_m=0.0, rotation_floor_rad=0.0
                ),
            ),
        ),
        training={},
        metrics={},
    )


if __name__ == "__main__":
    sys.exit(relocalizer_node.main(open_model=open_trivial))
