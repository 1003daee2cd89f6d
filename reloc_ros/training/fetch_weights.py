"""Fetching a published checkpoint into a folder, with a record of what came beside it."""

from __future__ import annotations

import json
import urllib.parse
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from reloc_ros.errors import ConfigError, DownloadError
from reloc_ros.training.download import Progress, Received, download, hash_file
from reloc_ros.training.official_weights import CHECKPOINTS, Checkpoint, WeightFile

LOCK = "weights.lock.json"


class Origin(str, Enum):
    """Whose hash a file was held against."""

    TABLE = "the hash in reloc's table"
    TABLE_PREFIX = "the beginning of the hash that torchvision puts into the file's name"
    LOCK = f"the hash recorded in {LOCK} when it was first fetched"
    SERVER = f"the hash that the server itself announces; recorded in {LOCK}, later fetches must agree"
    NOTHING = f"nothing: no hash is published; recorded in {LOCK}, later fetches must agree"


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """One file as it lies in the folder now."""

    path: Path
    size: int
    sha256: str
    origin: Origin
    was_there: bool


class Watcher(Protocol):
    """Told of each file in turn."""

    def starts(self, file: WeightFile) -> Progress:
        """Return what is to be called as the bytes of a file arrive."""

    def ends(self, fetched: Fetched) -> None:
        """Hear that a file is whole."""


def find_checkpoint(name: str) -> Checkpoint:
    """Return the checkpoint of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in CHECKPOINTS:
        raise ConfigError(f"checkpoint {name!r} is unknown; choose one of {', '.join(CHECKPOINTS)}")
    return CHECKPOINTS[name]


def fetch(name: str, folder: Path, watcher: Watcher, mirror: str | None = None) -> list[Fetched]:
    """Fetch what is missing of a checkpoint.

    Args:
        name: key of CHECKPOINTS.
        folder: made when missing.
        watcher: told of each file.
        mirror: address that stands for the scheme and host of the official ones, None for those themselves.

    Raises:
        ConfigError: unknown name, a mirror that is no address, or a record that cannot be read.
        DownloadError: a file cannot be fetched, or is not what was published, also where it lies there already.
    """
    checkpoint = find_checkpoint(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"folder {folder} cannot be made ({error}); give another one with --to") from error
    recorded = _read_lock(folder / LOCK)
    done = []
    for file in checkpoint.files:
        fetched = _fetch_file(file, folder / file.name, recorded.get(file.name), watcher, mirror)
        recorded[file.name] = {"url": file.url, "size": fetched.size, "sha256": fetched.sha256}
        _write_lock(folder / LOCK, recorded)
        watcher.ends(fetched)
        done.append(fetched)
    return done


def _fetch_file(
    file: WeightFile, target: Path, record: dict[str, Any] | None, watcher: Watcher, mirror: str | None
) -> Fetched:
    recorded = None if record is None or record.get("url") != file.url else str(record["sha256"])
    # The record holds all digits of a hash of which the table may know the beginning only.
    wanted = recorded if recorded is not None and recorded.startswith(file.sha256 or "") else file.sha256
    if target.is_file():
        found = hash_file(target)
        if wanted is None or not found.startswith(wanted):
            raise DownloadError(
                f"{target} is there already with SHA-256 {found}, expected {wanted or 'a record of it in ' + LOCK}; "
                "remove it to fetch it again"
            )
        origin = _origin(file, wanted, None)
        return Fetched(path=target, size=target.stat().st_size, sha256=found, origin=origin, was_there=True)
    received: Received = download(
        _at_mirror(file.url, mirror), target, size=file.size, sha256=wanted, progress=watcher.starts(file)
    )
    origin = _origin(file, wanted, received.announced_sha256)
    return Fetched(path=target, size=received.size, sha256=received.sha256, origin=origin, was_there=False)


def _origin(file: WeightFile, wanted: str | None, announced: str | None) -> Origin:
    if file.sha256 is not None and len(file.sha256) == 64:
        return Origin.TABLE
    if wanted is not None and wanted != file.sha256:
        return Origin.LOCK
    if file.sha256 is not None:
        return Origin.TABLE_PREFIX
    return Origin.NOTHING if announced is None else Origin.SERVER


def _at_mirror(url: str, mirror: str | None) -> str:
    if mirror is None:
        return url
    if urllib.parse.urlsplit(mirror).scheme not in {"http", "https"}:
        raise ConfigError(f"mirror {mirror!r} is no http or https address; give one such as https://mirror.example.org")
    return mirror.rstrip("/") + urllib.parse.urlsplit(url).path


def _read_lock(path: Path) -> dict[str, dict[str, Any]]:
    if not path.is_file():
        return {}
    try:
        files = json.loads(path.read_text(encoding="utf-8"))["files"]
        return {
            str(name): {"url": entry["url"], "size": entry["size"], "sha256": entry["sha256"]}
            for name, entry in files.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} cannot be read ({error!r}); remove it to trust what lies there anew") from error


def _write_lock(path: Path, files: dict[str, dict[str, Any]]) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps({"files": files}, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    partial.replace(path)
