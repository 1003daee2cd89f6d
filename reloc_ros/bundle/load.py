"""Bundles on disk: verified when read, whole or absent when written."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from reloc_ros.bundle.manifest import (
    ENCODER_NAME,
    MANIFEST_NAME,
    MODEL_NAME,
    DeviceSpec,
    Manifest,
    encoder_manifest,
)
from reloc_ros.bundle.manifest_file import read_manifest, write_manifest
from reloc_ros.errors import BundleError


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A verified bundle: its folder and what its manifest says.

    Args:
        path: folder.
        manifest: of the graph.
        model: file name of the graph that back ends run.
    """

    path: Path
    manifest: Manifest
    model: str = MODEL_NAME

    @property
    def model_path(self) -> Path:
        """The ONNX graph."""
        return self.path / self.model

    def encoder(self) -> Bundle:
        """Return a sequence bundle as back ends see it that run its encoder.

        Raises:
            BundleError: the bundle is none of a sequence.
        """
        if self.manifest.sequence is None:
            raise BundleError(f"{self.path} localizes single images and has no {ENCODER_NAME}; give a sequence bundle")
        return replace(self, manifest=encoder_manifest(self.manifest), model=ENCODER_NAME)


def load_bundle(path: str | Path) -> Bundle:
    """Return the bundle in a folder after checking every file against its checksum.

    Raises:
        BundleError: folder, manifest or a listed file is missing, truncated or changed, or the schema is not ours.
    """
    try:
        folder = Path(path).expanduser()
        is_folder = folder.is_dir()
    except (OSError, RuntimeError) as error:  # a name too long, a user that does not exist
        raise BundleError(
            f"bundle {path} is not a folder ({error}); give the folder that `reloc export` wrote"
        ) from error
    if not is_folder:
        raise BundleError(f"bundle {folder} is not a folder; give the folder that `reloc export` wrote")
    manifest_path = folder / MANIFEST_NAME
    if not manifest_path.is_file():
        raise BundleError(f"bundle {folder} has no {MANIFEST_NAME}; give the folder that `reloc export` wrote")
    manifest = read_manifest(manifest_path)
    for name in _graphs(manifest):
        if name not in manifest.files:
            raise BundleError(
                f"{manifest_path}: files does not list {name}; write the bundle again with `reloc export`"
            )
    for name, expected in manifest.files.items():
        _verify(folder / name, expected)
    return Bundle(path=folder, manifest=manifest)


def write_bundle(path: str | Path, manifest: Manifest, files: Mapping[str, Path]) -> Bundle:
    """Write a bundle folder at once: readers see the old one, none or the whole new one.

    Args:
        path: folder to write; an existing bundle there is replaced.
        manifest: without checksums; they are computed here.
        files: source of each file by its name in the bundle; must hold `model.onnx`, for sequences also `encoder.onnx`.

    Raises:
        BundleError: the path holds something that is no bundle, or a source is missing.
    """
    folder = Path(path).expanduser().absolute()
    if folder.exists() and not _may_be_replaced(folder):
        raise BundleError(f"{folder} exists and is no bundle; choose another --out or remove it")
    if not _graphs(manifest) <= files.keys():
        raise BundleError(f"a bundle needs {' and '.join(sorted(_graphs(manifest)))}, given are {sorted(files)}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as scratch:
        new = Path(scratch) / "new"
        new.mkdir()
        for name, source in files.items():
            try:
                shutil.copyfile(source, new / name)
            except OSError as error:
                raise BundleError(f"{source} cannot be copied into the bundle ({error})") from error
        checksums = {name: sha256(new / name) for name in files}
        complete = replace(manifest, files=checksums)
        write_manifest(complete, new / MANIFEST_NAME)
        if folder.exists():
            folder.rename(Path(scratch) / "old")
        new.rename(folder)
    return load_bundle(folder)


def record_device(bundle: Bundle, device: str, spec: DeviceSpec) -> Bundle:
    """Write into a bundle's manifest which arithmetic its graph should have on a kind of device; return it reread.

    Raises:
        BundleError: the manifest cannot be written; the bundle stays as it was.
    """
    path = bundle.path / MANIFEST_NAME
    # Read again: what a back end sees of a sequence's encoder is not what stands in the file.
    manifest = read_manifest(path)
    devices = {**manifest.devices, device: {**manifest.devices.get(device, {}), bundle.model: spec}}
    new = path.with_suffix(".new")
    try:
        write_manifest(replace(manifest, devices=devices), new)
        new.replace(path)
    except OSError as error:
        raise BundleError(
            f"{path} cannot be written ({error}); the engine cache keeps the verdict all the same"
        ) from error
    return replace(bundle, manifest=replace(bundle.manifest, devices=devices))


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _graphs(manifest: Manifest) -> set[str]:
    return {MODEL_NAME} if manifest.sequence is None else {MODEL_NAME, ENCODER_NAME}


def _verify(path: Path, expected: str) -> None:
    try:
        found = sha256(path)
    except OSError as error:
        raise BundleError(
            f"{path} is listed in the manifest but cannot be read ({error}); copy the bundle again"
        ) from error
    if found != expected:
        raise BundleError(
            f"{path} ({path.stat().st_size} bytes) is truncated or was changed: sha256 is {found}, "
            f"the manifest says {expected}; copy the bundle again or `reloc export` it"
        )


def _may_be_replaced(folder: Path) -> bool:
    return folder.is_dir() and ((folder / MANIFEST_NAME).is_file() or not any(folder.iterdir()))
