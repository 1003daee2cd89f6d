"""One HTML file about a map: the verdict first, pictures inside, nothing loaded from anywhere."""

from __future__ import annotations

import base64
import json
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
_PICTURES = (
    (
        "off_path.png",
        "Errors against the distance from the mapping path",
        "What a robot sees that leaves the path: each point is a held-out frame. Beyond the right edge nobody knows.",
    ),
    ("trajectory.png", "Held-out frames from above", "Each estimate joined to where the reference says it was."),
    (
        "errors.png",
        "Errors of every held-out frame",
        "The curves on the right never reach 100 % where frames are rejected.",
    ),
    ("frames.png", "Best, middle, worst and rejected frames", "Brighter cells are what the pose rests on."),
    ("reliability.png", "Do covariances tell the truth?", "Below the diagonal: too sure. Above: too careful."),
)


def write_html(
    path: Path, *, title: str, verdict: Mapping[str, Any], evaluation: Path, coverage: Path,
    selected: Mapping[str, Any], facts: Sequence[tuple[str, str]], steps: Sequence[str],
) -> None:  # fmt: skip
    """Write the report.

    Args:
        path: of the HTML file.
        title: what was mapped.
        verdict: content of `verdict.json`.
        evaluation: folder that `validate` wrote.
        coverage: picture of the drive.
        selected: result of the stage `select`.
        facts: names and values of what was done.
        steps: what to do next.
    """
    figures = json.loads((evaluation / "report.json").read_text(encoding="utf-8"))
    parts = [
        _verdict(verdict, figures),
        "<h2>Next steps</h2><ol>" + "".join(f"<li>{escape(step)}</li>" for step in steps) + "</ol>",
        "<h2>The verdict in figures</h2>" + _checks(verdict),
        "<h2>Coverage</h2>" + _picture(coverage, "What the drive covered", "Arrows: where the camera looked."),
        *(
            f"<h2>{escape(heading)}</h2>{_picture(evaluation / name, heading, note)}"
            for name, heading, note in _PICTURES
            if (evaluation / name).exists()
        ),
        "<h2>What was dropped and why</h2>" + _dropped(selected),
        "<h2>How it was made</h2>" + _table([(escape(name), escape(value)) for name, value in facts]),
    ]
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )
    path.write_text(page, encoding="utf-8")


def _verdict(verdict: Mapping[str, Any], figures: Mapping[str, Any]) -> str:
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
    median, turn = figures["median_translation_error_m"], figures["median_rotation_error_deg"]
    typical = "most frames have no pose" if median is None else f"median error {_length(median)}"
    if median is not None and not verdict["only_position"]:
        typical += f" / {turn:.1f} deg"
    lines.append(
        f"On {verdict['frames']} held-out frames: {typical}; {verdict['poses']} poses, {verdict['false_fixes']} of them "
        f"false (95 % sure: below {100 * verdict['false_fix_rate_below']:.1f} %)."
    )
    if verdict["only_position"]:
        lines.append("Orientations were not judged: the reference does not know them.")
    body = "".join(f"<p>{escape(line)}</p>" for line in lines)
    return f'<div class="verdict {colour}"><h1>{escape(_capital(headline))}</h1>{body}</div>'


def _checks(verdict: Mapping[str, Any]) -> str:
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
    false = verdict["false_fix"]
    note = (
        f"<p>A false fix is a pose off by more than {false['m']:g} m or {false['deg']:g} deg; its rate is of the poses, "
        "all other shares are of all held-out frames. The network's best state and the solver's numbers were chosen on "
        "the same held-out frames, which makes figures a little better than on a new drive. Frames next to each other "
        "fail together, so the 95 % bound is on the brave side.</p>"
    )
    return _table(rows, ("for", "figure", "found", "needed", "")) + note


def _dropped(selected: Mapping[str, Any]) -> str:
    rows = [("images in the bag", selected["images"] + selected["without_pose"])]
    rows += [(f"without a pose: {reason}", count) for reason, count in selected["skipped"].items()]
    rows += [(reason, count) for reason, count in selected["dropped"].items()]
    rows.append(("kept", selected["kept"]))
    return _table([(escape(name), f"{count}") for name, count in rows], ("", "frames"))


def _picture(path: Path, heading: str, note: str) -> str:
    encoded = base64.b64encode(path.read_bytes()).decode()
    return (
        f'<figure><img alt="{escape(heading)}" src="data:image/png;base64,{encoded}">'
        f"<figcaption>{escape(note)}</figcaption></figure>"
    )


def _table(rows: Sequence[Sequence[str]], header: Sequence[str] = ()) -> str:
    head = "<tr>" + "".join(f"<th>{name}</th>" for name in header) + "</tr>" if header else ""
    return f"<table>{head}{''.join('<tr>' + ''.join(f'<td>{c}</td>' for c in row) + '</tr>' for row in rows)}</table>"


def _length(metres: float) -> str:
    return f"{100 * metres:.1f} cm" if metres < 1 else f"{metres:.2f} m"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
