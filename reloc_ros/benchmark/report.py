"""Rows as tables for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from reloc_ros.benchmark.networks import Row
from reloc_ros.errors import ConfigError

_WIDTH = 175
TITLES = {
    "networks": "Networks, one image a call; speed against torch eager of the same network",
    "resolution": "Resolution; speed against torch at the same size",
    "batch": "Batch; speed against torch at the same batch",
    "tuning": "ONNX Runtime; speed against the first line",
}


def tables(rows: Sequence[Row]) -> list[Table]:
    """Return a table for each section."""
    sections = list(dict.fromkeys(row.section for row in rows))
    return [_table(TITLES[name], [row for row in rows if row.section == name]) for name in sections]


def remarks(rows: Sequence[Row]) -> list[str]:
    """Return what the tables have no room for: why something was not measured, and verdicts on poses; each once."""
    reasons: dict[str, list[str]] = {}
    for row in rows:
        if row.figures.problem:
            reasons.setdefault(row.figures.problem, []).append(row.what)
    said = [f"{', '.join(dict.fromkeys(names))}: not measured: {reason}" for reason, names in reasons.items()]
    return said + [f"{row.network}, {row.what}: poses {row.poses}" for row in rows if row.poses]


def show(rows: Sequence[Row]) -> None:
    """Print tables and remarks."""
    console = Console()
    # Wide enough for the tables when the output is a file.
    wide = Console(width=max(console.width, _WIDTH))
    for table in tables(rows):
        wide.print(table)
    for remark in remarks(rows):
        wide.print(remark, highlight=False, markup=False)


def write_json(path: Path, rows: Sequence[Row], machine: Mapping[str, Any], node: Sequence[Mapping[str, Any]]) -> None:
    """Write every figure.

    Args:
        path: file to write.
        rows: of all tables.
        machine: that they were measured on.
        node: figures of the node as a whole.

    Raises:
        ConfigError: the file cannot be written.
    """
    content = {
        "bench": "networks",
        "machine": dict(machine),
        "rows": [row.to_dict() for row in rows],
        "node": list(node),
    }
    # Written after each line that is measured: whoever is interrupted keeps what there was.
    new = path.with_name(f"{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        new.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error}); choose another --report or --json") from error


def _table(title: str, rows: Sequence[Row]) -> Table:
    table = Table(title=title, title_justify="left")
    for name in ("network", "input", "run by"):
        table.add_column(name, no_wrap=True)
    headings = (
        "p50 ms", "noise", "p90", "p99", "images/s", "CPU ms", "MiB", "load s", "first ms", "speed", "pose mm",
    )  # fmt: skip
    for name in headings:
        table.add_column(name, justify="right", no_wrap=True)
    last = ("", "")
    for row in rows:
        figures = row.figures
        if figures.problem:
            continue  # the remarks say why
        table.add_row(
            "" if (row.network, row.size) == last else row.network,
            "" if (row.network, row.size) == last else row.size,
            row.what,
            f"{figures.p50_ms:.2f}",
            f"{figures.spread:.0%}",
            f"{figures.p90_ms:.2f}",
            f"{figures.p99_ms:.2f}",
            f"{figures.images_per_s:.1f}",
            f"{figures.cpu_ms:.1f}",
            f"{figures.memory_bytes / 2**20:.0f}",
            f"{figures.load_s:.1f}",
            f"{1e3 * figures.first_call_s:.0f}",
            "" if np.isnan(row.speed_up) else f"{row.speed_up:.2f}",
            "" if row.pose_median_mm is None else f"{row.pose_median_mm:.2f}",
        )
        last = (row.network, row.size)
    return table
