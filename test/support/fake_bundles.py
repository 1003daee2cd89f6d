"""Bundles whose network knows the truth: a grey value in, the point clouds of that frame out.

The graph takes the mean of the image, rounds it and looks the answer up, so that an image of the uniform value k is
"frame k". Real ONNX, real bundle files, no training.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from reloc_ros.bundle.calibration import CALIBRATION_NAME, write_calibration
from reloc_ros.bundle.load import Bundle, write_bundle
from reloc_ros.bundle.manifest import (
    CameraAssumption,
    CovarianceSpec,
    GateSpec,
    InputSpec,
    Manifest,
    MapBounds,
    RaysSpec,
    SceneSpec,
)
from reloc_ros.cameras.camera import ray_grid
from reloc_ros.cameras.pinhole import PinholeCamera
from reloc_ros.evaluation.tum import tum_line
from reloc_ros.geometry import rotation, se3
from reloc_ros.types import Array, Frame

ROWS, COLUMNS = 6, 8
INPUT = InputSpec(width=64, height=48)
OUTPUTS = ("points_map", "range_m", "weights")
# A camera twice the network's size whose principal point is off the middle.
CAMERA = PinholeCamera(128, 96, np.array([[105.0, 0.0, 61.0], [0.0, 103.0, 49.5], [0.0, 0.0, 1.0]]))

# Calibration that changes nothing.
AS_SOLVED = CovarianceSpec(position_scale=1.0, rotation_scale=1.0, position_floor_m=0.0, rotation_floor_rad=0.0)


def make_scene(**changes: Any) -> SceneSpec:
    """Return a valid scene, with fields changed."""
    scene = SceneSpec(
        name="room",
        map_frame="map",
        map_bounds=MapBounds(min_m=(-5.0, -4.0, -3.0), max_m=(5.0, 4.0, 3.0)),
        gate=GateSpec(max_position_std_m=0.5, max_rotation_std_rad=0.2, bounds_margin_m=1.0),
        covariance=AS_SOLVED,
    )
    return replace(scene, **changes)


def make_manifest(**changes: Any) -> Manifest:
    """Return a valid manifest without checksums, with fields changed."""
    manifest = Manifest(
        method="implicit_geometry",
        output_kind="points",
        input=INPUT,
        camera=CameraAssumption(model="pinhole", horizontal_fov_deg_min=40.0, horizontal_fov_deg_max=80.0),
        outputs=OUTPUTS,
        solve={
            "rows": ROWS,
            "columns": COLUMNS,
            "angle_std_rad": 0.01,
            "range_std_log": 0.1,
            "min_inlier_ratio": 0.5,
            "min_conditioning": 1e-3,
        },
        scenes=(make_scene(),),
        training={"data": "fake:none", "split": {"val_fraction": 0.2, "block": 5, "guard": 1}},
        metrics={"median_translation_error_m": 0.0},
    )
    return replace(manifest, **changes)


def frame_number(number: int, camera: PinholeCamera = CAMERA) -> Frame:
    """Return the image that the truth network takes for pose `number`."""
    image = np.full((camera.height, camera.width, 3), number, dtype=np.uint8)
    return Frame(image=image, camera=camera, stamp_ns=number * 100_000_000)


def write_numbered_drive(folder: Path, poses: list[Array]) -> str:
    """Write images whose grey is their number, ten a second, with labels; return their `FORMAT:PATH`."""
    drive = folder / "drive"
    (drive / "frames").mkdir(parents=True)
    (drive / "camera.json").write_text(json.dumps(CAMERA.to_dict()))
    lines = [tum_line(number * 100_000_000, pose) for number, pose in enumerate(poses)]
    (drive / "poses.txt").write_text("\n".join(lines) + "\n")
    for number in range(len(poses)):
        image = np.full((CAMERA.height, CAMERA.width, 3), number, dtype=np.uint8)
        cv2.imwrite(str(drive / "frames" / f"{number:06d}.png"), image)
    return f"panorama_sequences:{folder}"


def write_truth_bundle(folder: Path, poses: list[Array], **changes: Any) -> Bundle:
    """Write a bundle whose network answers frame k with clouds that belong to poses[k] exactly (as float32)."""
    rng = np.random.default_rng(0)
    rays_camera = ray_grid(CAMERA.resized(INPUT.width, INPUT.height), ROWS, COLUMNS)
    range_m = rng.uniform(1.0, 4.0, (len(poses), ROWS * COLUMNS))
    points_map = np.stack(
        [se3.transform_points(T, rays_camera * r[:, np.newaxis]) for T, r in zip(poses, range_m, strict=True)]
    )
    answers = {"points_map": points_map, "range_m": range_m, "weights": np.ones_like(range_m)}
    folder.parent.mkdir(parents=True, exist_ok=True)
    model = folder.parent / f"{folder.name}.onnx"
    write_lookup_model(model, answers)
    return write_bundle(folder, make_manifest(**changes), {"model.onnx": model})


SCENES = (
    make_scene(name="kitchen", map_frame="kitchen_map", description="a red kitchen with a steel sink and a stove"),
    make_scene(name="office", map_frame="office_map", description="an office with grey desks and computer screens"),
)
HEADS = 3


def with_images(bundle: Bundle, images: Array) -> Bundle:
    """Write a bundle once more, with (M, H, W, 3) images of the place inside."""
    source = bundle.path.parent / f"{bundle.path.name}.npz"
    write_calibration(images, source)
    files = {name: bundle.path / name for name in bundle.manifest.files}
    return write_bundle(bundle.path, bundle.manifest, {**files, CALIBRATION_NAME: source})


def write_scenes_bundle(folder: Path, poses: list[Array], scene_logits: list[list[float]], **changes: Any) -> Bundle:
    """Write a bundle of `SCENES` that regresses: frame k is at poses[k] in whichever scene its logits favour.

    The attention of frame k is on cell k alone in the kitchen, and on the last cell but k in the office.
    """
    T_map_camera = np.stack(poses)
    half_rotvec = np.stack([rotation.log(T[:3, :3]) / 2.0 for T in poses])
    # Heads that differ along x and whose mean is the pose.
    spread_m = np.linspace(-0.03, 0.03, HEADS)[:, np.newaxis] * np.array([1.0, 0.0, 0.0])
    attention = np.zeros((len(poses), len(SCENES), ROWS * COLUMNS))
    for k in range(len(poses)):
        attention[k, 0, k] = attention[k, 1, -1 - k] = 1.0
    ensemble = (len(poses), len(SCENES), HEADS, 3)
    answers = {
        "scene_logits": np.array(scene_logits),
        "positions_m": np.broadcast_to(T_map_camera[:, np.newaxis, np.newaxis, :3, 3] + spread_m, ensemble),
        "log_quats": np.broadcast_to(half_rotvec[:, np.newaxis, np.newaxis], ensemble),
        "attention": attention,
    }
    settings = {
        "rows": ROWS,
        "columns": COLUMNS,
        "min_scene_probability": 0.6,
        "min_position_std_m": 0.02,
        "min_rotation_std_rad": 0.01,
    }
    described = {"method": "mvl_loc", "output_kind": "regression", "outputs": tuple(answers), "scenes": SCENES}
    folder.parent.mkdir(parents=True, exist_ok=True)
    model = folder.parent / f"{folder.name}.onnx"
    write_lookup_model(model, answers)
    manifest = make_manifest(**{**described, "solve": settings, **changes})
    return write_bundle(folder, manifest, {"model.onnx": model})


def write_lookup_model(path: Path, answers: dict[str, Array], spec: InputSpec = INPUT) -> None:
    """Write an ONNX graph that answers an image of mean k with entry k of each array."""
    nodes = [
        helper.make_node("Cast", [spec.name], ["as_float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["as_float"], ["mean"], keepdims=0),
        helper.make_node("Round", ["mean"], ["rounded"]),
        helper.make_node("Cast", ["rounded"], ["index"], to=TensorProto.INT64),
        helper.make_node("Reshape", ["index", "one"], ["indices"]),
    ]
    constants = [numpy_helper.from_array(np.array([1], dtype=np.int64), "one")]
    outputs = []
    for name, array in answers.items():
        constants.append(numpy_helper.from_array(array.astype(np.float32), f"{name}_table"))
        nodes.append(helper.make_node("Gather", [f"{name}_table", "indices"], [name], axis=0))
        outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, *array.shape[1:]]))
    image = helper.make_tensor_value_info(spec.name, TensorProto.UINT8, spec.shape)
    graph = helper.make_graph(nodes, "lookup", [image], outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)


def write_rays_bundle(folder: Path, poses: list[Array], **changes: Any) -> Bundle:
    """Write a bundle of kind `rays` that answers frame k with the rays of poses[k]; it takes the camera's rays, too."""
    rays_camera = ray_grid(CAMERA.resized(INPUT.width, INPUT.height), ROWS, COLUMNS)
    directions = np.stack([rays_camera @ T[:3, :3].T for T in poses])
    positions = np.stack([T[:3, 3] for T in poses])[:, np.newaxis]
    confidence = np.ones(directions.shape[:2])
    answers = {
        "directions_map": directions,
        "moments_m": np.cross(np.broadcast_to(positions, directions.shape), directions),
        "direction_confidence": confidence,
        "moment_confidence": confidence,
    }
    settings = {
        "rows": ROWS,
        "columns": COLUMNS,
        "centre_x_m": 0.0,
        "centre_y_m": 0.0,
        "centre_z_m": 0.0,
        "direction_std_rad": 0.01,
        "moment_std_m": 0.02,
        "hypotheses": 16,
        "seed": 0,
        "min_inlier_ratio": 0.3,
    }
    rays = RaysSpec(rows=ROWS, columns=COLUMNS)
    described = {"method": "dimm", "output_kind": "rays", "outputs": tuple(answers), "rays": rays}
    folder.parent.mkdir(parents=True, exist_ok=True)
    model = folder.parent / f"{folder.name}.onnx"
    write_lookup_model(model, answers)
    graph = onnx.load(model)
    graph.graph.input.append(helper.make_tensor_value_info(rays.name, TensorProto.FLOAT, rays.shape))
    onnx.save(graph, model)
    return write_bundle(folder, make_manifest(**{**described, "solve": settings, **changes}), {"model.onnx": model})
