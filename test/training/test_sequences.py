"""Training on sequences: what is shown and what is said of it must agree, whatever was done to either."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.transform import Rotation

from reloc_ros.cameras.canvas import Canvas
from reloc_ros.cameras.equirectangular import EquirectangularCamera
from reloc_ros.cli.main import main
from reloc_ros.errors import ConfigError, TrainingError
from reloc_ros.export.bundle_run import export_run
from reloc_ros.networks.frame_encoder import FrameConfig
from reloc_ros.training.checkpoint import load_trained
from reloc_ros.training.config import MotionEncoderConfig, SprMambaTrainConfig, config_from_dict
from reloc_ros.training.distributed import World
from reloc_ros.training.motion_encoder import load_motion_encoder
from reloc_ros.training.motion_pairs import pair_batch
from reloc_ros.training.sequence_config import SequencesConfig
from reloc_ros.training.sequence_features import VIEWS
from reloc_ros.training.sequence_material import SequenceMaterial, keyframes, read_sequences
from reloc_ros.training.train import train
from reloc_ros.training.walks import Walks

WORLD = World(rank=0, size=1, device=torch.device("cpu"))
CAMERA = EquirectangularCamera(128, 64)
FRAME = {"rows": 2, "columns": 8, "channels": 4, "summary": 4}
PAIR = {"shifts": 2, "column": 4, "hidden": 8, "embedding": 8}
SMALL = {"frame": FRAME, "max_minutes": 1.0, "validate_every_minutes": 1.0}


def colour_of(rays: np.ndarray) -> np.ndarray:
    """A smooth picture of the sphere without any symmetry."""
    waves = np.stack([rays @ (0.9, 0.3, -0.2), rays @ (-0.4, 0.8, 0.5), rays @ (0.3, -0.6, 0.7)], axis=-1)
    return np.round(127.5 + 120.0 * np.sin(1.5 * waves + (0.1, 0.5, 0.9))).astype(np.uint8)


def rays_of(width: int, height: int) -> np.ndarray:
    u, v = np.meshgrid(np.arange(width, dtype=float), np.arange(height, dtype=float))
    return EquirectangularCamera(width, height).rays(np.stack([u.ravel(), v.ravel()], axis=1))


def yawed(yaw_deg: float, position: tuple[float, float, float]) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3] = Rotation.from_euler("y", yaw_deg, degrees=True).as_matrix()
    T[:3, 3] = position
    return T


def write_sequence(folder: Path, world: str, height_m: float, poses: list[np.ndarray]) -> None:
    """Frames of a world that is all far away, so that they show turns alone."""
    (folder / "frames").mkdir(parents=True)
    lines = []
    for index, T in enumerate(poses):
        image = colour_of(rays_of(128, 64) @ T[:3, :3].T).reshape(64, 128, 3)
        cv2.imwrite(str(folder / "frames" / f"{index:06d}.png"), image[..., ::-1])
        lines.append(" ".join(map(str, (index * 0.1, *T[:3, 3], *Rotation.from_matrix(T[:3, :3]).as_quat()))))
    (folder / "poses.txt").write_text("\n".join(lines) + "\n")
    notes = {"model": "equirectangular", "width": 128, "height": 64, "world": world, "height_above_floor_m": height_m}
    (folder / "camera.json").write_text(json.dumps(notes))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two heights in each of four worlds; ways of 2.4 m that turn by 11.25 degrees, a column of 32, at each frame."""
    folder = tmp_path_factory.mktemp("sequences")
    for number in range(4):
        for height_m in (0.1, 1.7):
            poses = [yawed(11.25 * (k + number), (0.2 * k, -height_m, 0.05 * k * number)) for k in range(13)]
            write_sequence(folder / f"w{number}_h{round(100 * height_m)}", f"world {number}", height_m, poses)
    return f"panorama_sequences:{folder}"


def material_of(data: str, out: Path, config: MotionEncoderConfig | SprMambaTrainConfig) -> SequenceMaterial:
    return read_sequences([data], out, config, config.sequences, Canvas(128, 64), WORLD)


