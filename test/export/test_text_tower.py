"""The text tower of a bundle reads sentences as CLIP does, and lets the robot take a hint by its meaning."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from engine_compiler import compiles
from fake_bundles import write_truth_bundle
from tiny_clip import write_clip

from reloc_ros.bundle.load import write_bundle
from reloc_ros.errors import BackendError
from reloc_ros.export.text_tower import export_text_tower
from reloc_ros.inference.text_tower import TEXT_MODEL, TextTower, has_text_tower
from reloc_ros.networks.text import ClipText

SENTENCES = ("sink", "a stove between two doors", "x" * 75)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    write_clip(folder)
    return folder


@pytest.fixture(scope="module")
def bundle(clip, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle")
    plain = write_truth_bundle(folder / "plain", [np.eye(4)])
    files = {"model.onnx": plain.model_path, **export_text_tower(clip, folder)}
    return write_bundle(folder / "bundle", dataclasses.replace(plain.manifest, files={}), files)


def test_the_tower_of_a_bundle_reads_as_clip_does(clip, bundle):
    tower, reference = TextTower(bundle), ClipText(clip).eval()
    for sentence in SENTENCES:
        assert tower.count_tokens(sentence) == reference.count_tokens(sentence)
        with torch.inference_mode():
            expected = reference.pooled([sentence])[0].numpy()
        np.testing.assert_allclose(tower.embed(sentence), expected, atol=1e-5)
    assert not np.allclose(tower.embed("sink"), tower.embed("stove"), atol=1e-2)


def test_a_sentence_beyond_the_limit_is_refused(bundle):
    with pytest.raises(BackendError, match="78 tokens, the limit is 77"):
        TextTower(bundle).embed("x" * 76)


def test_a_bundle_without_a_tower_says_so(bundle, tmp_path):
    assert has_text_tower(bundle)
    assert not has_text_tower(write_truth_bundle(tmp_path / "plain", [np.eye(4)]))


def test_a_broken_tower_is_an_error_with_a_remedy(bundle, tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(BackendError, match="export it again"):
        TextTower(dataclasses.replace(bundle, path=tmp_path))


def test_tensorrt_compiles_the_tower(bundle):
    assert compiles(bundle.path / TEXT_MODEL)
