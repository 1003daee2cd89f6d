"""A lock between processes that names its holder and falls with it."""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from reloc_ros.errors import BackendError

_log = logging.getLogger(__name__)

_POLL_S = 0.05


class BuildLock:
    """A context that one process at a time is in.

    The kernel holds the lock for the open file: it ends with its process however that ends, so no lock is ever stale.
    The file itself stays; removing it would let two processes lock two files of one name.

    Args:
        path: of the lock file; its folder exists.
        wait_s: how long to wait for another process.
    """

    def __init__(self, path: Path, wait_s: float) -> None:
        self._path = path
        self._wait_s = wait_s
        self._descriptor = -1

    def __enter__(self) -> BuildLock:
        """Take the lock.

        Raises:
            OSError: the lock file cannot be written.
            BackendError: another process, which the message names, keeps the lock for too long.
        """
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        deadline = time.monotonic() + self._wait_s
        announced = False
        while not _taken(self._descriptor):
            if not announced and self._wait_s > 0:
                _log.info("%s is held by %s; waiting", self._path, holder_of(self._path))
                announced = True
            if time.monotonic() >= deadline:
                os.close(self._descriptor)
                raise BackendError(
                    f"{self._path} is held by {holder_of(self._path) or 'a process that just ended'}, waited "
                    f"{self._wait_s:g} s; wait for it or end it"
                )
            time.sleep(_POLL_S)
        self._name_holder(f"process {os.getpid()} on {socket.gethostname()}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._name_holder("")
        os.close(self._descriptor)

    def _name_holder(self, name: str) -> None:
        with suppress(OSError):  # on a full disk the lock is held without a name
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, name.encode(), 0)


def holder_of(path: Path) -> str | None:
    """Return who holds a lock now, or None where nobody does."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return None
    try:
        if _taken(descriptor):
            return None
        return os.pread(descriptor, 1000, 0).decode(errors="replace") or "an unnamed process"
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    """Whether the lock could be taken; it falls when the file is closed."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
