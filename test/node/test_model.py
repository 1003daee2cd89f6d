"""What the node loads: every kind of bundle is warmed up and localizes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from fake_bundles import frame_number, write_rays_bundle, write_scenes_bundle, write_truth_bundle

pytest.importorskip("rclpy", reason="needs rclpy (a ROS 2 installation or the ros_from_pip overlay)")

from reloc_ros.geometry import rotation, se3
from reloc_ros.node.model import open_model
from reloc_ros.node.settings import Settings
from reloc_ros.types import Estimate

if TYPE_CHECKING:
    from pathlib import Path

POSES = [
    se3.from_rotation_translation(rotation.exp(np.array(rotvec)), np.array(position))
    for rotvec, position in (((0.1, -0.2, 0.3), (1.0, -2.0, 0.5)), ((-1.5, 0.4, 2.0), (-3.0, 1.0, 2.0)))
]


@pytest.mark.parametrize("kind", ["points", "rays", "regression"])
def test_every_kind_of_bundle_loads_and_localizes(kind: str, tmp_path: Path) -> None:
    if kind == "regression":
        bundle = write_scenes_bundle(tmp_path / "bundle", POSES, [[4.0, 0.0], [4.0, 0.0]])
    else:
        bundle = (write_truth_bundle if kind == "points" else write_rays_bundle)(tmp_path / "bundle", POSES)
    model = open_model(Settings(bundle=str(bundle.path), backend="onnxruntime"))()
    for number, T_map_camera in enumerate(POSES):
        result = model.localizer.localize(frame_number(number))
        assert isinstance(result, Estimate), result
        np.testing.assert_allclose(result.T_map_camera, T_map_camera, atol=1e-4)
    model.close()
