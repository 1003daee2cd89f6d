"""TensorRT engines on disk: found only under exactly what they were built from, whole or absent, built once.

An entry is `<digest>.engine` with its side-car `<digest>.json`; the side-car is written last and makes the entry. It
holds the key in clear and the engine's checksum, so that a truncated, foreign or half-written file is a miss.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from reloc_ros.bundle.load import sha256
from reloc_ros.errors import BackendError
from reloc_ros.inference.build_lock import BuildLock, holder_of
from reloc_ros.inference.engine_key import EngineKey

_log = logging.getLogger(__name__)

DEFAULT_LIMIT_BYTES = 4 << 30

PASSED = "passed"
"""What a verdict of parity starts with when an engine may be used."""

_REJECTED_KEPT = 3


@dataclass(frozen=True, kw_only=True)
class Build:
    """What a build cost."""

    seconds: float
    peak_memory_bytes: int


@dataclass(frozen=True, kw_only=True)
class CachedEngine:
    """One entry: the engine's file and what its side-car says.

    Args:
        path: of the engine.
        key: it was built for.
        build: what that cost.
        parity: verdict of each check by name (`graph`, `engine`): `passed: ...`, `failed: ...` or `not run: ...`.
    """

    path: Path
    key: EngineKey
    build: Build
    parity: Mapping[str, str] = field(default_factory=dict)


def default_folder() -> Path:
    """Return where engines live unless told otherwise: below $XDG_CACHE_HOME, else ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reloc_ros" / "engines"


