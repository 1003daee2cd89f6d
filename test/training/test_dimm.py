"""DIMM learns, with its encoder and behind a frozen one; the features it learns from are computed once."""

from __future__ import annotations

import json
import logging
import math

import box_room
import numpy as np
import onnx
import pytest
import torch
from tiny_training import ALONE, DIMM, ENCODER

from reloc_ros.errors import TrainingError
from reloc_ros.export.bundle_run import export_run
from reloc_ros.inference.backend import create_backend
from reloc_ros.localization.localizer import Localizer
from reloc_ros.training import checkpoint, feature_store
from reloc_ros.training.config import config_from_dict
from reloc_ros.training.train import train
from reloc_ros.types import Estimate, Frame


def _errors(run):
    return json.loads((run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1])["validation"]


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    return f"room={box_room.write_sequence(folder, box_room.pinhole(), box_room.trajectory(48))}"


@pytest.fixture(scope="module")
def encoder(room, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "encoder"
    train([room], out, config_from_dict("encoder", {**ENCODER, "epochs": 20}), ALONE)
    return out


def _frozen(encoder, **changes):
    chosen = {"kind": "patch_transformer_tiny", "frozen": True, "weights": str(encoder)}
    return config_from_dict("dimm", {**DIMM, "encoder": chosen, **changes})


@pytest.fixture(scope="module")
def run(room, encoder, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "dimm"
    train([room], out, _frozen(encoder, epochs=60), ALONE)
    return out


def test_pre_training_finds_points_and_rays(encoder):
    error = _errors(encoder)
    # Knowing nothing, directions are some 20 degrees off.
    assert error["points_deg"] < 10
    assert error["directions_deg"] < 10
    assert set(error["scenes"]) == {"room"}


def test_rays_of_a_frozen_encoder_localize(run):
    error = _errors(run)
    # Knowing nothing, the best guess is the middle of the loop, 0.5 m and 20 degrees away.
    assert error["median_translation_error_m"] < 0.4
    assert error["median_rotation_error_deg"] < 15


def test_the_frozen_encoder_stays_as_it_was(run, encoder):
    before = checkpoint.load(encoder / checkpoint.BEST)["encoder_weights"]
    network, _ = checkpoint.load_trained(run, "dimm")
    for name, value in network.encoder.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_shuffled_patches_localize_too(room, encoder, tmp_path):
    head = {**DIMM["head"], "geometric_token": False}
    train([room], tmp_path / "run", _frozen(encoder, head=head, epochs=50), ALONE)
    error = _errors(tmp_path / "run")
    assert error["median_translation_error_m"] < 0.4
    assert error["median_rotation_error_deg"] < 15


def test_panoramas_train_through_their_rays(tmp_path):
    data = box_room.write_sequence(tmp_path / "data", box_room.panorama(), box_room.trajectory(24))
    config = config_from_dict("dimm", {**DIMM, "input": {"width": 128, "height": 64}, "epochs": 10})
    train([data], tmp_path / "run", config, ALONE)
    _, content = checkpoint.load_trained(tmp_path / "run")
    assert content["serving"]["assumption"]["model"] == "equirectangular"
    assert (content["serving"]["solve"]["rows"], content["serving"]["solve"]["columns"]) == (4, 8)
    # Rolled views look every way: knowing nothing, directions are some 90 degrees off, a length of 1.4.
    line = json.loads((tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8"))
    assert line["losses"]["direction"] < 1.2


def test_the_encoder_learns_too_when_it_is_not_frozen(room, tmp_path):
    train([room], tmp_path / "run", config_from_dict("dimm", {**DIMM, "epochs": 12}), ALONE)
    content = json.loads((tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    assert content["losses"]["direction"] < 0.6
    assert not (tmp_path / "run" / "features").exists()


def test_features_are_computed_once_and_a_torn_build_goes_on(room, encoder, tmp_path, monkeypatch):
    monkeypatch.setattr(feature_store, "_BATCH", 4)
    shared = {"features": {"views": 2, "folder": str(tmp_path / "features")}, "epochs": 1}
    shots = []
    view = feature_store._view

    def torn(images, place, *args):
        shots.append(place)
        if len(shots) == 65:
            raise KeyboardInterrupt
        return view(images, place, *args)

    monkeypatch.setattr(feature_store, "_view", torn)
    with pytest.raises(KeyboardInterrupt):
        train([room], tmp_path / "first", _frozen(encoder, **shared), ALONE)
    train([room], tmp_path / "first", _frozen(encoder, **shared), ALONE)
    # 64 views were flushed; the 65th came again, once for each build, and none of the others.
    assert sorted(shots) == sorted([*range(66), 64])
    (folder,) = (tmp_path / "features").iterdir()
    patches = np.load(folder / "patches.npy")
    assert patches.shape[:2] == (66, 16)
    assert np.abs(patches).max(axis=(1, 2)).min() > 0
    train([room], tmp_path / "second", _frozen(encoder, **shared), ALONE)
    assert len(shots) == 67
    train([room], tmp_path / "other", _frozen(encoder, **shared, seed=1), ALONE)
    assert len(list((tmp_path / "features").iterdir())) == 2


def test_the_size_of_the_features_is_told_first(room, encoder, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    train([room], tmp_path / "run", _frozen(encoder, features={"views": 3}, epochs=1), ALONE)
    assert "features: 33 images x 3 views, 0 MB in" in caplog.text


def test_batches_depend_on_the_step_alone(room, encoder, tmp_path):
    config = _frozen(encoder, epochs=1)
    train([room], tmp_path / "run", config, ALONE)
    network, _ = checkpoint.load_trained(tmp_path / "run", "dimm")
    from reloc_ros.training.material import read_material

    images = read_material([room], tmp_path / "run", config, ALONE, step_px=16, one_map=True).scenes[0].train
    store = feature_store.open_features(network.encoder, images, (4, 4), config, tmp_path / "run", ALONE)
    batches = feature_store.patch_batches(store, config, first_step=0, rank=0, world=1)
    per_epoch = [next(batches) for _ in range(len(store) * 16 // 512)]
    later = next(feature_store.patch_batches(store, config, first_step=3, rank=0, world=1))
    assert torch.equal(later.rays, per_epoch[3].rays)
    seen = torch.cat([batch.patches[:, 0] for batch in per_epoch])
    # Every patch once: no two batches of an epoch share one.
    assert len(torch.unique(seen, dim=0)) > 0.98 * len(seen)
    halves = [next(feature_store.patch_batches(store, config, first_step=0, rank=r, world=2)) for r in (0, 1)]
    assert [len(half.rays) for half in halves] == [512, 512]
    assert not torch.equal(halves[0].rays, halves[1].rays)


def test_a_bundle_localizes_and_holds_no_image(room, run, tmp_path):
    bundle, parity = export_run(run, tmp_path / "bundle")
    assert parity.translation_m < 1e-4
    manifest = bundle.manifest
    assert (manifest.method, manifest.output_kind) == ("dimm", "rays")
    assert manifest.rays is not None
    assert manifest.rays.shape == (1, 16, 3)
    assert sorted(path.name for path in bundle.path.iterdir()) == ["manifest.yaml", "model.onnx"]
    # All of the file is weights: no array in the graph is one more than the network's own, or of an image's size.
    network, _ = checkpoint.load_trained(run, "dimm")
    weights = sum(value.numel() for value in network.state_dict().values())
    held = sum(math.prod(array.dims) for array in onnx.load(bundle.model_path).graph.initializer)
    assert held < weights + 64 * 64
    raw = bundle.model_path.read_bytes()
    images = np.load(run / "train.npy")
    assert not any(image[row].tobytes() in raw for image in images for row in (10, 32, 50))
    localizer = Localizer(manifest, create_backend("onnxruntime", bundle))
    camera, errors = box_room.pinhole(), []
    for T_map_camera in box_room.trajectory(48)[::6]:
        result = localizer.localize(Frame(image=box_room.render(camera, T_map_camera), camera=camera))
        if isinstance(result, Estimate):
            assert result.cell_weights is not None
            assert result.cell_weights.shape == (4, 4)
            errors.append(np.linalg.norm(result.T_map_camera[:3, 3] - T_map_camera[:3, 3]))
    assert len(errors) >= 2
    assert np.median(errors) < 0.4


def test_a_run_of_another_method_is_no_start(run, room, tmp_path):
    config = config_from_dict("implicit_geometry", {"initial": str(run), "epochs": 1})
    with pytest.raises(TrainingError, match="holds a run of dimm; give one of implicit_geometry"):
        train([room], tmp_path / "run", config, ALONE)
