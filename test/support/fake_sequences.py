"""Sequence networks that know the truth: an image tells the number of its pose and how far its panorama was turned.

The background of a frame is the grey value of its number; one column of a panorama is marked, and where that is found
tells by how much the panorama was rolled. The step answers with true relative poses; what it remembers is which
numbers were first and last, and how often it was fed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from fake_bundles import AS_SOLVED, make_manifest, make_scene
from onnx import TensorProto, helper, numpy_helper

from reloc_ros.bundle.load import Bundle, write_bundle
from reloc_ros.bundle.manifest import (
    CameraAssumption,
    GateSpec,
    InputSpec,
    Manifest,
    MapBounds,
    SequenceSpec,
    StateSpec,
)
from reloc_ros.cameras.canvas import roll_rotation
from reloc_ros.cameras.equirectangular import EquirectangularCamera
from reloc_ros.geometry import rotation, se3
from reloc_ros.localization.sequence import SequenceLocalizer
from reloc_ros.localization.sequence_tracker import SequenceLimits
from reloc_ros.types import Array, Frame, Image, Outputs

SECOND_NS = 1_000_000_000
START_NS = 1_700_000_000 * SECOND_NS
WIDTH, HEIGHT = 32, 16
PANORAMA = EquirectangularCamera(WIDTH, HEIGHT)
MARKED = WIDTH // 2
STATE = (
    StateSpec(name="started", shape=(1, 1)),
    StateSpec(name="previous", shape=(1, 2)),
    StateSpec(name="fed", shape=(1,)),
)
SPEC = SequenceSpec(
    feature=2,
    state=STATE,
    state_version=3,
    keyframe_translation_m=0.25,
    keyframe_rotation_rad=0.3,
    trained_distance_m=20.0,
    trained_frames=400,
    heights_m=(0.5,),
)
STD_M, STD_RAD = 0.02, 0.004
"""Of each pose, and as much again for each time that the state was fed."""


def sequence_manifest(**changes: Any) -> Manifest:
    """Return the manifest of the truth networks; `changes` are of its sequence."""
    scene = make_scene(
        name="spr_origin",
        map_frame="spr_origin",
        map_bounds=MapBounds(min_m=(-30.0,) * 3, max_m=(30.0,) * 3),
        gate=GateSpec(max_position_std_m=1.0, max_rotation_std_rad=0.5, bounds_margin_m=1.0),
        covariance=AS_SOLVED,
    )
    return make_manifest(
        method="spr_mamba",
        output_kind="sequence",
        input=InputSpec(name="canvas", width=WIDTH, height=HEIGHT, channels="rgba"),
        sequence=replace(SPEC, **changes),
        camera=CameraAssumption(model="equirectangular", horizontal_fov_deg_min=90.0, horizontal_fov_deg_max=360.0),
        outputs=("translation_first_m", "rotation_first"),
        scenes=(scene,),
        solve={},
    )


def write_sequence_bundle(folder: Path, poses: Sequence[Array]) -> Bundle:
    """Write a bundle that takes the mean of the blue channel for the number of a pose."""
    places = (StateSpec(name="first", shape=(1, 1)), StateSpec(name="previous", shape=(1, 1)))
    manifest = sequence_manifest(feature=1, state=(StateSpec(name="started", shape=(1, 1)), *places), state_version=1)
    folder.parent.mkdir(parents=True, exist_ok=True)
    encoder, step = folder.parent / f"{folder.name}_encoder.onnx", folder.parent / f"{folder.name}_step.onnx"
    read = [
        ("Cast", ["canvas"], "real", {"to": TensorProto.FLOAT}),
        ("ReduceMean", ["real"], "mean", {"axes": [1, 2], "keepdims": 0}),
        ("MatMul", ["mean", "blue"], "feature", {}),
    ]
    blue = {"blue": np.array([[0.0], [0.0], [1.0], [0.0]])}
    canvas = {"canvas": (manifest.input.shape, TensorProto.UINT8)}
    _save_graph(encoder, read, blue, canvas, {"feature": (1, 1)})
    follow = [
        ("Sub", ["one", "state_started"], "fresh", {}),
        *_pose_of("feature", "now"),
        *_relative_to("first", "translation_first_m", "rotation_first"),
        *_relative_to("previous", "inter_translation_m", "inter_rotation"),
        ("Identity", ["scale"], "log_scale", {}),
        ("Identity", ["one"], "next_started", {}),
        ("Identity", ["kept_first"], "next_first", {}),
        ("Identity", ["feature"], "next_previous", {}),
    ]
    tables = {
        "one": np.ones((1, 1)),
        "scale": np.full((1, 2), -5.0),
        "rotations": np.stack([T[:3, :3] for T in poses]),
        "places": np.stack([T[:3, 3:] for T in poses]),
    }
    outputs = {"translation_first_m": (1, 3), "rotation_first": (1, 3, 3), "log_scale": (1, 2)}
    outputs |= {"inter_translation_m": (1, 3), "inter_rotation": (1, 3, 3)}
    outputs |= {f"next_{name}": (1, 1) for name in ("started", "first", "previous")}
    inputs = {name: (shape, TensorProto.FLOAT) for name, (shape, _) in manifest.inputs.items()}
    _save_graph(step, follow, tables, inputs, outputs)
    complete = replace(manifest, outputs=tuple(outputs))
    return write_bundle(folder, complete, {"model.onnx": step, "encoder.onnx": encoder})


Node = tuple[str, list[str], str, dict[str, Any]]


def _pose_of(number: str, name: str) -> list[Node]:
    """Return nodes that look the pose of a number up: `R_<name>` (1, 3, 3) and `t_<name>` (1, 3, 1)."""
    return [
        ("Round", [number], f"round_{name}", {}),
        ("Cast", [f"round_{name}"], f"int_{name}", {"to": TensorProto.INT64}),
        ("Squeeze", [f"int_{name}", "last"], f"index_{name}", {}),
        ("Gather", ["rotations", f"index_{name}"], f"R_{name}", {"axis": 0}),
        ("Gather", ["places", f"index_{name}"], f"t_{name}", {"axis": 0}),
    ]


def _relative_to(name: str, translation: str, rotation: str) -> list[Node]:
    """Return nodes that express the pose now in that of a state, which the first frame fills itself."""
    return [
        ("Mul", [f"state_{name}", "state_started"], f"old_{name}", {}),
        ("Mul", ["feature", "fresh"], f"new_{name}", {}),
        ("Add", [f"old_{name}", f"new_{name}"], f"kept_{name}", {}),
        *_pose_of(f"kept_{name}", name),
        ("Transpose", [f"R_{name}"], f"inverse_{name}", {"perm": [0, 2, 1]}),
        ("Sub", ["t_now", f"t_{name}"], f"way_{name}", {}),
        ("MatMul", [f"inverse_{name}", f"way_{name}"], f"moved_{name}", {}),
        ("Squeeze", [f"moved_{name}", "last"], translation, {}),
        ("MatMul", [f"inverse_{name}", "R_now"], rotation, {}),
    ]


def _save_graph(
    path: Path,
    nodes: list[Node],
    constants: dict[str, Array],
    inputs: dict[str, tuple[tuple[int, ...], int]],
    outputs: dict[str, tuple[int, ...]],
) -> None:
    graph = helper.make_graph(
        [helper.make_node(kind, takes, [gives], **attributes) for kind, takes, gives, attributes in nodes],
        "sequence",
        [helper.make_tensor_value_info(name, kind, shape) for name, (shape, kind) in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [
            *(numpy_helper.from_array(array.astype(np.float32), name) for name, array in constants.items()),
            numpy_helper.from_array(np.array([-1], np.int64), "last"),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


class TruthEncoder:
    """Reads number and turn off a canvas."""

    name, device, precision, verdict = "truth", "cpu", "fp32", ""

    def __init__(self) -> None:
        self.runs = 0

    def run(self, inputs: Mapping[str, Any]) -> Outputs:
        self.runs += 1
        canvas = np.asarray(inputs["canvas"])[0].astype(int)
        covered = canvas[..., 3] > 0
        number = int(np.median(canvas[..., 2][covered]))
        column = int(np.argmax((canvas[..., 0] - canvas[..., 2]).sum(axis=0)))
        return {"feature": np.array([[number, (column - MARKED) / WIDTH]], np.float32)}

    def close(self) -> None:
        pass


class TruthStep:
    """Knows the pose of each number.

    Args:
        poses: T_world_camera of each.
        drift_m: error along x of the first frame, added each time that the state is fed.
    """

    name, device, precision, verdict = "truth", "cpu", "fp32", ""

    def __init__(self, poses: Sequence[Array], *, drift_m: float = 0.0) -> None:
        self.poses = poses
        self.drift_m = drift_m
        self.wrong_when_turned_m = 0.0
        self.std_m: dict[int, float] = {}
        """Of single numbers, in place of the usual one."""
        self.fail = False
        self.runs = 0

    def run(self, inputs: Mapping[str, Any]) -> Outputs:
        self.runs += 1
        if self.fail:
            raise RuntimeError("planted in step")
        number, turns = (float(value) for value in np.asarray(inputs["feature"])[0])
        started = bool(inputs["state_started"][0, 0] > 0.5)
        first, last = (int(each) for each in inputs["state_previous"][0]) if started else (int(number), int(number))
        fed = float(inputs["state_fed"][0])
        T_world_camera = self.poses[int(number)].copy()
        T_world_camera[:3, :3] = T_world_camera[:3, :3] @ roll_rotation(turns).T
        T_first = se3.inverse(self.poses[first]) @ T_world_camera
        T_first[0, 3] += self.drift_m * fed + (self.wrong_when_turned_m if turns else 0.0)
        T_last = se3.inverse(self.poses[last]) @ T_world_camera
        std_m = self.std_m.get(int(number), STD_M * (1.0 + fed))
        scale = np.log(np.array([std_m, STD_RAD * (1.0 + fed)]) / np.sqrt(2.0))
        return {
            "translation_first_m": T_first[np.newaxis, :3, 3].astype(np.float32),
            "rotation_first": T_first[np.newaxis, :3, :3].astype(np.float32),
            "inter_translation_m": T_last[np.newaxis, :3, 3].astype(np.float32),
            "inter_rotation": T_last[np.newaxis, :3, :3].astype(np.float32),
            "log_scale": scale[np.newaxis].astype(np.float32),
            "next_started": np.ones((1, 1), np.float32),
            "next_previous": np.array([[first, number]], np.float32),
            "next_fed": np.array([fed + 1.0], np.float32),
        }

    def close(self) -> None:
        pass


def truth_localizer(
    poses: Sequence[Array], limits: SequenceLimits | None = None, **changes: Any
) -> tuple[SequenceLocalizer, TruthEncoder, TruthStep]:
    """Return a localizer on the truth networks, and these; `changes` are of the manifest's sequence."""
    encoder, step = TruthEncoder(), TruthStep(poses)
    return SequenceLocalizer(sequence_manifest(**changes), encoder, step, limits), encoder, step


def panorama_pixels(number: int) -> Image:
    """Return the panorama (HEIGHT, WIDTH, 3) of a number."""
    pixels = np.full((HEIGHT, WIDTH, 3), number, np.uint8)
    pixels[:, MARKED, 0] = 255
    return pixels


def panorama(number: int, stamp_ns: int) -> Frame:
    """Return the frame of a number."""
    return Frame(image=panorama_pixels(number), camera=PANORAMA, stamp_ns=stamp_ns)


def drive(count: int, step_m: float = 0.1, turn_rad: float = 0.02) -> list[Array]:
    """Return T_world_camera of a camera that moves along its own z axis and turns right, far from the origin."""
    T_step = se3.from_rotation_translation(rotation.exp([0.0, turn_rad, 0.0]), [0.0, 0.0, step_m])
    poses = [se3.from_rotation_translation(rotation.exp([0.3, -1.1, 0.4]), [4.0, -2.0, 1.0])]
    for _ in range(count - 1):
        poses.append(poses[-1] @ T_step)
    return poses