def test_a_world_is_seen_or_held_out_at_every_height(data: str, tmp_path: Path) -> None:
    material = material_of(data, tmp_path, MotionEncoderConfig())
    assert {sequence.world for sequence in material.val} == {"world 0"}
    assert {sequence.world for sequence in material.train} == {"world 1", "world 2", "world 3"}
    assert sorted(sequence.height_m for sequence in material.val) == [0.1, 1.7]
    assert material.count == {"train": 78, "val": 26}
    assert material.provenance["heights_m"] == [0.1, 1.7]
    one = material.val[0]
    assert_allclose(one.T_first_camera[0], np.eye(4), atol=1e-12)
    shown = material.canvases[one.first + 3]
    T_world_camera = yawed(11.25 * 3, (0.0, 0.0, 0.0))
    assert_allclose(
        shown[..., :3].astype(int), colour_of(rays_of(128, 64) @ T_world_camera[:3, :3].T).reshape(64, 128, 3), atol=1
    )


def test_more_worlds_leave_those_that_were_there_on_their_side(data: str, tmp_path: Path) -> None:
    folder = Path(data.partition(":")[2])
    for name in ("w0_h10", "w1_h10", "w3_h10"):
        (tmp_path / "some").mkdir(exist_ok=True)
        (tmp_path / "some" / name).symlink_to(folder / name)
    some = material_of(f"panorama_sequences:{tmp_path / 'some'}", tmp_path, MotionEncoderConfig())
    assert {sequence.world for sequence in some.val} == {"world 0"}


def test_one_height_can_be_chosen(data: str, tmp_path: Path) -> None:
    config = MotionEncoderConfig(sequences=SequencesConfig(height_m=1.7))
    material = material_of(data, tmp_path, config)
    assert {sequence.height_m for sequence in (*material.train, *material.val)} == {1.7}
    with pytest.raises(TrainingError, match=r"0\.5 m, there are \[0\.1, 1\.7\]"):
        material_of(data, tmp_path, MotionEncoderConfig(sequences=SequencesConfig(height_m=0.5)))


def test_one_world_cannot_be_split(data: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="1 world"):
        material_of(f"{data}/w1_h10", tmp_path, MotionEncoderConfig())


def test_keyframes_moved_or_turned_enough() -> None:
    poses = np.stack([yawed(0.0, (0.1 * k, 0.0, 0.0)) for k in range(8)])
    assert keyframes(poses, 0.25, 1.0) == [0, 3, 6]
    assert keyframes(poses, 0.25, 1.0, start=1, most=2) == [1, 4]
    turning = np.stack([yawed(10.0 * k, (0.0, 0.0, 0.0)) for k in range(6)])
    assert keyframes(turning, 1.0, np.radians(15.0)) == [0, 2, 4]


