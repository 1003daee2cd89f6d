"""The processor of this machine."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
# What x86 and ARM call instructions that multiply bytes and add the products in 32 bits.
_BYTE_PRODUCTS = {"avx_vnni", "avx512_vnni", "asimddp"}


@cache
def cpu_name(cpuinfo: Path = _CPUINFO) -> str:
    """Return what the processor calls itself, or its architecture where it says nothing."""
    described = _described(cpuinfo)
    return described.get("model name") or described.get("Model") or platform.processor() or platform.machine()


@cache
def has_byte_products(cpuinfo: Path = _CPUINFO) -> bool:
    """Whether products of bytes are added without overflow; older processors saturate at 16 bits."""
    described = _described(cpuinfo)
    flags = f"{described.get('flags', '')} {described.get('Features', '')}".split()
    return not _BYTE_PRODUCTS.isdisjoint(flags)


def _described(cpuinfo: Path) -> dict[str, str]:
    """Return the first processor's entries; none where the system keeps no such file."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":")[::2] for line in reversed(lines))
    return {name.strip(): value.strip() for name, value in pairs}
