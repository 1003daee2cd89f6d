"""The same frames off-line and through the node over DDS give the same poses.

A data set on disk is converted to a bag and played at 10 Hz into a node in its own process. The network knows an answer
for each grey value; it has none for one of them, and it is not the truth of the data set, so neither can stand in for
the other.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy")

from fake_bundles import CAMERA, COLUMNS, INPUT, OUTPUTS, ROWS, make_manifest, write_lookup_model

from reloc_ros.bundle.load import load_bundle, write_bundle
from reloc_ros.cameras.camera import ray_grid
from reloc_ros.cli.main import main
from reloc_ros.datasets.bag_writer import EPOCH_NS
from reloc_ros.datasets.posed_images import read_dataset
from reloc_ros.evaluation.replay import replay
from reloc_ros.geometry import rotation, se3
from reloc_ros.inference.backend import create_backend
from reloc_ros.localization.localizer import Localizer
from reloc_ros.node.lifecycle_client import LifecycleClient, NodeProcess
from reloc_ros.node.recorder import Recorder, Recording
from reloc_ros.node.session import spinning_node
from reloc_ros.types import Array, Estimate, Rejected

FRAMES, RATE_HZ, BLIND = 15, 10.0, 6
SPACING_NS = 100_000_000
PARAMETERS = {
    "threads": 1,
    "tf_mode": "off",
    "trust": "single",
    "diagnostics_rate_hz": 10.0,
    # The queue of a best-effort subscriber is not what is tested here.
    "image_reliability": "reliable",
}


def answer(number: int) -> dict[str, Array]:
    """Return what the network has for grey value `number`: a cloud that is noisy, so that the covariance matters."""
    rng = np.random.default_rng(number)
    rays_camera = ray_grid(CAMERA.resized(INPUT.width, INPUT.height), ROWS, COLUMNS)
    range_m = rng.uniform(1.0, 4.0, ROWS * COLUMNS)
    R_map_camera = rotation.exp(0.37 * number * np.array([0.3, -0.5, 0.8]))
    T_map_camera = se3.from_rotation_translation(R_map_camera, np.array([0.21, -0.1, 0.05]) * number)
    points_map = se3.transform_points(T_map_camera, rays_camera * range_m[:, np.newaxis])
    points_map += rng.normal(0.0, 0.01 + 0.001 * number, points_map.shape)
    weights = rng.uniform(0.5, 1.0, ROWS * COLUMNS)
    if number == BLIND:
        points_map[:] = np.nan
    return {"points_map": points_map, "range_m": range_m, "weights": weights}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parity")
    answers = [answer(number) for number in range(FRAMES)]
    write_lookup_model(folder / "model.onnx", {name: np.stack([each[name] for each in answers]) for name in OUTPUTS})
    return write_bundle(folder / "bundle", make_manifest(), {"model.onnx": folder / "model.onnx"}).path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Frame k is plain grey k; all were taken at one place."""
    folder = tmp_path_factory.mktemp("parity") / "drive"
    (folder / "frames").mkdir(parents=True)
    for number in range(FRAMES):
        image = np.full((CAMERA.height, CAMERA.width, 3), number, np.uint8)
        assert cv2.imwrite(str(folder / "frames" / f"{number:06d}.png"), image)
    lines = [f"{number / RATE_HZ:.1f} 4 3 2 0 0 0 1" for number in range(FRAMES)]
    (folder / "poses.txt").write_text("\n".join(lines), encoding="utf-8")
    (folder / "camera.json").write_text(json.dumps(CAMERA.to_dict()), encoding="utf-8")
    return f"panorama_sequences:{folder}"


@pytest.fixture(scope="module")
def offline(bundle: Path, data: str) -> dict[int, Estimate]:
    """Estimates by stamp in the bag, as `reloc evaluate` makes them from the files."""
    opened = load_bundle(bundle)
    backend = create_backend("onnxruntime", opened, PARAMETERS["threads"])
    results = replay(Localizer(opened.manifest, backend), read_dataset(data).images)
    backend.close()
    assert [index for index, result in enumerate(results) if isinstance(result.localization, Rejected)] == [BLIND]
    return {
        EPOCH_NS + index * SPACING_NS: result.localization
        for index, result in enumerate(results)
        if isinstance(result.localization, Estimate)
    }


@pytest.fixture(scope="module")
def recording(bundle: Path, data: str, ros_domain_id: int, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """What the node says about the bag at 10 Hz, once it has dealt with every frame."""
    bag = tmp_path_factory.mktemp("parity") / "bag"
    assert main(["dataset", "convert", "--data", data, "--out", str(bag)]) == 0
    remaps = {"image": "/camera/image", "camera_info": "/camera/camera_info"}
    parameters = {**PARAMETERS, "bundle": str(bundle)}
    with spinning_node("listener") as node, NodeProcess(parameters, remaps=remaps) as process:
        recorder = Recorder(node)
        LifecycleClient(node, process=process).bring_up()
        recorder.wait(
            lambda: recorder.publisher_count > 0 and recorder.latest_diagnostics.get("model") == "ready", timeout_s=30.0
        )
        waiting = ["--wait-for-subscribers", "/camera/image", "/camera/camera_info"]
        assert main(["play", str(bag), *waiting]) == 0
        recorder.wait(
            lambda: (
                int(recorder.latest_diagnostics["frames_accepted"]) == FRAMES - 1 and recorder.pose_count == FRAMES - 1
            ),
            timeout_s=10.0,
        )
        return recorder.recording()


def test_every_frame_arrives_and_is_accounted_for(recording: Recording) -> None:
    counts = recording.diagnostics[-1]
    assert int(counts["frames_in"]) == FRAMES
    assert (int(counts["frames_dropped"]), int(counts["frames_repeated"])) == (0, 0)
    assert int(counts["frames_rejected"]) == 1
    assert 0.0 < float(counts["latency_p50_ms"]) <= float(counts["latency_p99_ms"])


def test_stamps_are_those_of_the_images_that_localize(recording: Recording, offline: dict[int, Estimate]) -> None:
    assert recording.stamps_ns.tolist() == list(offline)
    assert set(recording.map_frames) == {"map"}


def test_poses_and_covariances_are_the_off_line_ones(recording: Recording, offline: dict[int, Estimate]) -> None:
    estimates = [offline[stamp_ns] for stamp_ns in recording.stamps_ns.tolist()]
    expected = np.stack([estimate.T_map_camera for estimate in estimates])
    np.testing.assert_allclose(recording.T_map_camera[:, :3, 3], expected[:, :3, 3], rtol=0, atol=1e-6)
    assert np.max(rotation.angle_between_rad(recording.T_map_camera[:, :3, :3], expected[:, :3, :3])) < 1e-6
    covariances = np.stack([estimate.covariance for estimate in estimates])
    np.testing.assert_allclose(recording.covariances, covariances, rtol=1e-6, atol=0)


def test_the_frames_differ_enough_for_a_mistake_to_show(offline: dict[int, Estimate]) -> None:
    positions = np.array([estimate.T_map_camera[:3, 3] for estimate in offline.values()])
    assert np.min(np.linalg.norm(np.diff(positions, axis=0), axis=1)) > 0.1
    stds_m = [np.sqrt(np.trace(estimate.covariance[:3, :3])) for estimate in offline.values()]
    assert np.min(stds_m) > 1e-4
    assert np.min(np.diff(np.sort(stds_m))) > 1e-6
