"""The commands that stand in the documentation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path


def fenced(page: Path) -> Iterator[str]:
    """Yield the command lines in a page's fenced blocks, those with a trailing backslash joined, comments cut."""
    for block in re.findall(r"^ *```\w*\n(.*?)^ *```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            for command in re.split(r"&&", line.split("  #")[0]):
                if command.strip() and not command.lstrip().startswith("#"):
                    yield " ".join(command.split())
