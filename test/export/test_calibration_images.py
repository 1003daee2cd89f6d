"""Images of the place in a bundle: only by request, whole or refused, and what poses are then compared on."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from fake_bundles import INPUT, with_images, write_truth_bundle
from tiny_spr import exported_model, exported_run, write_run

from reloc_ros.bundle.calibration import CALIBRATION_NAME, read_calibration
from reloc_ros.bundle.load import load_bundle, write_bundle
from reloc_ros.cli.main import EXIT_BAD_SETUP, main
from reloc_ros.errors import BundleError, DatasetError
from reloc_ros.export.engine_parity import poses_of
from reloc_ros.export.gate_images import images_for, images_in
from reloc_ros.inference.backend import create_backend
from reloc_ros.localization.solve.solution import Solution

POSES = [np.eye(4)] * 256
IMAGES = np.arange(3, dtype=np.uint8).reshape(3, 1, 1, 1) * 40 + np.zeros((1, *INPUT.shape[1:]), np.uint8)


@pytest.fixture
def bundle(tmp_path):
    return write_truth_bundle(tmp_path / "bundle", POSES)


def write_world(folder, number, frames=6):
    """Frames of 64x32 px in one grey each, 0.3 m apart; a second one at each place, which is no keyframe."""
    (folder / "frames").mkdir(parents=True)
    lines = []
    for index in range(2 * frames):
        grey = 100 * number + 5 * index
        cv2.imwrite(str(folder / "frames" / f"{index:06d}.png"), np.full((32, 64, 3), grey, np.uint8))
        lines.append(f"{0.1 * index} {0.3 * (index // 2)} 0 0 0 0 0 1")
    (folder / "poses.txt").write_text("\n".join(lines) + "\n")
    notes = {"model": "equirectangular", "width": 64, "height": 32, "world": f"world {number}"}
    (folder / "camera.json").write_text(json.dumps(notes))


def test_a_bundle_of_a_sequence_gets_keyframes_of_a_held_out_world_in_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for number in (0, 1):
        write_world(tmp_path / "worlds" / f"w{number}", number)
    run = write_run(tmp_path / "run", exported_model())
    command = ["export", str(run), "--out", "bundle", "--calibration-images", "4"]
    assert main(command) == 0
    assert "now holds 4 images of the place" in capsys.readouterr().out
    bundle = load_bundle("bundle")
    images = read_calibration(bundle)
    assert images.shape == (4, 32, 64, 4)
    # World 0 is the held-out one.
    assert images[:, 16, 32].tolist() == [[0, 0, 0, 255], [10, 10, 10, 255], [20, 20, 20, 255], [30, 30, 30, 255]]
    assert list(read_calibration(bundle.encoder())[3, 0, 0]) == [30, 30, 30, 255]
    # The run itself stays as it was, but for what is painted once.
    assert sorted(path.suffix for path in run.iterdir()) == [".npy", ".pt"]
    shown = images_for(bundle.encoder())
    poses = poses_of(create_backend("onnxruntime", bundle.encoder(), 1), bundle.encoder(), shown.images)
    assert all(isinstance(pose, Solution) for pose in poses)


def test_without_the_data_there_are_no_canvases(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = write_run(tmp_path / "run", exported_model())
    assert main(["export", str(run), "--out", "bundle", "--calibration-images", "4"]) == EXIT_BAD_SETUP
    assert "worlds" in capsys.readouterr().err
    assert not (tmp_path / "bundle").exists()
    assert read_calibration(exported_run()[0]) is None


def test_they_read_back_and_inspect_tells_of_them(bundle, capsys):
    assert read_calibration(bundle) is None
    main(["inspect", str(bundle.path)])
    assert "none of the place" in capsys.readouterr().out
    np.testing.assert_array_equal(read_calibration(with_images(bundle, IMAGES)), IMAGES)
    assert main(["inspect", str(bundle.path)]) == 0
    said = capsys.readouterr().out
    assert "3 images of the place" in said
    assert CALIBRATION_NAME in said


def test_images_that_somebody_changed_are_refused(bundle):
    path = with_images(bundle, IMAGES).path / CALIBRATION_NAME
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"calibration\.npz .* was changed: sha256"):
        load_bundle(bundle.path)
    path.unlink()
    with pytest.raises(BundleError, match=r"calibration\.npz is listed in the manifest but cannot be read"):
        load_bundle(bundle.path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (IMAGES[:, :-1], r"shape \(3, 47, 64, 3\), expected uint8 images of \(48, 64, 3\)"),
        (IMAGES.astype(np.float32), "holds float32"),
        (IMAGES[:0], r"shape \(0, 48"),
        (np.array([None]), "holds no array 'images'"),
        (b"PK", "holds no array 'images'"),
    ],
)
def test_what_is_no_image_of_the_networks_size_is_refused(content, said, bundle, tmp_path):
    foreign = tmp_path / "foreign.npz"
    if isinstance(content, bytes):
        foreign.write_bytes(content)
    else:
        np.savez(foreign, images=content)
    written = write_bundle(bundle.path, bundle.manifest, {"model.onnx": bundle.model_path, CALIBRATION_NAME: foreign})
    with pytest.raises(BundleError, match=said):
        read_calibration(written)


def test_images_that_are_given_come_first_then_the_bundles_own_then_synthetic_ones(bundle, tmp_path):
    assert images_for(bundle).origin == "synthetic images"
    full = with_images(bundle, IMAGES)
    own = images_for(full)
    assert own.origin == "images of the bundle"
    np.testing.assert_array_equal(own.images, IMAGES)
    cv2.imwrite(str(tmp_path / "a.png"), np.full((48, 64, 3), 9, np.uint8))
    given = images_for(full, tmp_path)
    assert (given.origin, len(given.images), given.images[0].max()) == ("images given", 1, 9)
    with pytest.raises(DatasetError, match="holds no image"):
        images_for(full, tmp_path / "none")


def test_frames_of_the_place_are_fitted_to_the_network(tmp_path, bundle):
    wide = np.zeros((60, 160, 3), np.uint8)
    wide[:, 40:120] = (10, 20, 30)  # BGR; the centre that the crop keeps
    cv2.imwrite(str(tmp_path / "a.png"), wide)
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    (image,) = images_in(tmp_path, bundle.manifest).images
    assert image.shape == INPUT.shape[1:]
    assert (image == (30, 20, 10)).all()
    with pytest.raises(DatasetError, match="holds no image"):
        images_in(tmp_path / "none", bundle.manifest)