class EngineCache:
    """A folder of engines that several processes may use at once.

    Args:
        folder: made when the first engine is stored.
        limit_bytes: size that engines and rejected files may have together; the least recently used go first.
    """

    def __init__(self, folder: Path | None = None, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        self.folder = (default_folder() if folder is None else folder).expanduser()
        self._limit_bytes = limit_bytes

    def get(self, key: EngineKey) -> CachedEngine | None:
        """Return the engine of a key, or None. A file that is not what its side-car says is moved aside."""
        if not self._sidecar(key).is_file():
            return None
        found = self._read(key)
        if isinstance(found, str):
            self._move_aside(key, found, looking_again=True)
            return None
        with suppress(OSError):  # on a read-only disk the order of use is not kept
            os.utime(self._sidecar(key))
        return found

    def get_or_build(self, key: EngineKey, build: Callable[[Path], Build], wait_s: float = 3600.0) -> CachedEngine:
        """Return the engine of a key, built first where there is none; processes that ask together build once.

        Args:
            key: of the engine.
            build: writes the engine into the file it is given.
            wait_s: how long another process may take to build the same engine.

        Raises:
            BackendError: the build failed, the folder cannot be written, or the other process took too long.
        """
        found = self.get(key)
        if found is not None:
            return found
        with self._lock(key, wait_s):
            return self._read_or_none(key) or self._store(key, build)

    def entries_of(self, files: Mapping[str, str]) -> list[CachedEngine]:
        """Return what the side-cars here say of engines of a bundle, whether or not this machine could use them.

        Args:
            files: sha256 of the bundle's files by name.
        """
        found = []
        for sidecar in sorted(self.folder.glob("*.json")):
            # A side-car that cannot be read or is of another schema belongs to no engine of ours.
            with suppress(OSError, ValueError, KeyError, TypeError, BackendError):
                content = json.loads(sidecar.read_text(encoding="utf-8"))
                if content["key"]["files"] != dict(files):
                    continue
                shapes = {name: tuple(shape) for name, shape in content["key"]["shapes"].items()}
                entry = self.get(EngineKey(**{**content["key"], "shapes": shapes}))
                if entry is not None:
                    found.append(entry)
        return found

    def judge(self, key: EngineKey, verdicts: Mapping[str, str], wait_s: float = 60.0) -> CachedEngine:
        """Write verdicts of parity into the side-car of an engine and return the entry.

        Raises:
            BackendError: there is no such engine, or the folder cannot be written.
        """
        with self._lock(key, wait_s):
            found = self._read_or_none(key)
            if found is None:
                raise BackendError(f"{self._engine(key)} was removed while it was judged; run build-engine again")
            self._write_sidecar(found, {**found.parity, **verdicts})
            return CachedEngine(path=found.path, key=key, build=found.build, parity={**found.parity, **verdicts})

    def reject(self, key: EngineKey, why: str) -> None:
        """Move an entry that its user cannot believe out of the way, so that the next build replaces it."""
        self._move_aside(key, why, looking_again=False)

    def _move_aside(self, key: EngineKey, why: str, *, looking_again: bool) -> None:
        _log.warning("engine %s is not used: %s; it will be built again", self._engine(key), why)
        try:
            # Without waiting: who holds the lock is replacing this very entry.
            with self._lock(key, 0.0):
                if looking_again and self._read_or_none(key) is not None:
                    return  # replaced a moment ago
                aside = self.folder / "rejected"
                aside.mkdir(exist_ok=True)
                self._sidecar(key).unlink(missing_ok=True)
                if self._engine(key).exists():
                    self._engine(key).replace(aside / self._engine(key).name)
                for old in sorted(aside.iterdir(), key=_last_used)[:-_REJECTED_KEPT]:
                    old.unlink(missing_ok=True)
        except (BackendError, OSError) as error:
            _log.warning("it stays where it is: %s", error)

    def _engine(self, key: EngineKey) -> Path:
        return self.folder / f"{key.digest}.engine"

    def _sidecar(self, key: EngineKey) -> Path:
        return self.folder / f"{key.digest}.json"

    def _read_or_none(self, key: EngineKey) -> CachedEngine | None:
        found = self._read(key)
        return None if isinstance(found, str) else found

    def _read(self, key: EngineKey) -> CachedEngine | str:
        """Return the entry of a key, or what is wrong with it."""
        path = self._engine(key)
        try:
            content = json.loads(self._sidecar(key).read_text(encoding="utf-8"))
            if content["key"] != key.plain():
                return "its side-car names another key"
            if path.stat().st_size != content["engine"]["bytes"]:
                return f"it has {path.stat().st_size} bytes, its side-car says {content['engine']['bytes']}"
            if sha256(path) != content["engine"]["sha256"]:
                return "its checksum is not that of its side-car"
            return CachedEngine(path=path, key=key, build=Build(**content["build"]), parity=dict(content["parity"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            return f"it or its side-car cannot be read ({type(error).__name__}: {error})"

    def _store(self, key: EngineKey, build: Callable[[Path], Build]) -> CachedEngine:
        partial = self._engine(key).with_suffix(".partial")
        try:
            partial.unlink(missing_ok=True)
            cost = build(partial)
            _flush(partial)
            # Readers see the old entry, none, or the new one: the side-car goes first and comes last.
            self._sidecar(key).unlink(missing_ok=True)
            partial.replace(self._engine(key))
            entry = CachedEngine(path=self._engine(key), key=key, build=cost)
            self._write_sidecar(entry, {})
        except OSError as error:
            raise self._unwritable(error) from error
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
        with suppress(OSError):  # another process may be tidying up, too
            self._evict(spared=key)
        return entry

    def _write_sidecar(self, entry: CachedEngine, parity: Mapping[str, str]) -> None:
        content = {
            "key": entry.key.plain(),
            "engine": {"bytes": entry.path.stat().st_size, "sha256": sha256(entry.path)},
            "build": asdict(entry.build),
            "parity": dict(parity),
        }
        partial = self._sidecar(entry.key).with_suffix(".json_partial")
        try:
            partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
            _flush(partial)
            partial.replace(self._sidecar(entry.key))
        except OSError as error:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise self._unwritable(error) from error

    def _evict(self, spared: EngineKey) -> None:
        """Remove what killed builds left, then the least recently used until the rest fits."""
        for partial in self.folder.glob("*partial"):
            if holder_of(self._lock_path(partial.name.split(".")[0])) is None:
                partial.unlink(missing_ok=True)
        sizes = {path: path.stat().st_size for path in self.folder.rglob("*.engine")}
        excess = sum(sizes.values()) - self._limit_bytes
        for path in sorted(sizes, key=_last_used):
            if excess <= 0:
                return
            if path == self._engine(spared):
                continue
            _log.info("engine %s is removed: the cache exceeds %d bytes", path, self._limit_bytes)
            path.with_suffix(".json").unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            excess -= sizes[path]
        if excess > 0:
            _log.warning("engine %s alone exceeds the cache's %d bytes", self._engine(spared), self._limit_bytes)

    @contextmanager
    def _lock(self, key: EngineKey, wait_s: float) -> Iterator[None]:
        path = self._lock_path(key.digest)
        with ExitStack() as stack:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                stack.enter_context(BuildLock(path, wait_s))
            except OSError as error:
                raise self._unwritable(error) from error
            yield

    def _lock_path(self, digest: str) -> Path:
        return self.folder / "locks" / f"{digest}.lock"

    def _unwritable(self, error: OSError) -> BackendError:
        return BackendError(
            f"engine cache {self.folder} cannot be written ({error}); free some space, mend its permissions or choose "
            "another folder with --cache; until then the back end onnxruntime serves"
        )


def _last_used(path: Path) -> float:
    sidecar = path.with_suffix(".json")
    with suppress(OSError):
        return (sidecar if sidecar.exists() else path).stat().st_mtime
    return 0.0


def _flush(path: Path) -> None:
    """Have a file on the disk before its name changes, so that a power cut leaves no name of nothing."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
