"""`manifest.yaml` on disk.

Read strictly: an unknown key, a missing key, a value of the wrong type or out of range, and a schema newer than this
program are errors.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from reloc_ros.bundle.manifest import SCHEMA_VERSION, Manifest
from reloc_ros.bundle.strict import read_dataclass, to_plain
from reloc_ros.errors import BundleError


def read_manifest(path: Path) -> Manifest:
    """Return the manifest in a YAML file.

    Raises:
        BundleError: the file cannot be read, is no YAML, or breaks the schema; the message names the file.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{path} cannot be read ({error}); copy the bundle again or `reloc export` it") from error
    # PyYAML lets through what Python says of impossible dates and of too many digits or brackets.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BundleError(f"{path} is no valid YAML ({error}); copy the bundle again or `reloc export` it") from error
    try:
        _check_schema_version(data)
        _add_what_is_new(data)
        return read_dataclass(Manifest, data, "manifest")
    # Python refuses to print numbers of thousands of digits.
    except (BundleError, ValueError) as error:
        raise BundleError(f"{path}: {error}") from error


def write_manifest(manifest: Manifest, path: Path) -> None:
    """Write a manifest as YAML that `read_manifest` reads back equal.

    Raises:
        BundleError: `training` or `metrics` hold something that is not plain text, numbers, lists and dicts.
    """
    try:
        # In ASCII: of the characters beyond it YAML reads some, such as U+0085, as ends of lines.
        text = yaml.safe_dump(to_plain(manifest), sort_keys=False)
    except yaml.YAMLError as error:
        raise BundleError(
            f"manifest holds a value that is not plain: {error}; convert it to float, int or str"
        ) from error
    path.write_text(text, encoding="utf-8")


def _check_schema_version(data: object) -> None:
    version = data.get("schema_version") if isinstance(data, dict) else None
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise BundleError(f"schema_version is {version!r}, expected an integer from 1 to {SCHEMA_VERSION}")
    if version > SCHEMA_VERSION:
        raise BundleError(
            f"schema_version is {version}, this program reads up to {SCHEMA_VERSION}; update reloc_ros on this machine"
        )


def _add_what_is_new(data: dict[str, Any]) -> None:
    """Complete bundles of before today's schema, which knew no sequences and recorded neither devices nor contrast."""
    data.setdefault("sequence", None)
    data.setdefault("devices", {})
    scenes = data.get("scenes")
    gates = [scene.get("gate") for scene in scenes if isinstance(scene, dict)] if isinstance(scenes, list) else []
    for part in (data.get("input"), *gates):
        if isinstance(part, dict):
            part.setdefault("min_contrast", 0.0)