@pytest.mark.parametrize("seed", range(4))
def test_pairs_say_how_what_they_show_moved(data: str, tmp_path: Path, seed: int) -> None:
    config = replace(MotionEncoderConfig(), batch_size=8, pairs=replace(MotionEncoderConfig().pairs, group=4))
    material = material_of(data, tmp_path, config)
    batch = pair_batch(material, config, np.random.default_rng(seed))
    rays = rays_of(128, 64)
    checked = 0
    for before, after, R_before_after in zip(batch.before, batch.after, batch.rotation.double().numpy()):
        assert before // 4 == after // 4
        one, other = batch.canvases[before].numpy(), batch.canvases[after].numpy()
        pixels, _ = CAMERA.project(rays @ R_before_after.T)
        u, v = (pixels.T.astype(np.float32)).reshape(2, 64, 128)
        looked_up = cv2.remap(one, u, v, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
        both = (looked_up[..., 3] == 255) & (other[..., 3] == 255)
        if both.sum() > 100:
            assert np.abs(looked_up[both][:, :3].astype(int) - other[both][:, :3]).mean() < 6.0
            checked += 1
    assert checked >= 4
    assert float(batch.translation.norm(dim=-1).max()) <= config.pairs.distance_m


def test_pairs_of_a_step_are_always_the_same(data: str, tmp_path: Path) -> None:
    config = MotionEncoderConfig()
    material = material_of(data, tmp_path, config)
    one, other = (pair_batch(material, config, np.random.default_rng((0, 7, 0))) for _ in range(2))
    for name, value in vars(one).items():
        assert torch.equal(value, getattr(other, name))


@pytest.mark.parametrize("seed", range(3))
def test_ways_say_how_what_they_show_moved(data: str, tmp_path: Path, seed: int) -> None:
    # Features that are the colours of 32 columns: turns by whole columns are exact.
    frame = FrameConfig(rows=1, columns=32, channels=3, summary=2)
    config = config_from_dict(
        "spr_mamba", {"batch_size": 6, "sequences": {"narrow": 0.0}, "walks": {"first_frames": 2, "look_around": 0.5}}
    )
    assert isinstance(config, SprMambaTrainConfig)
    material = material_of(data, tmp_path, config)
    rays = rays_of(32, 1)
    features = np.zeros((len(material.canvases), len(VIEWS), frame.size), np.float16)
    for sequence in (*material.train, *material.val):
        for index, T in enumerate(sequence.T_first_camera):
            colours = colour_of(rays @ T[:3, :3].T)
            features[sequence.first + index, 0, :96] = colours.ravel()
            features[sequence.first + index, 1, :96] = colours[::-1].ravel()
    batch = Walks(material, features, frame, config).batch(np.random.default_rng(seed))
    cells = frame.cells(batch.features)[:, :, 0]
    for way, mask, rotations in zip(cells, batch.mask, batch.rotation.double().numpy()):
        length = int(mask.sum())
        assert 1 <= length <= 13
        for index in range(1, length):
            columns = (
                np.round(EquirectangularCamera(32, 1).project(rays @ rotations[index].T)[0][:, 0]).astype(int) % 32
            )
            assert_array_equal(way[0][columns], way[index])
    assert torch.all(batch.features[~batch.mask] == 0)


def test_the_road_from_sequences_to_a_report(data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    motion = config_from_dict(
        "motion_encoder",
        {
            **SMALL,
            "encoder": {"kind": "panorama_conv_tiny"},
            "input": {"width": 128, "height": 64},
            "pair": PAIR,
            "batch_size": 8,
            "pairs": {"group": 4},
            "max_steps": 2,
        },
    )
    train([data], tmp_path / "motion", motion, WORLD)
    other = replace(motion, initial=str(tmp_path / "motion"), frame=FrameConfig())
    with pytest.raises(ConfigError, match="make them agree"):
        train([data], tmp_path / "other", other, WORLD)
    network, _ = load_motion_encoder(tmp_path / "motion")
    encoder = {"kind": "panorama_conv_tiny", "weights": str(tmp_path / "motion"), "frozen": True}
    plain = {
        **SMALL,
        "encoder": encoder,
        "network": {"hidden": 8, "pair": PAIR, "mamba": {"d_model": 8, "layers": 1, "d_state": 4}},
        "walks": {"frames": 8, "first_frames": 2},
        "batch_size": 2,
        "max_steps": 2,
    }
    with pytest.raises(ConfigError, match="make them agree"):
        train([data], tmp_path / "other", config_from_dict("spr_mamba", {**plain, "frame": {"rows": 1}}), WORLD)
    with pytest.raises(ConfigError, match="motion_encoder"):
        train([data], tmp_path / "other", config_from_dict("spr_mamba", {**plain, "encoder": {}}), WORLD)
    train([data], tmp_path / "spr", config_from_dict("spr_mamba", plain), WORLD)
    trained, content = load_trained(tmp_path / "spr", "spr_mamba")
    # The frame encoder is that of the run it was given, and stays so.
    for name, value in network.encoder.state_dict().items():
        assert torch.equal(value, trained.encoder.state_dict()[name])
    assert content["serving"]["sequence"]["trained_frames"] == 8
    bundle, parity = export_run(tmp_path / "spr", tmp_path / "bundle")
    assert parity.translation_m < 1e-3
    # What a bundle tells of is its data, not the machine that made it.
    for name in ("encoder.onnx", "model.onnx"):
        assert b".py" not in (tmp_path / "bundle" / name).read_bytes()
    assert bundle.manifest.sequence.heights_m == (0.1, 1.7)
    assert bundle.manifest.scenes[0].map_frame == "spr_origin"
    # Going on is going on: a longer run from the same folder starts where the last one stopped.
    longer = config_from_dict("spr_mamba", plain)
    train([data], tmp_path / "spr", longer, WORLD)
    assert load_trained(tmp_path / "spr", "spr_mamba")[1]["step"] == content["step"]
    report = tmp_path / "report"
    asked = ["evaluate", str(tmp_path / "bundle"), "--data", data, "--fov-deg", "360", "90", "--report", str(report)]
    assert main(asked) == 0
    figures = json.loads((report / "report.json").read_text())
    assert figures["methods"] == ["bundle", "chained", "standing still"]
    assert (figures["sequences"], figures["frames"]) == (8, 96)
    still = figures["fields_of_view"][1]["all_heights"]["methods"]["standing still"]
    assert still["median_rotation_error_deg"] == pytest.approx(11.25 * 6.5, abs=11.25)
    assert "90 deg of view" in capsys.readouterr().out
