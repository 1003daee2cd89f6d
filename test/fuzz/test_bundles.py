"""Thousands of malformed bundles: each is read as it was written or refused with an error of the family."""

from __future__ import annotations

import shutil
from collections import Counter
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from fake_bundles import make_manifest, write_truth_bundle
from numpy.random import Generator

from reloc_ros.bundle.load import load_bundle, write_bundle
from reloc_ros.bundle.manifest import Manifest
from reloc_ros.bundle.manifest_file import read_manifest
from reloc_ros.errors import BundleError, RelocError
from reloc_ros.inference.backend import create_backend

POSES = [np.diag([1.0, -1.0, -1.0, 1.0])]
STRANGE: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    10**400,
    16**5000,
    1e308,
    -0.0,
    "",
    "..",
    "/",
    "\0",
    [],
    [[]],
    {},
    {1: 2},
)
TOKENS = (
    b"&a",
    b"*a",
    b"!!python/object:os.system",
    b"[" * 3000,
    b"{",
    b"0x" + b"f" * 6000,
    b"9" * 5000,
    b"2001-99-99",
)
TOKENS += (
    b"\t",
    b"---\n",
    b": ",
    b"- ",
    b"\xff",
    b"\0",
    b"~",
    b".nan",
    b".inf",
    b"1e999",
    b"<<: *a",
    b"? ",
    b"!!binary x",
)


def place_in(rng: Generator, plain: Any) -> tuple[Any, Any]:
    """Return some container in plain data and a key of it."""
    while True:
        keys = list(plain) if isinstance(plain, dict) else list(range(len(plain)))
        key = keys[rng.integers(len(keys))]
        inner = plain[key]
        if not isinstance(inner, (dict, list)) or not inner or rng.random() < 0.3:
            return plain, key
        plain = inner


def outcome(path: Path) -> str:
    try:
        manifest = read_manifest(path)
    except BundleError as error:
        return "refused" if str(path) in str(error) else "refused without its name"
    assert isinstance(manifest, Manifest)
    return "read"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_truth_bundle(tmp_path / "bundle", POSES).path


def test_manifests_with_changed_bytes(bundle: Path) -> None:
    path = bundle / "manifest.yaml"
    whole, rng, outcomes = path.read_bytes(), np.random.default_rng(21), Counter[str]()
    for _ in range(1000):
        text = bytearray(whole)
        for place in rng.integers(0, len(whole), rng.integers(1, 4)):
            way = rng.integers(4)
            if way == 0:
                text[place : place + 1] = rng.bytes(1)
            elif way == 1:
                text[place:place] = TOKENS[rng.integers(len(TOKENS))]
            elif way == 2:
                del text[place : place + rng.integers(1, 30)]
            else:
                text = text[: max(1, place)] + text[place // 2 :]
        path.write_bytes(text)
        outcomes[outcome(path)] += 1
    assert outcomes["refused"] > 500
    assert set(outcomes) <= {"read", "refused"}
    path.write_bytes(whole)
    assert outcome(path) == "read"


def test_manifests_with_changed_values(bundle: Path) -> None:
    path = bundle / "manifest.yaml"
    whole, rng, outcomes = path.read_text(), np.random.default_rng(22), Counter[str]()
    written = yaml.safe_load(whole)
    for _ in range(500):
        plain = deepcopy(written)
        container, key = place_in(rng, plain)
        if rng.random() < 0.2:
            del container[key]
        else:
            container[key] = STRANGE[rng.integers(len(STRANGE))]
        try:
            path.write_text(yaml.safe_dump(plain))
        except ValueError:
            path.write_text(whole.replace("1", "0x" + "f" * 5000, 1))
        outcomes[outcome(path)] += 1
    assert outcomes["refused"] > 200
    assert outcomes["read"] > 10
    assert set(outcomes) == {"read", "refused"}


def test_bundles_with_files_changed_missing_or_replaced(bundle: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(23)
    for number in range(150):
        copy = tmp_path / f"copy{number}"
        shutil.copytree(bundle, copy)
        victim = copy / ("model.onnx" if rng.random() < 0.7 else "manifest.yaml")
        data = bytearray(victim.read_bytes())
        way = rng.integers(4)
        if way == 0:
            victim.unlink()
        elif way == 1:
            victim.write_bytes(data[: rng.integers(len(data))])
        elif way == 2:
            victim.unlink()
            victim.mkdir()
        else:
            data[rng.integers(len(data))] ^= 0x80
            victim.write_bytes(data)
        with pytest.raises(BundleError):
            load_bundle(copy)


@pytest.mark.parametrize("path", ["", "\0", "~nobody_has_this_name/x", "x" * 5000, "/dev/null", "/proc/self/mem"])
def test_paths_that_are_no_bundle(path: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BundleError):
        load_bundle(path)


def test_networks_that_are_damaged_behind_a_right_checksum(bundle: Path, tmp_path: Path) -> None:
    whole, rng, outcomes = (bundle / "model.onnx").read_bytes(), np.random.default_rng(24), Counter[str]()
    damaged = tmp_path / "damaged.onnx"
    for number in range(150):
        data = bytearray(whole)
        for place in rng.integers(0, min(len(data), 400), rng.integers(1, 4)):
            data[place] = rng.integers(256)
        damaged.write_bytes(data[: rng.integers(len(data))] if number % 3 == 0 else data)
        written = write_bundle(tmp_path / "damaged", make_manifest(), {"model.onnx": damaged})
        try:
            create_backend("onnxruntime", written, 1).close()
        except RelocError:
            outcomes["refused"] += 1
            continue
        outcomes["loaded"] += 1
    assert outcomes["refused"] > 50
