"""The relocalizer node with a network that reads the answer off the image, see `oracle_image`.

Everything else is real: messages, solving a point cloud, gates, trust, transforms. The parameter `bundle` only has to
be set. Single fixes claim `STD_M` and `STD_RAD`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from threading import Event
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
from reloc_ros.geometry import se3
from reloc_ros.localization.localizer import Localizer
from reloc_ros.localization.prepare import Prepared
from reloc_ros.localization.solve.solution import Failure, Solution
from reloc_ros.node import relocalizer_node
from reloc_ros.node.model import Load, Model
from reloc_ros.node.oracle_image import CAMERA, HEIGHT, WIDTH, Plant, read
from reloc_ros.node.settings import Settings
from reloc_ros.types import Frame, Outputs

STD_M, STD_RAD = 0.0985, math.radians(1.854)
"""What simulated fixes err by, see `evaluation.simulated_drives`."""

_ROWS, _COLUMNS = 6, 8
_OUTPUTS = ("points_map", "range_m", "weights")
_SLOW_S = 0.3
_ROOM_M, _WIDE_M = 5.0, 100.0


class OracleBackend:
    """Answers an image with the point cloud that its camera would see from the pose in its pixels."""

    name, device, precision, verdict = "oracle", "cpu", "fp32", ""

    def __init__(self, camera: Camera) -> None:
        self._rng = np.random.default_rng(0)
        range_m = self._rng.uniform(1.0, 4.0, _ROWS * _COLUMNS)
        self._range_m = range_m.astype(np.float32)[np.newaxis]
        self._points_camera = ray_grid(camera, _ROWS, _COLUMNS) * range_m[:, np.newaxis]
        self._never = Event()
        self.plant = Plant.NOTHING

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Outputs:
        """Return the cloud, or let happen what the image says."""
        T_map_camera, self.plant = read(inputs["image"][0])
        if self.plant is Plant.IN_INFER:
            raise RuntimeError("planted in infer")
        if self.plant is Plant.SLOW_INFER:
            self._never.wait(_SLOW_S)
        points = se3.transform_points(T_map_camera, self._points_camera)[np.newaxis].astype(np.float32)
        if self.plant is Plant.NOT_A_NUMBER:
            points[0, ::2] = np.nan
        if self.plant is Plant.NOTHING_SEEN:
            points = self._rng.uniform(-_ROOM_M, _ROOM_M, points.shape).astype(np.float32)
        return dict(zip(_OUTPUTS, (points, self._range_m, np.ones_like(self._range_m)), strict=True))

    def close(self) -> None:
        """Free nothing."""


class OracleLocalizer(Localizer):
    """A localizer whose stages fail where the image says so."""

    def __init__(self) -> None:
        self._oracle = OracleBackend(CAMERA)
        super().__init__(_manifest(), self._oracle)

    def _prepare(self, frame: Frame) -> Prepared | Failure:
        if read(frame.image)[1] is Plant.IN_PREPARE:
            raise RuntimeError("planted in prepare")
        return super()._prepare(frame)

    def _solve(self, outputs: Outputs, prepared: Prepared) -> Solution | Failure:
        if self._oracle.plant is Plant.IN_SOLVE:
            raise RuntimeError("planted in solve")
        return super()._solve(outputs, prepared)

    def _gate(self, solution: Solution, prepared: Prepared) -> Solution | Failure:
        if self._oracle.plant is Plant.IN_GATE:
            raise RuntimeError("planted in gate")
        return super()._gate(solution, prepared)


def open_oracle(_: Settings) -> Load:
    """Return what makes the model."""

    def load() -> Model:
        return Model(
            localizer=OracleLocalizer(),
            method="oracle",
            camera_model=CAMERA.model,
            backend=OracleBackend(CAMERA),
        )

    return load


def _manifest() -> Manifest:
    return Manifest(
        method="oracle",
        output_kind="points",
        input=InputSpec(width=WIDTH, height=HEIGHT),
        camera=CameraAssumption(model=CAMERA.model, horizontal_fov_deg_min=0.0, horizontal_fov_deg_max=180.0),
        outputs=_OUTPUTS,
        solve={
            "rows": _ROWS,
            "columns": _COLUMNS,
            "angle_std_rad": 0.01,
            "range_std_log": 0.1,
            "min_inlier_ratio": 0.5,
            "min_conditioning": 1e-3,
        },
        scenes=(
            SceneSpec(
                name="stage",
                map_frame="map",
                map_bounds=MapBounds(min_m=(-_WIDE_M, -_WIDE_M, -_WIDE_M), max_m=(_WIDE_M, _WIDE_M, _WIDE_M)),
                gate=GateSpec(max_position_std_m=0.5, max_rotation_std_rad=0.2, bounds_margin_m=1.0),
                covariance=CovarianceSpec(
                    position_scale=1.0, rotation_scale=1.0, position_floor_m=STD_M, rotation_floor_rad=STD_RAD
                ),
            ),
        ),
        training={},
        metrics={},
    )


if __name__ == "__main__":
    sys.exit(relocalizer_node.main(open_model=open_oracle))
