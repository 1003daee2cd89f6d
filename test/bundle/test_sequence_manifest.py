"""What manifests and bundles say of sequences: two graphs, the state between frames, and old bundles that know of neither."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml
from fake_bundles import make_manifest, write_truth_bundle

from reloc_ros.bundle.load import Bundle, load_bundle, write_bundle
from reloc_ros.bundle.manifest import InputSpec, Manifest, SequenceSpec, StateSpec
from reloc_ros.bundle.manifest_file import read_manifest, write_manifest
from reloc_ros.errors import BundleError

if TYPE_CHECKING:
    from pathlib import Path

SEQUENCE = SequenceSpec(
    feature=40,
    state=(StateSpec(name="started", shape=(1, 1)), StateSpec(name="ssm_0", shape=(1, 12, 16))),
    state_version=3,
    keyframe_translation_m=0.3,
    keyframe_rotation_rad=0.2,
    trained_distance_m=20.0,
    trained_frames=64,
    heights_m=(0.1, 0.5, 1.7),
)
CANVAS = InputSpec(name="canvas", width=64, height=32, channels="rgba")


def sequence_manifest(**changes: Any) -> Manifest:
    return make_manifest(**{"output_kind": "sequence", "input": CANVAS, "sequence": SEQUENCE, **changes})


def write_sequence_bundle(folder: Path) -> Bundle:
    graph = folder / "graph"
    graph.write_bytes(b"weights")
    return write_bundle(folder / "bundle", sequence_manifest(), {"model.onnx": graph, "encoder.onnx": graph})


def test_what_is_written_reads_back_equal(tmp_path: Path) -> None:
    write_manifest(sequence_manifest(), tmp_path / "manifest.yaml")
    assert read_manifest(tmp_path / "manifest.yaml") == sequence_manifest()


def test_a_bundle_from_before_there_were_sequences_is_one_of_single_images(tmp_path: Path) -> None:
    path = tmp_path / "manifest.yaml"
    write_manifest(make_manifest(), path)
    plain = yaml.safe_load(path.read_text())
    del plain["sequence"]
    path.write_text(yaml.safe_dump(plain))
    assert read_manifest(path) == make_manifest()


def test_the_step_takes_the_feature_and_the_state(tmp_path: Path) -> None:
    bundle = write_sequence_bundle(tmp_path)
    assert bundle.model_path.name == "model.onnx"
    assert bundle.manifest.inputs == {
        "feature": ((1, 40), "float32"),
        "state_started": ((1, 1), "float32"),
        "state_ssm_0": ((1, 12, 16), "float32"),
    }


def test_the_encoder_takes_the_canvas_and_gives_the_feature(tmp_path: Path) -> None:
    encoder = write_sequence_bundle(tmp_path).encoder()
    assert encoder.model_path.name == "encoder.onnx"
    assert encoder.manifest.inputs == {"canvas": ((1, 32, 64, 4), "uint8")}
    assert encoder.manifest.outputs == ("feature",)


def test_a_bundle_of_single_images_has_no_encoder(tmp_path: Path) -> None:
    bundle = write_truth_bundle(tmp_path / "bundle", [np.eye(4)])
    with pytest.raises(BundleError, match="give a sequence bundle"):
        bundle.encoder()


def test_both_graphs_must_be_there(tmp_path: Path) -> None:
    bundle = write_sequence_bundle(tmp_path)
    with pytest.raises(BundleError, match=r"needs encoder\.onnx and model\.onnx"):
        write_bundle(tmp_path / "other", sequence_manifest(), {"model.onnx": bundle.model_path})
    write_manifest(
        replace(bundle.manifest, files={"model.onnx": bundle.manifest.files["model.onnx"]}),
        bundle.path / "manifest.yaml",
    )
    with pytest.raises(BundleError, match=r"does not list encoder\.onnx"):
        load_bundle(bundle.path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"feature": 0}, "feature is 0"),
        ({"state": ()}, "state is empty"),
        ({"state": SEQUENCE.state[:1] * 2}, "'started'.* occurs 2 times"),
        ({"state_version": 0}, "state_version is 0"),
        ({"keyframe_rotation_rad": -0.1}, "keyframe_rotation_rad is -0.1"),
        ({"trained_distance_m": 0.0}, "trained_distance_m is 0.0"),
        ({"heights_m": (0.5, -1.0)}, "heights_m"),
    ],
)
def test_nonsense_is_refused_by_name(change: dict[str, Any], message: str) -> None:
    with pytest.raises(BundleError, match=message):
        replace(SEQUENCE, **change)


@pytest.mark.parametrize("shape", [(), (2, 3), (1, 0)])
def test_a_state_has_a_batch_of_one(shape: tuple[int, ...]) -> None:
    with pytest.raises(BundleError, match="state x has shape"):
        StateSpec(name="x", shape=shape)


@pytest.mark.parametrize("change", [{"sequence": None}, {"output_kind": "points"}])
def test_output_kind_and_sequence_belong_together(change: dict[str, Any]) -> None:
    with pytest.raises(BundleError, match="output_kind is"):
        sequence_manifest(**change)
