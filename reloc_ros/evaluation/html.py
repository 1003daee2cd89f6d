"""Pieces of reports that are one HTML file: pictures inside, nothing loaded from anywhere, the verdict first."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

_STYLE = """
body{font:16px/1.45 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222}
.verdict{padding:1.2em 1.5em;border-radius:8px;color:#fff;margin-bottom:1em}
.verdict h1{font-size:2.3em;line-height:1.15;margin:0 0 .3em}.verdict p{font-size:1.15em;margin:.2em 0}
.good{background:#00704f}.some{background:#9a6200}.bad{background:#a51d1d}
table{border-collapse:collapse;margin:.6em 0}td,th{padding:.3em .8em;border-bottom:1px solid #ddd;text-align:left}
td.number{text-align:right}.met{color:#00704f}.missed{color:#a51d1d;font-weight:bold}
img{max-width:100%;border:1px solid #ddd}figcaption{color:#555}figure{margin:1em 0}code{background:#f3f3f3}
"""
_NO_BOUND = 0.99


def write_page(path: Path, title: str, parts: Sequence[str]) -> None:
    """Write parts of HTML as one page."""
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )
    path.write_text(page, encoding="utf-8")


def section(heading: str, body: str) -> str:
    """Return a section; the body is HTML, the heading is not."""
    return f"<h2>{escape(heading)}</h2>{body}"


def verdict_banner(verdict: Mapping[str, Any], figures: Mapping[str, Any]) -> str:
    """Return what a person sees first: what the model may be used for, and why not for the rest.

    Args:
        verdict: content of `verdict.json`.
        figures: content of `report.json`; an infinite figure is None or infinite.
    """
    uses, possible = verdict["uses"], [use["name"] for use in verdict["limits"]]
    colour = "bad" if not uses else "good" if set(uses) == set(possible) else "some"
    # Reasons stand below in smaller letters: seven of them are no headline.
    headline, _, reasons = verdict["headline"].partition(", because ")
    lines = [f"Because {reasons}."] if reasons else []
    for use in possible:
        missed = [f"{c['figure']} is {c['value']}, must be {c['limit']}" for c in verdict["checks"]
                  if c["use"] == use and not c["met"]]  # fmt: skip
        if missed and uses:
            lines.append(f"Not for {use}: {'; '.join(missed)}.")
    lines.append(
        f"On {verdict['frames']} {verdict['judged_on']}{_off_path(figures)}: {_typical(verdict, figures)}; {verdict['poses']} poses, "
        f"{verdict['false_fixes']} of them false{_surely_below(verdict)}."
    )
    if verdict["only_position"]:
        lines.append("Orientations were not judged: the reference does not know them.")
    body = "".join(f"<p>{escape(line)}</p>" for line in lines)
    return f'<div class="verdict {colour}"><h1>{escape(capital(headline))}</h1>{body}</div>'


def verdict_table(verdict: Mapping[str, Any]) -> str:
    """Return every limit beside what was found."""
    rows = [
        (
            escape(check["use"]),
            escape(check["figure"]),
            escape(check["value"]),
            escape(check["limit"]),
            '<span class="met">met</span>' if check["met"] else '<span class="missed">missed</span>',
        )
        for check in verdict["checks"]
    ]
    return table(rows, ("for", "figure", "found", "needed", ""))


def picture(path: Path, heading: str, note: str) -> str:
    """Return a PNG file as part of the page."""
    encoded = base64.b64encode(path.read_bytes()).decode()
    return (
        f'<figure><img alt="{escape(heading)}" src="data:image/png;base64,{encoded}">'
        f"<figcaption>{escape(note)}</figcaption></figure>"
    )


def table(rows: Sequence[Sequence[str]], header: Sequence[str] = ()) -> str:
    """Return a table; cells are HTML."""
    head = "<tr>" + "".join(f"<th>{name}</th>" for name in header) + "</tr>" if header else ""
    return f"<table>{head}{''.join('<tr>' + ''.join(f'<td>{c}</td>' for c in row) + '</tr>' for row in rows)}</table>"


def capital(text: str) -> str:
    """Return the text with its first letter large."""
    return text[:1].upper() + text[1:]


def length(metres: float) -> str:
    """Return a length as people say it."""
    return f"{100 * metres:.1f} cm" if metres < 1 else f"{metres:.2f} m"


def _length(value: float, figures: Mapping[str, Any]) -> str:
    return length(value) if figures["metric"] else f"{value:.3g} scene units"


def _surely_below(verdict: Mapping[str, Any]) -> str:
    below = verdict["false_fix_rate_below"]
    return f" (95 % sure: below {100 * below:.1f} %)" if below < _NO_BOUND else ""


def _off_path(figures: Mapping[str, Any]) -> str:
    """Return how far from what was learned the figures reach: of what lies beyond they say nothing."""
    bins = figures["by_condition"].get("distance_from_mapping_m")
    if not bins:
        return ""
    return f", up to {_length(bins[-1]['to'], figures)} from the nearest learned camera position"


def _typical(verdict: Mapping[str, Any], figures: Mapping[str, Any]) -> str:
    median, turn = figures["median_translation_error_m"], figures["median_rotation_error_deg"]
    if median is None or median == float("inf"):
        return "most frames have no pose"
    return f"median error {_length(median, figures)}" + ("" if verdict["only_position"] else f" / {turn:.1f} deg")
