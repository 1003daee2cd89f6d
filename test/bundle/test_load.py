"""Bundles on disk: what is damaged is refused by name, what is written is whole."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
from fake_bundles import make_manifest, write_truth_bundle

from reloc_ros.bundle.load import Bundle, load_bundle, write_bundle
from reloc_ros.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_truth_bundle(tmp_path / "bundle", [np.eye(4)])


def truncate(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def flip_one_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_a_written_bundle_loads_equal(bundle: Bundle) -> None:
    loaded = load_bundle(str(bundle.path))
    assert loaded == bundle
    assert loaded.manifest.files == {"model.onnx": hashlib.sha256(loaded.model_path.read_bytes()).hexdigest()}


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        ("model.onnx", truncate, "truncated or was changed"),
        ("model.onnx", flip_one_bit, "truncated or was changed"),
        ("model.onnx", lambda path: path.write_bytes(b""), "0 bytes"),
        ("model.onnx", lambda path: path.unlink(), "cannot be read"),
        ("manifest.yaml", lambda path: path.unlink(), "has no manifest.yaml"),
        ("manifest.yaml", truncate, "manifest.yaml"),
        ("manifest.yaml", lambda path: path.write_bytes(b""), "schema_version is None"),
    ],
)
def test_a_damaged_bundle_is_refused(bundle: Bundle, file: str, damage: Callable[[Path], None], message: str) -> None:
    damage(bundle.path / file)
    with pytest.raises(BundleError) as caught:
        load_bundle(bundle.path)
    assert message in str(caught.value)
    assert str(bundle.path) in str(caught.value)


def test_a_path_that_is_no_bundle_is_refused(tmp_path: Path, bundle: Bundle) -> None:
    for path in (tmp_path / "nowhere", bundle.model_path):
        with pytest.raises(BundleError, match="is not a folder"):
            load_bundle(path)


def test_a_manifest_that_does_not_list_the_network_is_refused(bundle: Bundle) -> None:
    manifest_path = bundle.path / "manifest.yaml"
    manifest_path.write_text(manifest_path.read_text().split("files:")[0] + "files: {}\n")
    with pytest.raises(BundleError, match=r"does not list model\.onnx"):
        load_bundle(bundle.path)


def test_writing_replaces_a_bundle_and_leaves_nothing_beside_it(tmp_path: Path, bundle: Bundle) -> None:
    before = sorted(tmp_path.iterdir())
    extra = tmp_path / "bundle.onnx"
    replaced = write_bundle(bundle.path, make_manifest(method="second"), {"model.onnx": extra, "more.bin": extra})
    assert load_bundle(bundle.path) == replaced
    assert replaced.manifest.method == "second"
    assert sorted(path.name for path in bundle.path.iterdir()) == ["manifest.yaml", "model.onnx", "more.bin"]
    assert sorted(tmp_path.iterdir()) == before


def test_a_failed_write_keeps_the_old_bundle(tmp_path: Path, bundle: Bundle) -> None:
    before = sorted(tmp_path.iterdir())
    with pytest.raises(BundleError, match=r"gone\.onnx"):
        write_bundle(bundle.path, make_manifest(), {"model.onnx": tmp_path / "gone.onnx"})
    with pytest.raises(BundleError, match="not plain"):
        write_bundle(bundle.path, make_manifest(training={"x": object()}), {"model.onnx": bundle.model_path})
    with pytest.raises(BundleError, match=r"needs model\.onnx"):
        write_bundle(bundle.path, make_manifest(), {})
    assert load_bundle(bundle.path) == bundle
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_with_other_things_is_not_replaced(tmp_path: Path, bundle: Bundle) -> None:
    precious = tmp_path / "thesis"
    precious.mkdir()
    (precious / "chapter1.tex").write_text("words")
    with pytest.raises(BundleError, match="is no bundle"):
        write_bundle(precious, make_manifest(), {"model.onnx": bundle.model_path})
    assert (precious / "chapter1.tex").read_text() == "words"
