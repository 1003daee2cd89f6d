"""Memory of this process."""

from __future__ import annotations

import resource
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_memory_bytes() -> int:
    """Return the most memory that this process ever held.

    `getrusage` would count that of the process which started this one, too: Linux keeps its figure when a program
    replaces another.
    """
    try:
        lines = _STATUS.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    kibibytes = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    return 1024 * (kibibytes[0] if kibibytes else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
