"""What a process uses, read from /proc (proc(5))."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Usage:
    """At one moment.

    Args:
        memory_mib: resident set.
        cpu_s: CPU time used so far.
        waited_s: time its threads were ready to run and had no CPU, as far as they still live.
        threads: number of them.
        files: open file descriptors.
    """

    memory_mib: float
    cpu_s: float
    waited_s: float
    threads: int
    files: int


def usage(pid: int) -> Usage:
    """Return what a process uses now.

    Raises:
        FileNotFoundError: it has ended.
    """
    folder = Path(f"/proc/{pid}")
    resident_pages = int((folder / "statm").read_text(encoding="utf-8").split()[1])
    # Behind the name, which may hold spaces: fields 14 and 15 are user and system time, 20 is the number of threads.
    fields = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return Usage(
        memory_mib=resident_pages * os.sysconf("SC_PAGE_SIZE") / _MIB,
        cpu_s=(int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
        waited_s=1e-9 * sum(_waited_ns(task) for task in (folder / "task").iterdir()),
        threads=int(fields[17]),
        files=len(list((folder / "fd").iterdir())),
    )


def _waited_ns(task: Path) -> int:
    try:
        return int((task / "schedstat").read_text(encoding="utf-8").split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0  # the thread has just ended
